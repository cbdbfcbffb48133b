"""The degrade ladder with real weights: what each rung costs, and an overload that drives it up and down.

python -m benchmarks.ladder benchmark-corpus

Part one holds `asrctl serve` on each rung from 0 to 3 by its thresholds, and plays the same talks, half of
them `mic` and half `system`, at a load that the machine can bear: what a rung saves is seen best without a
queue. At rung 3 `system` audio waits on disk and is decoded after the measurement, when nobody else speaks.

Part two has more sessions than the machine can bear, with ordinary thresholds, and then none: the rungs are
printed as they come, with the work done on each.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from asrctl.bench.paced import Talk
from asrctl.client import ClientOptions
from asrctl.transcript import SAMPLE_RATE_HZ
from benchmarks.common import half_option, note, table
from benchmarks.serve_process import ServerProcess
from benchmarks.serve_sessions import Listened, play
from benchmarks.talks import keep, parser, talks_of

_RUNGS = 4
_HELD = {0: (7, 8, 9), 1: (1e-6, 8, 9), 2: (1e-6, 2e-6, 9), 3: (1e-6, 2e-6, 3e-6)}
"""Loads that call for rungs 1, 2 and 3: any, or none that ever is."""
_PRELUDE_S = 4.0
_LEAST_AUDIO_S = 1.0
_DECODES = "asrctl_inference_seconds_count"
_DECODING = "asrctl_inference_seconds_sum"
_AUDIO = "asrctl_audio_received_seconds_total"
_RESULTS = "asrctl_results_total"
_FALL_S = 240.0


@dataclass(frozen=True, slots=True)
class Look:
    """What a server had done by some moment."""

    at_s: float
    level: int
    model: str
    audio_s: float
    partial_decodes: float
    final_decodes: float
    partial_s: float
    final_s: float
    partials: float
    cpu_s: float
    spooled_s: float
    session_limit: float


@dataclass(frozen=True, slots=True)
class Work:
    """What was done between two looks, for each second of audio that came in meanwhile.

    What cannot be said is None: without audio, or for the processor where a worker made room for another.
    """

    level: int
    model: str
    wall_s: float
    audio_s: float
    partial_decodes: float | None
    final_decodes: float | None
    decoding_s: float | None
    cpu_s: float | None
    partials_per_minute: float | None
    spooled_s: float

    @property
    def cells(self) -> list[object]:
        """A row of the table."""
        return [
            self.level,
            self.model,
            self.wall_s,
            self.audio_s,
            self.partial_decodes,
            self.final_decodes,
            self.decoding_s,
            self.cpu_s,
            self.partials_per_minute,
            self.spooled_s,
        ]


HEADER = [
    "rung",
    "model",
    "wall s",
    "audio s",
    "partial decodes/s",
    "final decodes/s",
    "decoding s/s",
    "CPU s/s",
]
HEADER += ["partials/min", "held back s"]


def look(server: ServerProcess) -> Look:
    """Ask the server, and the system about its workers."""
    metrics = server.metrics()
    ready = json.loads(server.get("/ready")[1])

    def by_kind(name: str, kind: str) -> float:
        return metrics.get(f'{name}{{kind="{kind}"}}', 0.0)

    return Look(
        at_s=time.monotonic(),
        level=int(metrics["asrctl_level"]),
        model=ready["model"],
        audio_s=metrics[_AUDIO],
        partial_decodes=by_kind(_DECODES, "partial"),
        final_decodes=by_kind(_DECODES, "final"),
        partial_s=by_kind(_DECODING, "partial"),
        final_s=by_kind(_DECODING, "final"),
        partials=by_kind(_RESULTS, "partial"),
        cpu_s=sum(server.cpu_s()),
        spooled_s=metrics["asrctl_spooled_seconds"],
        session_limit=metrics["asrctl_session_limit"],
    )


def between(before: Look, after: Look, audio_s: float | None = None) -> Work:
    """The work of a stretch; `audio_s` where what came in is known better than the server's metrics say."""
    came_s = after.audio_s - before.audio_s if audio_s is None else audio_s
    decoding_s = after.partial_s + after.final_s - before.partial_s - before.final_s
    cpu_s = after.cpu_s - before.cpu_s

    def each_second(value: float, digits: int = 4) -> float | None:
        return round(value / came_s, digits) if came_s >= _LEAST_AUDIO_S else None

    return Work(
        level=before.level,
        model=before.model,
        wall_s=round(after.at_s - before.at_s, 1),
        audio_s=round(came_s, 1),
        partial_decodes=each_second(after.partial_decodes - before.partial_decodes),
        final_decodes=each_second(after.final_decodes - before.final_decodes),
        decoding_s=each_second(decoding_s),
        cpu_s=each_second(cpu_s) if cpu_s >= 0 else None,
        partials_per_minute=each_second(60 * (after.partials - before.partials), 2),
        spooled_s=round(after.spooled_s, 1),
    )


class Bench:
    """Runs servers with other thresholds."""

    def __init__(self, options: Any) -> None:
        self._options = options

    def server(self, **ladder: str) -> ServerProcess:
        """One with these settings of the ladder."""
        environ = {f"ASRCTL_LADDER__{name.upper()}": value for name, value in ladder.items()}
        options = self._options
        command = ["--model", options.model, "--small-model", options.small_model]
        command += ["--max-sessions", str(max(options.sessions, options.overload))]
        return ServerProcess(*command, environ=environ)

    def held(self, rung: int) -> tuple[Work, list[Listened]]:
        """The work on one rung."""
        up = ",".join(map(str, _HELD[rung]))
        with self.server(up=up, down="1e-7", calm_s="86400", min_stay_s="0") as server:
            return asyncio.run(self._measure(server, rung))

    async def _measure(self, server: ServerProcess, rung: int) -> tuple[Work, list[Listened]]:
        """Reach the rung with a talk that does not count, then play those that do."""
        options = self._options
        talks = talks_of(options.corpus, options.sessions, options.seconds, half=options.half)
        prelude = [Talk(talks[0].samples[: round(4 * _PRELUDE_S * SAMPLE_RATE_HZ)], None)]
        await play(server.url, prelude, ClientOptions())
        while not self._is_held(await asyncio.to_thread(look, server), rung):
            await asyncio.sleep(0.5)
        sources = ["mic" if number % 2 == 0 else "system" for number in range(len(talks))]
        looks = list[Look]()
        listened = await play(server.url, talks, ClientOptions(), sources, lambda: looks.append(look(server)))
        sent_s = sum(len(talk.samples) for talk in talks) / SAMPLE_RATE_HZ
        return between(looks[0], looks[1], sent_s), listened

    def _is_held(self, seen: Look, rung: int) -> bool:
        """Whether the rung is reached, its model in place, and room for the talks: limits relax when idle."""
        options = self._options
        small = rung < 2 or options.small_model in ("none", seen.model)
        return seen.level >= rung and small and seen.session_limit >= options.sessions

    def overloaded(self) -> list[Work]:
        """More than the machine can bear, then nothing."""
        options = self._options
        with self.server(calm_s=str(options.calm), min_stay_s=str(options.stay)) as server:
            return asyncio.run(self._drive(server))

    async def _drive(self, server: ServerProcess) -> list[Work]:
        options = self._options
        talks = talks_of(options.corpus, options.overload, options.overload_seconds, half=options.half)
        sources = ["mic" if number % 2 == 0 else "system" for number in range(len(talks))]
        playing = asyncio.create_task(play(server.url, talks, ClientOptions(), sources))
        began = before = last = await asyncio.to_thread(look, server)
        stretches, deadline_s = list[Work](), float("inf")
        while last.at_s < deadline_s:
            await asyncio.sleep(0.5)
            seen = await asyncio.to_thread(look, server)
            if (seen.level, seen.model) != (last.level, last.model):
                stretches.append(between(before, seen))
                note(f"{seen.at_s - began.at_s:6.1f} s: rung {last.level} to {seen.level}, {seen.model}")
                before = seen
            last = seen
            if playing.done():
                deadline_s = min(deadline_s, seen.at_s + _FALL_S)
                if not seen.level:
                    break
        stretches.append(between(before, last))
        lost_s = sum(listened.done.dropped_s for listened in await playing if listened.done)
        unbalanced = sum(not listened.balances for listened in await playing)
        note(f"{len(talks)} sessions: {lost_s:.1f} s dropped, {unbalanced} accounts that do not balance")
        return stretches


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code: 1 if a rung does not do less work than the one before."""
    options = _options(arguments)
    bench = Bench(options)
    rungs, words = list[Work](), list[int]()
    for rung in range(_RUNGS):
        work, listened = bench.held(rung)
        rungs.append(work)
        words.append(sum(len(each.text.split()) for each in listened))
        note(f"rung {rung}: {work}; {words[-1]} words, balanced {sum(each.balances for each in listened)}")
    print(f"\nwords heard on each rung, in the end: {words}")
    less = [(after.cpu_s or 0.0) < (before.cpu_s or 0.0) for before, after in pairwise(rungs)]
    print(f"each rung costs less processor time than the one before: {less}")
    overload = bench.overloaded() if options.overload else []
    if overload:
        levels = [work.level for work in overload]
        print(f"\nrungs, in order: {levels}")
    keep(
        options,
        {
            "sessions": options.sessions,
            "seconds": options.seconds,
            "small_model": options.small_model,
            "rungs": [asdict(work) for work in rungs],
            "words": words,
            "overload": [asdict(work) for work in overload],
        },
        table(
            HEADER,
            [work.cells for work in rungs],
            f"{options.sessions} sessions of {options.seconds:.0f} s on each rung; per second of audio",
        ),
        table(
            HEADER,
            [work.cells for work in overload],
            f"{options.overload} sessions at once, then none; per second of audio received",
        ),
    )
    return int(not all(less))


def _options(arguments: list[str] | None) -> Any:
    made = parser("ladder", __doc__)
    half_option(made)
    made.set_defaults(model="tiny.en")
    made.add_argument("--small-model", default="tiny.en-q8_0")
    made.add_argument("--sessions", type=int, default=2, help="on each rung")
    made.add_argument("--seconds", type=float, default=60.0, help="length of each talk")
    made.add_argument("--overload", type=int, default=24, help="sessions in part two; 0 leaves it out")
    made.add_argument("--overload-seconds", type=float, default=60.0)
    made.add_argument("--calm", type=float, default=30.0, help="seconds before a step down")
    made.add_argument("--stay", type=float, default=10.0, help="least seconds on a rung")
    return made.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
