"""Turns of a window's local speakers, and whose they are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asrctl.policy.turns import Turn
from asrctl.speakers.diarizer import Diarizer
from asrctl.speakers.features import Features
from asrctl.speakers.networks import unit
from asrctl.speakers.parts import Voice, joined

from .test_diarizer import HIGH_HZ, LOW_HZ, TonesForVoices, tone

HIGHEST_HZ = 6000.0
PAUSE = np.zeros(6400, np.float32)


class OneForTwo(TonesForVoices):
    """Takes both tones for one local speaker, as segmentation does with voices that are alike."""

    def activity(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        found = super().activity(samples)
        found[:, 0] = found.max(axis=1)
        found[:, 1:] = 0.0
        return found


class Elsewhere(OneForTwo):
    """What comes after the last pause is another local speaker; the highest tone is nearly the high one."""

    def activity(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        found = super().activity(samples)
        heard = np.flatnonzero(found[:, 0])
        silent = np.flatnonzero(found[: heard[-1], 0] == 0)
        found[silent[-1] :, 1], found[silent[-1] :, 0] = found[silent[-1] :, 0].copy(), 0.0
        return found

    def embedding(self, features: Features) -> NDArray[np.float32]:
        band = features.mean(axis=0).argmax()
        return unit(np.array([1, 0, 0] if band < 40 else [0, 1, 0] if band < 65 else [0, 0.5, 0.87]))


class Undecided(OneForTwo):
    """Never hears the same voice twice."""

    def __init__(self) -> None:
        self._dice = np.random.default_rng(0)

    def embedding(self, features: Features) -> NDArray[np.float32]:
        return unit(self._dice.normal(size=192))


def _voice(frame: int, heard_s: float, *vector: float) -> Voice:
    activity = np.zeros(4, np.float32)
    activity[frame] = 1.0
    return Voice(-1, 0, activity, heard_s, np.array(vector, np.float32))


def test_turns_that_are_alike_are_one_voice() -> None:
    """What is heard of both counts, each for as long as it was; another voice stays by itself."""
    one, other = joined([_voice(0, 3.0, 1.0, 0.0), _voice(1, 2.0, 0.0, 1.0), _voice(3, 1.0, 0.8, 0.6)], 0.6)
    assert (one.activity.tolist(), one.heard_s) == ([1, 0, 0, 1], 4.0)
    assert np.allclose(one.vector, np.array([3.8, 0.6]) / np.hypot(3.8, 0.6))
    assert (other.activity.tolist(), other.heard_s) == ([0, 1, 0, 0], 2.0)
    assert joined([], 0.6) == []


def test_a_short_turn_is_given_to_who_speaks() -> None:
    """Seven tenths of a second, where segmentation hears one voice only."""
    low, high = tone(LOW_HZ, 3), tone(HIGH_HZ, 3)
    pieces = [high, PAUSE, low, PAUSE, tone(HIGH_HZ, 0.7), PAUSE, low]
    diarizer = Diarizer(OneForTwo())
    diarizer.feed(np.concatenate(pieces))
    diarizer.catch_up()
    found: list[Turn] = diarizer.turns()
    assert [turn.speaker for turn in found] == ["Speaker 2", "Speaker 1", "Speaker 2", "Speaker 1"]
    assert np.allclose([found[2].start_s, found[2].end_s], [6.8, 7.5], atol=0.1)


def test_two_who_do_not_pause_between_them_are_told_apart() -> None:
    """Where segmentation hears one voice: its end does not sound as its beginning."""
    diarizer = Diarizer(OneForTwo())
    diarizer.feed(np.concatenate([tone(LOW_HZ, 2.5), tone(HIGH_HZ, 5), tone(LOW_HZ, 2.5)]))
    diarizer.feed(np.concatenate([tone(LOW_HZ, 3), tone(HIGH_HZ, 7)]))
    for _ in range(2):
        found: list[Turn] = diarizer.turns()
        assert [turn.speaker for turn in found][-2:] == ["Speaker 1", "Speaker 2"]
        assert np.allclose([found[-2].end_s, found[-1].start_s], [13.0, 13.0], atol=0.3)
        diarizer.recluster()


def test_one_of_two_who_were_told_apart_may_be_another_local_speaker_too() -> None:
    """Who is cut out of one local speaker is not kept apart from the others of the window."""
    diarizer = Diarizer(Elsewhere())
    diarizer.feed(np.concatenate([tone(LOW_HZ, 3), tone(HIGH_HZ, 3), PAUSE, tone(HIGHEST_HZ, 2)]))
    diarizer.catch_up()
    first, second, third = (turn.speaker for turn in diarizer.turns())
    assert first != second == third


def test_voices_that_sound_different_each_time_come_to_an_end() -> None:
    """However long one is: parts get shorter until they are too short to be told apart."""
    diarizer = Diarizer(Undecided())
    diarizer.feed(np.concatenate([tone(LOW_HZ, 6), PAUSE, tone(HIGH_HZ, 9)]))
    diarizer.catch_up()
    assert len({turn.speaker for turn in diarizer.turns()}) > 1
