"""All sockets that speak a dialect, over whatever transport: looked after, and told when the server ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from asrctl.server.dialects.driver import Driver

MAX_WAITING = 64
"""Sockets that may be open without a session or a place for one."""


class Registry:
    """The drivers of one server."""

    def __init__(self) -> None:
        self._drivers: set[Driver] = set()
        self._closing = False

    def __len__(self) -> int:
        return len(self._drivers)

    @property
    def waiting(self) -> int:
        """How many have neither a session nor a place for one."""
        return sum(not driver.has_place for driver in self._drivers)

    @contextmanager
    def kept(self, driver: Driver) -> Iterator[None]:
        """Look after a socket for as long as it is there, and end its session with it."""
        self._drivers.add(driver)
        try:
            driver.open()
            if self._closing:
                driver.end()
            yield
        finally:
            self._drivers.discard(driver)
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
