"""Live sessions over several servers behind HAProxy, which are killed, drained and added: is a word lost?

python -m benchmarks.cluster            # words that are known exactly, by the provider `scripted`
python -m benchmarks.cluster --real     # tiny.en and the sample sentence; first without faults

With a real model a word may be heard as another one where a session begins again within an utterance's audio.

Real processes on loopback: `asrctl serve`, HAProxy with the configuration that asrctl ships, asrctl's
client with its defaults. Audio is fed at real time. A fault comes at its time, or later, once as many nodes
are ready as in the beginning. A killed node is started again; a drained one too, unless one was added before.
The time to take up a session that moves counts from the kill, in a drain from when the session was sent away.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from asrctl.audio.sample import SAMPLE_TEXT, sample_speech
from asrctl.bench.paced import Talk
from asrctl.client import Client, ClientOptions, Phase, State
from asrctl.errors import ServerError
from asrctl.transcript import SAMPLE_RATE_HZ
from asrctl_tests.scripted import speak
from benchmarks.accuracy import Accuracy, accuracy
from benchmarks.balancer import Balancer
from benchmarks.cluster_nodes import Cluster, Fault, Kind, Node, plan
from benchmarks.common import Table, machine, note, save, table
from benchmarks.serve_process import end_on_sigterm
from benchmarks.serve_sessions import Listened, failures, feed_paced
from benchmarks.talks import spread

_WORDS = range(3, 16)
_PAUSES_S = (0.7, 2.0)
_REAL_MODEL = "tiny.en-q8_0"


@dataclass(frozen=True, slots=True)
class Move:
    """A session that lost its node, until another one had it; times by the monotonic clock."""

    node: str
    lost_s: float
    live_s: float


@dataclass(slots=True)
class Journey:
    """One session: what was heard, and over which nodes it went."""

    listened: Listened
    moves: list[Move] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a session.

    Attributes:
        words: How many were said.
        lost: Words that were said and not heard.
        doubled: Words that were heard more often than said.
        changed: Words that were heard in another place than said; with a real model, as other words.
        balances: Whether every sample is answered for, to the client and by the server, and none dropped.
        refusals: Answers 503 that its client saw.
        error: Why it was given up; empty if it was not.
    """

    words: int
    lost: int
    doubled: int
    changed: int
    balances: bool
    refusals: int
    error: str

    @property
    def is_whole(self) -> bool:
        """Whether every word came once, and every sample is answered for."""
        return not (self.lost or self.doubled or self.error) and self.balances


def scripted_talk(duration_s: float, seed: int) -> Talk:
    """Words that `scripted` reads, no word twice, with pauses between utterances."""
    dice = random.Random(seed)
    numbers = iter(dice.sample(range(4096), 4096))
    parts, said = [_silence(0.3)], list[str]()
    while sum(map(len, parts)) < duration_s * SAMPLE_RATE_HZ:
        utterance = [next(numbers) for _ in range(dice.choice(_WORDS))]
        said += [f"w{number}" for number in utterance]
        parts += [speak(utterance), _silence(dice.uniform(*_PAUSES_S))]
    return Talk(np.concatenate(parts), " ".join(said))


def real_talk(duration_s: float, seed: int) -> Talk:
    """The sample sentence again and again, with pauses."""
    dice, speech = random.Random(seed), sample_speech()
    parts, said = [_silence(0.3)], list[str]()
    while sum(map(len, parts)) < duration_s * SAMPLE_RATE_HZ:
        said.append(SAMPLE_TEXT)
        parts += [speech, _silence(dice.uniform(*_PAUSES_S))]
    return Talk(np.concatenate(parts), " ".join(said))


def _silence(duration_s: float) -> Any:
    return np.zeros(round(duration_s * SAMPLE_RATE_HZ), np.float32)


async def travel(url: str, talk: Talk) -> Journey:
    """One session at real time, wherever it goes."""
    journey = Journey(Listened(talk))
    async with Client(url, ClientOptions(salvage=False)) as client:
        feeding = asyncio.create_task(feed_paced(client, talk))
        await _follow(client, journey)
        await feeding
    return journey


async def _follow(client: Client, journey: Journey) -> None:
    listened, node, lost_s = journey.listened, "", 0.0
    try:
        async for event in client:
            now_s = time.monotonic()
            listened.events.append((now_s, event))
            if not isinstance(event, State) or client.ready is None:
                continue
            if event.phase is Phase.RECONNECTING:
                lost_s = lost_s or now_s
            elif event.phase is Phase.LIVE:
                if lost_s:
                    journey.moves.append(Move(node, lost_s, now_s))
                node, lost_s = client.ready.session_id.rpartition(".")[0], 0.0
    except ServerError as error:
        listened.error = str(error)
    listened.account = client.account


async def travel_all(
    url: str, talks: Sequence[Talk], at_once: int, seed: int, progress: Callable[[], float]
) -> list[Journey]:
    """All sessions, so many at a time, over the whole plan: the last begins when that is carried out."""
    dice, places, ended = random.Random(seed), asyncio.Semaphore(at_once), 0

    async def one(number: int, talk: Talk, wait_s: float) -> Journey:
        nonlocal ended
        while number >= at_once + progress() * (len(talks) - at_once):
            await asyncio.sleep(0.05)
        async with places:
            await asyncio.sleep(wait_s)
            journey = await travel(url, talk)
        ended += 1
        if ended % at_once == 0:
            note(f"{ended} of {len(talks)} sessions")
        return journey

    return await asyncio.gather(*(one(number, talk, dice.uniform(0, 2)) for number, talk in enumerate(talks)))


def exactly(said: str, heard: str) -> Accuracy:
    """Words that are known exactly, and all different."""
    wanted, found = said.split(), heard.split()
    lost = (Counter(wanted) - Counter(found)).total()
    doubled = (Counter(found) - Counter(wanted)).total()
    moved = 0 if lost or doubled else sum(one != two for one, two in zip(wanted, found, strict=True))
    return Accuracy(100 * (lost + doubled + moved) / len(wanted), moved, lost, doubled, len(wanted))


def verdict(journey: Journey, compare: Callable[[str, str], Accuracy]) -> Verdict:
    """Hold what was heard against what was said."""
    listened = journey.listened
    found = compare(listened.talk.text or "", listened.text)
    return Verdict(
        words=found.words,
        lost=found.deletions,
        doubled=found.insertions,
        changed=found.substitutions,
        balances=listened.balances and listened.account.dropped_samples == 0,
        refusals=sum("(503)" in reason for reason in failures([listened])),
        error=listened.error,
    )


def taken_up(journeys: Sequence[Journey], faults: Sequence[Fault]) -> dict[Kind, list[float]]:
    """By the last fault of the node that a session was on, how long it was without a server."""
    found: dict[Kind, list[float]] = {"kill": [], "drain": [], "addition": []}
    for move in (move for journey in journeys for move in journey.moves):
        causes = [each for each in faults if each.node == move.node and each.at_s <= move.lost_s]
        kind = causes[-1].kind if causes else "addition"  # nothing was done to a node of the beginning
        since_s = causes[-1].at_s if kind == "kill" else move.lost_s
        found[kind].append(move.live_s - since_s)
    return found


async def run(
    cluster: Cluster, balancer: Balancer, talks: Sequence[Talk], options: argparse.Namespace
) -> list[Journey]:
    """Sessions, faults, and somebody who counts."""
    duration_s = math.ceil(options.sessions / options.at_once) * options.seconds
    planned = plan(options.kills, options.drains, options.additions, duration_s, options.seed)
    watching = asyncio.create_task(cluster.watch())
    faulting = asyncio.create_task(cluster.carry_out(planned))
    try:
        journeys = await travel_all(
            balancer.url, talks, options.at_once, options.seed, lambda: cluster.progress
        )
        watching.cancel()
        await faulting
    finally:
        faulting.cancel()
        watching.cancel()
        await asyncio.gather(faulting, watching, return_exceptions=True)
    return journeys


def report(
    verdicts: Sequence[Verdict], journeys: Sequence[Journey], cluster: Cluster, elsewhere: int
) -> list[Table]:
    """The tables."""
    usage = [each for each in cluster.usage if each.places]
    shares = [100 * each.taken / each.places for each in usage]
    rows: list[tuple[str, object]] = [
        ("sessions", len(verdicts)),
        ("most at once", max((each.taken for each in usage), default=0)),
        ("words said", sum(each.words for each in verdicts)),
        ("words lost", sum(each.lost for each in verdicts)),
        ("words doubled", sum(each.doubled for each in verdicts)),
        ("words changed", sum(each.changed for each in verdicts)),
        ("sessions with every word once", sum(each.is_whole for each in verdicts)),
        ("accounts balanced, nothing dropped", sum(each.balances for each in verdicts)),
        ("sessions given up", sum(bool(each.error) for each in verdicts)),
        ("places taken, median / most, %", f"{np.median(shares):.0f} / {max(shares):.0f}" if shares else "-"),
        ("requests that HAProxy tried elsewhere", elsewhere),
        ("refusals (503) that clients saw", sum(each.refusals for each in verdicts)),
    ]
    waits = taken_up(journeys, cluster.faults)
    kinds = Counter(each.kind for each in cluster.faults)
    loaded = Counter(each.kind for each in cluster.faults if each.sessions)
    faults = [
        (kind, kinds[kind], loaded[kind], len(times), spread(times), max(times, default=None))
        for kind, times in waits.items()
    ]
    header = ["fault", "times", "with sessions there", "sessions moved", "s to take up, p50 / p95", "slowest"]
    return [table(["what", "figure"], rows), table(header, faults)]


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code: 1 if a word was lost or doubled, or a sample."""
    options = _parser().parse_args(arguments)
    end_on_sigterm()
    make, compare = (real_talk, accuracy) if options.real else (scripted_talk, exactly)
    talks = [make(options.seconds, options.seed * 1_000_003 + number) for number in range(options.sessions)]
    measured = machine()
    with tempfile.TemporaryDirectory() as directory:
        cluster = _cluster(options, Path(directory))
        with cluster, Balancer(cluster.ports) as balancer:
            balancer.wait_up(node.name for node in cluster.ready)
            if options.real:
                quiet = asyncio.run(travel_all(balancer.url, talks, options.at_once, options.seed, lambda: 1))
                note(f"without faults: {[verdict(each, compare) for each in quiet]}")
            journeys = asyncio.run(run(cluster, balancer, talks, options))
            elsewhere = balancer.elsewhere
    verdicts = [verdict(each, compare) for each in journeys]
    for number, (each, journey) in enumerate(zip(verdicts, journeys, strict=True)):
        if not each.is_whole or each.changed:
            note(f"session {number}: {each}: {journey.listened.text!r}")
    tables = report(verdicts, journeys, cluster, elsewhere)
    print(*tables, sep="\n\n")
    if options.output:
        raw = {"options": vars(options), "verdicts": [asdict(each) for each in verdicts]}
        raw |= {
            "faults": [asdict(each) for each in cluster.faults],
            "usage": [asdict(e) for e in cluster.usage],
        }
        raw |= {"moves": [asdict(move) for journey in journeys for move in journey.moves]}
        note(str(save(options.output, {"machine": measured, **raw}, *tables)))
    return int(not all(each.is_whole and (options.real or not each.changed) for each in verdicts))


def _cluster(options: argparse.Namespace, directory: Path) -> Cluster:
    script = directory / "script.json"
    script.write_text(json.dumps({"delay_s": 0.01}))
    args = ["--max-sessions", str(options.max_sessions), "--workers", "1"]
    if options.real:
        args, module = [*args, "--model", _REAL_MODEL, "--threads", "1"], "asrctl"
    else:
        args, module = [*args, "--provider", "scripted", "--model", str(script)], "benchmarks.level_server"
    names = [f"asr-{number + 1}" for number in range(options.nodes + options.additions)]
    nodes = [Node(name, args, options.drain_s, module) for name in names]
    return Cluster(nodes, options.nodes, options.max_sessions, options.seed)


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    made.formatter_class = argparse.RawDescriptionHelpFormatter
    made.add_argument("--real", action="store_true", help="tiny.en in place of words that are known exactly")
    made.add_argument("--sessions", type=int, default=200)
    made.add_argument("--at-once", type=int, default=50, help="sessions side by side")
    made.add_argument("--seconds", type=float, default=45.0, help="length of each session")
    made.add_argument("--nodes", type=int, default=3, help="servers at the beginning")
    made.add_argument("--max-sessions", type=int, default=25, help="places of each server")
    made.add_argument("--kills", type=int, default=30, help="servers ended by SIGKILL")
    made.add_argument("--drains", type=int, default=10, help="servers ended by SIGTERM")
    made.add_argument("--additions", type=int, default=5, help="servers added")
    made.add_argument("--drain-s", type=float, default=5.0, help="how long sessions may go on after SIGTERM")
    made.add_argument("--seed", type=int, default=1)
    made.add_argument("--output", metavar="NAME", help="keep the raw figures as results/NAME.json")
    return made


if __name__ == "__main__":
    sys.exit(main())
