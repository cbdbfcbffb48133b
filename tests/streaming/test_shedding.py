"""What a stream gives up when nobody keeps up with it."""

from __future__ import annotations

import numpy as np

from asrctl.events import Dropped, Final, Finished
from asrctl.providers.recognizer import Completed
from asrctl.streaming.commands import Drop
from asrctl.streaming.stream import Stream
from asrctl.transcript import Hypothesis
from asrctl_tests.scripted import speak
from tests.streaming.speech import LevelDetector, silence

WORD = np.concatenate((speak([1] * 5), silence(0.6)))


def test_what_ended_by_a_position_is_given_up() -> None:
    """Utterances that wait and ended by then are declared dropped; later ones, and the open one, are not."""
    stream = Stream(LevelDetector())
    assert stream.waiting_sample is None
    for _ in range(3):
        stream.feed(WORD)
    first = stream.waiting_sample
    assert first is not None
    assert stream.shed(first - 1, "late") == []
    outputs = stream.shed(first + len(WORD), "late")
    assert [each.utterance for each in outputs if isinstance(each, Drop)] == [0, 1]
    dropped = [each for each in outputs if isinstance(each, Dropped)]
    assert [each.reason for each in dropped] == ["late", "late"]
    assert stream.waiting_sample == first + 2 * len(WORD)
    stream.feed(speak([9] * 5))
    dropped += [each for each in stream.shed(10**9, "late") if isinstance(each, Dropped)]
    assert stream.waiting_sample is None
    ended = stream.finish()
    assert not any(isinstance(each, Finished) for each in ended)
    final, finished = stream.hear(Completed(3, Hypothesis((), "en", 0.0)))
    assert isinstance(final, Final) and isinstance(finished, Finished)
    assert finished.account.pending_samples == 0
    lost = sum(each.end_sample - each.start_sample for each in dropped)
    assert len(dropped) == 3 and finished.account.dropped_samples == lost


def test_what_is_known_is_not_given_up() -> None:
    """A final that came before an earlier one is kept, and said once the earlier is given up."""
    stream = Stream(LevelDetector())
    stream.feed(WORD)
    stream.feed(WORD)
    assert stream.hear(Completed(1, Hypothesis((), "en", 0.0))) == []
    outputs = stream.shed(10**9, "late")
    assert [type(each) for each in outputs] == [Drop, Dropped, Final]
