"""What the server adds to latency: the same talks through the engine alone and through `asrctl serve`.

python -m benchmarks.serve_latency benchmark-corpus --sessions 1 4 --seconds 60 --rounds 3

Both run with the same options and models; they take turns, and who begins alternates. Final latency is wall
time from the end of speech to the final, as in benchmarks.live; it is compared utterance by utterance.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from asrctl.bench.engine import Workers
from asrctl.bench.paced import Heard, Latencies, Talk, latencies
from asrctl.client import ClientOptions
from asrctl.events import Final
from asrctl.policy.endpointing import EndpointerOptions
from benchmarks.common import Table, half_option, note, table
from benchmarks.serve_process import ServerProcess
from benchmarks.serve_sessions import play
from benchmarks.talks import keep, parser, setup_for, spread, talks_of

_GOAL_S = 0.05


@dataclass(slots=True)
class Side:
    """The engine alone, or the server: latencies of all rounds, and finals by round, session and position."""

    latencies: Latencies = field(default_factory=Latencies)
    finals_s: dict[tuple[int, int, int], float] = field(default_factory=dict)

    def add(
        self, number: int, talks: Sequence[Talk], heard: Sequence[Heard], endpointing: EndpointerOptions
    ) -> None:
        """Add a round."""
        found = latencies(talks, heard, endpointing)
        self.latencies.final_s += found.final_s
        self.latencies.cut_s += found.cut_s
        self.latencies.first_partial_s += found.first_partial_s
        self.latencies.partials += found.partials
        for session, each in enumerate(heard):
            for at_s, event in each.events:
                if isinstance(event, Final):
                    self.finals_s[number, session, event.end_sample] = at_s


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = _options(arguments)
    setup, rows = setup_for(options.model), list[dict[str, Any]]()
    with (
        Workers(setup) as workers,
        ServerProcess("--model", options.model, "--max-sessions", str(max(options.sessions))) as server,
    ):
        workers.wait_ready()
        for count in options.sessions:
            talks = talks_of(options.corpus, count, options.seconds, half=options.half)
            engine, through = Side(), Side()

            def alone(talks: Sequence[Talk] = talks) -> list[Heard]:
                return workers.play(talks, lambda _: None)

            def by_server(talks: Sequence[Talk] = talks) -> list[Heard]:
                listened = asyncio.run(play(server.url, talks, ClientOptions()))
                return [each.heard for each in listened]

            turns = [(engine, alone), (through, by_server)]
            for number in range(options.rounds):
                for side, run in turns if number % 2 == 0 else reversed(turns):
                    side.add(number, talks, run(), setup.stream.endpointing)
                note(f"{count} sessions, round {number + 1} of {options.rounds}")
            rows.append(_row(count, engine, through))
    keep(options, {"seconds": options.seconds, "rounds": options.rounds, "rows": rows}, report(rows))
    return 0


def _row(sessions: int, engine: Side, server: Side) -> dict[str, Any]:
    same = engine.finals_s.keys() & server.finals_s.keys()
    added = [server.finals_s[key] - engine.finals_s[key] for key in same]
    alone_s, through_s = engine.latencies.final_s, server.latencies.final_s
    return {
        "sessions": sessions,
        "utterances": [engine.latencies.utterances, server.latencies.utterances],
        "engine": asdict(engine.latencies),
        "server": asdict(server.latencies),
        "added_s": added,
        "median_of_difference_s": round(median(added), 4) if added else None,
        "difference_of_medians_s": (
            round(median(through_s) - median(alone_s), 4) if alone_s and through_s else None
        ),
    }


def report(rows: Sequence[dict[str, Any]]) -> Table:
    """The figures, and whether the goal is met, which is printed."""
    header = ["sessions", "final, engine", "final, server", "first partial, engine", "first partial, server"]
    header += ["added, median of pairs", "added, of medians", "pairs"]
    cells = [
        [
            row["sessions"],
            spread(row["engine"]["final_s"]),
            spread(row["server"]["final_s"]),
            spread(row["engine"]["first_partial_s"]),
            spread(row["server"]["first_partial_s"]),
            row["median_of_difference_s"],
            row["difference_of_medians_s"],
            len(row["added_s"]),
        ]
        for row in rows
    ]
    within = all((row["median_of_difference_s"] or 0.0) <= _GOAL_S for row in rows)
    print(f"the server adds at most {1000 * _GOAL_S:.0f} ms to the median final: {'yes' if within else 'no'}")
    return table(header, cells, "Seconds, p50 / p95; finals are after the end of speech")


def _options(arguments: list[str] | None) -> Any:
    made = parser("serve_latency", __doc__)
    half_option(made)
    made.add_argument("--sessions", type=int, nargs="+", default=[1, 4], help="how many at once")
    made.add_argument("--seconds", type=float, default=60.0, help="length of each conversation")
    made.add_argument("--rounds", type=int, default=3, help="of each side")
    return made.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
