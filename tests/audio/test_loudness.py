"""The stand-in for voice activity: everything is speech, and quiet places are the best to cut."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from asrctl.audio.loudness import Loudness
from asrctl.policy.endpointing import FRAME_SAMPLES, Endpointer, EndpointerOptions, SpeechEnded


def tone(level: float, frames: int = 1) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.full(frames * FRAME_SAMPLES, level, np.float32)


def test_louder_is_surer() -> None:
    """From one half for silence to one for full scale, rising with the level, whatever the sign."""
    levels = [0.0, 1e-5, 1e-3, 0.1, -0.5, 1.0]
    probabilities = Loudness().probabilities(np.concatenate([tone(level) for level in levels]))
    assert probabilities[0] == 0.5
    assert probabilities[-1] == 1.0
    assert probabilities.tolist() == sorted(set(probabilities.tolist()))
    assert probabilities.dtype == np.float32


@given(st.lists(st.integers(0, 2000), max_size=10), st.floats(0, 100))
def test_cutting_does_not_matter(sizes: list[int], level: float) -> None:
    """Any cutting of a stream gives the same frames; the last unfilled one is judged by `flush`."""
    audio = (np.random.default_rng(1).normal(0, 1, sum(sizes)) * level).astype(np.float32)
    whole, cut, at = Loudness(), Loudness(), 0
    pieces = [np.zeros(0, np.float32)]
    for size in sizes:
        pieces.append(cut.probabilities(audio[at : at + size]))
        at += size
    expected = np.concatenate([whole.probabilities(audio), whole.flush()])
    assert np.array_equal(np.concatenate([*pieces, cut.flush()]), expected)
    assert len(expected) == -(-len(audio) // FRAME_SAMPLES)
    assert bool(np.all((expected >= 0.5) & (expected <= 1)))


def test_flush_of_nothing() -> None:
    """Whole frames leave nothing to judge."""
    detector = Loudness()
    assert detector.flush().shape == (0,)
    detector.probabilities(tone(0.5, 3))
    assert detector.flush().shape == (0,)


def test_all_of_it_is_speech_cut_where_it_is_quiet() -> None:
    """Through the endpointer, silence counts as speech too, and cuts fall into the quiet place."""
    audio = np.concatenate([tone(0.5, 150), tone(0.001, 4), tone(0.5, 100)])
    endpointer = Endpointer(EndpointerOptions(max_utterance_s=6.0))
    events = [
        event for p in Loudness().probabilities(audio) for event in endpointer.push(float(p))
    ] + endpointer.flush()
    spans = [event.span for event in events if isinstance(event, SpeechEnded)]
    assert [span.start_sample for span in spans[1:]] == [span.end_sample for span in spans[:-1]]
    assert 150 <= spans[0].end_sample / FRAME_SAMPLES <= 154
    assert endpointer.account.speech_samples == len(audio)
