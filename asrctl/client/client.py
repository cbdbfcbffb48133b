"""The client: feed it audio, iterate over what it hears; it outlives the connections that it makes."""

from __future__ import annotations

import asyncio
import random as random_module
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from asrctl.client.connections import Connections
from asrctl.client.inbox import Event, Inbox
from asrctl.client.link import stream_url
from asrctl.client.options import ClientOptions
from asrctl.client.replay import ReplayBuffer
from asrctl.client.salvage import what_is_left
from asrctl.client.state import State
from asrctl.network.retry import Retry
from asrctl.policy.breaker import CircuitBreaker
from asrctl.protocol import (
    ClientProtocol,
    ClientState,
    Done,
    Ready,
)
from asrctl.transcript import SAMPLE_RATE_HZ, AudioAccount

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FRAME_BYTES = 2
_BUFFERING_SAMPLES = SAMPLE_RATE_HZ
"""So much unsent audio is called buffering."""


class Client:
    """One stream of audio to a server; use it as an asynchronous context manager, in one event loop.

        async with Client("ws://127.0.0.1:8765") as client:
            client.feed(samples)
            client.finish()
            async for event in client:
                if isinstance(event, Final):
                    print(event.text)

    Iterate while audio is fed: what is not taken is held up to a limit, then the server is kept waiting.
    Leaving the block early ends the session; what was not said by then is not heard.
    """

    def __init__(
        self,
        url: str,
        options: ClientOptions | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        random: Callable[[], float] = random_module.random,
        breaker: CircuitBreaker | None = None,
    ) -> None:
        """Prepare; nothing is sent before the block is entered.

        Args:
            url: Such as ws://127.0.0.1:8765, or wss:// for TLS.
            options: What to ask for.
            clock: Monotonic seconds.
            sleep: Waits so many seconds.
            random: Numbers in [0, 1), for the jitter.
            breaker: Shared by clients of the same server; None for one of its own.

        Raises:
            UsageError: The URL is none.
        """
        self._options = options or ClientOptions()
        self._protocol = ClientProtocol(self._options.start)
        self._buffer = ReplayBuffer(_FRAME_BYTES, self._options.buffer)
        self._inbox = Inbox()
        breaker = breaker or CircuitBreaker(self._options.breaker, clock)
        self._connections = Connections(
            stream_url(url),
            self._options,
            self._protocol,
            self._buffer,
            self._inbox,
            Retry(self._options.backoff, breaker, clock, random),
            clock,
            sleep,
        )
        self._task: asyncio.Task[None] | None = None
        self._finished = False

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._connections.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._buffer.close()
        self._finished = True

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Events, each once, until the server has said everything.

        Raises:
            ServerError: The server was given up; the message says why, and where the audio is.
        """
        while (event := await self._inbox.get()) is not None:
            yield event

    @property
    def ready(self) -> Ready | None:
        """What the server said about itself and the session; None before it did."""
        return self._connections.ready

    @property
    def done(self) -> Done | None:
        """The server's account of the last session; None before the end."""
        return self._connections.done

    @property
    def state(self) -> State:
        """What is going on now."""
        return self._connections.state

    @property
    def fed_samples(self) -> int:
        """Audio fed so far, gaps included."""
        return self._buffer.end

    @property
    def unsent_samples(self) -> int:
        """Audio fed that no server has, as far as is known."""
        return self._connections.unsent_samples

    @property
    def account(self) -> AudioAccount:
        """Where the audio went that is answered for, over all sessions."""
        return self._protocol.account

    # Audio

    def feed(self, samples: NDArray[np.float32]) -> None:
        """Take audio; never waits. What does not fit into the buffer is declared dropped, oldest first.

        Args:
            samples: Mono float32 in [-1, 1] at 16 kHz, shape (n,); what is no number becomes silence.
        """
        import numpy as np

        self._refuse_after_finish()
        scaled = np.rint(np.nan_to_num(samples).clip(-1.0, 1.0) * np.float32(32768))
        self._buffer.append(scaled.clip(max=32767).astype("<i2").tobytes())
        self._wake()

    def skip(self, count: int, reason: str) -> None:
        """So many samples never came, and why; the server declares them dropped."""
        self._refuse_after_finish()
        self._buffer.skip(count, reason)
        self._wake()

    def finish(self) -> None:
        """No more audio comes; once. The iteration ends when the server has said all there is to say."""
        self._refuse_after_finish()
        self._finished = True
        outputs = self._protocol.finish(self._buffer.end)
        if self._connections.link is not None:
            self._connections.link.handle(outputs)

    def flush(self) -> None:
        """Have what was sent so far finalised now, if there is a link."""
        if self._connections.link is not None:
            self._connections.link.handle(self._protocol.flush())

    async def settle(self) -> None:
        """Have everything that was fed finalised, and wait until the server has answered for it.

        It is asked again over each new link. Feed nothing meanwhile. When this returns, all that was said of
        the audio was iterated over, or nothing will be said any more.
        """
        connections, asked = self._connections, None
        while self._protocol.committed < self._buffer.end and not connections.over:
            connections.moved.clear()
            may_ask = self._protocol.state is ClientState.OPEN and not self.unsent_samples
            if may_ask and connections.link is not asked:
                asked = connections.link
                self.flush()
            await connections.moved.wait()
        if not connections.over:
            connections.settled()
        await self._inbox.wait_taken()

    async def wait_unsent_below(self, samples: int) -> None:
        """Wait until less than so much audio waits to be sent, or none will be any more."""
        while self.unsent_samples >= samples and not self._connections.over:
            self._connections.moved.clear()
            await self._connections.moved.wait()

    def salvage(self) -> str:
        """Save the audio that no server answered for, for whoever leaves early.

        Returns:
            What became of it, and where it is, for people; empty if there is none.
        """
        return what_is_left(self._buffer, self._options.salvage_dir)

    def _refuse_after_finish(self) -> None:
        if self._finished:
            raise RuntimeError("the audio was finished")

    def _wake(self) -> None:
        if self._connections.link is not None:
            self._connections.link.wake()
            self._connections.progressed()
