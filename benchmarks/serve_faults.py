"""Sessions over a network that cuts, stalls and lies, and a server that restarts: is a word lost, or doubled?

python -m benchmarks.serve_faults benchmark-corpus --sessions 200

Each talk goes once straight to the server, and then through a proxy that harms connections at bytes drawn
by a seed: closes, resets, cuts, stalls for a while or for ever, half-open ends. Meanwhile somebody who has
the token of a session attaches to it now and then, and the server is ended and started again, now by
SIGTERM, now by SIGKILL. Audio is fed at real time; the client's waits are shortened to hundredths of a
second.

Finals are compared word by word with those of the undisturbed run. A session that had to be restarted at
another server is cut into utterances from another sample on, which can change what the model hears at the
edges: such sessions are counted apart, and only those may differ. The ladder is off: on its second rung a
smaller model decodes, which changes a word now and then.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from itertools import islice, pairwise
from typing import Any

from websockets.exceptions import WebSocketException

from asrctl.bench.paced import Talk
from asrctl.client import Client, ClientOptions
from asrctl.client.link import open_socket
from asrctl.errors import AsrctlError
from asrctl.network.failures import LinkFailure
from asrctl.policy.backoff import BackoffOptions
from asrctl.policy.breaker import BreakerOptions
from asrctl.protocol.codec import encode
from asrctl.protocol.messages import Final, KeptMessage, Resume
from benchmarks.accuracy import accuracy, normalise
from benchmarks.common import Table, half_option, note, table
from benchmarks.faults.proxy import KINDS, FaultyProxy, seeded_plans
from benchmarks.serve_process import ServerProcess
from benchmarks.serve_sessions import Listened, failures, feed_paced, listen
from benchmarks.talks import keep, parser, talks_of

IMPATIENT = ClientOptions(
    backoff=BackoffOptions(first_s=0.02, max_s=0.2, max_attempts=1000),
    breaker=BreakerOptions(open_s=0.2),
    keepalive_s=1.0,
    connect_timeout_s=3.0,
)
NEVER_BUSY = {"ASRCTL_LADDER__UP": "1000,1001,1002"}
STRAIGHT = replace(IMPATIENT, keepalive_s=30.0)
_USURP_EVERY_S = 4.0
"""On average, for each session."""
_USURPER_STAYS_S = 0.05


@dataclass(slots=True)
class Verdict:
    """One session under faults.

    Attributes:
        number: Of the session.
        same: Whether its words are those of the undisturbed run.
        once: Whether its finals are in order and do not overlap.
        balances: Whether every sample is answered for, and none dropped.
        links: Connections that failed.
        restarted: Whether a session was begun again at another server.
        difference: Word errors against the undisturbed run, in percent.
    """

    number: int
    same: bool
    once: bool
    balances: bool
    links: int
    restarted: bool
    difference: float


def verdict(number: int, listened: Listened, expected: str, sessions: int) -> Verdict:
    """Hold a session against its undisturbed run."""
    finals, account = listened.of(Final), listened.account
    sent = len(listened.talk.samples)
    balanced = (account.received_samples, account.pending_samples, account.dropped_samples) == (sent, 0, 0)
    return Verdict(
        number=number,
        same=normalise(listened.text) == normalise(expected),
        once=all(one.to <= two.from_ and one.utterance < two.utterance for one, two in pairwise(finals)),
        balances=balanced and not listened.error,
        links=len(failures([listened])),
        restarted=sessions > 1,
        difference=accuracy(expected, listened.text).wer_percent,
    )


class Faults:
    """Sessions side by side, each through a proxy of its own, to one server that comes and goes."""

    def __init__(self, server: ServerProcess, seed: int, mean_bytes: float, plans: int) -> None:
        self._server = server
        self._seed = seed
        self._mean_bytes = mean_bytes
        self._plans = plans
        self.harmed: Counter[str] = Counter()
        self.usurped = 0
        self.restarts: Counter[str] = Counter()

    async def straight(self, talk: Talk) -> Listened:
        """One session without faults."""
        listened = Listened(talk)
        async with Client(self._server.url, STRAIGHT) as client:
            feeding = asyncio.create_task(feed_paced(client, talk))
            await listen(client, listened)
            await feeding
        return listened

    async def harmed_session(self, number: int, talk: Talk) -> tuple[Listened, int]:
        """One session with them; also in how many sessions of servers it went."""
        listened, seed = Listened(talk), self._seed * 1_000_003 + number
        plans = list(islice(seeded_plans(seed, self._mean_bytes, KINDS), self._plans))
        proxy = FaultyProxy(self._server.url, plans)
        async with (
            proxy.running(),
            Client(proxy.url, IMPATIENT) as client,
            self._usurper(client, listened, seed) as ids,
        ):
            feeding = asyncio.create_task(feed_paced(client, talk))
            await listen(client, listened)
            await feeding
        self.harmed.update(proxy.fates)
        return listened, len(ids)

    @asynccontextmanager
    async def _usurper(self, client: Client, listened: Listened, seed: int) -> AsyncIterator[set[str]]:
        """Attaches to the client's session now and then; gives the sessions that the client had."""
        ids: set[str] = set()
        task = asyncio.create_task(self._usurp(client, listened, random.Random(seed), ids))
        try:
            yield ids
        finally:
            if client.ready is not None:
                ids.add(client.ready.session_id)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _usurp(self, client: Client, listened: Listened, dice: random.Random, ids: set[str]) -> None:
        due_s = dice.expovariate(1 / _USURP_EVERY_S)
        while True:
            await asyncio.sleep(0.01)
            if (ready := client.ready) is None:
                continue
            ids.add(ready.session_id)
            if (due_s := due_s - 0.01) > 0:
                continue
            due_s = dice.expovariate(1 / _USURP_EVERY_S)
            try:
                socket = await open_socket(self._server.url, ready.session_id, None, 1.0, 30.0)
            except LinkFailure:
                continue
            last_id = max((event.id for event in listened.of(KeptMessage)), default=0)
            with contextlib.suppress(WebSocketException, TimeoutError):
                await socket.send(encode(Resume(ready.session_id, ready.resume_token, last_id)))
                answer = json.loads(await asyncio.wait_for(socket.recv(), 1.0))
                self.usurped += answer["type"] == "ready"
                await asyncio.sleep(_USURPER_STAYS_S)
            await socket.close()

    async def rest(self) -> None:
        """The server is left alone."""

    async def restart(self, after_s: float, dice: random.Random) -> None:
        """End the server and start it again, on the same port."""
        await asyncio.sleep(after_s)
        how = dice.choice((signal.SIGTERM, signal.SIGKILL))
        self.restarts[how.name] += 1
        await asyncio.to_thread(self._server.stop if how == signal.SIGTERM else self._server.kill)
        self._server.start()
        await asyncio.to_thread(self._server.wait_ready)


async def run(faults: Faults, talks: Sequence[Talk], options: Any) -> list[Verdict]:
    """All sessions in batches; in some of them the server is restarted."""
    dice, verdicts, straight = random.Random(options.seed), list[Verdict](), list[str]()
    for first in range(0, len(talks), options.at_once):
        group = talks[first : first + options.at_once]
        for listened in await asyncio.gather(*map(faults.straight, group)):
            if not listened.balances:
                raise AsrctlError(f"not even without faults: {listened.error or listened.done}")
            straight.append(listened.text)
    note(f"{len(talks)} talks heard without faults")
    for batch, first in enumerate(range(0, options.sessions, options.at_once)):
        numbers = range(first, min(options.sessions, first + options.at_once))
        jobs = [faults.harmed_session(number, talks[number % len(talks)]) for number in numbers]
        restarting = batch % options.restart_every == options.restart_every - 1
        other = (
            faults.restart(dice.uniform(0.2, 0.8) * options.seconds, dice) if restarting else faults.rest()
        )
        outcomes, _ = await asyncio.gather(asyncio.gather(*jobs), other)
        for number, (listened, sessions) in zip(numbers, outcomes, strict=True):
            found = verdict(number, listened, straight[number % len(talks)], sessions)
            verdicts.append(found)
            if not (found.same and found.once and found.balances):
                note(f"{found}: {listened.error or listened.text!r}")
        note(f"{len(verdicts)} of {options.sessions} sessions")
    return verdicts


def report(verdicts: Sequence[Verdict], faults: Faults) -> tuple[bool, tuple[Table, Table]]:
    """Whether nothing was lost or doubled, and the summary."""
    groups = {
        "resumed or undisturbed": [each for each in verdicts if not each.restarted],
        "restarted with the server": [each for each in verdicts if each.restarted],
        "all": verdicts,
    }
    header = ["sessions", "count", "same words", "in order, once", "no sample missing", "lost links"]
    header += ["largest difference %"]
    rows = [
        [
            name,
            len(group),
            sum(each.same for each in group),
            sum(each.once for each in group),
            sum(each.balances for each in group),
            sum(each.links for each in group),
            max((each.difference for each in group), default=0.0),
        ]
        for name, group in groups.items()
    ]
    happened = [
        *sorted(faults.harmed.items()),
        ("taken over by another socket", faults.usurped),
        *((f"server ended by {name}", times) for name, times in faults.restarts.items()),
    ]
    whole = all(each.once and each.balances and (each.same or each.restarted) for each in verdicts)
    print(f"lost, doubled or changed by faults alone: {'nothing' if whole else 'see above'}")
    return whole, (table(header, rows), table(["fault", "times"], happened))


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code: 1 if anything was lost or doubled."""
    options = _options(arguments)
    talks = talks_of(options.corpus, options.talks, options.seconds, half=options.half)
    command = ("--model", options.model, "--max-sessions", str(options.at_once + 2))
    with ServerProcess(*command, port=_free_port(), environ=NEVER_BUSY) as server:
        faults = Faults(server, options.seed, options.mean_bytes, options.plans)
        verdicts = asyncio.run(run(faults, talks, options))
    good, tables = report(verdicts, faults)
    keep(
        options,
        {
            "seed": options.seed,
            "verdicts": [asdict(each) for each in verdicts],
            "harmed": dict(faults.harmed),
            "usurped": faults.usurped,
            "restarts": dict(faults.restarts),
        },
        *tables,
    )
    return int(not good)


def _options(arguments: list[str] | None) -> Any:
    made = parser("serve_faults", __doc__)
    half_option(made)
    made.add_argument("--sessions", type=int, default=200)
    made.add_argument("--at-once", type=int, default=6, help="sessions side by side")
    made.add_argument("--talks", type=int, default=6, help="different ones, which take turns")
    made.add_argument("--seconds", type=float, default=15.0, help="length of each talk")
    made.add_argument("--seed", type=int, default=1)
    made.add_argument("--mean-bytes", type=float, default=150_000.0, help="until a connection is harmed")
    made.add_argument("--plans", type=int, default=12, help="connections of a session that may be harmed")
    made.add_argument("--restart-every", type=int, default=4, help="batches, in one of which it restarts")
    return made.parse_args(arguments)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
