"""Calibration with the scripted recogniser where that will do, and with real weights where it will not."""

from __future__ import annotations

import time
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from asrctl.detect import calibrate as module
from asrctl.detect.calibrate import Speech, _decode_s, calibrate, detection_cpu, measure
from asrctl.errors import AsrctlError, ModelError
from asrctl.models.store import ModelStore
from asrctl.policy.recommend import Candidate, Measurement
from asrctl.policy.sizing import Wish
from asrctl.providers.base import DecodeOptions
from asrctl.providers.plugin import is_installed
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis
from asrctl.workers.pool import WorkerPool
from tests.providers.small_gguf import write_model

TINY = Candidate("whisper_cpp", "tiny.en-q8_0", 1, 1)
PLENTY_S = 120.0


@pytest.fixture
def empty(tmp_path: Path) -> ModelStore:
    """A store without models."""
    return ModelStore(tmp_path / "models")


def test_the_speech_has_two_lengths() -> None:
    """Short as an answer, long as an explanation, both within what a window holds."""
    speech = Speech.sample()
    assert 2.0 < len(speech.short) / SAMPLE_RATE_HZ < 4.0
    assert 8.0 < len(speech.long) / SAMPLE_RATE_HZ < 12.0


def test_listening_is_measured() -> None:
    """Finding speech takes some processor time, far less than the audio is long."""
    assert 0.0 < detection_cpu(Speech.sample().long) < 1.0


@pytest.mark.integration
@pytest.mark.skipif(not is_installed("transcribe_cpp"), reason="transcribe-cpp is not installed")
def test_a_measurement_through_transcribe_cpp(store: ModelStore, tiny_en: Path, tmp_path: Path) -> None:
    """It decodes the sample with whisper.cpp's own weights; a model that understands nothing is told."""
    candidate = Candidate("transcribe_cpp", str(tiny_en), 1, 1)
    noise = Candidate("transcribe_cpp", str(write_model(tmp_path / "small.gguf")), 1, 1)
    outcome = calibrate([candidate, noise], store, Wish(latency_s=60.0), 2, PLENTY_S)
    (found,) = outcome.measured
    assert found.measurement.candidate == candidate and "1 thread" in found.measurement.where
    assert found.measurement.rtf > 0
    (other,) = outcome.unmeasured
    assert other.candidate == noise and "test speech" in other.reason


def test_a_model_that_is_not_there_is_told(empty: ModelStore) -> None:
    """Nothing is fetched; whoever waits is told which candidate is tried."""
    told: list[tuple[str, int, int]] = []

    def tell(candidate: Candidate, number: int, count: int) -> None:
        told.append((candidate.model, number, count))

    outcome = calibrate([TINY], empty, Wish(), 2, PLENTY_S, tell)
    assert told == [("tiny.en-q8_0", 1, 1)]
    assert not outcome.measured
    assert outcome.unmeasured[0].reason == "tiny.en-q8_0 is not in the cache"


def scripted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str) -> Candidate:
    """A recogniser without weights whose "model" is this script."""
    path = tmp_path / "script.json"
    path.write_text(script)
    monkeypatch.setattr(module, "_weights", lambda *_: path)
    return Candidate("scripted", "script", 1, 1)


def test_the_limit_is_kept_by_what_never_loads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, empty: ModelStore
) -> None:
    """A decode that would take for ever ends with the time; what comes after is not begun."""
    candidate = scripted(monkeypatch, tmp_path, '{"delay_s": 1e9}')
    outcome = calibrate([candidate, candidate], empty, Wish(), 2, 1.5)
    assert not outcome.measured and len(outcome.unmeasured) == 2
    assert outcome.unmeasured[1].reason == "the 1.5 s for calibration were used up"
    assert outcome.unmeasured[0].reason == "it was not done in the time that calibration has"
    assert outcome.duration_s < 10 * 1.5


def test_a_load_that_crashes_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, empty: ModelStore
) -> None:
    """The command goes on; the reason names what happened."""
    candidate = scripted(monkeypatch, tmp_path, '{"crash_load": true}')
    outcome = calibrate([candidate], empty, Wish(), 2, PLENTY_S)
    assert "loading it failed" in outcome.unmeasured[0].reason


def test_a_model_that_understands_nothing_is_not_recommended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, empty: ModelStore
) -> None:
    """Speed without words is worth nothing."""
    candidate = scripted(monkeypatch, tmp_path, "{}")
    outcome = calibrate([candidate], empty, Wish(), 2, PLENTY_S)
    assert "does not understand its test speech" in outcome.unmeasured[0].reason


def test_a_deadline_that_is_past(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, empty: ModelStore) -> None:
    """There is an error instead of a measurement, not a wait."""
    candidate = scripted(monkeypatch, tmp_path, '{"delay_s": 1e9}')
    with pytest.raises(AsrctlError):
        measure(candidate, empty, Speech.sample(), time.monotonic() - 1.0)


def test_the_next_larger_one_is_skipped_where_this_is_too_slow(
    monkeypatch: pytest.MonkeyPatch, empty: ModelStore
) -> None:
    """A model that serves no session is reason enough not to try the larger ones."""
    slow = module._costs(Speech.sample(), 20.0, 40.0, 20.0)

    def crawl(candidate: Candidate, *_: object) -> Measurement:
        return Measurement(candidate, slow, 4.0, 10**8, 1.0)

    monkeypatch.setattr(module, "measure", crawl)
    larger = Candidate("whisper_cpp", "base-q8_0", 1, 1)
    outcome = calibrate([TINY, larger], empty, Wish(), 2, PLENTY_S)
    assert [each.sessions for each in outcome.measured] == [0]
    assert outcome.unmeasured[0].reason == "smaller ones are too slow here already"


def test_noise_never_makes_audio_cost_less_than_nothing() -> None:
    """Where the long decode came out quicker than the short one, both count as the short one."""
    costs = module._costs(Speech.sample(), 0.5, 0.4, 0.9)
    assert costs.per_audio_s == 0.0 and costs.fixed_s == 0.5 and costs.draft_factor == 1.0
    assert module._costs(Speech.sample(), 0.0, 0.0, 0.0).draft_factor == 1.0


def test_a_process_that_is_gone_holds_nothing() -> None:
    """A worker may crash between decode and measurement."""
    assert module._resident(2**22 + 12345) == 0


def test_faster_whisper_needs_its_own_kind_of_weights(empty: ModelStore) -> None:
    """The store is asked for a directory; where it has none, that is the reason."""
    with pytest.raises(ModelError):
        module._weights(Candidate("faster_whisper", "small", 1, 1), empty)


class Paced:
    """A pool whose decodes take what they are told to."""

    def __init__(self, *times_s: float) -> None:
        self.times_s = list(times_s)

    async def decode(self, *_: object) -> Hypothesis:
        """Done at once."""
        return Hypothesis((), "en", self.times_s.pop(0))


@pytest.mark.parametrize(
    ("at_a_time", "times_s", "found_s", "left"),
    [
        (1, [0.9, 0.3, 0.4], 0.3, 0),
        (2, [0.2, 0.4, 0.5, 0.7, 0.9, 0.9], 0.3, 0),
        (1, [3.0, 0.4, 9.9], 0.4, 1),
        (1, [5.0, 0.4], 5.0, 1),
    ],
)
async def test_the_quickest_round_counts(
    at_a_time: int, times_s: list[float], found_s: float, left: int
) -> None:
    """What else runs makes rounds longer only; what takes long is not tried again and again."""
    pool = Paced(*times_s)
    samples = np.zeros(10, np.float32)
    taken_s = await _decode_s(cast("WorkerPool", pool), at_a_time, samples, DecodeOptions())
    assert taken_s == pytest.approx(found_s)
    assert len(pool.times_s) == left
