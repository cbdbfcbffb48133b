"""Latency and accuracy of live sessions, paced as audio comes from a microphone, for 1 to 16 at once.

python -m benchmarks.live benchmark-corpus --sessions 1 4 10 --seconds 120

Every session plays another conversation: clips of the corpus with pauses. Latencies are wall time from the
moment that a microphone would have delivered a sample to the moment that the event is there.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from asrctl.audio.sample import SAMPLE_WORDS, sample_speech
from asrctl.audio.vad import SileroVad, SileroWeights
from asrctl.detect.cpus import threads_per_worker
from asrctl.engine.events import Dropped, Event, Final, Partial, SpeechStarted
from asrctl.engine.files import FileOptions, FileTranscription
from asrctl.engine.pool import WorkerPool
from asrctl.engine.session import Session
from asrctl.engine.slot import HealthCheck, PoolOptions
from asrctl.engine.stream import Stream, StreamOptions
from asrctl.models.store import ModelStore
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.transcript import join_text
from benchmarks.accuracy import accuracy
from benchmarks.common import (
    CORPUS,
    SAMPLE_RATE_HZ,
    Clip,
    machine,
    note,
    read_manifest,
    read_wav,
    save,
    table,
)
from benchmarks.common import silence as pause

CHUNK_SAMPLES = 800
PAUSES_S = (0.7, 2.5)
ONSET_DBFS = -45.0
DECODE = DecodeOptions()


@dataclass(frozen=True, slots=True)
class Conversation:
    """What one session hears, shape (n,), float32 at 16 kHz, and what is said in it."""

    samples: NDArray[np.float32]
    text: str


@dataclass(slots=True)
class Heard:
    """The events of one session, each with the wall time of its arrival."""

    events: list[tuple[float, Event]] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        """Keep an event."""
        self.events.append((time.monotonic(), event))


@dataclass(frozen=True, slots=True)
class Figures:
    """One number of sessions; latencies in seconds as [median, p95].

    A final comes after the endpoint was decided, or, where speech went on for too long, after it was cut.
    """

    sessions: int
    utterances: int
    first_partial_s: tuple[float, float]
    final_after_decision_s: tuple[float, float]
    final_after_speech_s: tuple[float, float]
    final_after_cut_s: tuple[float, float]
    partials_per_utterance: float
    wer_percent: float
    offline_wer_percent: float
    dropped_s: float
    parent_cpu_per_audio_s: float
    worker_cpu_per_audio_s: float
    peak_rss_mb: float


def conversation(corpus: Path, clips: Sequence[Clip], duration_s: float, seed: int) -> Conversation:
    """Clips in random order with pauses, about as long as asked for."""
    rng = np.random.default_rng(seed)
    parts, texts, total = [pause(0.5, rng)], list[str](), 0.0
    for index in rng.permutation(len(clips)):
        clip = clips[index]
        parts += [read_wav(corpus / clip.file), pause(rng.uniform(*PAUSES_S), rng)]
        texts.append(clip.text)
        total = sum(map(len, parts)) / SAMPLE_RATE_HZ
        if total >= duration_s:
            break
    return Conversation(np.concatenate(parts).astype(np.float32) / np.float32(32768), " ".join(texts))


def onset_s(samples: NDArray[np.float32], start_s: float) -> float:
    """When it gets loud, at or after the start of an utterance, padding included."""
    at = round(start_s * SAMPLE_RATE_HZ)
    frames = samples[at : at + SAMPLE_RATE_HZ]
    frames = frames[: len(frames) // 160 * 160].reshape(-1, 160)
    loud = np.flatnonzero(20 * np.log10(np.sqrt((frames**2).mean(axis=1)) + 1e-9) > ONSET_DBFS)
    return start_s + (loud[0] / 100 if len(loud) else 0.0)


def play(pool: WorkerPool, talks: Sequence[Conversation], options: StreamOptions) -> dict[str, Any]:
    """Run all conversations at once at real time; returns sessions, events and the wall time of the start."""
    weights = SileroWeights.load()
    heard = [Heard() for _ in talks]
    sessions = [
        Session(Stream(SileroVad(weights), options), pool, listener, name=str(index))
        for index, listener in enumerate(heard)
    ]
    started_s = time.monotonic() + 0.1
    longest = max(len(talk.samples) for talk in talks)
    alarm = threading.Event()
    for at in range(0, longest, CHUNK_SAMPLES):
        alarm.wait(max(0.0, started_s + (at + CHUNK_SAMPLES) / SAMPLE_RATE_HZ - time.monotonic()))
        for talk, session in zip(talks, sessions, strict=True):
            if len(chunk := talk.samples[at : at + CHUNK_SAMPLES]):
                session.feed(chunk)
    for session in sessions:
        session.finish()
    for session in sessions:
        session.wait_finished()
        session.close()
    return {"sessions": sessions, "heard": heard, "started_s": started_s}


def figures(
    talks: Sequence[Conversation], run: dict[str, Any], options: StreamOptions, cost: dict[str, float]
) -> Figures:
    """Latencies and accuracy of one run."""
    firsts, decided, spoken, cut = list[float](), list[float](), list[float](), list[float]()
    partials, errors, words, utterances = 0, 0.0, 0, 0
    endpointing = options.endpointing
    for talk, listener in zip(talks, run["heard"], strict=True):
        onsets, shown, cuts = dict[int, float](), set[int](), dict[float, float]()
        for arrived_s, event in listener.events:
            at_s = arrived_s - run["started_s"]
            if isinstance(event, SpeechStarted):
                onsets[event.utterance] = onset_s(talk.samples, event.start_s)
                cuts[event.start_s] = at_s  # where one utterance ends as the next begins, it was cut now
            elif isinstance(event, Partial):
                partials += 1
                if event.utterance not in shown:
                    firsts.append(at_s - onsets[event.utterance])
                    shown.add(event.utterance)
            elif isinstance(event, Final):
                utterances += 1
                end_s = event.end_sample / SAMPLE_RATE_HZ
                if end_s in cuts:
                    cut.append(at_s - cuts[end_s])
                else:
                    spoken.append(at_s - (end_s - endpointing.pad_after_s))
                    decided.append(spoken[-1] - endpointing.trailing_silence_s)
        output = join_text(e.segment.text for _, e in listener.events if isinstance(e, Final))
        found = accuracy(talk.text, output)
        errors += found.wer_percent * found.words
        words += found.words
    audio_s = sum(len(talk.samples) for talk in talks) / SAMPLE_RATE_HZ
    dropped = sum(
        e.end_sample - e.start_sample for h in run["heard"] for _, e in h.events if isinstance(e, Dropped)
    )
    return Figures(
        sessions=len(talks),
        utterances=utterances,
        first_partial_s=_spread(firsts),
        final_after_decision_s=_spread(decided),
        final_after_speech_s=_spread(spoken),
        final_after_cut_s=_spread(cut),
        partials_per_utterance=round(partials / max(1, utterances), 2),
        wer_percent=round(errors / words, 2),
        offline_wer_percent=cost["offline_wer_percent"],
        dropped_s=dropped / SAMPLE_RATE_HZ,
        parent_cpu_per_audio_s=round(cost["parent_s"] / audio_s, 4),
        worker_cpu_per_audio_s=round(cost["worker_s"] / audio_s, 4),
        peak_rss_mb=round(cost["peak_rss_mb"], 1),
    )


def offline_wer(pool: WorkerPool, talks: Sequence[Conversation]) -> float:
    """WER of the same conversations decoded as files by the same pool."""
    errors, words = 0.0, 0
    for talk in talks:
        work = FileTranscription([talk.samples], pool, SileroVad(SileroWeights.load()), FileOptions(DECODE))
        found = accuracy(talk.text, join_text(segment.text for segment in work))
        errors += found.wer_percent * found.words
        words += found.words
    return round(errors / words, 2)


class Cost:
    """CPU time and memory of this process and of the workers, while it runs as a context."""

    def __init__(self, pool: WorkerPool) -> None:
        self._processes = {
            "parent": psutil.Process(),
            **{str(pid): psutil.Process(pid) for pid in pool.pids()},
        }
        self._stop = threading.Event()
        self.peak_rss_mb = 0.0

    def __enter__(self) -> Cost:
        self._before = self._cpu()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        after = self._cpu()
        spent = {name: after[name] - self._before[name] for name in after}
        self.parent_s = spent.pop("parent")
        self.worker_s = sum(spent.values())

    def _cpu(self) -> dict[str, float]:
        return {name: sum(process.cpu_times()[:2]) for name, process in self._processes.items()}

    def _sample(self) -> None:
        while not self._stop.wait(0.25):
            total = sum(process.memory_info().rss for process in self._processes.values())
            self.peak_rss_mb = max(self.peak_rss_mb, total / 1e6)


def _spread(values: Sequence[float]) -> tuple[float, float]:
    if not values:
        return (0.0, 0.0)
    return (round(float(np.median(values)), 3), round(float(np.percentile(values, 95)), 3))


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("corpus", type=Path, nargs="?", default=CORPUS, help="a corpus directory")
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 2, 4, 10, 16], help="how many at once")
    parser.add_argument("--seconds", type=float, default=120.0, help="length of each conversation")
    parser.add_argument("--workers", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--model", default="tiny.en-q8_0")
    parser.add_argument("--name", default="live", help="name of the result")
    options = parser.parse_args(arguments)
    clips = [clip for clip in read_manifest(options.corpus) if not clip.synthetic and clip.duration_s > 1.5]
    threads = threads_per_worker(options.workers)
    spec = ModelSpec("whisper_cpp", ModelStore().resolve(options.model).path, threads)
    health = HealthCheck(sample_speech(), SAMPLE_WORDS, DECODE)
    stream_options = StreamOptions(DECODE)
    rows = []
    for count in options.sessions:
        talks = [conversation(options.corpus, clips, options.seconds, seed) for seed in range(count)]
        with WorkerPool(spec, PoolOptions(workers=options.workers, health=health)) as pool:
            pool.wait_ready()
            offline_percent = offline_wer(pool, talks)
            with Cost(pool) as cost:
                run = play(pool, talks, stream_options)
        spent = {"parent_s": cost.parent_s, "worker_s": cost.worker_s, "peak_rss_mb": cost.peak_rss_mb}
        rows.append(figures(talks, run, stream_options, {**spent, "offline_wer_percent": offline_percent}))
        note(str(rows[-1]))
    header = [
        "sessions",
        "first partial",
        "final after decision",
        "after speech",
        "after cut",
        "partials/utterance",
    ]
    header += ["WER %", "offline WER %", "dropped s", "CPU parent", "CPU workers", "RSS MB"]
    print(
        table(
            header,
            [
                [
                    row.sessions,
                    "{} / {}".format(*row.first_partial_s),
                    "{} / {}".format(*row.final_after_decision_s),
                    "{} / {}".format(*row.final_after_speech_s),
                    "{} / {}".format(*row.final_after_cut_s),
                    row.partials_per_utterance,
                    row.wer_percent,
                    row.offline_wer_percent,
                    row.dropped_s,
                    row.parent_cpu_per_audio_s,
                    row.worker_cpu_per_audio_s,
                    row.peak_rss_mb,
                ]
                for row in rows
            ],
        )
    )
    save(
        options.name,
        {
            "machine": machine(),
            "workers": options.workers,
            "threads": threads,
            "model": options.model,
            "rows": [asdict(row) for row in rows],
        },
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
