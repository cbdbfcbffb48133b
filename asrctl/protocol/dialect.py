"""What a live dialect is: a state machine for one socket of a client that speaks another protocol than ours.

Frames of the socket and events of the session go in; requests to the session and frames to send come out. A
dialect has no I/O, no tasks and no clock of its own. `asrctl.v1` has more to say (resuming, positions,
windows) and is not one of these.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from asrctl.events import Event
from asrctl.policy.admission import Refusal
from asrctl.protocol.endpointing import Endpointing

Encoding = Literal["pcm_s16le", "pcm_s32le", "pcm_f32le", "mulaw", "alaw"]


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """What a session shall be like.

    Attributes:
        encoding: What `Audio` holds: little-endian samples, or G.711.
        sample_rate_hz: Samples of each channel a second.
        channels: Interleaved; they are mixed.
        source: "system" waits for "mic" under load.
        language: A code such as "en", or "auto".
        prompt: Text that sets names and style.
        vocabulary: Terms that the audio is likely to hold.
        partials: Whether partials are wanted.
        endpointing: How utterances are cut; None for the server's way.
        speakers: Whether speakers are told apart by voice; only for a server that can.
    """

    encoding: Encoding = "pcm_s16le"
    sample_rate_hz: int = 16_000
    channels: int = 1
    source: Literal["mic", "system"] = "mic"
    language: str = "auto"
    prompt: str = ""
    vocabulary: tuple[str, ...] = ()
    partials: bool = True
    endpointing: Endpointing | None = None
    speakers: bool = False


# What a dialect asks for, in order


@dataclass(frozen=True, slots=True)
class Open:
    """Begin a session; audio may follow at once.

    `refused` is called if there is none to be had, `failed` if the server cannot do what is asked; what
    follows in the same list is left out then.
    """

    request: SessionRequest


@dataclass(frozen=True, slots=True)
class Feed:
    """The session's next audio; odd bytes are carried over."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Reformat:
    """What is fed from here on has another sample rate, or other channels; the encoding stays."""

    sample_rate_hz: int
    channels: int


@dataclass(frozen=True, slots=True)
class Flush:
    """Finalise what was fed: a `Flushed` follows the finals of it, also if there are none."""


@dataclass(frozen=True, slots=True)
class Discard:
    """Throw away what was fed since the last `Flush` and is not final: it is declared dropped; a `Flushed`
    follows. An utterance that is open ends with its `Dropped`, without `SpeechEnded`.

    With `open_only` utterances that have ended by themselves are kept.
    """

    reason: str
    open_only: bool = False


@dataclass(frozen=True, slots=True)
class Finish:
    """No more audio; `Finished` follows the last final, and ends the session. Then another may be begun."""


@dataclass(frozen=True, slots=True)
class SendText:
    """Send a text frame; `droppable` ones are left out for a client that does not read."""

    text: str
    droppable: bool = False


@dataclass(frozen=True, slots=True)
class SendBytes:
    """Send a binary frame, or bytes where the transport has no frames."""

    data: bytes


@dataclass(frozen=True, slots=True)
class CloseSocket:
    """Close the socket; nothing comes after it. The session ends with it."""

    code: int = 1000
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """A line of the log."""

    event: str
    detail: dict[str, object] = field(default_factory=dict)


DialectOutput = Open | Feed | Reformat | Flush | Discard | Finish | SendText | SendBytes | CloseSocket | Note


class Dialect(Protocol):
    """One socket; each method returns what follows, in order, and nothing after `CloseSocket`."""

    def opened(self) -> list[DialectOutput]:
        """The socket was accepted."""

    def receive_text(self, text: str) -> list[DialectOutput]:
        """Take a text frame."""

    def receive_binary(self, data: bytes) -> list[DialectOutput]:
        """Take a binary frame."""

    def hear(self, event: Event) -> list[DialectOutput]:
        """Take an event of the session."""

    def refused(self, refusal: Refusal) -> list[DialectOutput]:
        """No session could be begun; or it has ended, since more audio waits than the server may hold."""

    def failed(self, reason: str) -> list[DialectOutput]:
        """The session ended through a fault."""

    def going_away(self) -> list[DialectOutput]:
        """The server shuts down: what was fed is to be flushed, and the socket closed with 1012 once that is
        answered for. A socket without a session is closed at once."""

    def ended(self) -> list[DialectOutput]:
        """The server ends, and waits no longer: what has no answer is said to be lost, and the socket closed
        with 1012."""

    def check_time(self) -> list[DialectOutput]:
        """To be called a few times a second: time-outs."""
