"""Live sessions by provider, kind of speech and number, in one table: how late, how steady, and at what cost.

python -m benchmarks.serve_table benchmark-corpus --output serve_table
python -m benchmarks.serve_table corpus-hard --half report --output serve_table

Each row is a server of its own to which so many clients play different conversations in real time. Delays are
counted from the end of speech, or from where speech that hardly pauses was cut, to the final; the slope is
that of all of them over the time, by least squares: near 0 where the server keeps up. Rows that the results
have already stay, unless they are measured again.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from asrctl.bench.paced import Talk, latencies
from asrctl.client import ClientOptions
from asrctl.policy.endpointing import EndpointerOptions
from asrctl.protocol.messages import Final
from asrctl.transcript import SAMPLE_RATE_HZ
from benchmarks.accuracy import accuracy
from benchmarks.common import RESULTS, half_option, note, table
from benchmarks.serve_process import ServerProcess, Watch, slope_per_hour
from benchmarks.serve_sessions import Listened, levels, play
from benchmarks.talks import keep, parser, spread, talks_of

_PROVIDERS = ("whisper_cpp", "faster_whisper")


@dataclass(frozen=True, slots=True)
class Row:
    """One server with so many sessions; delays in seconds as "median / p95".

    Attributes:
        provider: What decodes.
        speech: The half of the hard corpus, or "clean".
        sessions: How many at once.
        final_s: From the end of speech.
        cut_s: From where an utterance was cut.
        slope: By how much the delay grew in a minute, in seconds.
        partials: How many came.
        dropped_s: Audio that was declared dropped.
        wer: Of all sessions against what was said, in percent.
        cpu: Processor time of the server for a second of audio, in seconds.
        pss_mb: Memory of all its processes at most, what they share counted once.
        rung: The highest on the ladder.
    """

    provider: str
    speech: str
    sessions: int
    final_s: str
    cut_s: str
    slope: float
    partials: int
    dropped_s: float
    wer: float
    cpu: float
    pss_mb: float
    rung: int

    @property
    def kind(self) -> tuple[str, str, int]:
        """What it is about."""
        return (self.provider, self.speech, self.sessions)


_HEADER = ["provider", "speech", "sessions", "final, p50 / p95 s", "after a cut", "slope, s a minute"]
_HEADER += ["partials", "dropped s", "WER %", "CPU s for an audio s", "MB", "highest rung"]


def measure(provider: str, speech: str, model: str, talks: Sequence[Talk]) -> Row:
    """Play all talks at once."""
    command = ("--model", model, "--provider", provider)
    with ServerProcess(*command, "--max-sessions", str(len(talks))) as server, Watch(server) as watch:
        listened = asyncio.run(play(server.url, talks, ClientOptions()))
    for each in listened:
        if each.error or not each.balances:
            raise SystemExit(f"a session failed: {each.error or 'its account does not balance'}")
    late = latencies(talks, [each.heard for each in listened], EndpointerOptions())
    audio_s = sum(len(talk.samples) for talk in talks) / SAMPLE_RATE_HZ
    said = " ".join(talk.text or "" for talk in talks)
    heard = " ".join(each.text for each in listened)
    return Row(
        provider=provider,
        speech=speech,
        sessions=len(talks),
        final_s=spread(late.final_s),
        cut_s=spread(late.cut_s),
        slope=slope(listened),
        partials=late.partials,
        dropped_s=sum(each.done.dropped_s for each in listened if each.done),
        wer=accuracy(said, heard).wer_percent,
        cpu=(watch.parent_cpu_s + watch.workers_cpu_s) / audio_s,
        pss_mb=max(each.pss_mb for each in watch.memory),
        rung=max([rung for _, rung in levels(listened)], default=0),
    )


def slope(listened: Sequence[Listened]) -> float:
    """How much later finals came for each minute, in seconds, from the ends of their utterances."""
    points = [
        (event.end_s, at_s - each.started_s - event.end_s)
        for each in listened
        for at_s, event in each.events
        if isinstance(event, Final)
    ]
    return slope_per_hour(*np.array(sorted(points)).reshape(-1, 2).T) / 60


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = _options(arguments)
    speech = options.half or "clean"
    path = RESULTS / f"{options.output}.json"
    old = json.loads(path.read_text(encoding="utf-8"))["data"]["rows"] if path.exists() else []
    rows = {row.kind: row for row in (Row(**each) for each in old)}
    for provider in options.provider or _PROVIDERS:
        for sessions in options.sessions:
            talks = talks_of(options.corpus, sessions, options.seconds, half=options.half)
            row = measure(provider, speech, options.model, talks)
            note(str(row))
            rows[row.kind] = row
    shown = [rows[kind] for kind in sorted(rows)]
    result = {"seconds": options.seconds, "rows": [asdict(row) for row in shown]}
    keep(options, result, table(_HEADER, [list(asdict(row).values()) for row in shown]))
    return 0


def _options(arguments: list[str] | None) -> Any:
    made = parser("serve_table", __doc__)
    half_option(made)
    made.add_argument("--provider", nargs="+", choices=_PROVIDERS, help="all if it is not given")
    made.add_argument("--sessions", type=int, nargs="+", default=[1, 4, 10, 16], help="how many at once")
    made.add_argument("--seconds", type=float, default=60.0, help="length of each conversation")
    return made.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
