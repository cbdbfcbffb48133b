"""One socket: frames go through the protocol's state machine, what follows goes to the hub or back."""

from __future__ import annotations

import json

from starlette.websockets import WebSocket

from asrctl.policy.admission import Refusal
from asrctl.protocol.codes import CloseCode, Violation
from asrctl.protocol.messages import Finish, Flush, Metrics, Partial, Resume, ServerMessage, Skip, Start
from asrctl.protocol.server import Audio, Close, Send, ServerOutput, ServerProtocol, ServerState
from asrctl.server import native
from asrctl.server.hub import Hub
from asrctl.server.session import LiveSession
from asrctl.server.shell import SocketShell
from asrctl.transcript import SAMPLE_RATE_HZ


class Connection(SocketShell):
    """A socket of `asrctl.v1`; a `Listener` of its session."""

    def __init__(self, websocket: WebSocket, hub: Hub, session_id: str | None) -> None:
        """`session_id` is the place that was given to it, None for one that came to resume."""
        super().__init__(websocket, hub)
        self._place = session_id
        self.opened_s = hub.clock()
        self._protocol = ServerProtocol(hub.options.limits, hub.clock)
        self._session: LiveSession | None = None

    @property
    def _has_session(self) -> bool:
        return self._session is not None

    def _take_text(self, text: str) -> None:
        self._handle(self._protocol.receive_text(text))

    def _take_binary(self, data: bytes) -> None:
        self._handle(self._protocol.receive_binary(data))

    def _control(self, ping: bool) -> None:
        self._handle(self._protocol.receive_ping() if ping else self._protocol.receive_other())
        if self._protocol.must_abort and self._socket is not None:
            self._socket.abort()

    @property
    def holds_place(self) -> bool:
        """Whether it was let in, and no session was begun on it."""
        return self._place is not None and self._protocol.state is ServerState.WAITING

    def leave(self) -> None:
        """The socket is gone; may be called twice."""
        if self._session is not None:
            native.detach(self._hub, self._session, self)
        self._give_up_place()

    def _give_up_place(self) -> None:
        if self._place is not None:
            self._hub.release(self._place)
            self._place = None

    def check(self) -> None:
        """To be called now and then: time-outs, and `metrics` once a second if asked for."""
        self._handle(self._protocol.check_time())
        session = self._session
        if session is not None and session.state.start.metrics:
            load = self._hub.engine.meter.load()
            self.deliver(
                Metrics(
                    received_s=session.account.received_samples / SAMPLE_RATE_HZ,
                    pending_s=session.pending_s,
                    queue_depth=load.finals + load.partials,
                    rtf=load.share,
                    level=int(self._hub.ladder.level),
                )
            )

    # What follows

    def _handle(self, outputs: list[ServerOutput]) -> None:
        for output in outputs:
            if isinstance(output, Send):
                self._queue(output.text)
            elif isinstance(output, Close):
                self._end(output)
                self._note_close(output, _cause(outputs))
            elif isinstance(output, Start | Resume):
                self._begin(output)
            else:
                self._pass_on(output)

    def _note_close(self, close: Close, cause: str) -> None:
        """A line of the log for each socket that the server closes, with the cause as its client was told."""
        if close.code == CloseCode.NORMAL:
            return
        session = self._session.state.session_id if self._session else None
        self._hub.journal.note(
            "close", code=int(close.code), reason=close.reason, cause=cause or None, session=session
        )

    def _pass_on(self, request: Audio | Skip | Flush | Finish) -> None:
        """Give a request to the session; one that cannot take it, as on a full disk, is given up."""
        assert self._session is not None
        try:
            self._session.take(request)
        except Exception as error:
            self._session.fail(f"{type(error).__name__}: {error}")

    def _begin(self, request: Start | Resume) -> None:
        try:
            if isinstance(request, Resume):
                session, replay = native.resume(self._hub, request, self)
                self._give_up_place()
            else:
                session, replay = native.open_session(self._hub, self._admitted(), request, self), []
        except Violation as violation:
            self.refuse(violation)
            return
        self._session = session
        self._handle(self._protocol.accept(session.state, native.ready(self._hub, session), replay))

    def _admitted(self) -> str:
        """The place in the hub; a client that wanted to resume and starts again has to be let in first."""
        if self._place is None:
            place = self._hub.admit()
            if isinstance(place, Refusal):
                self._hub.metrics.rejected.labels("capacity").inc()
                raise native.overload(place)
            self._place = place
        return self._place

    def deliver(self, message: ServerMessage) -> None:
        """Send a message; a partial only if those before it are on their way."""
        if isinstance(message, Partial) and self._is_crowded:
            return
        self._handle(self._protocol.send(message))

    def refuse(self, violation: Violation) -> None:
        """Say what is wrong, and close."""
        self._handle(self._protocol.refuse(violation))

    def close(self, code: CloseCode, reason: str) -> None:
        """Close the socket; the session is not touched."""
        self._handle(self._protocol.close(code, reason))


def _cause(outputs: list[ServerOutput]) -> str:
    """What the client was told is wrong, just before its socket is closed."""
    told = [json.loads(output.text) for output in outputs if isinstance(output, Send)]
    return str(told[-1]["message"])[:200] if told and told[-1]["type"] == "error" else ""
