"""A bench of faults: is a promise of the server broken while it is attacked?

python -m benchmarks.faults --short          # all kinds, few connections, shortened bounds
python -m benchmarks.faults                  # each kind alone, with the bounds that the server ships with
python -m benchmarks.faults --only dripped   # kinds whose name holds that
python -m benchmarks.faults --part liars     # one part alone: floods, liars or processes
python -m benchmarks.faults --long           # 200 sessions, a bad network, faults of processes: 10 minutes
python -m benchmarks.faults --hours 2        # two sessions, and a worker that is killed each minute

Floods: a good session says a word each second beside all of it. Exit code 1: one of its finals was more than
a second later than usual, a word was lost, the parent of the server took more than 120 MB, or kept 10 MB or a
descriptor, or a stranger's connection was open for more than 20 s. Faults of processes: a session ended, a
word was lost and not declared, or memory or descriptors were kept. Liars, servers that asrctl's own client
meets: it hung, connected more than 15 times, took a lie for the end or did not save all of its audio.
All waits are bounded. The long form begins no group of sessions after `--within` seconds, and a group takes
at most two and a half minutes; sessions that were not reached count as broken.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.common import Table, machine, note, save, table
from benchmarks.faults.floods import ALL, LEFT_MB, Flooded, flood
from benchmarks.faults.good import GoodSession
from benchmarks.faults.kinds import Kind
from benchmarks.faults.liars import Lied, lies
from benchmarks.faults.processes import Harmed, crowd, harm, killed_each_minute, process_faults
from benchmarks.faults.proxy import FaultyProxy, seeded_plans
from benchmarks.faults.proxy import Kind as Harm
from benchmarks.faults.victim import QUICK, target_of, victim
from benchmarks.faults.vitals import vitals
from benchmarks.serve_process import end_on_sigterm

_SHORT_LINKS = 2
_SHORT_BUSY_S = 1.5
_LONG_BUSY_S = 12.0
_WARM_UP_FINALS = 4
_PARTS = ("floods", "liars", "processes")
_SESSIONS = 3
_CROWD = 200
_AT_ONCE = 16
_WITHIN_S = 600.0
_PROXIES_S = 10.0
_NETWORK: tuple[Harm, ...] = ("pass", "cut", "reset", "lag", "half-open", "delay", "fragment")
_MEAN_BYTES = 300_000.0
"""A session of this bench sends about twice as many."""


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
        "Strangers and greedy clients",
    )
    print(made)
    print(f"the good session: {end}")
    good = not (end["lost"] or end["dropped_s"] or end["undeclared_s"] or end["error"] or end["grown"])
    broken = [row.name for row in rows if row.broken]
    print(f"broken: {', '.join(broken) or 'nothing'}")
    return good and not broken, made


def processes(options: argparse.Namespace) -> list[Harmed]:
    """Faults of processes: each once, a crowd under drawn ones, or the same one for hours."""
    with TemporaryDirectory() as directory:
        starts = Path(directory, "starts")
        starts.write_text("")
        with victim({"max_sessions": _AT_ONCE + 2}, starts=starts) as server:
            count = _AT_ONCE if options.long else _SESSIONS
            harm("nothing", lambda: 0, server, [server.url] * count)  # not counted: it fills caches
            if options.hours:
                return [killed_each_minute(server, options.seed, 3600 * options.hours)]
            if not options.long:
                return process_faults(server, starts, options.seed, options.only, _SESSIONS)
            with _proxies(server.url, options.seed, options.sessions) as urls:
                return crowd(server, starts, options.seed, urls, _AT_ONCE, options.within)


@contextmanager
def _proxies(url: str, seed: int, count: int) -> Iterator[list[str]]:
    """A bad network for each session, in a thread."""
    loop, stack = asyncio.new_event_loop(), AsyncExitStack()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def begin() -> list[str]:
        plans = [seeded_plans(seed + number, _MEAN_BYTES, _NETWORK) for number in range(count)]
        proxies = [FaultyProxy(url, plan) for plan in plans]
        return [(await stack.enter_async_context(proxy.running())).url for proxy in proxies]

    try:
        yield asyncio.run_coroutine_threadsafe(begin(), loop).result(_PROXIES_S)
    finally:
        asyncio.run_coroutine_threadsafe(stack.aclose(), loop).result(_PROXIES_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_PROXIES_S)


def show_processes(rows: Sequence[Harmed]) -> tuple[bool, Table]:
    """Print what was found; whether all promises were kept."""
    header = ["fault", "sessions", "faults", "survived", "words lost", "declared s", "late s"]
    header += ["MB before", "after", "descriptors before", "after", "broken"]
    made = table(
        header,
        [
            [
                row.name,
                row.sessions,
                row.faults,
                row.survived,
                row.lost,
                row.dropped_s,
                row.late_s,
                *(each.memory_mb for each in (row.before, row.after)),
                *(each.descriptors for each in (row.before, row.after)),
                "; ".join(row.broken) or "-",
            ]
            for row in rows
        ],
        "Faults of processes",
    )
    print(made)
    return not any(row.broken for row in rows), made


def show_liars(rows: Sequence[Lied]) -> tuple[bool, Table]:
    """Print what was found; whether all promises were kept."""
    header = ["lie", "connections", "seconds", "samples fed", "saved", "broken"]
    made = table(
        header,
        [
            [
                row.name,
                row.links,
                row.took_s,
                row.fed_samples,
                row.kept_samples,
                "; ".join(row.broken) or "-",
            ]
            for row in rows
        ],
        "Servers that lie to the client",
    )
    print(made)
    return not any(row.broken for row in rows), made


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
    parser.add_argument("--part", choices=_PARTS, action="append", help="only this part; may be repeated")
    parser.add_argument("--long", action="store_true", help="many sessions, a bad network, drawn faults")
    parser.add_argument("--sessions", type=int, default=_CROWD, help="of the long form")
    parser.add_argument("--within", type=float, default=_WITHIN_S, metavar="SECONDS", help="of the long form")
    parser.add_argument("--hours", type=float, default=0.0, help="a worker killed each minute, for so long")
    parser.add_argument("--log", action="store_true", help="show the server's log")
    parser.add_argument("--output", metavar="NAME", help="keep the figures as results/NAME.json")
    options = parser.parse_args(arguments)
    end_on_sigterm()
    about = machine()
    parts = ["processes"] if options.long or options.hours else options.part or _PARTS
    kept: dict[str, Any] = {"machine": about}
    found: list[tuple[bool, Table]] = []
    if "floods" in parts:
        flooded, end = floods(options)
        kept |= {"rows": [asdict(row) for row in flooded], "end": end}
        found.append(show(flooded, end))
    if "liars" in parts:
        lied = asyncio.run(lies(options.only))
        kept["liars"] = [asdict(row) for row in lied]
        found.append(show_liars(lied))
    if "processes" in parts:
        harmed = processes(options)
        kept["processes"] = [asdict(row) for row in harmed]
        found.append(show_processes(harmed))
    if options.output:
        note(str(save(options.output, kept, *(made for _, made in found))))
    return int(not all(good for good, _ in found))


if __name__ == "__main__":
    sys.exit(main())
