"""Steady tones are not taken for speech, and no speech is taken for a tone."""

from __future__ import annotations

import numpy as np
import pytest

from asrctl.audio.gain_control import GainControlled
from asrctl.audio.sample import sample_speech
from asrctl.audio.tones import Tones
from asrctl.audio.vad import SileroVad, SileroWeights
from asrctl.policy.endpointing import FRAME_SAMPLES, Endpointer
from tests.audio.samples import Samples, tone


def silenced(samples: Samples, probability: float = 0.7) -> list[int]:
    """Which frames are found to be tones, if the detector is as sure as that of all."""
    frames = samples[: len(samples) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    found = Tones().silenced(frames, np.full(len(frames), probability, np.float32))
    return [int(at) for at in np.flatnonzero(found == 0)]


def tones(amplitude: float, *hz: float) -> Samples:
    """A second of tones at once, in 16 bits, which are not exact."""
    mixed = sum(tone(each, 1.0, 16_000, amplitude) for each in hz)
    return (np.round(np.asarray(mixed) * 32_767) / 32_768).astype(np.float32)


@pytest.mark.parametrize(
    "hz", [(180,), (1000,), (350, 440), (697, 1209), (50, 440, 480), (300, 600, 900, 1200, 1500)]
)
@pytest.mark.parametrize("amplitude", [0.2, 0.01])
def test_tones_are_found(hz: tuple[float, ...], amplitude: float) -> None:
    """From the third frame on, whether they are loud or quiet."""
    assert set(range(2, 31)) <= set(silenced(tones(amplitude, *hz)))


def test_speech_is_no_tone() -> None:
    """Not a frame of it."""
    assert silenced(sample_speech()[1600:43_200]) == []


@pytest.mark.parametrize("tone_db", [-20, 0, 10, 20])
def test_speech_over_a_tone_is_no_tone(tone_db: float) -> None:
    """Only where speech pauses, or is drowned."""
    speech = sample_speech()
    loud = float(np.sqrt(2 * np.mean(speech**2))) * 10 ** (tone_db / 20)
    found = silenced(speech + tone(1000, len(speech) / 16_000, 16_000, loud)[: len(speech)])
    steps = np.diff(speech, append=0.0)[: len(speech) // FRAME_SAMPLES * FRAME_SAMPLES]
    powers = np.mean(steps.reshape(-1, FRAME_SAMPLES) ** 2, axis=1)
    tone_power = np.mean(np.diff(tone(1000, 1, 16_000, loud)) ** 2)
    assert all(powers[at] < tone_power / 50 for at in found)


def test_sure_speech_is_left_alone() -> None:
    """What the detector is sure of is not looked at, nor what it is sure is none."""
    assert silenced(tones(0.2, 440), 0.97) == silenced(tones(0.2, 440), 0.1) == []
    assert silenced(np.zeros(16_000, np.float32)) == []


def test_how_the_stream_is_cut_changes_nothing() -> None:
    """What was heard before a piece is remembered."""
    heard = tones(0.2, 440)[: 30 * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    sure = np.full(30, 0.7, np.float32)
    by_one = Tones()
    pieces = [by_one.silenced(heard[at : at + 1], sure[at : at + 1]) for at in range(30)]
    assert np.array_equal(np.concatenate(pieces), Tones().silenced(heard, sure))


@pytest.mark.parametrize("hz, amplitude", [(180, 0.3), (220, 0.02), (250, 0.03)])
def test_no_utterance_begins_with_a_tone(hz: float, amplitude: float) -> None:
    """The detector alone hears voices in these; they are silence, and the sentence behind them is speech."""
    pause = np.zeros(8_000, np.float32)
    heard = np.concatenate([pause, tone(hz, 2.0, 16_000, amplitude), pause, sample_speech()])
    endpointer = Endpointer()
    events = [
        event
        for probability in GainControlled(SileroVad(SileroWeights.load())).probabilities(heard)
        for event in endpointer.push(float(probability))
    ]
    assert endpointer.open_span is not None and len(events) == 1
    assert endpointer.open_span.start_sample / 16_000 == pytest.approx(2.9, abs=0.2)
