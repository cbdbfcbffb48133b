"""How long a server may take with what is left when the audio has ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from asrctl.network.failures import LinkFailure
from asrctl.protocol.client import ClientProtocol

_DONE_S = 30.0
"""`done` has nothing left to wait for once everything is answered for."""


class Finishing:
    """Counts the time since the server last answered for audio, over all links, from `finish` on.

    The time without a link is not counted: reconnecting has bounds of its own.
    """

    def __init__(self, protocol: ClientProtocol, timeout_s: float) -> None:
        """Prepare; `timeout_s` is how long there may be no progress."""
        self._protocol = protocol
        self._timeout_s = timeout_s
        self._committed = -1
        self._left_s = timeout_s
        self._since_s: float | None = None
        self._limit: asyncio.Timeout | None = None

    @asynccontextmanager
    async def bounded(self) -> AsyncIterator[None]:
        """One link, which is ended when the time is over.

        Raises:
            LinkFailure: It is.
        """
        try:
            async with asyncio.timeout(None) as self._limit:
                yield
        except TimeoutError:
            missing = "`done` did not come" if self._all_answered else "it answered for nothing more"
            reason = f"the server did not finish: {missing} in {self._patience_s:g} s"
            raise LinkFailure(reason, fatal=True) from None
        finally:
            self._limit = None
            self._pause()

    def check(self) -> None:
        """To be called when something was sent, or came."""
        if self._limit is None or self._limit.expired() or not self._protocol.finish_sent:
            return
        if self._protocol.committed != self._committed:
            self._committed = self._protocol.committed
            self._left_s = self._patience_s
            self._since_s = None
        if self._since_s is None:
            self._since_s = asyncio.get_running_loop().time()
            self._limit.reschedule(self._since_s + self._left_s)

    @property
    def _all_answered(self) -> bool:
        return self._protocol.next_offset == self._protocol.committed

    @property
    def _patience_s(self) -> float:
        return min(_DONE_S, self._timeout_s) if self._all_answered else self._timeout_s

    def _pause(self) -> None:
        if self._since_s is not None:
            self._left_s -= asyncio.get_running_loop().time() - self._since_s
            self._since_s = None
