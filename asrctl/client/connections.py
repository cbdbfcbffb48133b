"""One connection after the other, until all is said or the server is given up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from asrctl.client.finishing import Finishing
from asrctl.client.inbox import Inbox, Told
from asrctl.client.link import Link, open_socket
from asrctl.client.options import ClientOptions
from asrctl.client.replay import ReplayBuffer
from asrctl.client.state import Phase, State
from asrctl.errors import ServerError
from asrctl.network.failures import LinkFailure
from asrctl.network.retry import LAST_TRY_S, PATIENCE_S, Attempts, GaveUp
from asrctl.policy.breaker import CircuitBreaker
from asrctl.protocol.client import ClientOutput, ClientProtocol, ClientState, Opened
from asrctl.protocol.messages import AudioAck, Done, Ready
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
        over: Whether nothing will be sent any more.
        error: Why the server was given up; None unless it was.
    """

    def __init__(
        self,
        url: str,
        options: ClientOptions,
        protocol: ClientProtocol,
        buffer: ReplayBuffer,
        inbox: Inbox,
        breaker: CircuitBreaker,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[object]],
        random: Callable[[], float],
    ) -> None:
        """Prepare; nothing is sent before `run`.

        `protocol` is fresh; `inbox` gets the events, and is closed at the end. The rest is as for `Client`.
        """
        self.link: Link | None = None
        self.ready: Ready | None = None
        self.done: Done | None = None
        self.moved = asyncio.Event()
        self.over = False
        self.error: ServerError | None = None
        self._url = url
        self._options = options
        self._protocol = protocol
        self._buffer = buffer
        self._inbox = inbox
        self._phase = Phase.CONNECTING
        self._attempts = Attempts(
            options.backoff,
            breaker,
            wait_for_answer_s=PATIENCE_S if options.wait_for_server_s is None else options.wait_for_server_s,
            wait_for_ready_s=options.wait_for_server_s,
            changed=self._trying,
            clock=clock,
            sleep=sleep,
            random=random,
        )
        self._finishing = Finishing(protocol, options.finish_timeout_s)

    @property
    def state(self) -> State:
        """What is going on now."""
        tries = self._attempts
        trying = self._phase in (Phase.CONNECTING, Phase.RECONNECTING)
        return State(
            self._phase,
            attempt=tries.number + bool(tries.wait_s) if trying else 0,
            max_attempts=tries.max_number if trying and not tries.is_awaited else 0,
            wait_s=tries.wait_s,
            unsent_s=self.unsent_samples / SAMPLE_RATE_HZ,
            reason=tries.reason if trying else str(self.error or ""),
            breaker=tries.breaker,
        )

    @property
    def unsent_samples(self) -> int:
        """Audio fed that no server has, as far as is known."""
        live = self._protocol.state is not ClientState.DISCONNECTED
        return self._buffer.end - (self._protocol.next_offset if live else self._protocol.committed)

    async def run(self) -> None:
        """Connect and connect again."""
        phase = Phase.GAVE_UP
        try:
            async for attempt in self._attempts:
                with attempt:
                    await self._one_link()
            phase = Phase.DONE
        except GaveUp as gave_up:
            self.error = ServerError(f"{self._url}: {gave_up}")
        except Exception as fault:  # ours; it must not cost anybody their audio
            self.error = ServerError(f"{self._url}: the client failed: {fault or type(fault).__name__}")
            self.error.__cause__ = fault
        finally:
            self._set(phase)
            self._inbox.close()
            self.over = True
            self.moved.set()

    async def _one_link(self) -> None:
        """Connect, and speak until it is over.

        Raises:
            LinkFailure: It is over before all is said.
        """
        options, protocol = self._options, self._protocol
        resuming = protocol.session_id is not None
        socket = await open_socket(
            self._url, protocol.session_id, options.api_key, self._timeout_s, options.keepalive_s
        )
        self._attempts.heard()
        try:
            self._declare_lost()
            self.link = Link(socket, protocol, self._buffer, self._tell, self._inbox.room, self.progressed)
            async with self._finishing.bounded():
                await self.link.run(self._timeout_s)
        except LinkFailure as failure:
            protocol.disconnected(failure.close_code)
            failure.at_once = resuming and protocol.session_id is None  # the server is well
            raise
        finally:
            self.link = None
            protocol.disconnected()

    @property
    def _timeout_s(self) -> float:
        """How long the next step of an attempt may take."""
        timeout_s, left_s = self._options.connect_timeout_s, self._attempts.left_s
        return timeout_s if left_s is None else min(timeout_s, max(left_s, LAST_TRY_S))

    def _declare_lost(self) -> None:
        """A new session begins after what the buffer could not hold."""
        position = self._protocol.committed
        if self._protocol.session_id is None and position < self._buffer.end:
            piece = self._buffer.read(position, self._buffer.end - position)
            if piece.data is None:
                self._protocol.lost_before(position + piece.frames)

    # What comes back

    def _tell(self, news: ClientOutput) -> None:
        if isinstance(news, Opened):
            self.ready = news.ready
            self._attempts.ready()
            self._set(Phase.LIVE)
        elif isinstance(news, AudioAck):
            self._attempts.alive()
            self.moved.set()
        elif isinstance(news, Told):
            if isinstance(news, Done):
                self.done = news
            self._inbox.put(news)
            self.moved.set()
        self._finishing.check()

    def settled(self) -> None:
        """The server has answered for everything: what went wrong before counts no more."""
        self._attempts.proved()

    def progressed(self) -> None:
        """More was fed, or sent: say so if that makes a difference."""
        self.moved.set()
        self._finishing.check()
        if self._phase is Phase.LIVE and self.unsent_samples >= _BUFFERING_SAMPLES:
            self._set(Phase.BUFFERING)
        elif self._phase is Phase.BUFFERING and not self.unsent_samples:
            self._set(Phase.LIVE)

    def _trying(self) -> None:
        """An attempt begins, or a wait for one."""
        again = self._attempts.reason and self._attempts.answered
        self._set(Phase.RECONNECTING if again else Phase.CONNECTING)

    def _set(self, phase: Phase) -> None:
        self._phase = phase
        self._inbox.put(self.state)
