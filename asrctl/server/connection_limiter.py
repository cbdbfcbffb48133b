"""How many connections there may be, and for how long one that has no session."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Callable
from typing import Protocol

_KEPT = 64
"""File descriptors that are kept for workers, files and the log."""
_FEWEST = 16


class LimitedConnection(Protocol):
    """A connection as the limiter sees it."""

    transport: asyncio.Transport
    idle_since_s: float
    """Since when it has had no session and no answer, by the loop's clock."""

    @property
    def is_accepted(self) -> bool:
        """Whether it is a WebSocket that was let in, and is not being closed."""


class ConnectionLimiter:
    """Bounds connections in number, in all and for each address, and in time.

    Where there are too many, one that was not let in to a session makes way: the one that has waited longest,
    of the address that has most of them. A client that shakes hands at once gets in even during a flood.
    """

    def __init__(
        self, most: int, most_per_peer: int, timeout_s: float, refused: Callable[[], None] = lambda: None
    ) -> None:
        """Begin with none.

        Args:
            most: Connections at once.
            most_per_peer: The same for one address.
            timeout_s: How long one may be open without having been let in.
            refused: Told of each that had to go, or could not come in.
        """
        self._most, self._most_per_peer = most, most_per_peer
        self.timeout_s = timeout_s
        self._refused = refused
        self._peers: dict[LimitedConnection, str] = {}

    def __len__(self) -> int:
        return len(self._peers)

    def enter(self, connection: LimitedConnection) -> bool:
        """A connection was made; False if there is no room and nobody makes way."""
        peer = peer_of(connection.transport)
        count = sum(other == peer for other in self._peers.values())
        if count >= self._most_per_peer and not self._make_way(peer):
            self._refused()
            return False
        if len(self._peers) >= self._most and not self._make_way(None):
            self._refused()
            return False
        self._peers[connection] = peer
        return True

    def replace(self, old: LimitedConnection, new: LimitedConnection) -> None:
        """An upgrade: another protocol has the connection."""
        if (peer := self._peers.pop(old, None)) is not None:
            self._peers[new] = peer

    def leave(self, connection: LimitedConnection) -> None:
        """A connection is gone."""
        self._peers.pop(connection, None)

    def _make_way(self, peer: str | None) -> bool:
        strangers = [each for each in self._peers if not each.is_accepted]
        if peer is None and strangers:
            peer = Counter(self._peers[each] for each in strangers).most_common(1)[0][0]
        strangers = [each for each in strangers if self._peers[each] == peer]
        if not strangers:
            return False
        self._cut(min(strangers, key=lambda each: each.idle_since_s))
        self._refused()
        return True

    def sweep(self) -> None:
        """Cut those that have had their time, or do not take their last bytes; to be called once a second."""
        now_s = asyncio.get_running_loop().time()
        for connection in list(self._peers):
            if connection.is_accepted:
                connection.idle_since_s = now_s  # when it is closed, it has its time to close
            elif now_s - connection.idle_since_s >= self.timeout_s:
                self._cut(connection)

    def _cut(self, connection: LimitedConnection) -> None:
        self.leave(connection)
        connection.transport.abort()


def peer_of(transport: asyncio.BaseTransport) -> str:
    """The address at the other end."""
    name = transport.get_extra_info("peername")
    return str(name[0]) if isinstance(name, tuple) else ""


def affordable(connections: int) -> int:
    """So many connections, or as many as this process has file descriptors for."""
    if sys.platform == "win32":
        return connections
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return connections if soft == resource.RLIM_INFINITY else max(_FEWEST, min(connections, soft - _KEPT))
