"""Runs the state machine of a dialect: its requests go to a session and to a transport of any kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from asrctl.errors import QueueFull, UsageError
from asrctl.events import Event, Finished
from asrctl.policy.admission import Refusal
from asrctl.protocol.codes import CloseCode
from asrctl.protocol.dialect import (
    CloseSocket,
    Dialect,
    DialectOutput,
    Discard,
    Feed,
    Finish,
    Flush,
    Note,
    Open,
    Reformat,
    SendBytes,
    SendText,
)
from asrctl.server.dialects.session import DialectSession, begin
from asrctl.server.hub import Hub

_FULL_RETRY_S = 5
_PIECE_BYTES = 1 << 18
"""Audio is converted in pieces: minutes at once would take many times their size in memory."""


class Transport(Protocol):
    """A WebSocket, or a stream of bytes. Neither method waits."""

    def send(self, frame: str | bytes, *, droppable: bool) -> None:
        """Send a frame; a droppable one is left out for a client that does not read."""

    def finish(self, code: int, reason: str) -> None:
        """Close, after what was sent."""


class Driver:
    """One socket's dialect with its session, if it has one. Belongs to the server's event loop.

    What the transport receives is handed to `receive_text` and `receive_binary`; `leave` must be called when
    the socket is gone.
    """

    def __init__(self, name: str, dialect: Dialect, hub: Hub, transport: Transport) -> None:
        """Begin with the socket accepted.

        Args:
            name: Of the dialect, for the log.
            dialect: Fresh.
            hub: The server's sessions.
            transport: Where frames go.
        """
        self._name = name
        self._dialect = dialect
        self._hub = hub
        self._transport = transport
        self._session: DialectSession | None = None
        self.closed = False
        """Whether the socket is being closed: nothing more is taken or sent."""
        self._going_away = False
        self.waits_since_s = hub.clock()
        """Since when it has had no session."""

    @property
    def has_session(self) -> bool:
        """Whether it has a session."""
        return self._session is not None

    # What comes from the socket

    def open(self) -> None:
        """The socket was accepted."""
        self._guarded(self._dialect.opened)

    def receive_text(self, text: str) -> None:
        """Take a text frame."""
        self._guarded(lambda: self._dialect.receive_text(text))

    def receive_binary(self, data: bytes) -> None:
        """Take a binary frame."""
        self._guarded(lambda: self._dialect.receive_binary(data))

    def check(self) -> None:
        """To be called a few times a second."""
        self._guarded(self._dialect.check_time)

    def go_away(self) -> None:
        """The server shuts down: what was fed becomes final, then the socket is closed."""
        self._going_away = True
        self._guarded(self._dialect.going_away)
        self._end_if_over()

    def leave(self) -> None:
        """The socket is gone: so is the session. May be called twice."""
        self.closed = True
        self._leave()

    def close(self, code: int, reason: str) -> None:
        """Close the socket, whatever the dialect would say."""
        if not self.closed:
            self._do([CloseSocket(code, reason)])

    # What comes from the session

    def hear(self, event: Event) -> None:
        """Take an event of the session."""
        if isinstance(event, Finished):
            self._forget_session()
        self._guarded(lambda: self._dialect.hear(event))
        self._end_if_over()

    def failed(self, reason: str) -> None:
        """The session has ended through a fault."""
        self._forget_session()
        self._guarded(lambda: self._dialect.failed(reason))
        self._end_if_over()

    def _end_if_over(self) -> None:
        """While the server shuts down, a socket without a session has nothing to wait for."""
        if self._going_away and self._session is None:
            self.end()

    def end(self) -> None:
        """The server ends; what the client has no answer to is declared lost."""
        self._guarded(self._dialect.ended)
        self.close(CloseCode.RESTART, "restart")

    # What follows

    def _guarded(self, ask: Callable[[], Sequence[DialectOutput]]) -> None:
        """Do what the dialect answers; a mistake of ours ends this socket, and no other."""
        if self.closed:
            return
        try:
            self._do(ask())
        except Exception as error:
            name, detail = type(error).__name__, str(error)[:200]
            self._hub.journal.note("connection.failed", dialect=self._name, error=name, detail=detail)
            self.close(CloseCode.INTERNAL, "internal")

    def _do(self, outputs: Sequence[DialectOutput]) -> None:
        for output in outputs:
            if self.closed:
                return
            if isinstance(output, Open):
                if (problem := self._open(output)) is not None:
                    self._do(problem)
                    return
            elif isinstance(output, SendText):
                self._transport.send(output.text, droppable=output.droppable)
            elif isinstance(output, SendBytes):
                self._transport.send(output.data, droppable=False)
            elif isinstance(output, CloseSocket):
                self._close(output)
            elif isinstance(output, Note):
                self._hub.journal.note(output.event, dialect=self._name, **output.detail)
            elif (problem := self._ask(output)) is not None:
                self._do(problem)
                return

    def _open(self, output: Open) -> list[DialectOutput] | None:
        """Begin a session; what the dialect says if there is none to be had."""
        self._leave()
        try:
            opened = begin(self._hub, output.request, self, self._name)
        except UsageError as error:
            return self._dialect.failed(str(error))
        if isinstance(opened, Refusal):
            return self._dialect.refused(opened)
        self._session = opened
        return None

    def _ask(self, output: Feed | Reformat | Flush | Discard | Finish) -> list[DialectOutput] | None:
        """Hand a request to the session; what the dialect says if that cannot take it."""
        session = self._session
        if session is None:
            return None
        try:
            if isinstance(output, Feed):
                for at in range(0, len(output.data), _PIECE_BYTES):
                    session.add(output.data[at : at + _PIECE_BYTES])
                session.check_room()
            elif isinstance(output, Reformat):
                session.reformat(output.sample_rate_hz, output.channels)
            elif isinstance(output, Flush):
                session.flush()
            elif isinstance(output, Discard):
                session.discard(output.reason, open_only=output.open_only)
            else:
                session.finish()
        except QueueFull as error:
            self._leave()
            return self._dialect.refused(Refusal(str(error), _FULL_RETRY_S))
        except Exception as error:
            self._leave()
            return self._dialect.failed(f"{type(error).__name__}: {error}")
        return None

    def _close(self, output: CloseSocket) -> None:
        self.closed = True
        self._leave()
        if output.code != CloseCode.NORMAL:
            code, reason = int(output.code), output.reason
            self._hub.journal.note("close", dialect=self._name, code=code, reason=reason)
        self._transport.finish(output.code, output.reason)

    def _leave(self) -> None:
        if (session := self._forget_session()) is not None:
            self._hub.leave(session)

    def _forget_session(self) -> DialectSession | None:
        session, self._session = self._session, None
        self.waits_since_s = self._hub.clock()
        return session
