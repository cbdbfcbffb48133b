"""Audio that somebody throws away: it is declared dropped, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest

from asrctl.events import Dropped, Final, Finished, Flushed, SpeechEnded
from asrctl.providers.recognizer import Completed
from asrctl.streaming.commands import Drop
from asrctl.streaming.stream import Stream
from asrctl.transcript import Hypothesis
from asrctl_tests.scripted import speak

from .speech import LevelDetector, silence

SPEECH = np.concatenate((silence(0.3), speak([1])))
NOTHING = Hypothesis((), "en", 0.0)


@pytest.mark.parametrize("open_only", [True, False])
def test_what_is_dropped(open_only: bool) -> None:
    """What came since the last flush, or only what is open; what was flushed is answered all the same."""
    stream = Stream(LevelDetector())
    stream.feed(SPEECH)
    stream.flush()
    for _ in range(2):  # the first ends by itself
        stream.feed(np.concatenate((SPEECH, silence(0.8))))
    stream.feed(SPEECH)
    outputs = stream.discard("unwanted", open_only=open_only)
    dropped = [3] if open_only else [1, 2, 3]
    assert [each.utterance for each in outputs if isinstance(each, Drop)] == dropped
    assert not any(isinstance(each, SpeechEnded) for each in outputs)
    said = outputs
    for number in range(4):
        said += stream.hear(Completed(number, NOTHING))
    said += stream.finish()
    ends = [each for each in said if isinstance(each, Final | Flushed | Dropped | Finished)]
    assert [type(each).__name__ for each in ends] == [
        *("Final", "Flushed"),
        *(["Final", "Final", "Dropped"] if open_only else ["Dropped"] * 3),
        *("Flushed", "Finished"),
    ]
    assert {each.reason for each in ends if isinstance(each, Dropped)} == {"unwanted"}
    account = stream.account
    assert account.pending_samples == 0
    assert account.dropped_samples > 0


def test_nothing_to_discard() -> None:
    """It is answered all the same."""
    stream = Stream(LevelDetector())
    assert stream.discard("unwanted", open_only=False) == [Flushed(0)]
