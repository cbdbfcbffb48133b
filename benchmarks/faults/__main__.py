"""A bench of faults: is a promise of the server broken while it is attacked?

python -m benchmarks.faults --short          # all kinds, few connections, shortened bounds: under a minute
python -m benchmarks.faults                  # each kind alone, with the bounds that the server ships with
python -m benchmarks.faults --only dripped   # kinds whose name holds that

A good session says a word each second beside all of it. Exit code 1: one of its finals was more than a second
later than usual, a word was lost, the parent of the server took more than 120 MB, or kept 10 MB or a
descriptor, or a stranger's connection was open for more than 20 s.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

from benchmarks.common import Table, machine, note, save, table
from benchmarks.faults.floods import ALL, LEFT_MB, Flooded, flood
from benchmarks.faults.good import GoodSession
from benchmarks.faults.kinds import Kind
from benchmarks.faults.victim import QUICK, target_of, victim
from benchmarks.faults.vitals import vitals
from benchmarks.serve_process import end_on_sigterm

_SHORT_LINKS = 2
_SHORT_BUSY_S = 1.5
_LONG_BUSY_S = 12.0
_WARM_UP_FINALS = 4


def floods(options: argparse.Namespace) -> tuple[list[Flooded], dict[str, Any]]:
    """All kinds in turn, or those of a door at once; and what the good session says at its end."""
    kinds = [kind for kind in ALL if options.only in kind.name]
    groups = [[kind] for kind in kinds]
    if options.short:
        groups = [list(group) for _, group in groupby(sorted(kinds, key=_room), _room)]
    busy_s, links = (_SHORT_BUSY_S, _SHORT_LINKS) if options.short else (_LONG_BUSY_S, None)
    busy_s = options.busy or busy_s
    quick = options.short or options.quick
    rows = []
    with victim(QUICK if quick else {}, model=options.model) as server:
        target = target_of(server, busy_s)
        with GoodSession(server.url, bool(options.model)) as good:
            good.wait_heard(_WARM_UP_FINALS)
            flood(kinds, target, server.pid, good, options.seed, 1)  # not counted: it fills caches
            first = vitals(server.pid)
            for group in groups:
                rows.append(flood(group, target, server.pid, good, options.seed, links))
                note(f"{rows[-1].name}: {'; '.join(rows[-1].broken) or 'good'}")
            last, end = vitals(server.pid), good.finish()
        if options.log:
            note("\n".join(server.lines))
    grown = last.memory_mb > first.memory_mb + LEFT_MB or last.descriptors > first.descriptors
    end |= {"links_lost": good.links_lost, "first": asdict(first), "last": asdict(last), "grown": grown}
    return rows, end


def _room(kind: Kind) -> str:
    """What is attacked together in the short form: the greedy clients fill all places."""
    return "greedy" if kind.greedy else "wyoming" if kind.door == "wyoming" else "strangers"


def show(rows: Sequence[Flooded], end: dict[str, Any]) -> tuple[bool, Table]:
    """Print what was found; whether all promises were kept."""
    header = ["kind", "links", "refused", "open s", "late s", "MB before", "during", "after"]
    header += ["descriptors before", "during", "after", "broken"]
    made = table(
        header,
        [
            [
                row.name,
                row.links,
                row.refused,
                row.open_s,
                row.late_s,
                *_held(row),
                "; ".join(row.broken) or "-",
            ]
            for row in rows
        ],
    )
    print(made)
    print(f"the good session: {end}")
    good = not (end["lost"] or end["dropped_s"] or end["undeclared_s"] or end["error"] or end["grown"])
    broken = [row.name for row in rows if row.broken]
    print(f"broken: {', '.join(broken) or 'nothing'}")
    return good and not broken, made


def _held(row: Flooded) -> list[float]:
    times = (row.before, row.during, row.after)
    return [*(each.memory_mb for each in times), *(each.descriptors for each in times)]


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--short", action="store_true", help="all kinds at once, with shortened bounds")
    parser.add_argument("--only", default="", metavar="TEXT", help="kinds whose name holds it")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", help="a real model instead of scripted words, such as tiny.en")
    parser.add_argument("--quick", action="store_true", help="shortened bounds, as in the short form")
    parser.add_argument("--busy", type=float, metavar="SECONDS", help="how long an endless attack goes on")
    parser.add_argument("--log", action="store_true", help="show the server's log")
    parser.add_argument("--output", metavar="NAME", help="keep the figures as results/NAME.json")
    options = parser.parse_args(arguments)
    end_on_sigterm()
    about = machine()
    rows, end = floods(options)
    good, made = show(rows, end)
    if options.output:
        note(
            str(
                save(
                    options.output,
                    {"machine": about, "rows": [asdict(row) for row in rows], "end": end},
                    made,
                )
            )
        )
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
