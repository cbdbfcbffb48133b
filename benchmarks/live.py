"""Latency and accuracy of live sessions, paced as audio comes from a microphone, for 1 to 16 at once.

python -m benchmarks.live benchmark-corpus --sessions 1 4 10 --seconds 120

Every session plays another conversation: clips of the corpus with pauses. Latencies are wall time from the
moment that a microphone would have delivered a sample to the moment that the event is there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from asrctl.audio.sample import SAMPLE_WORDS, sample_speech
from asrctl.audio.vad import SileroVad, SileroWeights
from asrctl.bench.cost import Cost
from asrctl.bench.engine import play
from asrctl.bench.paced import Heard, Talk, latencies
from asrctl.detect.cpus import threads_per_worker
from asrctl.engine.files import FileOptions, FileTranscription
from asrctl.engine.pool import WorkerPool
from asrctl.engine.slot import HealthCheck, PoolOptions
from asrctl.engine.stream import StreamOptions
from asrctl.models.store import ModelStore
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.transcript import join_text
from benchmarks.accuracy import accuracy
from benchmarks.common import (
    CORPUS,
    SAMPLE_RATE_HZ,
    Clip,
    Table,
    machine,
    note,
    read_manifest,
    read_wav,
    save,
    table,
)
from benchmarks.common import silence as pause

PAUSES_S = (0.7, 2.5)
DECODE = DecodeOptions()


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


def conversation(corpus: Path, clips: Sequence[Clip], duration_s: float, seed: int) -> Talk:
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
    return Talk(np.concatenate(parts).astype(np.float32) / np.float32(32768), " ".join(texts))


def figures(
    talks: Sequence[Talk],
    heard: Sequence[Heard],
    options: StreamOptions,
    cost: Cost,
    offline_wer_percent: float,
) -> Figures:
    """Latencies and accuracy of one run."""
    endpointing = options.endpointing
    late = latencies(talks, heard, endpointing)
    audio_s = sum(len(talk.samples) for talk in talks) / SAMPLE_RATE_HZ
    return Figures(
        sessions=len(talks),
        utterances=late.utterances,
        first_partial_s=_spread(late.first_partial_s),
        final_after_decision_s=_spread([delay - endpointing.trailing_silence_s for delay in late.final_s]),
        final_after_speech_s=_spread(late.final_s),
        final_after_cut_s=_spread(late.cut_s),
        partials_per_utterance=round(late.partials / max(1, late.utterances), 2),
        wer_percent=wer_percent(talks, [each.text for each in heard]),
        offline_wer_percent=offline_wer_percent,
        dropped_s=sum(each.dropped_samples for each in heard) / SAMPLE_RATE_HZ,
        parent_cpu_per_audio_s=round(cost.parent_s / audio_s, 4),
        worker_cpu_per_audio_s=round(cost.workers_s / audio_s, 4),
        peak_rss_mb=round(cost.peak_rss_mb, 1),
    )


def wer_percent(talks: Sequence[Talk], outputs: Sequence[str]) -> float:
    """Word error rate of all talks together."""
    found = [accuracy(talk.text or "", output) for talk, output in zip(talks, outputs, strict=True)]
    errors = sum(each.wer_percent * each.words for each in found)
    return round(errors / sum(each.words for each in found), 2)


def offline_texts(pool: WorkerPool, talks: Sequence[Talk], weights: SileroWeights) -> list[str]:
    """The same talks decoded as files by the same pool."""
    files = [
        FileTranscription([talk.samples], pool, SileroVad(weights), FileOptions(DECODE)) for talk in talks
    ]
    return [join_text(segment.text for segment in work) for work in files]


def _spread(values: Sequence[float]) -> tuple[float, float]:
    if not values:
        return (0.0, 0.0)
    return (round(float(np.median(values)), 3), round(float(np.percentile(values, 95)), 3))


def as_table(rows: Sequence[Figures]) -> Table:
    """Latencies are p50 / p95 in seconds; CPU is in seconds per second of audio."""
    header = [
        "sessions",
        "first partial",
        "final after decision",
        "after speech",
        "after cut",
        "partials/utterance",
    ]
    header += ["WER %", "offline WER %", "dropped s", "CPU parent", "CPU workers", "RSS MB"]
    return table(
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
    rows, weights = [], SileroWeights.load()
    for count in options.sessions:
        talks = [conversation(options.corpus, clips, options.seconds, seed) for seed in range(count)]
        with WorkerPool(spec, PoolOptions(workers=options.workers, health=health)) as pool:
            pool.wait_ready()
            offline_percent = wer_percent(talks, offline_texts(pool, talks, weights))
            with Cost(pool.pids()) as cost:
                heard = play(pool, talks, stream_options, lambda: SileroVad(weights))
        rows.append(figures(talks, heard, stream_options, cost, offline_percent))
        note(str(rows[-1]))
    found = as_table(rows)
    print(found)
    save(
        options.name,
        {
            "machine": machine(),
            "workers": options.workers,
            "threads": threads,
            "model": options.model,
            "rows": [asdict(row) for row in rows],
        },
        found,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
