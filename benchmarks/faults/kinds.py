"""What a kind of attack is, and the register of all of them.

The list was written before the server's code was read, from its
documents and from what is known of attacks on HTTP and WebSocket servers. It grows; nothing is left out
because it fails.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from benchmarks.faults.wire import Link

Attack = Callable[[Link], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to be a nuisance.

    Attributes:
        name: As it is printed.
        door: What the connection is before the attack: bare TCP ("web", "wyoming"), or a WebSocket.
        attack: What one connection does; a stranger's connection is then left to the server.
        links: Connections side by side in the long form.
        greedy: Keeps the rules, so that it may stay: it is ended by us.
    """

    name: str
    door: str
    attack: Attack
    links: int
    greedy: bool


KINDS: list[Kind] = []


def kind(door: str, links: int = 60, *, greedy: bool = False) -> Callable[[Attack], Attack]:
    """Register an attack under its function's name."""

    def register(attack: Attack) -> Attack:
        KINDS.append(Kind(attack.__name__.strip("_").replace("_", " "), door, attack, links, greedy))
        return attack

    return register
