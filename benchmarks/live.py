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

from asrctl.bench.cost import Cost
from asrctl.bench.engine import Workers
from asrctl.bench.paced import Heard, Talk, latencies
from asrctl.policy.endpointing import EndpointerOptions
from benchmarks.accuracy import accuracy
from benchmarks.common import CORPUS, SAMPLE_RATE_HZ, Table, half_option, machine, note, save, table
from benchmarks.talks import setup_for, talks_of, transcripts


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


def figures(
    talks: Sequence[Talk],
    heard: Sequence[Heard],
    endpointing: EndpointerOptions,
    cost: Cost,
    offline_wer_percent: float,
) -> Figures:
    """Latencies and accuracy of one run."""
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
    half_option(parser)
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 2, 4, 10, 16], help="how many at once")
    parser.add_argument("--seconds", type=float, default=120.0, help="length of each conversation")
    parser.add_argument("--workers", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--model", default="tiny.en-q8_0")
    parser.add_argument("--name", default="live", help="name of the result")
    options = parser.parse_args(arguments)
    setup, rows = setup_for(options.model, options.workers), list[Figures]()
    endpointing = setup.stream.endpointing
    for count in options.sessions:
        talks = talks_of(options.corpus, count, options.seconds, half=options.half)
        with Workers(setup) as workers:
            workers.wait_ready()
            offline_percent = wer_percent(talks, transcripts(workers, talks))
            with Cost(workers.pids()) as cost:
                heard = workers.play(talks, lambda _: None)
        rows.append(figures(talks, heard, endpointing, cost, offline_percent))
        note(str(rows[-1]))
    found = as_table(rows)
    print(found)
    save(
        options.name,
        {
            "machine": machine(),
            "workers": options.workers,
            "threads": setup.spec.threads,
            "model": options.model,
            "rows": [asdict(row) for row in rows],
        },
        found,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
