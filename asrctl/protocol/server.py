"""The server's end of one socket as a state machine: messages go in, requests and messages to send come out.

waiting ──start/resume──► opening ──accept──► open ──finish──► finishing ──done──► closed
   └───────────── any violation, `close`, or too much silence ─────────────────────────┘

Every frame that costs the server work is counted against `max_messages_per_s`, also control frames and what
comes after the server's close frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from asrctl.policy.token_bucket import TokenBucket
from asrctl.protocol.codec import decode_client, encode
from asrctl.protocol.codes import CloseCode, Violation, bad_request
from asrctl.protocol.messages import (
    Done,
    Error,
    EventAck,
    Finish,
    Flush,
    KeptMessage,
    Limits,
    Ready,
    Resume,
    ServerMessage,
    Skip,
    Start,
)
from asrctl.protocol.session import ServerSession

MAX_SKIP_S = 600.0
"""Most audio that one `Skip` may declare lost, in seconds."""
_BURST_S = 4.0
"""A client may send the messages of so many seconds at once."""
_LONG_MESSAGE_S = 0.1
"""The longest message that PROTOCOL.md recommends: less room than that is no room for many clients."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send this as one text frame."""

    text: str


@dataclass(frozen=True, slots=True)
class Close:
    """Close the socket; nothing comes after it."""

    code: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Audio:
    """The session's next audio: whole frames, the first at position `offset`."""

    data: bytes
    offset: int


ServerOutput = Send | Close | Start | Resume | Audio | Skip | Flush | Finish
"""`Start` and `Resume` want `accept` or `refuse`; the others are for the session that was accepted."""


class ServerState(StrEnum):
    """Where a socket is; see the module's docstring."""

    WAITING = "waiting"
    OPENING = "opening"
    OPEN = "open"
    FINISHING = "finishing"
    CLOSED = "closed"


class ServerProtocol:
    """One socket of the server. Methods return what follows, in order; after `Close` they return nothing."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        """A socket that was just upgraded; `clock` gives monotonic seconds."""
        self._limits = limits
        self._clock = clock
        self._allowance = TokenBucket(limits.max_messages_per_s, _BURST_S, clock)
        self._heard_s = clock()
        self._acknowledged_when_heard = 0
        self._longest_frames = 0
        self.state = ServerState.WAITING
        self.session: ServerSession | None = None
        self.must_abort = False
        """Whether the client floods a socket that is being closed: the connection has to be cut."""

    # What the client sends

    def receive_text(self, text: str) -> list[ServerOutput]:
        """Take a text frame."""
        length_bytes = len(text.encode("utf-8", "surrogatepass"))
        return self._receive(lambda: self._take(decode_client(text)), length_bytes)

    def receive_binary(self, data: bytes) -> list[ServerOutput]:
        """Take a binary frame."""
        return self._receive(lambda: [self._audio(data)], len(data))

    def receive_ping(self) -> list[ServerOutput]:
        """A ping came, which the transport answers: a sign of life."""
        return self._receive(list, 0)

    def receive_other(self) -> list[ServerOutput]:
        """A pong, or a fragment of a message that is not complete yet: counted, and no sign of life."""
        return self._receive(list, 0, alive=False)

    def _receive(
        self, take: Callable[[], list[ServerOutput]], length_bytes: int, *, alive: bool = True
    ) -> list[ServerOutput]:
        """Hold a frame against the limits, then `take` it."""
        try:
            self._charge(1.0)
            if self.state is ServerState.CLOSED:
                return []
            if alive and self.state is not ServerState.WAITING:  # nothing but `start` ends the handshake
                self._heard()
            if length_bytes > self._limits.max_message_bytes:
                most = self._limits.max_message_bytes
                raise Violation(CloseCode.TOO_BIG, "too_big", f"messages may have {most} bytes")
            return take()
        except Violation as violation:
            self.must_abort = self.state is ServerState.CLOSED
            return self.refuse(violation)

    def check_time(self) -> list[ServerOutput]:
        """To be called now and then: closes a socket that has been silent for too long."""
        if self.state in (ServerState.CLOSED, ServerState.OPENING, ServerState.FINISHING):
            return []  # it is not the client's turn
        if self._is_held_back():
            self._heard_s = self._clock()  # it has the whole time again once it can send
        silent_s = self._clock() - self._heard_s
        if self.state is ServerState.WAITING:
            if silent_s < self._limits.handshake_timeout_s:
                return []
            return self.refuse(Violation(CloseCode.IDLE, "handshake_timeout", "no start or resume came"))
        if silent_s < self._limits.idle_timeout_s:
            return []
        return self.refuse(Violation(CloseCode.IDLE, "idle", "nothing came for too long; resume when ready"))

    # What the server answers

    def accept(
        self, session: ServerSession, ready: Ready, replay: Iterable[KeptMessage] = ()
    ) -> list[ServerOutput]:
        """Open a session on this socket, or take up one; `replay` is what `ServerSession.resume` gave."""
        if self.state is not ServerState.OPENING:
            return []
        self.session = session
        self.state = ServerState.OPEN if session.finish_offset is None else ServerState.FINISHING
        self._heard()
        outputs: list[ServerOutput] = [Send(encode(ready))]
        for event in replay:
            outputs += self.send(event)
        return outputs

    def refuse(self, violation: Violation) -> list[ServerOutput]:
        """Say what is wrong, and close."""
        error = Error(violation.code, violation.message, violation.retry_after_s)
        return [*self.send(error), *self.close(violation.close_code, violation.code)]

    def send(self, message: ServerMessage) -> list[ServerOutput]:
        """Send a message; after `Done` the socket is closed."""
        if self.state is ServerState.CLOSED:
            return []
        closing = self.close(CloseCode.NORMAL) if isinstance(message, Done) else []
        return [Send(encode(message)), *closing]

    def close(self, code: int, reason: str = "") -> list[ServerOutput]:
        """Close the socket; the session is not touched."""
        if self.state is ServerState.CLOSED:
            return []
        self.state = ServerState.CLOSED
        self._allowance.refill()  # for what is on its way already
        return [Close(code, reason)]

    # Inside

    def _take(self, message: Start | Resume | Flush | Skip | EventAck | Finish) -> list[ServerOutput]:
        if isinstance(message, Start | Resume):
            if self.state is not ServerState.WAITING:
                raise bad_request("a socket has one start or resume, at its beginning")
            self.state = ServerState.OPENING
            return [message]
        session = self._opened()
        if isinstance(message, EventAck):
            if message.event_id > session.log.last_id:
                raise bad_request("event_id was never sent")
            session.log.acknowledge(message.event_id)
            return []
        if isinstance(message, Finish):
            return self._finish(session, message)
        if self.state is ServerState.FINISHING:
            raise bad_request("nothing but ack may follow finish")
        if isinstance(message, Skip):
            self._skip(session, message.frames)
        return [message]

    def _skip(self, session: ServerSession, frames: int) -> None:
        """Lost audio costs work too: its seconds count as messages."""
        seconds = frames / session.start.format.sample_rate
        if seconds > MAX_SKIP_S:
            raise bad_request(
                f"a skip may have {MAX_SKIP_S:g} s; a new session can start at a later audio_offset"
            )
        self._charge(seconds)
        session.received += frames
        session.acknowledged = max(session.acknowledged, session.received - session.window_samples)

    def _finish(self, session: ServerSession, message: Finish) -> list[ServerOutput]:
        audio_offset = message.audio_offset
        if session.finish_offset == audio_offset:
            return []  # said again after a resume, since the client cannot know that it arrived
        if audio_offset != session.received or session.finish_offset is not None:
            gap = f"finish says {audio_offset}, but audio came up to {session.received}"
            raise Violation(CloseCode.OFFSET_GAP, "offset_gap", gap)
        session.finish_offset = audio_offset
        self.state = ServerState.FINISHING
        return [message]

    def _audio(self, data: bytes) -> Audio:
        if self.session is None:
            raise Violation(CloseCode.UNSUPPORTED_DATA, "not_started", "no audio may come before ready")
        session = self.session
        if self.state is ServerState.FINISHING:
            raise bad_request("no audio may follow finish")
        frames, rest = divmod(len(data), session.start.format.frame_bytes)
        if rest or not frames:
            wanted = f"audio must come in whole frames of {session.start.format.frame_bytes} bytes"
            raise Violation(CloseCode.INVALID_DATA, "bad_audio", f"{wanted}; {len(data)} bytes came")
        if session.received + frames > session.acknowledged + session.window_samples:
            raise Violation(CloseCode.POLICY, "window_exceeded", "audio came beyond the window")
        offset = session.received
        session.received += frames
        self._longest_frames = max(self._longest_frames, frames)
        return Audio(data, offset)

    def _opened(self) -> ServerSession:
        if self.session is None:
            raise bad_request("the first message must be start or resume, and ready the first answer")
        return self.session

    def _heard(self) -> None:
        """A sign of life came."""
        self._heard_s = self._clock()
        self._acknowledged_when_heard = self.session.acknowledged if self.session else 0

    def _charge(self, messages: float) -> None:
        if not self._allowance.take(messages):
            told = f"more than {self._limits.max_messages_per_s} messages a second came"
            raise Violation(CloseCode.POLICY, "too_many_messages", told)

    def _is_held_back(self) -> bool:
        """Whether it is the server that keeps the client from sending.

        A client knows nothing of the room that no ack told it of, and cannot use room for less than one of
        its messages.
        """
        session = self.session
        if session is None or session.acknowledged == session.received:
            return False
        room = session.acknowledged + session.window_samples - session.received
        message = max(self._longest_frames, int(_LONG_MESSAGE_S * session.start.format.sample_rate))
        return room < message or session.acknowledged == self._acknowledged_when_heard
