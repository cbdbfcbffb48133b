"""Fifty clients lose the server at once, and it stays away: when do they come back, and how often?

python -m benchmarks.reconnect_storm --clients 50

Twice: in the first run the server returns while the clients still try, and hears the rest of what they
have; in the second it never returns, and each client gives up. Waits are divided by `--compress`, so that
the ten minutes of 15 attempts pass in half a minute; times are printed as they would be without that. Some
clients speak, the others send silence: so many speakers at once would be another benchmark.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from asrctl.audio.sample import SAMPLE_TEXT, sample_speech
from asrctl.bench.paced import Talk
from asrctl.client import Client, ClientOptions, Phase, State
from asrctl.policy.backoff import BackoffOptions
from asrctl.policy.breaker import BreakerOptions, BreakerState
from benchmarks.accuracy import normalise
from benchmarks.common import machine, note, save, table
from benchmarks.serve_process import ServerProcess, end_on_sigterm
from benchmarks.serve_sessions import Listened, listen, wait_live

_PAUSE = np.zeros(16_000, np.float32)
_BAR = 60
_HELLO_S = 120.0
"""Longest that the first sentences may take."""


@dataclass(slots=True)
class Attempt:
    """A connection that was tried: when, since the loss; which in a row; and the breaker's state."""

    at_s: float
    number: int
    breaker: BreakerState


class Storm:
    """The clients."""

    def __init__(self, url: str, options: argparse.Namespace, salvage: Path) -> None:
        self._options = options
        self._squeeze = options.compress
        full, breaker = BackoffOptions(), BreakerOptions()
        shrunk = ClientOptions(
            backoff=BackoffOptions(
                first_s=full.first_s / self._squeeze,
                max_s=full.max_s / self._squeeze,
                forgive_after_s=full.forgive_after_s,
            ),
            breaker=BreakerOptions(open_s=breaker.open_s / self._squeeze),
            salvage_dir=salvage,
        )
        dice = random.Random(options.seed)
        self.clients = [
            Client(url, shrunk, random=random.Random(dice.random()).random) for _ in range(options.clients)
        ]
        speech, text = np.concatenate((sample_speech(), _PAUSE)), f"{SAMPLE_TEXT} {SAMPLE_TEXT}"
        self._halves = [
            speech if number < options.speakers else np.zeros_like(speech)
            for number in range(options.clients)
        ]
        self.listened = [
            Listened(Talk(np.concatenate((half, half)), text if half is speech else ""))
            for half in self._halves
        ]
        self.lost_s = 0.0
        self.back_s: float | None = None

    async def run(self, server: ServerProcess, away_s: float | None) -> None:
        """Say the first half, lose the server, say the second to whoever is there."""
        async with AsyncExitStack() as stack:
            for client in self.clients:
                await stack.enter_async_context(client)
            listening = [
                asyncio.create_task(listen(*pair)) for pair in zip(self.clients, self.listened, strict=True)
            ]
            await asyncio.gather(*map(wait_live, self.clients))
            for client, half in zip(self.clients, self._halves, strict=True):
                client.feed(half)
            await self._until(lambda: all(client.account.received_samples for client in self.clients))
            note(f"{len(self.clients)} clients are live; the server is killed")
            self.lost_s = time.monotonic()
            await asyncio.to_thread(server.kill)
            for client, half in zip(self.clients, self._halves, strict=True):
                client.feed(half)
                client.finish()
            if away_s is not None:
                await asyncio.sleep(away_s / self._squeeze)
                server.start()
                await asyncio.to_thread(server.wait_ready)
                self.back_s = time.monotonic()
                note("the server is back")
            await asyncio.gather(*listening)

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(_HELLO_S):
            while not condition():
                await asyncio.sleep(0.05)

    def attempts(self) -> list[list[Attempt]]:
        """Of each client, those after the loss; times as without compression."""
        return [self._attempts_of(each) for each in self.listened]

    def _attempts_of(self, listened: Listened) -> list[Attempt]:
        """A failure announces the number of the next attempt, and the attempt says it again."""
        found, announced = list[Attempt](), 0
        for at_s, state in listened.events:
            if at_s < self.lost_s or not isinstance(state, State) or state.phase is not Phase.RECONNECTING:
                continue
            if state.attempt == announced and not state.wait_s:
                found.append(Attempt((at_s - self.lost_s) * self._squeeze, state.attempt, state.breaker))
            announced = state.attempt
        return found


def histogram(attempts: Sequence[Attempt]) -> str:
    """Attempts over time: finer at the beginning."""
    edges = [0, 0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, *range(96, 1200, 32)]
    last_s = max((each.at_s for each in attempts), default=0.0)
    counts = [
        (low, high, sum(low <= each.at_s < high for each in attempts))
        for low, high in pairwise(edges)
        if low <= last_s
    ]
    most = max((count for *_, count in counts), default=1)
    return "\n".join(
        f"{low:6g} to {high:<5g} s {count:4d} {'#' * round(_BAR * count / max(1, most))}"
        for low, high, count in counts
    )


def crowding(attempts: Sequence[Sequence[Attempt]]) -> list[tuple[int, int, float, int]]:
    """Of each attempt in a row: how many clients made it, over how many seconds, most within 100 ms."""
    found = []
    for number in sorted({each.number for client in attempts for each in client}):
        times = sorted(each.at_s for client in attempts for each in client if each.number == number)
        busiest = max(sum(start <= each < start + 0.1 for each in times) for start in times)
        found.append((number, len(times), times[-1] - times[0], busiest))
    return found


def report(storm: Storm, title: str) -> dict[str, Any]:
    """Print what became of a run; returns it for the record."""
    attempts, listened = storm.attempts(), storm.listened
    every = [each for client in attempts for each in client]
    opened = sum(
        any(isinstance(event, State) and event.breaker is BreakerState.OPEN for _, event in each.events)
        for each in listened
    )
    print(f"\n{title}\n\nattempts over time since the loss, all clients:\n{histogram(every)}\n")
    for number, clients, span_s, busiest in crowding(attempts):
        print(f"attempt {number:2d}: {clients} clients over {span_s:6.1f} s, at most {busiest} within 100 ms")
    most = max(max((each.number for each in client), default=0) for client in attempts)
    ended = Counter("gave up" if each.error else "heard all" for each in listened)
    whole = sum(each.balances for each in listened)
    saved = sum("it is kept in" in each.error for each in listened)
    print(f"\nattempts in a row, at most: {most} (bound: 15); clients whose breaker was open: {opened}")
    print(f"ended: {dict(ended)}; accounts that balance: {whole}; unsent audio saved to a file: {saved}")
    right = sum(normalise(each.text) == normalise(each.talk.text or "") for each in listened)
    if whole:
        print(f"what was said was heard, once: {right} of {len(listened)}")
    return {
        "title": title,
        "attempts": [[round(each.at_s, 3) for each in client] for client in attempts],
        "most_in_a_row": most,
        "breaker_open": opened,
        "ended": dict(ended),
        "right": right,
        "balanced": whole,
        "saved": saved,
    }


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code: 1 if anybody tried too often, or was not served in the end."""
    options = _parser().parse_args(arguments)
    end_on_sigterm()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    command = ("--model", options.model, "--max-sessions", str(options.clients))
    titles = {
        options.away: f"the server is away for {options.away:.0f} s (of the clients' time)",
        None: "the server never returns",
    }
    records = []
    with tempfile.TemporaryDirectory() as salvage:
        for away_s, title in titles.items():
            with ServerProcess(*command, port=port) as server:
                storm = Storm(server.url, options, Path(salvage))
                asyncio.run(storm.run(server, away_s))
            records.append(report(storm, title))
    header = ["run", "clients", "most attempts in a row", "breakers open", "ended"]
    rows = [
        [
            each["title"],
            len(each["attempts"]),
            each["most_in_a_row"],
            each["breaker_open"],
            str(each["ended"]),
        ]
        for each in records
    ]
    found = table(header, rows)
    print(found)
    if options.output:
        save(options.output, {"machine": machine(), "compress": options.compress, "runs": records}, found)
    first, second = records
    served = first["ended"].get("heard all") == options.clients == first["right"]
    bounded = max(record["most_in_a_row"] for record in records) <= BackoffOptions().max_attempts
    return int(not (served and bounded and second["ended"].get("gave up") == options.clients))


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks.reconnect_storm", description=__doc__)
    made.formatter_class = argparse.RawDescriptionHelpFormatter
    made.add_argument("--clients", type=int, default=50)
    made.add_argument("--speakers", type=int, default=5, help="how many of them say something")
    made.add_argument("--away", type=float, default=180.0, help="seconds of the clients' time")
    made.add_argument(
        "--compress", type=float, default=20.0, help="by how much waits are shorter; 1 for none"
    )
    made.add_argument("--seed", type=int, default=1)
    made.add_argument("--model", default="tiny.en-q8_0")
    made.add_argument("--output", metavar="NAME", help="keep the raw figures as results/NAME.json")
    return made


if __name__ == "__main__":
    sys.exit(main())
