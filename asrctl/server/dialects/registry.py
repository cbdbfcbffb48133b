"""All sockets that speak a dialect, over whatever transport: looked after, and told when the server ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from asrctl.protocol.codes import CloseCode
from asrctl.server.dialects.driver import Driver

MAX_WAITING = 64
"""Sockets that may be open without a session; then the one that waits longest makes way."""


class Registry:
    """The drivers of one server."""

    def __init__(self) -> None:
        self._drivers: set[Driver] = set()
        self._bounded: set[Driver] = set()
        """Those whose waiting is bounded."""
        self._closing = False

    def __len__(self) -> int:
        return len(self._drivers)

    def _make_way(self) -> None:
        """Where too many have no session, the one that waits longest goes."""
        waiting = [each for each in self._bounded if not (each.has_session or each.closed)]
        if len(waiting) >= MAX_WAITING:
            oldest = min(waiting, key=lambda each: each.waits_since_s)
            oldest.close(CloseCode.OVERLOAD, "too many sockets are open without a session")

    @contextmanager
    def kept(self, driver: Driver, *, may_wait: bool = False) -> Iterator[None]:
        """Look after a socket for as long as it is there, and end its session with it.

        With `may_wait` somebody else bounds sockets of its kind that have no session.
        """
        self._drivers.add(driver)
        if not may_wait:
            self._make_way()
            self._bounded.add(driver)
        try:
            driver.open()
            if self._closing:
                driver.end()
            yield
        finally:
            self._drivers.discard(driver)
            self._bounded.discard(driver)
            driver.leave()

    def check(self) -> None:
        """Time-outs; to be called a few times a second."""
        for driver in list(self._drivers):
            driver.check()

    def go_away(self) -> None:
        """The server shuts down: what was fed becomes final, and sockets close when theirs has."""
        self._closing = True
        for driver in list(self._drivers):
            driver.go_away()

    @property
    def settled(self) -> bool:
        """Whether nobody waits for a final."""
        return all(driver.closed for driver in self._drivers)

    def close(self) -> None:
        """Close all that are left."""
        for driver in list(self._drivers):
            driver.end()
