"""One socket: frames go through the protocol's state machine, what follows goes to the hub or back."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque

from starlette.websockets import WebSocket, WebSocketDisconnect

from asrctl.policy.admission import Refusal
from asrctl.protocol import (
    Audio,
    Close,
    CloseCode,
    Finish,
    Flush,
    Metrics,
    Partial,
    Resume,
    Send,
    ServerMessage,
    ServerOutput,
    ServerProtocol,
    ServerState,
    Skip,
    Start,
    Violation,
)
from asrctl.server.hub import Hub, overload
from asrctl.server.session import LiveSession
from asrctl.server.sockets import SOCKET, WebSocketConnection
from asrctl.transcript import SAMPLE_RATE_HZ

_MAX_UNSENT_BYTES = 1 << 20
"""A client that does not read is cut off at so much; its session waits for it."""
_FEW_UNSENT = 8
"""Beyond so many messages unsent, partials are left out."""
_CLOSE_TIMEOUT_S = 5.0


class Connection:
    """A socket that was accepted, until it is closed; a `Listener` of its session."""

    def __init__(self, websocket: WebSocket, hub: Hub, session_id: str | None) -> None:
        """`session_id` is the place that was given to it, None for one that came to resume."""
        self._websocket = websocket
        self._hub = hub
        self._place = session_id
        self.opened_s = hub.clock()
        self._protocol = ServerProtocol(hub.options.limits, hub.clock)
        self._session: LiveSession | None = None
        self._unsent: deque[str] = deque()
        self._unsent_bytes = 0
        self._close: Close | None = None
        self._gone_code: object = None
        self._wake = asyncio.Event()
        socket = websocket.scope.get("extensions", {}).get(SOCKET)
        self._socket: WebSocketConnection | None = socket
        if socket is not None:
            socket.on_control = self._control

    async def run(self) -> None:
        """Serve the socket until it is gone."""
        writer = asyncio.create_task(self._write())
        reader = asyncio.create_task(self._read())
        try:
            await asyncio.wait((reader, writer), return_when=asyncio.FIRST_COMPLETED)
            if self._close is not None:
                await asyncio.wait((writer,), timeout=_CLOSE_TIMEOUT_S)
        finally:
            for task in (reader, writer):
                task.cancel()
            for outcome in await asyncio.gather(reader, writer, return_exceptions=True):
                if isinstance(outcome, Exception):
                    name, detail = type(outcome).__name__, str(outcome)[:200]
                    self._hub.journal.note("connection.failed", error=name, detail=detail)
            code = self._close.code if self._close is not None else self._gone_code
            self._hub.metrics.closed.labels(_code(code)).inc()
            self.leave()

    async def _read(self) -> None:
        """Take frames, as fast as they come: a socket that is not read never sees a pong."""
        while self._close is None:
            message = await self._websocket.receive()
            if message["type"] != "websocket.receive":
                self._gone_code = message.get("code")
                return
            data = message.get("bytes")
            if data is not None:
                self._handle(self._protocol.receive_binary(data))
            else:
                self._handle(self._protocol.receive_text(message["text"]))

    async def _write(self) -> None:
        """Send what is queued, then the close frame."""
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._unsent:
                    text = self._unsent.popleft()
                    self._unsent_bytes -= len(text)
                    await self._websocket.send_text(text)
                if self._close is not None:
                    await self._websocket.close(self._close.code, self._close.reason)
                    return

    def _control(self, ping: bool) -> None:
        """A control frame or a fragment came, which the socket answers by itself."""
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
            self._hub.detach(self._session, self)
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
                self._close = output
                self._wake.set()
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
                session, replay = self._hub.resume(request, self)
                self._give_up_place()
            else:
                session, replay = self._hub.open(self._admitted(), request, self), []
        except Violation as violation:
            self.refuse(violation)
            return
        self._session = session
        self._handle(self._protocol.accept(session.state, self._hub.ready(session), replay))

    def _admitted(self) -> str:
        """The place in the hub; a client that wanted to resume and starts again has to be let in first."""
        if self._place is None:
            place = self._hub.admit()
            if isinstance(place, Refusal):
                self._hub.metrics.rejected.labels("capacity").inc()
                raise overload(place)
            self._place = place
        return self._place

    def deliver(self, message: ServerMessage) -> None:
        """Send a message; a partial only if those before it are on their way."""
        if isinstance(message, Partial) and len(self._unsent) > _FEW_UNSENT:
            return
        self._handle(self._protocol.send(message))

    def refuse(self, violation: Violation) -> None:
        """Say what is wrong, and close."""
        self._handle(self._protocol.refuse(violation))

    def close(self, code: CloseCode, reason: str) -> None:
        """Close the socket; the session is not touched."""
        self._handle(self._protocol.close(code, reason))

    def _queue(self, text: str) -> None:
        if self._unsent_bytes > _MAX_UNSENT_BYTES:
            self._unsent.clear()
            self._unsent_bytes = 0
            self.close(CloseCode.POLICY, "slow_reader")
            return
        self._unsent.append(text)
        self._unsent_bytes += len(text)
        self._wake.set()


def _cause(outputs: list[ServerOutput]) -> str:
    """What the client was told is wrong, just before its socket is closed."""
    told = [json.loads(output.text) for output in outputs if isinstance(output, Send)]
    return str(told[-1]["message"])[:200] if told and told[-1]["type"] == "error" else ""


def _code(code: object) -> str:
    """A close code as a label; codes that clients make up are one."""
    known = {int(each) for each in CloseCode} | {1001, 1005, 1006}
    return str(code) if code in known else "other"
