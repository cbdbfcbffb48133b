"""The nodes of a cluster on this machine, and the plan by which they are killed, drained and added."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from benchmarks.balancer import free_port
from benchmarks.common import note
from benchmarks.serve_process import ServerProcess

Kind = Literal["kill", "drain", "addition"]
PATIENT = {"ASRCTL_LADDER__UP": "1000,1001,1002", "ASRCTL_SERVE__MAX_LAG_S": "3600"}
"""All nodes share this machine: where that is too slow, finals are late, and nothing is given up for it."""
_LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault that is to come, seconds after the beginning."""

    at_s: float
    kind: Kind


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that came.

    Attributes:
        at_s: When, by the monotonic clock.
        kind: What was done.
        node: To which node.
        sessions: How many sessions there were then.
    """

    at_s: float
    kind: Kind
    node: str
    sessions: int


@dataclass(frozen=True, slots=True)
class Usage:
    """Places at one moment: those that sessions have, of those that the nodes have which are ready."""

    taken: int
    places: int


def plan(kills: int, drains: int, additions: int, duration_s: float, seed: int) -> list[Planned]:
    """So many of each in random order, at random times of the duration without its edges."""
    dice = random.Random(seed)
    counts: dict[Kind, int] = {"kill": kills, "drain": drains, "addition": additions}
    kinds = [kind for kind, times in counts.items() for _ in range(times)]
    dice.shuffle(kinds)
    times = sorted(dice.uniform(0.05, 0.9) * duration_s for _ in kinds)
    return [Planned(at_s, kind) for at_s, kind in zip(times, kinds, strict=True)]


class Node:
    """One `asrctl serve`, which keeps its name and its port."""

    def __init__(self, name: str, args: Sequence[str], drain_s: float, module: str) -> None:
        self.name, self.port = name, free_port()
        environ = {**PATIENT, "ASRCTL_SERVE__DRAIN_S": str(drain_s)}
        self.server = ServerProcess(
            *args, "--node", name, "--no-page", port=self.port, environ=environ, module=module
        )
        self.is_ready = False

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        self.server.start()
        self.server.wait_ready()
        self.is_ready = True

    def taken(self) -> int:
        """Sessions that it has now; 0 where it does not answer."""
        with contextlib.suppress(OSError, http.client.HTTPException, KeyError):
            return int(self.server.metrics()['asrctl_sessions{state="attached"}'])
        return 0


class Cluster:
    """Nodes that come and go; `size` of them run from the beginning, all are known to the balancer."""

    def __init__(self, nodes: Sequence[Node], size: int, places: int, seed: int) -> None:
        """`places` are those of one node; `seed` chooses who is hit."""
        self.nodes = {node.name: node for node in nodes}
        self._spare, self._size, self._places = list(nodes[size:]), size, places
        self._running = list(nodes[:size])
        self._dice = random.Random(seed)
        self._tasks: list[asyncio.Task[None]] = []
        self.progress = 0.0
        """The share of the plan that was carried out."""
        self.faults: list[Fault] = []
        self.usage: list[Usage] = []

    @property
    def ports(self) -> dict[str, int]:
        """By name, of all nodes."""
        return {name: node.port for name, node in self.nodes.items()}

    @property
    def ready(self) -> list[Node]:
        """Those that take sessions."""
        return [node for node in self._running if node.is_ready]

    def __enter__(self) -> Self:
        try:
            for node in self._running:
                node.server.start()
            for node in self._running:
                node.server.wait_ready()
                node.is_ready = True
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in self.nodes.values():
            node.server.kill()

    async def carry_out(self, planned: Sequence[Planned]) -> None:
        """All faults, each at its time, or once enough nodes are ready; until all have come back."""
        began_s = time.monotonic()
        for number, each in enumerate(planned):
            self.progress = number / len(planned)
            await asyncio.sleep(max(0.0, began_s + each.at_s - time.monotonic()))
            while each.kind != "addition" and len(self.ready) < self._size:
                await asyncio.sleep(0.02)
            node = self._spare.pop(0) if each.kind == "addition" else self._dice.choice(self.ready)
            taken = sum(await asyncio.gather(*(asyncio.to_thread(each.taken) for each in self.ready)))
            self.faults.append(Fault(time.monotonic(), each.kind, node.name, taken))
            note(f"{time.monotonic() - began_s:5.1f} s: {each.kind} of {node.name}, {taken} sessions")
            self._tasks.append(asyncio.create_task(self._do(each.kind, node)))
            await asyncio.sleep(0)
        self.progress = 1.0
        await asyncio.gather(*self._tasks)

    async def _do(self, kind: Kind, node: Node) -> None:
        """A killed node comes back; so does a drained one, as in an update, unless there is one too many."""
        if kind == "addition":
            self._running.append(node)
        elif kind == "kill":
            node.is_ready = False
            await asyncio.to_thread(node.server.kill)
        else:
            node.is_ready = False
            is_surplus = len(self._running) > self._size
            if is_surplus:
                self._running.remove(node)
            await asyncio.to_thread(node.server.stop)
            if is_surplus:
                return
        await asyncio.to_thread(node.start)

    async def watch(self) -> None:
        """Note how many places are taken, until cancelled."""
        while True:
            ready = self.ready
            taken = sum(await asyncio.gather(*(asyncio.to_thread(node.taken) for node in ready)))
            self.usage.append(Usage(taken, self._places * len(ready)))
            await asyncio.sleep(_LOOK_S)
