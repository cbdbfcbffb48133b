"""One connection after the other, until all is said or the server is given up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from asrctl.client.inbox import TOLD, Inbox
from asrctl.client.link import Link, open_socket
from asrctl.client.options import ClientOptions
from asrctl.client.replay import ReplayBuffer
from asrctl.client.salvage import what_is_left
from asrctl.client.state import Phase, State
from asrctl.errors import ServerError
from asrctl.network.failures import LinkFailure
from asrctl.network.retry import Retry
from asrctl.protocol import (
    AudioAck,
    ClientOutput,
    ClientProtocol,
    ClientState,
    Done,
    Opened,
    Ready,
)
from asrctl.transcript import SAMPLE_RATE_HZ

_BUFFERING_SAMPLES = SAMPLE_RATE_HZ
"""So much unsent audio is called buffering."""


class Connections:
    """Keeps a link to a server, or tries to.

    Attributes:
        link: The present link, if there is one.
        ready: What the server said about itself and the session; None before.
        done: The server's account of the last session; None before the end.
        moved: Set whenever audio was fed, sent or answered for, and at the end.
    """

    def __init__(
        self,
        url: str,
        options: ClientOptions,
        protocol: ClientProtocol,
        buffer: ReplayBuffer,
        inbox: Inbox,
        retry: Retry,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[object]],
    ) -> None:
        """Prepare; nothing is sent before `run`.

        Args:
            url: The server's stream.
            options: How long to wait for what.
            protocol: Fresh.
            buffer: Holds what is not committed.
            inbox: Gets the events, and is closed at the end.
            retry: Says when to try again.
            clock: Monotonic seconds.
            sleep: Waits so many seconds.
        """
        self.link: Link | None = None
        self.ready: Ready | None = None
        self.done: Done | None = None
        self.moved = asyncio.Event()
        self._url = url
        self._options = options
        self._protocol = protocol
        self._buffer = buffer
        self._inbox = inbox
        self._retry = retry
        self._clock = clock
        self._sleep = sleep
        self._state = State(Phase.CONNECTING)
        self._wait_until_s = 0.0
        self._over = False

    @property
    def state(self) -> State:
        """What is going on now."""
        return replace(
            self._state,
            wait_s=max(0.0, self._wait_until_s - self._clock()),
            unsent_s=self.unsent_samples / SAMPLE_RATE_HZ,
            breaker=self._retry.breaker,
        )

    @property
    def unsent_samples(self) -> int:
        """Audio fed that no server has, as far as is known."""
        live = self._protocol.state is not ClientState.DISCONNECTED
        return self._buffer.end - (self._protocol.next_offset if live else self._protocol.committed)

    @property
    def over(self) -> bool:
        """Whether nothing will be sent any more."""
        return self._over

    async def run(self) -> None:
        """Connect and connect again."""
        try:
            while not await self._try():
                pass
        except ServerError as error:
            self._set(State(Phase.GAVE_UP, reason=str(error)))
            self._inbox.close(error)
        except BaseException:
            self._inbox.close(ServerError(f"{self._url}: the client failed"))
            raise
        else:
            self._set(State(Phase.DONE))
            self._inbox.close()
        finally:
            self._over = True
            self.moved.set()

    async def _try(self) -> bool:
        """One connection, and the wait after it; whether all is said."""
        retry = self._retry
        while not retry.begin(resuming=self._protocol.session_id is not None):
            await self._wait(retry.shut_s)
        self._set(replace(self._state, attempt=retry.attempts, max_attempts=retry.max_attempts, wait_s=0.0))
        try:
            await self._one_link()
        except LinkFailure as failure:
            await self._wait(self._wait_after(failure))
            return False
        retry.done()
        if self._protocol.committed < self._buffer.end:
            raise self._giving_up("the server ended the session before the audio did")
        return True

    async def _one_link(self) -> None:
        """Connect, and speak until it is over.

        Raises:
            LinkFailure: It is over before all is said.
        """
        options, protocol = self._options, self._protocol
        close_code: int | None = None
        socket = await open_socket(
            self._url, protocol.session_id, options.api_key, options.connect_timeout_s, options.keepalive_s
        )
        try:
            self._declare_lost()
            self.link = Link(socket, protocol, self._buffer, self._tell, self._inbox.room, self.progressed)
            await self.link.run(options.connect_timeout_s)
        except LinkFailure as failure:
            close_code = failure.close_code
            raise
        finally:
            self.link = None
            protocol.disconnected(close_code)

    def _declare_lost(self) -> None:
        """A new session begins after what the buffer could not hold."""
        position = self._protocol.committed
        if self._protocol.session_id is None and position < self._buffer.end:
            piece = self._buffer.read(position, self._buffer.end - position)
            if piece.data is None:
                self._protocol.lost_before(position + piece.frames)

    def _wait_after(self, failure: LinkFailure) -> float:
        """Seconds to wait before the next attempt.

        Raises:
            ServerError: There shall be none.
        """
        retry = self._retry
        wait_s = retry.failed(failure)
        if wait_s is None:
            tried = "" if failure.fatal else f"; gave up after {retry.attempts} attempts"
            raise self._giving_up(failure.reason + tried)
        self._set(State(Phase.RECONNECTING, retry.attempts + 1, retry.max_attempts, reason=failure.reason))
        return wait_s

    async def _wait(self, wait_s: float) -> None:
        if wait_s > 0.0:
            self._wait_until_s = self._clock() + wait_s
            self._set(self._state)
            await self._sleep(wait_s)
            self._wait_until_s = 0.0

    def _giving_up(self, reason: str) -> ServerError:
        """The error, once the audio that no server answered for is safe."""
        kept = what_is_left(self._buffer, self._options.salvage_dir) if self._options.salvage else ""
        return ServerError("; ".join(filter(None, [f"{self._url}: {reason}", kept])))

    # What comes back

    def _tell(self, news: ClientOutput) -> None:
        if isinstance(news, Opened):
            self.ready = news.ready
            self._retry.ready()
            self._set(State(Phase.LIVE))
        elif isinstance(news, AudioAck):
            self._retry.alive()
            self.moved.set()
        elif isinstance(news, TOLD):
            if isinstance(news, Done):
                self.done = news
            self._inbox.put(news)
            self.moved.set()

    def settled(self) -> None:
        """The server has answered for everything: what went wrong before counts no more."""
        self._retry.proved()

    def progressed(self) -> None:
        """More was fed, or sent: say so if that makes a difference."""
        self.moved.set()
        phase, unsent = self._state.phase, self.unsent_samples
        if phase is Phase.LIVE and unsent >= _BUFFERING_SAMPLES:
            self._set(State(Phase.BUFFERING))
        elif phase is Phase.BUFFERING and not unsent:
            self._set(State(Phase.LIVE))

    def _set(self, state: State) -> None:
        self._state = state
        self._inbox.put(self.state)
