"""Calibration: a few seconds of real decoding with each candidate, within a limit that is kept."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

from asrctl.audio.sample import SAMPLE_WORDS, SENTENCES, sample_speech
from asrctl.audio.vad import SileroVad, SileroWeights
from asrctl.errors import AsrctlError, ModelError, ProviderError
from asrctl.models.gguf_models import resolve_gguf
from asrctl.models.store import ModelStore
from asrctl.policy.capacity import Costs
from asrctl.policy.priority import Kind, Ticket
from asrctl.policy.recommend import Candidate, Capacity, Measurement, capacity, worth_measuring
from asrctl.policy.sizing import Wish
from asrctl.policy.window import Effort
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.providers.registry import PROVIDERS
from asrctl.transcript import SAMPLE_RATE_HZ
from asrctl.workers.options import HealthCheck, PoolOptions
from asrctl.workers.pool import WorkerPool

Samples = NDArray[np.float32]
"""Shape (n,), mono at 16 kHz."""

_PAUSE_S = 0.4
_LONG_SENTENCES = 3
_ROUNDS = 3
_LONG_S = 1.5
"""Decodes that took this long together are not repeated: the next candidate is worth more."""
_HOPELESS_S = 4.0
"""One that took so long is not tried a second time either."""
_BUSY_WINDOW_S = 0.2
_UNBOUNDED_S = 86_400.0
"""Deadlines of the pool's own, for what has one already."""
_LEAST_S = 1.0
"""With less time left no candidate is started."""

Tell = Callable[[Candidate, int, int], None]
"""Told which candidate is measured, its number from 1, and how many there are at most."""


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """A candidate that gave no measurement, and why."""

    candidate: Candidate
    reason: str


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was measured, and what was not.

    Attributes:
        measured: With the sessions that each measurement means.
        unmeasured: With reasons.
        duration_s: Wall time of it all.
        busy_share: How much of the processors others used just before: what is measured is that much low.
    """

    measured: tuple[Capacity, ...] = ()
    unmeasured: tuple[Unmeasured, ...] = ()
    duration_s: float = 0.0
    busy_share: float = 0.0


@dataclass(frozen=True, slots=True)
class Speech:
    """What is decoded: a short and a long utterance, shape (n,), mono float32 at 16 kHz."""

    short: Samples
    long: Samples

    @classmethod
    def sample(cls) -> Speech:
        """The sample speech, and with two more sentences: about 3 and 10 s."""
        pause = np.zeros(round(_PAUSE_S * SAMPLE_RATE_HZ), np.float32)
        first, *more = [sample_speech(file) for file in SENTENCES][:_LONG_SENTENCES]
        return cls(first, np.concatenate([first, *(part for each in more for part in (pause, each))]))


def calibrate(
    candidates: Sequence[Candidate],
    store: ModelStore,
    wish: Wish,
    cores: int,
    limit_s: float,
    tell: Tell | None = None,
) -> Calibration:
    """Measure candidates one after the other until the time is used up.

    Args:
        candidates: The most telling first.
        store: Has their models in its cache.
        wish: What the session count is for.
        cores: Usable ones.
        limit_s: When everything is over, also what still loads or decodes then.
        tell: Progress callback.
    """
    started = time.monotonic()
    deadline_s = started + limit_s
    busy_share = psutil.cpu_percent(_BUSY_WINDOW_S) / 100
    speech = Speech.sample()
    detection_share = detection_cpu(speech.long) / cores
    measured: list[Capacity] = []
    unmeasured: list[Unmeasured] = []
    longest_s = _LEAST_S
    for number, candidate in enumerate(candidates, 1):
        begin_s = time.monotonic()
        if deadline_s - begin_s < longest_s:
            unmeasured.append(Unmeasured(candidate, f"the {limit_s:.3g} s for calibration were used up"))
        elif not worth_measuring(candidate, measured):
            unmeasured.append(Unmeasured(candidate, "smaller ones are too slow here already"))
        else:
            if tell:
                tell(candidate, number, len(candidates))
            try:
                found = measure(candidate, store, speech, deadline_s)
            except AsrctlError as error:
                unmeasured.append(Unmeasured(candidate, str(error)))
            else:
                costs = replace(found.costs, detection_share=detection_share)
                measured.append(capacity(replace(found, costs=costs), wish))
                longest_s = max(_LEAST_S, 0.8 * (time.monotonic() - begin_s))
    return Calibration(tuple(measured), tuple(unmeasured), time.monotonic() - started, busy_share)


def detection_cpu(samples: Samples) -> float:
    """Processor time that finding speech takes, per second of audio."""
    detector = SileroVad(SileroWeights.load())
    started = time.process_time()
    detector.probabilities(samples)
    return (time.process_time() - started) * SAMPLE_RATE_HZ / len(samples)


def measure(candidate: Candidate, store: ModelStore, speech: Speech, deadline_s: float) -> Measurement:
    """Load a candidate's model into all its workers and decode with them at once.

    Args:
        candidate: What to measure.
        store: Has its model.
        speech: What to decode.
        deadline_s: By `time.monotonic()`; whatever runs then is killed.

    Raises:
        ModelError: The weights are not there, do not load, or do not understand the sample.
        ProviderError: The recogniser cannot run here, or did not finish in time.
    """
    plugin, weights = PROVIDERS[candidate.provider], _weights(candidate, store)
    parallel = plugin.parallel(plugin.settings(), candidate.threads)
    spec = ModelSpec(candidate.provider, weights, candidate.threads, parallel=parallel)
    return asyncio.run(_measured_within(candidate, spec, speech, deadline_s))


async def _measured_within(
    candidate: Candidate, spec: ModelSpec, speech: Speech, deadline_s: float
) -> Measurement:
    try:
        # One bound around it all: a load that takes too long would be tried again by the pool.
        async with asyncio.timeout(deadline_s - time.monotonic()):
            return await _measured(candidate, spec, speech)
    except TimeoutError:
        raise ProviderError("it was not done in the time that calibration has") from None


async def _measured(candidate: Candidate, spec: ModelSpec, speech: Speech) -> Measurement:
    started = time.monotonic()
    decode = DecodeOptions(language="en", word_timestamps=True)
    health = HealthCheck(speech.short, SAMPLE_WORDS, decode)
    options = PoolOptions(
        workers=candidate.workers,
        load_deadline_s=_UNBOUNDED_S,
        job_deadline_s=_UNBOUNDED_S,
        attempts=1,
        health=health,
    )
    async with WorkerPool(spec, options) as pool:
        await pool.wait_ready()
        load_s = time.monotonic() - started
        at_a_time = candidate.workers * spec.parallel
        seconds = partial(_decode_s, pool, at_a_time)
        short_s, long_s = [await seconds(samples, decode) for samples in (speech.short, speech.long)]
        draft_s = await seconds(speech.short, replace(decode, effort=Effort.DRAFT))
        memory_bytes = sum(_resident(pid) for pid in pool.pids())
        where = pool.slots[0].description
    return Measurement(
        candidate=candidate,
        costs=_costs(speech, short_s, long_s, draft_s),
        rtf=long_s * SAMPLE_RATE_HZ / len(speech.long) / at_a_time,
        memory_bytes=memory_bytes,
        load_s=load_s,
        where=where,
        parallel=spec.parallel,
    )


async def _decode_s(pool: WorkerPool, at_a_time: int, samples: Samples, options: DecodeOptions) -> float:
    """Seconds for one decode with every worker as busy as it gets: the median of all, in the quickest round.

    What else the machine does makes rounds longer and never shorter: on one that was three quarters
    busy, single decodes of two threads took up to ten times what they take alone.
    """
    rounds: list[float] = []
    while len(rounds) < _ROUNDS and sum(rounds) < (_LONG_S if len(rounds) > 1 else _HOPELESS_S):
        decodes = [
            pool.decode(samples, options, Ticket(f"calibration {number}", Kind.FINAL))
            for number in range(at_a_time)
        ]
        found = await asyncio.gather(*decodes)
        rounds.append(statistics.median(each.inference_s for each in found))
    return min(rounds)


def _weights(candidate: Candidate, store: ModelStore) -> Path:
    """The files of a candidate's model, without fetching or making any."""
    if PROVIDERS[candidate.provider].weights == "ctranslate2":
        return store.ct2_directory(candidate.model)  # which was proved before: see `inventory.loadable`
    if PROVIDERS[candidate.provider].weights == "gguf":
        return resolve_gguf(store, candidate.model).path
    model = store.find(candidate.model)
    if model is None:
        raise ModelError(f"{candidate.model} is not in the cache")
    return model.path


def _costs(speech: Speech, short_s: float, long_s: float, draft_s: float) -> Costs:
    """A line through the two lengths; noise must not make audio cost less than nothing."""
    shorter_s, longer_s = (len(part) / SAMPLE_RATE_HZ for part in (speech.short, speech.long))
    per_audio_s = max(0.0, (long_s - short_s) / (longer_s - shorter_s))
    fixed_s = max(0.0, short_s - per_audio_s * shorter_s)
    return Costs(fixed_s, per_audio_s, min(1.0, draft_s / short_s) if short_s > 0 else 1.0)


def _resident(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0
