"""Messages between parent and worker: what one side says, the other side understands, and nothing else."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.policy.window import Effort
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.transcript import Hypothesis, Part, Segment, Word
from asrctl.workers.messages import (
    Abort,
    Close,
    Decode,
    Decoded,
    End,
    Feed,
    Finished,
    GivenUp,
    Load,
    Loaded,
    LoadFailed,
    Message,
    Open,
    Progress,
    Refused,
    Stopped,
    header_of,
    message_of,
)
from asrctl.workers.wire import WireClosed

NUMBERS = st.floats(allow_nan=False)
WORDS = st.builds(Word, NUMBERS, NUMBERS, st.text(), NUMBERS)
SEGMENTS = st.builds(Segment, NUMBERS, NUMBERS, st.text(), NUMBERS, st.lists(WORDS, max_size=3).map(tuple))
HYPOTHESES = st.builds(Hypothesis, st.lists(SEGMENTS, max_size=3).map(tuple), st.text(), NUMBERS, st.text())
SPEC = ModelSpec("whisper_cpp", Path("some/weights.bin"), threads=2, use_gpu=False)


def through_json(message: Message, payload: bytes = b"") -> Message:
    return message_of(json.loads(json.dumps(header_of(message))), payload)


@given(st.integers(0), HYPOTHESES)
def test_hypotheses_survive(number: int, hypothesis: Hypothesis) -> None:
    """A hypothesis is the same after it went through JSON, infinite numbers included."""
    assert through_json(Decoded(number, hypothesis)) == Decoded(number, hypothesis)


@pytest.mark.parametrize(
    "message",
    [
        Load(SPEC),
        Load(replace(SPEC, options=(("lookahead_ms", 80), ("language_model", "/a.gguf"))), streams=5),
        Abort(3),
        Loaded("CPU"),
        LoadFailed(True, "no"),
        Refused(4, "why"),
        Stopped(5),
        Open(1, DecodeOptions(prompt="A call.", effort=Effort.LIGHT)),
        End(1),
        Close(1),
        Progress(1, 2, 1600, "one two", " three"),
        Finished(1, 2, Hypothesis((), "en", 0.5, parts_s={Part.FIRST: 0.3, Part.REST: 0.2})),
        GivenUp(1, 2, "why"),
    ],
    ids=lambda message: type(message).__name__,
)
def test_messages_survive(message: Message) -> None:
    """Each kind of message comes out as it went in."""
    assert through_json(message) == message


def test_a_decode_carries_its_samples() -> None:
    """Options travel in the header, samples bit by bit in the payload."""
    samples = np.array([0.0, -1.0, 0.5, math.pi], np.float32)
    options = DecodeOptions(
        "de", beam_size=5, effort=Effort.LIGHT, word_timestamps=True, utterances=((0, 10), (12, 20))
    )
    sent = Decode(7, options, samples)
    received = through_json(sent, samples.tobytes())
    assert isinstance(received, Decode)
    assert (received.id, received.options) == (7, options)
    assert isinstance(received.options.effort, Effort)
    assert np.array_equal(received.samples, samples)
    fed = through_json(Feed(3, samples), samples.tobytes())
    assert isinstance(fed, Feed) and fed.stream == 3
    assert np.array_equal(fed.samples, samples)


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"type": "Nonsense"},
        {"type": "Abort"},
        {"type": ["Abort"]},
        {"type": "Load", "spec": {}},
        {"type": "Load", "spec": {"provider": "p", "path": "x", "surprise": 1}},
        {"type": "Decode", "id": 1, "options": {"effort": "heroic"}},
        {"type": "Decoded", "id": 1, "hypothesis": {"segments": [7]}},
    ],
    ids=str,
)
def test_what_is_no_message(header: dict[str, Any]) -> None:
    """A frame that carries none of our messages is a broken wire, not a crash."""
    with pytest.raises(WireClosed, match="a message that is none"):
        message_of(header)
