"""A stream into a server, as the engine holds it: nothing here waits for the network."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from asrctl.errors import ProviderError
from asrctl.providers.base import Lost, Spoken
from asrctl.providers.remote.backlog import Backlog
from asrctl.providers.remote.loop import LoopThread
from asrctl.providers.remote.pcm import pcm_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Carrier(Protocol):
    """Brings a backlog to a server, and tells what comes back."""

    def run(self) -> Coroutine[Any, Any, None]:
        """Raises ProviderError when the server is given up."""
        ...


class Voice:
    """Passes on what a stream says until it is hushed, or has said `Lost`; from any thread.

    `say` runs under a lock that `hush` takes: it must not wait for a thread that is closing the stream.
    """

    def __init__(self, say: Callable[[Spoken], None]) -> None:
        """Begin to speak through `say`."""
        self._say = say
        self._lock = threading.RLock()
        self._over = False

    def __call__(self, spoken: Spoken) -> None:
        """Say something, if it is not too late."""
        with self._lock:
            if not self._over:
                self._over = isinstance(spoken, Lost)
                self._say(spoken)

    def hush(self) -> None:
        """Nothing is said any more once this has returned."""
        with self._lock:
            self._over = True


class RemoteSession:
    """See `StreamingSession`; made by `RemoteModel.open`."""

    def __init__(
        self,
        loop: LoopThread,
        backlog: Backlog,
        carrier: Callable[[asyncio.Event], Carrier],
        voice: Voice,
        lost: Callable[[ProviderError], ProviderError],
        ended: Callable[[RemoteSession], None],
    ) -> None:
        """Begin to connect.

        Args:
            loop: Where everything happens.
            backlog: Fresh; touched in the loop only.
            carrier: Makes the carrier, given an event that is set whenever the backlog grew.
            voice: Says what comes back.
            lost: Told why the stream was lost; gives the error for `Lost`.
            ended: Called once when the session is closed.
        """
        self._loop = loop
        self._backlog = backlog
        self._voice = voice
        self._lost = lost
        self._ended = ended
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._loop.call(lambda: self._begin(carrier(self._wake)))

    def feed(self, samples: NDArray[np.float32]) -> None:
        """See `StreamingSession.feed`."""
        pcm = pcm_of(samples)
        self._loop.call(lambda: self._take(pcm))

    def complete(self) -> None:
        """See `StreamingSession.complete`."""
        self._loop.call(self._complete)

    def close(self) -> None:
        """See `StreamingSession.close`."""
        self._voice.hush()
        if not self._closed:
            self._closed = True
            self._loop.call(self._stop)
            self._ended(self)

    # In the loop

    def _begin(self, carrier: Carrier) -> None:
        if not self._closed:
            self._task = self._loop.start(self._carry(carrier))

    async def _carry(self, carrier: Carrier) -> None:
        try:
            await carrier.run()
        except ProviderError as error:
            self._lose(error)
        except Exception as error:  # a bug; the words must not be lost with it
            self._lose(ProviderError(f"the provider failed: {type(error).__name__}"))
            raise

    def _take(self, pcm: bytes) -> None:
        if not self._over:
            try:
                self._backlog.feed(pcm)
            except ProviderError as error:
                self._lose(error)
                self._stop()
            self._wake.set()

    def _complete(self) -> None:
        if not self._over:
            for spoken in self._backlog.complete():
                self._voice(spoken)
            self._wake.set()

    @property
    def _over(self) -> bool:
        return self._task is None or self._task.done()

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _lose(self, error: ProviderError) -> None:
        self._voice(Lost(self._lost(error)))
