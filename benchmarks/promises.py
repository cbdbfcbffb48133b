"""What asrctl promises, held against what it does here; exit code 1 if one is broken or was not measured.

python -m benchmarks.promises --rounds 5

Starts are timed, a file is decoded, a live session played; then more sessions come to a server than
it may let in, and a client meets a server that closes every connection at once.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from asrctl.bench import coldstart, rtf, stream
from asrctl.bench.backends import pooled
from asrctl.bench.paced import Talk
from asrctl.bench.remote import RemoteBackend
from asrctl.bench.results import Round, Row
from asrctl.bench.setup import Setup, Speech, builtin
from asrctl.cli.bench_options import BUILTIN_S, client_of, setup_of, speech_of
from asrctl.client import Client, ClientOptions
from asrctl.errors import ServerError
from asrctl.settings import Settings
from asrctl.transcript import SAMPLE_RATE_HZ
from benchmarks.common import machine, note, save, table
from benchmarks.serve_process import ServerProcess

COLD_START_MS = 500.0
SPEED = 2.0
MEMORY_MB = 300.0
SESSIONS = 10
ATTEMPTS = 15
_TOO_MANY = 2
"""So many more come than are let in."""


@dataclass(frozen=True, slots=True)
class Promise:
    """A promise and how it stands.

    Attributes:
        name: What is promised.
        target: In words.
        found: In words.
        kept: None if it was not measured.
    """

    name: str
    target: str
    found: str
    kept: bool | None


@dataclass(frozen=True, slots=True)
class _Bound:
    """One figure with a bound; `told` formats what was found."""

    name: str
    figure: str
    target: str
    told: str
    kept: Callable[[float], bool]

    def check(self, figures: Mapping[str, float]) -> Promise:
        if self.figure not in figures:
            return Promise(self.name, self.target, "not measured", None)
        value = figures[self.figure]
        return Promise(self.name, self.target, self.told.format(value), self.kept(value))


_MEASURED = (
    _Bound("cold start", "ready_ms", "< 500 ms", "{:.0f} ms", lambda ms: ms < COLD_START_MS),
    _Bound("speed", "speed", ">= 2 x real time", "{:.1f} x real time", lambda speed: speed >= SPEED),
    _Bound("memory, all processes", "peak_rss_mb", "<= 300 MB", "{:.0f} MB", lambda mb: mb <= MEMORY_MB),
)
_ENFORCED = (
    _Bound("sessions at once", "let_in", "at most 10", "{:.0f} let in", lambda n: 0 < n <= SESSIONS),
    _Bound("reconnects", "attempts", "at most 15", "gave up after {:.0f}", lambda n: 0 < n <= ATTEMPTS),
)


def check(figures: Mapping[str, float]) -> list[Promise]:
    """All promises.

    Args:
        figures: "ready_ms", "speed", "peak_rss_mb", "dropped_s", "undeclared_s", "let_in" and "attempts";
            what is not there was not measured.
    """
    measured, limits = ([bound.check(figures) for bound in bounds] for bounds in (_MEASURED, _ENFORCED))
    return [*measured, _drops(figures), *limits]


def _drops(figures: Mapping[str, float]) -> Promise:
    name, target = "drops", "none, or declared"
    if "undeclared_s" not in figures:
        return Promise(name, target, "not measured", None)
    lost_s = figures["undeclared_s"]
    found = f"{figures['dropped_s']:.3g} s declared, {lost_s:.3g} s unaccounted for"
    return Promise(name, target, found, lost_s == 0)


def measure(setup: Setup, speech: Speech, sessions: int, client: ClientOptions, rounds: int) -> list[Row]:
    """Everything that has to be measured, in the order of the rows.

    Args:
        setup: What decodes.
        speech: What is decoded.
        sessions: That a server lets in.
        client: How far a client goes.
        rounds: How often it starts, and how often it decodes.
    """
    starts, speeds = list[Round](), list[Round]()
    coldstart.run(setup)  # not counted: it fills the page cache
    for number in range(rounds):
        note(f"round {number + 1} of {rounds}")
        starts.append(coldstart.run(setup))
        speeds.append(rtf.run(setup, speech))
    note("one live session")
    live = stream.run(pooled(setup), stream.talks(speech, 1, speech.duration_s))
    named = {"cold start": starts, "speed": speeds, "one live session": [live]}
    note("a full server")
    named["a full server"] = [crowd(setup, sessions, client)]
    named["a server that closes at once"] = [{"attempts": float(asyncio.run(attempts(client)))}]
    return [Row(name, setup.description, found) for name, found in named.items()]


def crowd(setup: Setup, limit: int, client: ClientOptions) -> Round:
    """More sessions than a server may hold say a sentence each, all at once.

    Args:
        setup: What the server runs.
        limit: How many it shall let in.
        client: What each asks for.
    """
    sentence, spec = builtin(0.0), setup.spec
    talk = Talk(sentence.samples(sentence.duration_s), sentence.reference)
    command = ["--provider", spec.provider, "--model", str(spec.path), "--threads", str(spec.threads)]
    command += ["--workers", str(setup.workers), "--language", setup.files.decode.language]
    with ServerProcess(*command, "--max-sessions", str(limit)) as server:
        options = replace(client, language=setup.files.decode.language)
        backend = RemoteBackend(server.url, options, setup.stream.endpointing)
        played = backend.play([talk] * (limit + _TOO_MANY), lambda _: None)
    let_in = [each for each in played.heard if not each.failure]
    lost = sum(each.unaccounted_samples(len(talk.samples)) for each in let_in)
    found = {
        "came": float(len(played.heard)),
        "let_in": float(len(let_in)),
        "dropped_s": sum(each.dropped_samples for each in let_in) / SAMPLE_RATE_HZ,
        "undeclared_s": lost / SAMPLE_RATE_HZ,
    }
    if "peak_rss_mb" in played.cost:
        found["peak_rss_mb"] = played.cost["peak_rss_mb"]
    return found


async def attempts(options: ClientOptions) -> int:
    """How many connections a client makes to a server that closes each at once; its waits are skipped."""
    made, now_s = 0, 0.0
    options = replace(options, wait_for_server_s=0.0)  # else one that never answered is given up sooner

    async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal made
        made += 1
        writer.close()

    async def sleep(wait_s: float) -> None:
        nonlocal now_s
        now_s += wait_s
        await asyncio.sleep(0)

    server = await asyncio.start_server(close, "127.0.0.1", 0)
    async with server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with Client(url, options, clock=lambda: now_s, sleep=sleep) as client:
            client.finish()
            with suppress(ServerError):
                async for _ in client:
                    pass
    return made


def figures(rows: Sequence[Row]) -> dict[str, float]:
    """From the rows of `measure` to what `check` wants."""
    start, speed, live, server, client = (row.figures for row in rows)
    peaks = [each["peak_rss_mb"] for each in (speed, live, server) if "peak_rss_mb" in each]
    found = {
        "ready_ms": start["ready_s"] * 1000,
        "speed": 1 / speed["rtf"],
        "peak_rss_mb": max(peaks),
        "dropped_s": live["dropped_s"] + server.get("dropped_s", 0.0),
        "undeclared_s": live["undeclared_s"] + server.get("undeclared_s", 0.0),
    }
    return {**found, "let_in": server["let_in"], "attempts": client["attempts"]}


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.promises", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--provider", default="whisper_cpp")
    parser.add_argument("--model", default="tiny.en-q8_0")
    parser.add_argument("--output", action="store_true", help="keep it in results/promises.json")
    options = parser.parse_args(arguments)
    about, settings, speech = machine(), Settings(), speech_of(None, None, BUILTIN_S)
    setup = setup_of(settings, speech, options.provider, options.model, None, None)
    client = client_of(settings, speech, None, None)
    rows = measure(setup, speech, settings.serve.max_sessions, client, options.rounds)
    promises = check(figures(rows))
    words = {True: "kept", False: "BROKEN", None: "-"}
    found = table(
        ["promise", "target", "here", "verdict"],
        [[each.name, each.target, each.found, words[each.kept]] for each in promises],
    )
    print(found)
    if options.output:
        data = {"machine": about, "setup": setup.name, "rows": {row.name: row.rounds for row in rows}}
        save("promises", data, found)
    return int(any(not each.kept for each in promises))


if __name__ == "__main__":
    sys.exit(main())
