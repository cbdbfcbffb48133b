"""The sample buffer: reading by position, forgetting what is over."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.policy.endpointing import Span
from asrctl.streaming.buffer import SampleBuffer


def filled(*sizes: int) -> SampleBuffer:
    """A buffer whose sample n has the value n."""
    buffer, at = SampleBuffer(), 0
    for size in sizes:
        buffer.append(np.arange(at, at + size, dtype=np.float32))
        at += size
    return buffer


def test_new_buffer_is_empty() -> None:
    """Nothing has come, so only nothing can be read."""
    buffer = SampleBuffer()
    assert (buffer.start_sample, buffer.end_sample) == (0, 0)
    assert buffer.read(Span(0, 0)).shape == (0,)
    assert buffer.read(Span(0, 0)).dtype == np.float32


@given(
    st.lists(st.integers(0, 20), max_size=10),
    st.integers(-5, 250),
    st.tuples(st.integers(-5, 210), st.integers(-5, 210)),
)
def test_any_span_that_is_held_can_be_read(
    sizes: list[int], before_sample: int, bounds: tuple[int, int]
) -> None:
    """Spans inside what is held give exactly their samples, all others are an error; the rest is kept."""
    buffer, span = filled(*sizes), Span(*bounds)
    buffer.forget(before_sample)
    assert buffer.start_sample <= max(0, before_sample)
    assert buffer.end_sample == sum(sizes)
    if buffer.start_sample <= span.start_sample <= span.end_sample <= buffer.end_sample:
        assert buffer.read(span).tolist() == list(range(*bounds))
    else:
        with pytest.raises(ValueError, match="is outside"):
            buffer.read(span)


def test_whole_chunks_are_forgotten() -> None:
    """A chunk goes once all of it is over; the one the position lies in stays."""
    buffer = filled(10, 10, 10)
    buffer.forget(19)
    assert buffer.start_sample == 10
    buffer.forget(20)
    assert buffer.start_sample == 20
    buffer.forget(5)
    assert buffer.start_sample == 20
    buffer.forget(1000)
    assert (buffer.start_sample, buffer.end_sample) == (30, 30)
    buffer.append(np.full(5, 7, np.float32))
    assert buffer.read(Span(30, 35)).tolist() == [7] * 5


def test_what_was_read_is_a_copy() -> None:
    """Changing what was read does not change the buffer."""
    buffer = filled(10)
    buffer.read(Span(0, 10))[:] = 99
    assert buffer.read(Span(0, 3)).tolist() == [0, 1, 2]
