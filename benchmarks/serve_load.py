"""Sessions through the server for minutes: text, account, memory, processor, latency.

python -m benchmarks.serve_load benchmark-corpus --sessions 10 --seconds 600

Every session plays another conversation in real time through a client of its own to `asrctl serve`. Its
text is held against what the same model makes of the whole recording as a file, and both against what was
said. The memory's slope is by least squares after the first minute, or the first third of a shorter run.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from asrctl.bench.engine import Workers
from asrctl.bench.paced import Latencies, Talk, latencies
from asrctl.client import ClientOptions
from asrctl.server.load import WORK
from asrctl.transcript import SAMPLE_RATE_HZ
from benchmarks.accuracy import accuracy
from benchmarks.common import Table, half_option, note, table
from benchmarks.serve_process import ServerProcess, Watch
from benchmarks.serve_sessions import Listened, failures, levels, play
from benchmarks.talks import joined, keep, parser, setup_for, spread, talks_of, transcripts

_SETTLE_S = 60.0
_MOST_POINTS = 1.0


@dataclass(frozen=True, slots=True)
class Row:
    """One session; error rates in percent.

    Attributes:
        session: Its number.
        sent_s: Audio that was fed.
        wer: Of the live text against what was said.
        offline_wer: Of the transcript of the recording against the same.
        live_offline_wer: Of the live text against that transcript.
        speech_s: By the server's account, like the next two.
        silence_s: See above.
        dropped_s: See above.
        balances: Whether received is what was sent, and the sum of the three, to the sample.
        links: Connections that were lost.
    """

    session: int
    sent_s: float
    wer: float
    offline_wer: float
    live_offline_wer: float
    speech_s: float
    silence_s: float
    dropped_s: float
    balances: bool
    links: int

    @property
    def good(self) -> bool:
        """Within a point of the offline transcript, and to the sample."""
        return self.balances and self.wer - self.offline_wer <= _MOST_POINTS


def row(number: int, listened: Listened, offline: str) -> Row:
    """What became of one session."""
    done, said = listened.done, listened.talk.text or ""
    return Row(
        session=number,
        sent_s=len(listened.talk.samples) / SAMPLE_RATE_HZ,
        wer=round(accuracy(said, listened.text).wer_percent, 2),
        offline_wer=round(accuracy(said, offline).wer_percent, 2),
        live_offline_wer=round(accuracy(offline, listened.text).wer_percent, 2),
        speech_s=done.speech_s if done else 0.0,
        silence_s=done.silence_s if done else 0.0,
        dropped_s=done.dropped_s if done else 0.0,
        balances=listened.balances,
        links=len(failures([listened])),
    )


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code: 1 if a session was not as it should be."""
    options = _options(arguments)
    setup = setup_for(options.model)
    if options.speech:
        talks = joined(options.speech, options.sessions, options.seconds)
    else:
        talks = talks_of(options.corpus, options.sessions, options.seconds, half=options.half)
    note(f"{len(talks)} conversations of {min(len(talk.samples) for talk in talks) / SAMPLE_RATE_HZ:.0f} s")
    with Workers(setup) as workers:
        offline = transcripts(workers, talks)
    command = ("--model", options.model, "--max-sessions", str(options.sessions), *options.serve)
    with ServerProcess(*command, "--workers", str(options.workers)) as server:
        note("the server is ready")
        with Watch(server) as watch:
            listened = asyncio.run(play(server.url, talks, ClientOptions()))
        metrics = server.metrics()
        code = server.stop()
    rows = [row(number, *pair) for number, pair in enumerate(zip(listened, offline, strict=True))]
    heard = [each.heard for each in listened]
    late = latencies(talks, heard, setup.stream.endpointing)
    slopes = watch.slopes_mb_per_hour(min(_SETTLE_S, watch.wall_s / 3))
    steps = [(round(at_s), rung) for at_s, rung in levels(listened)]
    print(f"ladder, seconds and rung: {steps or 'at 0 all along'}")
    print(f"lost connections: {failures(listened) or 'none'}; the server's exit code: {code}")
    errors = [each.error for each in listened if each.error]
    result = {"workers": options.workers, **_result(talks, rows, watch, slopes, late, metrics)}
    keep(options, result, *report(rows, watch, slopes, late), work_table(metrics))
    return int(bool(errors) or not all(each.good for each in rows))


def report(
    rows: Sequence[Row], watch: Watch, slopes: tuple[float, float], late: Latencies
) -> tuple[Table, Table]:
    """The sessions, and the figures of all together."""
    header = ["session", "sent s", "WER %", "WER as a file %", "live against file %"]
    header += ["speech s", "silence s", "dropped s", "to the sample", "lost links"]
    parent, all_mb = [each.parent_mb for each in watch.memory], [each.rss_mb for each in watch.memory]
    figures: list[list[object]] = [
        ["worst session against its file, points of WER", max(each.wer - each.offline_wer for each in rows)],
        ["accounts that balance to the sample", sum(each.balances for each in rows)],
        ["parent, % of a core", watch.parent_percent],
        ["workers, % of a core", watch.workers_percent],
        ["parent, MB at most", max(parent)],
        ["all processes, MB at the start", all_mb[0]],
        ["all processes, MB at most", max(all_mb)],
        ["the same, pages that they share counted once", max(each.pss_mb for each in watch.memory)],
        ["parent's slope, MB/h", slopes[0]],
        ["workers' slope, MB/h", slopes[1]],
        ["final after the end of speech, p50 / p95 s", spread(late.final_s)],
        ["final after a cut", spread(late.cut_s)],
        ["first partial after onset", spread(late.first_partial_s)],
        ["utterances", late.utterances],
        ["partials", late.partials],
    ]
    sessions = table(header, [list(asdict(each).values()) for each in rows])
    return sessions, table(["figure", "value"], figures)


def work_table(metrics: dict[str, float]) -> Table:
    """What decoding a second of audio cost, by sort of work."""
    audio_s = metrics["asrctl_audio_received_seconds_total"]
    spent = {sort: metrics[f'asrctl_work_seconds_total{{work="{sort}"}}'] for sort in WORK}
    rows = [[sort, seconds, seconds / audio_s] for sort, seconds in spent.items()]
    return table(["work", "decoding s", "for each second of audio"], rows)


def _result(
    talks: Sequence[Talk],
    rows: Sequence[Row],
    watch: Watch,
    slopes: tuple[float, float],
    late: Latencies,
    metrics: dict[str, float],
) -> dict[str, Any]:
    return {
        "sessions": len(talks),
        "seconds": max(len(talk.samples) for talk in talks) / SAMPLE_RATE_HZ,
        "rows": [asdict(each) for each in rows],
        "parent_percent_of_core": round(watch.parent_percent, 2),
        "workers_percent_of_core": round(watch.workers_percent, 2),
        "slopes_mb_per_hour": {"parent": round(slopes[0], 2), "workers": round(slopes[1], 2)},
        "memory": [asdict(each) for each in watch.memory[:: max(1, len(watch.memory) // 300)]],
        "latencies": asdict(late),
        "metrics": {name: value for name, value in metrics.items() if "_bucket" not in name},
    }


def _options(arguments: list[str] | None) -> Any:
    made = parser("serve_load", __doc__)
    half_option(made)
    made.add_argument("--sessions", type=int, default=10, help="how many at once")
    made.add_argument("--seconds", type=float, default=600.0, help="length of each conversation")
    made.add_argument("--workers", type=int, default=1, help="processes of the server that decode")
    made.add_argument(
        "--speech", type=Path, nargs="+", metavar="AUDIO", help="not the corpus but these, words in NAME.txt"
    )
    made.add_argument("--serve", nargs=1, action="extend", default=[], help="one more argument of the server")
    return made.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
