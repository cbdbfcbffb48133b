"""The client's end as a state machine that outlives its sockets: it knows what to send next, and says each
event once.

    disconnected ──connected──► opening ──ready──► open ──Done──► done
         └◄──────────── disconnected, or a close ────┘

Positions are frames since the beginning of the audio, whatever sockets and sessions came and went. The
audio itself waits in the caller's buffer: it may forget what is before `committed`. A server that claims to
answer for audio which was not sent is taken for broken, before anything is forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from asrctl.protocol.codec import decode_server, encode
from asrctl.protocol.codes import CloseCode, Violation, bad_request
from asrctl.protocol.fields import Misfit
from asrctl.protocol.messages import (
    AudioAck,
    ClientMessage,
    Done,
    Dropped,
    Error,
    EventAck,
    Final,
    Finish,
    Flush,
    GoAway,
    KeptMessage,
    Metrics,
    Partial,
    Ready,
    Resume,
    ServerMessage,
    Skip,
    Speaker,
    SpeechEnded,
    SpeechStarted,
    Start,
)
from asrctl.protocol.server import MAX_SKIP_S, Close, Send
from asrctl.transcript import AudioAccount

_REASON = 500
"""Most characters of a reason that the server takes."""


@dataclass(frozen=True, slots=True)
class SendAudio:
    """Send this as one binary frame."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Opened:
    """The server is ready; audio goes on at `ClientProtocol.next_offset`."""

    ready: Ready
    resumed: bool


_Numbered = SpeechStarted | SpeechEnded | Partial | Final | Dropped | Speaker
ClientOutput = (
    Send | SendAudio | Close | Opened | AudioAck | KeptMessage | _Numbered | Metrics | Error | GoAway
)
"""`Send`, `SendAudio` and `Close` are for the socket; the others are news, each told once."""


class ClientState(StrEnum):
    """Where a client is; see the module's docstring."""

    DISCONNECTED = "disconnected"
    OPENING = "opening"
    OPEN = "open"
    DONE = "done"


class ClientProtocol:
    """One stream of audio through any number of sockets. Methods return what follows, in order."""

    def __init__(self, start: Start) -> None:
        """A client that is not connected; `start` is what it asks of each new session."""
        self._start = start
        self._session: Ready | None = None
        self._last_event_id = 0
        self._first_utterance = 0
        self._next_utterance = 0
        self._window_end = 0
        self._sent_end = start.audio_offset
        self._speech = 0
        self._dropped = 0
        self._finish_offset: int | None = None
        self._finish_sent = False
        self.state = ClientState.DISCONNECTED
        self.next_offset = start.audio_offset
        """Position of the next frame to send, while open."""
        self.committed = start.audio_offset
        """Everything before is answered for, and may be forgotten."""
        self.oldest_offset = start.audio_offset
        """The caller's buffer has nothing before this; see `lost_before`."""

    @property
    def session_id(self) -> str | None:
        """The session to be resumed, to be named in the handshake's URL; None to begin a new one."""
        return self._session.session_id if self._session else None

    @property
    def finish_sent(self) -> bool:
        """Whether this session was told of the end of the audio."""
        return self._finish_sent

    @property
    def sendable_frames(self) -> int:
        """How many frames may be sent now."""
        if self.state is not ClientState.OPEN or self._finish_sent:
            return 0
        end = self._window_end if self._finish_offset is None else min(self._window_end, self._finish_offset)
        return max(0, end - self.next_offset)

    @property
    def max_message_frames(self) -> int:
        """Most frames that one binary message may hold; only once open."""
        assert self._session is not None
        return self._session.limits.max_message_bytes // self._start.format.frame_bytes

    @property
    def account(self) -> AudioAccount:
        """Where the audio before `committed` went, in frames, over all sessions."""
        received = self.committed - self._start.audio_offset
        return AudioAccount(received, self._speech, received - self._speech - self._dropped, self._dropped)

    # Sockets come and go

    def connected(self) -> list[ClientOutput]:
        """The socket is open: what to say first."""
        assert self.state is ClientState.DISCONNECTED
        self.state = ClientState.OPENING
        if self._session is not None:
            return [_send(Resume(self._session.session_id, self._session.resume_token, self._last_event_id))]
        return [*self._skip_ahead(), _send(replace(self._start, audio_offset=self.committed))]

    def disconnected(self, close_code: int | None = None) -> None:
        """The socket is gone, with this code if there was a close frame."""
        if self.state is ClientState.DONE:
            return
        self.state = ClientState.DISCONNECTED
        if close_code in (CloseCode.SESSION_GONE, CloseCode.UNAUTHORISED, CloseCode.OFFSET_GAP):
            self.abandon_session()

    def abandon_session(self) -> None:
        """Do not resume: the next socket begins a new session at `committed`."""
        self._session = None
        self._last_event_id = 0
        self._first_utterance = self._next_utterance
        self.next_offset = self._sent_end = self.committed

    # What the caller sends

    def audio(self, data: bytes) -> SendAudio:
        """The frames from `next_offset` on, at most `sendable_frames` and `max_message_frames`."""
        frames, rest = divmod(len(data), self._start.format.frame_bytes)
        if rest or not 0 < frames <= min(self.sendable_frames, self.max_message_frames):
            raise ValueError(f"{len(data)} bytes are not what may be sent now")
        self._sent(frames)
        return SendAudio(data)

    def skip(self, frames: int, reason: str) -> list[ClientOutput]:
        """The next frames are lost on this side; the server declares them dropped when their turn has come.

        Args:
            frames: How many, from `next_offset` on; any number.
            reason: Why, for people.
        """
        if self.state is not ClientState.OPEN or self._finish_sent:
            return []
        most, outputs = int(MAX_SKIP_S * self._start.format.sample_rate), list[ClientOutput]()
        while frames > 0:
            count = min(most, frames)
            frames -= count
            self._sent(count)
            outputs.append(_send(Skip(count, reason[:_REASON] or "lost")))
        return outputs

    def _sent(self, frames: int) -> None:
        self.next_offset += frames
        self._sent_end = max(self._sent_end, self.next_offset)

    def lost_before(self, offset: int) -> list[ClientOutput]:
        """The caller's buffer had to let go of everything before `offset`, sent or not."""
        self.oldest_offset = max(self.oldest_offset, offset)
        return self._declare_lost() if self.state is ClientState.OPEN else []

    def flush(self) -> list[ClientOutput]:
        """Ask for a final of what was sent so far; nothing happens while not open."""
        return [_send(Flush())] if self.state is ClientState.OPEN and not self._finish_sent else []

    def keep_alive(self) -> list[ClientOutput]:
        """Tell the server that a client which has nothing to send is there."""
        return [_send(EventAck(self._last_event_id))] if self.state is ClientState.OPEN else []

    def finish(self, audio_offset: int) -> list[ClientOutput]:
        """The audio ends at `audio_offset`; to be called once. It is told when all before it was sent."""
        self._finish_offset = audio_offset
        return self.check_finish()

    def check_finish(self) -> list[ClientOutput]:
        """To be called after audio was sent: says `finish` when all audio was."""
        if self.state is not ClientState.OPEN or self._finish_sent or self.next_offset != self._finish_offset:
            return []
        self._finish_sent = True
        return [_send(Finish(self.next_offset))]

    # What the server sends

    def receive_text(self, text: str) -> list[ClientOutput]:
        """Take a text frame; an unknown message gives nothing, a broken one closes the socket."""
        if self.state not in (ClientState.OPENING, ClientState.OPEN):
            return []
        try:
            message = decode_server(text)
            return [] if message is None else self._take(message)
        except Violation as violation:
            return [Close(violation.close_code, violation.message)]
        except Misfit as misfit:  # a number that is too large once it is ours
            return [Close(CloseCode.BAD_REQUEST, str(misfit))]

    def receive_binary(self, data: bytes) -> list[ClientOutput]:
        """A server sends no binary frames."""
        return [Close(CloseCode.UNSUPPORTED_DATA, "a server sends no binary frames")]

    def _take(self, message: ServerMessage) -> list[ClientOutput]:
        if isinstance(message, Ready):
            return self._open(message)
        if isinstance(message, Error | GoAway):
            return [message]
        if self.state is not ClientState.OPEN:
            raise bad_request("the first message must be ready or error")
        if isinstance(message, AudioAck):
            self._check_sent(message.received)
            if message.committed > message.received:
                raise bad_request(
                    f"it answers for audio up to {message.committed}, and received {message.received}"
                )
            self.committed = max(self.committed, message.committed)
            self._window_end = max(self._window_end, message.received + self._window_samples)
            return [message]
        if isinstance(message, KeptMessage):
            return self._keep(message)
        if isinstance(message, SpeechStarted | SpeechEnded | Partial):
            return [self._renumbered(message)]
        return [message]

    def _check_sent(self, position: int) -> None:
        if position > self._sent_end:
            raise bad_request(f"it answers for audio up to {position}, and {self._sent_end} were sent")

    @property
    def _window_samples(self) -> int:
        return self._session.window_samples if self._session else 0

    def _open(self, ready: Ready) -> list[ClientOutput]:
        if self.state is not ClientState.OPENING:
            raise bad_request("ready comes once")
        resumed = self._session is not None
        self._check_ready(ready)
        self._session = ready
        self.state = ClientState.OPEN
        self.next_offset = ready.audio_offset
        self._window_end = ready.audio_offset + ready.window_samples
        self._finish_sent = False
        return [Opened(ready, resumed), *self._declare_lost(), *self.check_finish()]

    def _check_ready(self, ready: Ready) -> None:
        if self._session is not None and ready.session_id != self._session.session_id:
            raise bad_request("it resumed another session")
        if not self.committed <= ready.audio_offset <= self._sent_end:
            raise bad_request(f"it asks for audio that is not there, from {ready.audio_offset} on")
        if ready.limits.max_message_bytes < self._start.format.frame_bytes:
            raise bad_request("it takes no messages as long as one frame")

    def _keep(self, message: KeptMessage) -> list[ClientOutput]:
        """An event with an id: told once, acknowledged each time."""
        ack = _send(EventAck(message.id))
        if message.id <= self._last_event_id:
            return [ack]
        if isinstance(message, Final | Dropped):
            news = self._renumbered(message)
            self._cover(message)
            self._last_event_id = message.id
            return [news, ack]
        if isinstance(message, Done) and not (self._finish_sent and message.audio_offset == self.next_offset):
            raise bad_request("it ended the session before the audio did")
        self._last_event_id = message.id
        if isinstance(message, Speaker):
            return [self._renumbered(message), ack]
        if isinstance(message, Done):
            self.committed = message.audio_offset
            self.state = ClientState.DONE
            return [message]  # the socket closes now
        return [message, ack]

    def _cover(self, message: Final | Dropped) -> None:
        """These frames are answered for; so are all before them, since finals come in order."""
        self._check_sent(message.to)
        if message.from_ > message.to:
            raise bad_request(f"it answers for the frames from {message.from_} to {message.to}")
        frames = max(0, message.to - max(message.from_, self.committed))  # none is counted twice
        if isinstance(message, Final):
            self._speech += frames
        else:
            self._dropped += frames
        self.committed = max(self.committed, message.to)

    def _renumbered(self, message: _Numbered) -> _Numbered:
        """Each session counts its utterances from 0; over all of them they go on."""
        if message.utterance is None:
            return message
        utterance = self._first_utterance + message.utterance
        self._next_utterance = max(self._next_utterance, utterance + 1)
        return replace(message, utterance=utterance)

    # Audio that is lost on this side

    def _declare_lost(self) -> list[ClientOutput]:
        return self.skip(self.oldest_offset - self.next_offset, "the client could not hold it")

    def _skip_ahead(self) -> list[ClientOutput]:
        """A new session begins where there is audio; what was lost before that is accounted for here."""
        gap = self.oldest_offset - self.committed
        if gap <= 0:
            return []
        lost = Dropped(self.committed, self.oldest_offset, "the client could not hold it")
        self._sent_end = self.oldest_offset
        self._cover(lost)
        self.next_offset = self.committed
        return [lost]


def _send(message: ClientMessage) -> Send:
    return Send(encode(message))
