"""The filter that finds echo, on mixes of noise that is as loud as speech."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from numpy.typing import NDArray

from asrctl.audio.echo import EchoFinder, WithoutEcho
from asrctl.policy.endpointing import FRAME_SAMPLES
from tests.audio.samples import Samples
from tests.streaming.speech import LevelDetector

S = 16_000


def noise(seconds: float, seed: int, level: float = 0.1) -> Samples:
    return np.random.default_rng(seed).normal(0, level, round(seconds * S)).astype(np.float32)


def found(*tracks: Samples, cut: int = 5000) -> list[NDArray[np.bool_]]:
    finder = EchoFinder(len(tracks))
    for at in range(0, max(len(track) for track in tracks), cut):
        finder.feed([track[at : at + cut] for track in tracks])
        assert finder.decided_samples == FRAME_SAMPLES * len(finder.echoes[0])
    finder.flush()
    return [np.array(each, bool) for each in finder.echoes]


def test_a_late_weak_copy_is_echo_and_its_origin_is_not() -> None:
    """Once the filter has learnt the way; own speech above it stays, and so does a track without echo."""
    far = np.concatenate((noise(6, 1), np.zeros(4 * S, np.float32)))
    echo = 0.1 * np.concatenate((np.zeros(1600, np.float32), far[:-1600]))
    own = np.concatenate((np.zeros(7 * S, np.float32), noise(2, 2), np.zeros(S, np.float32)))
    mic, origin = found(echo + own, far)
    assert mic[31:180].mean() > 0.9
    assert not mic[215:285].any() and not origin.any()
    assert not any(each.any() for each in found(own, far))


def test_an_echo_may_come_before_its_origin() -> None:
    """By a tenth of a second, where recorders started at different times."""
    far = noise(6, 1)
    mic, origin = found(0.2 * np.concatenate((far[1600:], np.zeros(1600, np.float32))), far)
    assert mic[60:170].mean() > 0.9 and not origin.any()


def bursts(seconds: float) -> Samples:
    """Loud and quiet by turns, as speech is."""
    loudness = np.repeat([0.05, 1, 0.3, 0, 0.6, 0.1, 0.8, 0.2], 1500)
    return (noise(seconds, 1) * np.resize(loudness, round(seconds * S))).astype(np.float32)


@pytest.mark.parametrize("delay", [0, 16, 400, 1600])
@pytest.mark.parametrize("levels", [(1.0, 1.0), (1.0, -1.0), (1.0, 1.0, 1.0), (1.0, 0.7), (1.0, 0.5)])
def test_what_two_tracks_share_is_kept_in_one(levels: tuple[float, ...], delay: int) -> None:
    """Whole, or, while the filters still learn, by turns in one and the other."""
    speech = bursts(6)
    late = np.concatenate((np.zeros(delay, np.float32), speech))[: len(speech)]
    tracks = found(speech, *(np.float32(level) * late for level in levels[1:]))
    first, *copies = (
        track[shift:][:180] for track, shift in zip(tracks, (0, *[_frames(delay)] * 2), strict=False)
    )
    assert first.mean() < 0.1
    assert np.all([first, *copies], axis=0).sum() <= 1  # of 32 ms, no word


def _frames(samples: int) -> int:
    return round(samples / FRAME_SAMPLES)


def test_the_cut_leaves_no_trace_and_every_frame_has_a_verdict() -> None:
    """Also where a track ends before the others."""
    far = noise(3, 1)
    one, other = found(0.1 * far, far[:20_000], cut=700), found(0.1 * far, far[:20_000], cut=48_000)
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert len(one[0]) >= len(far) / FRAME_SAMPLES


def test_where_there_is_echo_no_speech_is_heard() -> None:
    """Other frames are as the detector has them, also after the last verdict."""
    detector = WithoutEcho(LevelDetector(), deque([True, False]))
    loud = np.full(FRAME_SAMPLES * 2 + 10, 0.5, np.float32)
    assert detector.probabilities(loud).tolist() == [0.0, 1.0]
    assert len(detector.flush()) == 1


def test_verdicts_stay_in_place_behind_a_gap() -> None:
    """A gap is not heard, and what follows starts a frame of its own: it has the verdict of where it lies."""
    gaps = deque([(700, 2 * FRAME_SAMPLES)])
    detector = WithoutEcho(LevelDetector(), deque([False, False, True, True, False]), gaps)
    loud = np.full(FRAME_SAMPLES, 0.5, np.float32)
    assert detector.probabilities(np.concatenate((loud, loud[:188]))).tolist() == [1.0]
    assert len(detector.flush()) == 1 and not gaps  # the third frame begins in the gap
    assert detector.probabilities(loud).tolist() == [0.0]
    assert detector.probabilities(loud).tolist() == [1.0]
