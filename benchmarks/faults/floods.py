"""Floods of strangers and greedy clients against one server, with a good session beside them."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from benchmarks.faults import greedy, sockets, uploads, web, wyoming
from benchmarks.faults.good import GoodSession
from benchmarks.faults.kinds import KINDS, Kind
from benchmarks.faults.vitals import NOTHING, Peak, Vitals, peers, settle, vitals
from benchmarks.faults.wire import Link, Target, linked

__all__ = ["ALL", "Flooded", "flood"]
_CATALOGUE = (greedy, sockets, uploads, web, wyoming)
"""Importing them registers their kinds."""
ALL: Sequence[Kind] = tuple(KINDS)

LATE_S = 1.0
MOST_MB = 120.0
LEFT_MB = 10.0
CLOSED_S = 20.0
_SETTLE_S = 8.0
_LOOK_S = 0.25
_FINALS_S = 1.5
"""So long after its end a flood can still have delayed a final."""


@dataclass(slots=True)
class Flooded:
    """How a server stood kinds of attacks that came at once, or one alone.

    Attributes:
        name: Of the kind, or of all of them.
        links: Connections that the strangers made.
        refused: How many of their handshakes were turned away.
        open_s: How long a stranger's connection stayed open at most.
        open_kind: Whose that was.
        left: Kinds with connections that were still open when their time was over.
        late_s: How much later than usual a final of the good session came.
        before, during, after: What the server's parent held.
        faults: Attacks that ended in a mistake of ours.
    """

    name: str
    links: int = 0
    refused: int = 0
    open_s: float = 0.0
    open_kind: str = ""
    left: list[str] = field(default_factory=list)
    late_s: float | None = None
    before: Vitals = NOTHING
    during: Vitals = NOTHING
    after: Vitals = NOTHING
    faults: list[str] = field(default_factory=list)

    @property
    def broken(self) -> list[str]:
        """The promises that were broken."""
        checks = {
            f"late by {self.late_s if self.late_s is None else round(self.late_s, 2)} s": self.late_s is None
            or self.late_s > LATE_S,
            f"{self.during.memory_mb:.0f} MB": self.during.memory_mb > MOST_MB,
            f"{self.before.memory_mb:.0f} MB became {self.after.memory_mb:.0f}": self.after.memory_mb
            > self.before.memory_mb + LEFT_MB,
            f"{self.before.descriptors} descriptors became {self.after.descriptors}": self.after.descriptors
            > self.before.descriptors,
            f"not closed: {', '.join(sorted(set(self.left)))}": bool(self.left),
            f"the attack is wrong: {'; '.join(self.faults)}": bool(self.faults),
        }
        return [name for name, is_broken in checks.items() if is_broken]


class _Attack:
    """Kinds at once."""

    def __init__(self, target: Target, pid: int, found: Flooded, seed: int) -> None:
        self._target, self._pid, self._found = target, pid, found
        self._seed = seed
        self._held: set[int] = set()
        self._looking = asyncio.Event()

    async def run(self, kinds: Sequence[Kind], links: int | None) -> None:
        looking = asyncio.create_task(self._look())
        attacks = [
            self._one(kind, random.Random(f"{self._seed} {kind.name} {number}"))
            for kind in kinds
            for number in range(kind.links if links is None else min(links, kind.links))
        ]
        await asyncio.gather(*attacks)
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)

    async def _look(self) -> None:
        while True:
            self._held = await asyncio.to_thread(peers, self._pid)
            self._looking.set()
            self._looking.clear()
            await asyncio.sleep(_LOOK_S)

    async def _one(self, kind: Kind, dice: random.Random) -> None:
        await asyncio.sleep(dice.uniform(0.0, 0.5))
        self._found.links += 1
        with suppress(OSError, EOFError, TimeoutError):  # the server has had enough
            async with linked(self._target, kind.door, dice) as link:
                self._found.refused += link.refused
                await self._attack(kind, link)
                if not kind.greedy:
                    await self._wait_closed(kind, link)

    async def _attack(self, kind: Kind, link: Link) -> None:
        if link.refused:
            return
        try:
            async with asyncio.timeout(CLOSED_S):
                await kind.attack(link)
        except (OSError, EOFError, TimeoutError):
            pass
        except Exception as error:
            self._found.faults.append(f"{kind.name}: {error!r}")

    async def _wait_closed(self, kind: Kind, link: Link) -> None:
        """Until the server holds the connection no more; nothing is read, and nothing closed."""
        await self._looking.wait()
        while link.port in self._held:
            if time.monotonic() - link.opened_s > CLOSED_S:
                self._found.left.append(kind.name)
                break
            await self._looking.wait()
        took_s = time.monotonic() - link.opened_s
        if took_s > self._found.open_s:
            self._found.open_s, self._found.open_kind = took_s, kind.name


def flood(
    kinds: Sequence[Kind], target: Target, pid: int, good: GoodSession, seed: int, links: int | None = None
) -> Flooded:
    """Attack with these kinds at once.

    Args:
        kinds: What the strangers do.
        target: The server.
        pid: Of its parent.
        good: The session beside.
        seed: Of whatever is drawn.
        links: Connections of each kind at most; None for as many as the kind wants.
    """
    name = kinds[0].name if len(kinds) == 1 else f"{len(kinds)} kinds"
    found, began_s = Flooded(name, before=vitals(pid)), time.monotonic()
    usual_s = good.usual_s(began_s)
    with Peak(pid) as peak:
        asyncio.run(_Attack(target, pid, found, seed).run(kinds, links))
    found.during = peak.most
    time.sleep(_FINALS_S)
    latest_s = good.lateness(began_s, time.monotonic())
    found.late_s = None if latest_s is None else max(0.0, latest_s - usual_s)
    wanted = Vitals(found.before.memory_mb + LEFT_MB, found.before.descriptors)
    found.after = settle(pid, wanted, _SETTLE_S)
    return found
