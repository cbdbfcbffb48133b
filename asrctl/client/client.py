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
from asrctl.client.source import AHEAD_SAMPLES, HELD_SAMPLES, SOURCE_BUFFER, Source, chunks_of, pcm_of
from asrctl.client.state import Phase, State
from asrctl.errors import ServerError
from asrctl.policy.breaker import CircuitBreaker
from asrctl.protocol.client import ClientProtocol, ClientState
from asrctl.protocol.messages import Done, Ready
from asrctl.transcript import SAMPLE_RATE_HZ, AudioAccount

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FRAME_BYTES = 2


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
        source: Source | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        random: Callable[[], float] = random_module.random,
        breaker: CircuitBreaker | None = None,
    ) -> None:
        """Prepare; nothing is sent before the block is entered.

        Args:
            url: Such as ws://127.0.0.1:8765, or wss:// for TLS.
            options: What to ask for.
            source: Audio that can wait, such as a file's: it is read by the client, as fast as the server
                takes it. So none of it has to be dropped, and none needs a copy on disk. None where audio
                is fed.
            clock: Monotonic seconds.
            sleep: Waits so many seconds.
            random: Numbers in [0, 1), for the jitter.
            breaker: Shared by clients of the same server; None for one of its own.

        Raises:
            UsageError: The URL is none.
        """
        self._options = options or ClientOptions()
        self._url = stream_url(url)
        self._source = source
        self._source_error: Exception | None = None
        self._protocol = ClientProtocol(self._options.start)
        self._buffer = ReplayBuffer(_FRAME_BYTES, self._options.buffer if source is None else SOURCE_BUFFER)
        self._inbox = Inbox()
        self._connections = Connections(
            self._url,
            self._options,
            self._protocol,
            self._buffer,
            self._inbox,
            breaker or CircuitBreaker(self._options.breaker, clock),
            clock,
            sleep,
            random,
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._why_closed = ""  # why no audio is taken any more
        self._error: ServerError | None = None

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._connections.run())]
        if self._source is not None:
            self._tasks.append(asyncio.create_task(self._read(self._source)))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in reversed(self._tasks):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        if self._given_up() is None and self._connections.state.phase is not Phase.DONE:
            self._error = ServerError(f"{self._url}: the client was closed")
        self._buffer.close()
        self._why_closed = self._why_closed or "the client was closed"

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Events, each once, until the server has said everything.

        Raises:
            ServerError: The server was given up; the message says why, and where the audio is.
            Exception: What the source raised; what it had given before was transcribed.
        """
        while (event := await self._inbox.get()) is not None:
            yield event
        if (error := self._given_up()) is not None:
            raise error
        if self._source_error is not None:
            raise self._source_error

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

    def feed(self, samples: NDArray[np.float32] | bytes) -> None:
        """Take audio; never waits. What does not fit into the buffer is declared dropped, oldest first.

        When the server was given up, audio is saved until the iteration has said so, and not any more.

        Args:
            samples: Mono float32 in [-1, 1] at 16 kHz, shape (n,); what is no number becomes silence. Or
                16-bit little-endian PCM.

        Raises:
            RuntimeError: The audio was finished or the client closed; why, if the server was given up.
        """
        self._refuse_after_finish()
        self._buffer.append(pcm_of(samples))
        self._wake()

    def skip(self, count: int, reason: str) -> None:
        """So many samples never came, and why; the server declares them dropped."""
        self._refuse_after_finish()
        self._buffer.skip(count, reason)
        self._wake()

    def finish(self) -> None:
        """No more audio comes; once. The iteration ends when the server has said all there is to say.

        A source is stopped where it is; without this it is read to its end.
        """
        self._refuse_after_finish()
        self._why_closed = "the audio was finished"
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
            may_ask = self._protocol.state is ClientState.OPEN and not self.unsent_samples
            if may_ask and connections.link is not asked:
                asked = connections.link
                self.flush()
            await self._moved()
        if not connections.over:
            connections.settled()
        await self._inbox.wait_taken()

    async def wait_unsent_below(self, samples: int) -> None:
        """Wait until less than so much audio waits to be sent, or none will be any more."""
        while self.unsent_samples >= samples and not self._connections.over:
            await self._moved()

    async def wait_for_room(self) -> None:
        """Wait until audio that can wait, such as a file's, may be fed: not too far ahead of the server."""
        while self._is_ahead and not self._connections.over:
            await self._moved()

    async def _moved(self) -> None:
        self._connections.moved.clear()
        await self._connections.moved.wait()

    async def _read(self, source: Source) -> None:
        """Feed what the source gives, when there is room for it; then say that it was all."""
        try:
            async for pcm in chunks_of(source):
                await self.wait_for_room()
                if self._why_closed or self._connections.over:
                    return
                self.feed(pcm)
        except Exception as error:  # the source's own; what it gave is transcribed before it is raised
            self._source_error = error
        if not self._why_closed:
            self.finish()

    @property
    def _is_ahead(self) -> bool:
        held = self._buffer.end - self._protocol.committed
        return self.unsent_samples >= AHEAD_SAMPLES or held >= HELD_SAMPLES

    # Leaving

    def salvage(self) -> str:
        """Save the audio that no server answered for, for whoever leaves early.

        Returns:
            What became of it, and where it is, for people; empty if there is none.
        """
        return what_is_left(self._buffer, self._options.salvage_dir)

    def _given_up(self) -> ServerError | None:
        """Why the server was given up, once the audio is safe; None unless it was."""
        error = self._connections.error
        if self._error is None and error is not None:
            self._error = ServerError("; ".join(filter(None, (str(error), self._what_is_left()))))
            self._error.__cause__ = error.__cause__
        return self._error

    def _what_is_left(self) -> str:
        """What becomes of the audio when the server is given up."""
        wanted = self._options.salvage
        if self._source is None if wanted is None else wanted:
            return self.salvage()
        answered_s = self._protocol.committed / SAMPLE_RATE_HZ
        return f"transcribed up to {answered_s:.1f} s" if answered_s else ""

    def _refuse_after_finish(self) -> None:
        if self._why_closed:
            raise RuntimeError(str(self._error or self._why_closed))

    def _wake(self) -> None:
        if self._connections.link is not None:
            self._connections.link.wake()
            self._connections.progressed()
