"""Latencies, read from events with times; talks; the search for the most sessions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.bench.paced import Heard, Talk, latencies, onset_s
from asrctl.bench.setup import Speech, builtin
from asrctl.bench.stream import Target, highest, talks
from asrctl.events import Dropped, Event, Final, Finished, Partial, SpeechStarted
from asrctl.policy.endpointing import EndpointerOptions
from asrctl.policy.window import has_loop
from asrctl.transcript import SAMPLE_RATE_HZ, AudioAccount, Segment

QUIET, LOUD = np.zeros(SAMPLE_RATE_HZ, np.float32), np.full(SAMPLE_RATE_HZ, 0.5, np.float32)
TALK = Talk(np.concatenate([QUIET, LOUD, LOUD, QUIET]), "hello")


def final(utterance: int, start_s: float, end_s: float, text: str = "hello") -> Final:
    """A final for a stretch of audio."""
    segment = Segment(start_s, end_s, text, 1.0)
    return Final(utterance, segment, round(start_s * SAMPLE_RATE_HZ), round(end_s * SAMPLE_RATE_HZ))


def partial(utterance: int) -> Partial:
    """Any partial."""
    return Partial(utterance, 1, 0.8, 2.0, "", "hel")


def heard(*events: tuple[float, Event]) -> Heard:
    """A session that heard these, at these seconds."""
    return Heard(0.0, list(events))


def test_latencies_count_from_what_was_said() -> None:
    """The first partial from the onset, not from the padding before it; the final from the end of speech."""
    late = latencies(
        [TALK],
        [
            heard(
                (1.2, SpeechStarted(0, 0.8)), (1.9, partial(0)), (2.4, partial(0)), (4.0, final(0, 0.8, 3.2))
            )
        ],
        EndpointerOptions(pad_after_s=0.2),
    )
    assert late.first_partial_s == [pytest.approx(0.9, abs=0.011)]
    assert late.final_s == [pytest.approx(1.0)]
    assert (late.partials, late.utterances, late.cut_s) == (2, 1, [])


@pytest.mark.parametrize("told_s", [2.0003125, 2.0])
def test_a_cut_is_not_an_end_of_speech(told_s: float) -> None:
    """Where the next utterance begins as one ends, the final counts from when that was decided.

    Servers tell times in milliseconds, and positions to the sample.
    """
    cut_s = 2.0003125
    events: list[tuple[float, Event]] = [
        (1.2, SpeechStarted(0, 0.8)),
        (2.5, SpeechStarted(1, told_s)),
        (2.75, final(0, 0.8, cut_s)),
        (4.0, final(1, cut_s, 3.2)),
    ]
    late = latencies([TALK], [heard(*events)], EndpointerOptions())
    assert late.cut_s == [pytest.approx(0.25)]
    assert len(late.final_s) == 1
    assert late.utterances == 2


def test_onset_is_where_it_gets_loud() -> None:
    """Or the start itself, if it does not within a second."""
    assert onset_s(TALK.samples, 0.5) == pytest.approx(1.0, abs=0.01)
    assert onset_s(QUIET, 0.0) == 0.0


def test_samples_that_nobody_speaks_for_are_found() -> None:
    """Missing ones, pending ones, and all where the stream never finished."""
    assert heard((1.0, Finished(AudioAccount(100, 60, 40, 0)))).unaccounted_samples(100) == 0
    assert heard((1.0, Finished(AudioAccount(90, 50, 40, 0)))).unaccounted_samples(100) == 10
    assert heard((1.0, Finished(AudioAccount(100, 50, 40, 0)))).unaccounted_samples(100) == 10
    assert heard().unaccounted_samples(100) == 100
    assert heard((1.0, Dropped(0, 10, 30, "why"))).dropped_samples == 20


@given(st.integers(0, 70), st.integers(1, 64))
def test_the_highest_that_meets_is_found(real: int, most: int) -> None:
    """By few tries, none of them twice."""
    tried: list[int] = []

    def meets(count: int) -> bool:
        tried.append(count)
        return count <= real

    assert highest(meets, most) == min(real, most)
    assert len(tried) == len(set(tried)) <= 14
    assert all(1 <= count <= most for count in tried)


def test_a_target_is_missed_by_drops_and_by_silence() -> None:
    """Finals that never came are not quick ones."""
    target = Target(2.0)
    assert target.met_by({"final_p95_s": 2.0, "dropped_s": 0.0})
    assert not target.met_by({"final_p95_s": 2.1, "dropped_s": 0.0})
    assert not target.met_by({"final_p95_s": 1.0, "dropped_s": 0.5})
    assert not target.met_by({"dropped_s": 0.0})


def test_sessions_hear_builtin_speech_with_other_pauses() -> None:
    """The words are known, and no two begin at once."""
    found = talks(builtin(10.0), 3, 10.0)
    assert len({talk.starts_s for talk in found}) == 3
    assert len({len(talk.samples) for talk in found}) == 3
    assert all("Monday" in (talk.text or "") for talk in found)


def test_the_reference_is_for_the_whole_recording() -> None:
    """A part of it is played without."""
    speech = Speech("talk.wav", 4.0, lambda: iter([QUIET, LOUD, LOUD, QUIET]), "hello")
    (whole,), (part,) = talks(speech, 1, 60.0), talks(speech, 1, 2.5)
    assert (len(whole.samples), whole.text) == (4 * SAMPLE_RATE_HZ, "hello")
    assert (len(part.samples), part.text) == (2.5 * SAMPLE_RATE_HZ, None)


def test_builtin_speech_is_the_same_every_time() -> None:
    """And at least one sentence long; its chunks are its samples."""
    once, again = builtin(0.0, 1), builtin(0.0, 1)
    samples = once.samples(once.duration_s)
    assert np.array_equal(samples, again.samples(again.duration_s))
    assert sum(len(chunk) for chunk in once.chunks()) == len(samples)
    assert once.reference is not None and once.reference.count("Monday") == 1


def test_builtin_speech_is_no_loop() -> None:
    """Else a recogniser would decode it again and again, and be measured at a third of its speed."""
    assert not has_loop(builtin(120.0).reference or "")
