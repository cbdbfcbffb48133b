"""Windows of a stream become turns of speakers; the networks are played by a fake."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from asrctl.policy.clustering import ClusteringOptions
from asrctl.policy.turns import Turn
from asrctl.speakers.diarizer import Diarizer, DiarizerOptions
from asrctl.speakers.features import Features, log_mel
from asrctl.speakers.networks import LOCAL, SPEECH_STEP_SAMPLES, unit
from asrctl.transcript import SAMPLE_RATE_HZ

LOW_HZ, HIGH_HZ = 300.0, 3000.0


class TonesForVoices:
    """Takes a low tone for one voice and a high one for another."""

    def activity(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        found = np.zeros((len(samples) // SPEECH_STEP_SAMPLES, LOCAL), np.float32)
        for frame in range(len(found)):
            piece = samples[frame * SPEECH_STEP_SAMPLES :][:SPEECH_STEP_SAMPLES]
            if np.abs(piece).max() > 0.1:
                found[frame, int(np.argmax(np.abs(np.fft.rfft(piece))) > 10)] = 1.0
        return found

    def embedding(self, features: Features) -> NDArray[np.float32]:
        is_high = features.mean(axis=0).argmax() > 40
        return np.array([0.0, 1.0] if is_high else [1.0, 0.0], np.float32)


def tone(hz: float, duration_s: float) -> NDArray[np.float32]:
    at_s = np.arange(round(duration_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    return (0.5 * np.sin(2 * np.pi * hz * at_s)).astype(np.float32)


def _turns(samples: NDArray[np.float32], known: dict[str, NDArray[np.float32]] | None = None) -> list[Turn]:
    diarizer = Diarizer(TonesForVoices(), known=known)
    for at in range(0, len(samples), 1000):
        diarizer.feed(samples[at : at + 1000])
    diarizer.catch_up()
    online = diarizer.turns()
    diarizer.recluster()
    assert [turn.speaker for turn in diarizer.turns()] == [turn.speaker for turn in online]
    return online


def test_two_voices_over_several_windows_are_two_speakers() -> None:
    """A voice that returns keeps its name, and edges are right to a tenth of a second."""
    samples = np.concatenate([tone(LOW_HZ, 6), tone(HIGH_HZ, 7), tone(LOW_HZ, 9)])
    found = _turns(samples)
    assert [turn.speaker for turn in found] == ["Speaker 1", "Speaker 2", "Speaker 1"]
    edges = [edge for turn in found for edge in (turn.start_s, turn.end_s)]
    assert np.allclose(edges, [0, 6, 6, 13, 13, 22], atol=0.1)


def test_turns_are_the_same_however_many_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn that goes on is one."""
    samples = np.concatenate([tone(LOW_HZ, 6), tone(HIGH_HZ, 7), tone(LOW_HZ, 9)])
    whole = _turns(samples)
    monkeypatch.setattr("asrctl.speakers.diarizer._AT_ONCE_FRAMES", 100)
    assert _turns(samples) == whole


def test_a_known_voice_has_its_name() -> None:
    """Others are numbered."""
    samples = np.concatenate([tone(LOW_HZ, 4), tone(HIGH_HZ, 4)])
    found = _turns(samples, {"Anna": np.array([0.0, 1.0], np.float32)})
    assert [turn.speaker for turn in found] == ["Speaker 1", "Anna"]


class Counting(TonesForVoices):
    """Counts how often it is asked what a voice is like."""

    def __init__(self) -> None:
        self.asked = 0

    def embedding(self, features: Features) -> NDArray[np.float32]:
        self.asked += 1
        return super().embedding(features)


def test_voices_that_say_nothing_new_are_not_compared_again() -> None:
    """They are who they were taken for; the others are compared, and are somebody else."""
    samples = np.concatenate([tone(LOW_HZ, 1.5), tone(HIGH_HZ, 1.5), tone(LOW_HZ, 1.5)])
    asked = {}
    for reuse in (False, True):
        networks = Counting()
        diarizer = Diarizer(networks, DiarizerOptions(reuse=reuse))
        for start_s, end_s in ((0.0, 1.5), (1.5, 3.0), (3.0, 4.5)):
            diarizer.feed(samples[int(start_s * SAMPLE_RATE_HZ) : int(end_s * SAMPLE_RATE_HZ)])
            diarizer.catch_up()
        assert [turn.speaker for turn in diarizer.turns()] == ["Speaker 1", "Speaker 2", "Speaker 1"]
        asked[reuse] = networks.asked
    assert asked == {False: 6, True: 3}


class Scripted(TonesForVoices):
    """Hears what it is told to, one vector after the other."""

    def __init__(self, *vectors: tuple[float, float, float]) -> None:
        self._vectors = iter(vectors)

    def embedding(self, features: Features) -> NDArray[np.float32]:
        return unit(np.array(next(self._vectors), np.float32))


def test_one_person_who_was_taken_for_two_is_one_again() -> None:
    """When more is heard of both; others keep their names."""
    one, other, third = (1.0, 0.0, 0.0), (0.35, 0.94, 0.0), (0.0, 0.0, 1.0)
    vectors = (one, other, third, (0.87, 0.49, 0.0), (0.65, 0.76, 0.0))
    turn = np.pad(tone(LOW_HZ, 1.9), (0, round(8.1 * SAMPLE_RATE_HZ)))
    diarizer = Diarizer(Scripted(*vectors), DiarizerOptions(step_s=10.0))
    told = []
    for _ in vectors:
        diarizer.feed(turn)
        told.append([each.speaker for each in diarizer.turns()])
    assert told[3] == ["Speaker 1", "Speaker 2", "Speaker 3", "Speaker 1"]
    assert told[4] == ["Speaker 1", "Speaker 1", "Speaker 3", "Speaker 1", "Speaker 1"]


def test_who_is_hardly_heard_is_nobody_at_the_end() -> None:
    """A voice opens a speaker as it comes, after a second; at the end, only after a second and a half."""
    diarizer = Diarizer(TonesForVoices())
    diarizer.feed(np.concatenate([tone(LOW_HZ, 4), tone(HIGH_HZ, 1.3)]))
    diarizer.catch_up()
    assert {turn.speaker for turn in diarizer.turns()} == {"Speaker 1", "Speaker 2"}
    diarizer.recluster()
    assert {turn.speaker for turn in diarizer.turns()} == {"Speaker 1"}


def test_no_more_speakers_than_there_are() -> None:
    """However many voices are told apart in a window; all of it is somebody's."""
    options = DiarizerOptions(ClusteringOptions(speakers=1))
    diarizer = Diarizer(TonesForVoices(), options)
    diarizer.feed(np.concatenate([tone(LOW_HZ, 6), tone(HIGH_HZ, 3)]))
    diarizer.catch_up()
    for _ in range(2):
        assert [turn.speaker for turn in diarizer.turns()] == ["Speaker 1"]
        assert diarizer.turns()[0].end_s > 8.8
        diarizer.recluster()


def test_a_known_name_is_nobody_elses() -> None:
    """Somebody whose sample is called like a number keeps the name; numbers of others go around it."""
    samples = np.concatenate([tone(LOW_HZ, 4), tone(HIGH_HZ, 4)])
    found = _turns(samples, {"Speaker 1": np.array([0.0, 1.0], np.float32)})
    assert [turn.speaker for turn in found] == ["Speaker 2", "Speaker 1"]


def test_silence_and_nothing_have_no_turns() -> None:
    """Nobody speaks."""
    assert _turns(np.zeros(12 * SAMPLE_RATE_HZ, np.float32)) == []
    assert _turns(np.zeros(0, np.float32)) == []


def test_the_voice_of_whoever_speaks() -> None:
    """Of a sample of somebody; silence has none."""
    diarizer = Diarizer(TonesForVoices())
    diarizer.feed(np.zeros(SAMPLE_RATE_HZ, np.float32))
    assert diarizer.voice() is None
    diarizer.feed(tone(HIGH_HZ, 3))
    diarizer.catch_up()
    voice = diarizer.voice()
    assert voice is not None and np.allclose(voice, [0.0, 1.0])


def test_features_show_where_a_tone_lies() -> None:
    """One frame of 80 bands for each 10 ms; audio shorter than a frame has none."""
    found = log_mel(tone(HIGH_HZ, 1.0))
    assert found.shape == (98, 80)
    assert found.mean(axis=0).argmax() > log_mel(tone(LOW_HZ, 1.0)).mean(axis=0).argmax()
    assert log_mel(np.zeros(100, np.float32)).shape == (0, 80)
