"""The messages of `asrctl.v1`, one class each; what they mean is told in asrctl/server/PROTOCOL.md.

Positions (`audio_offset`, `received`, `committed`, `from`, `to`) count frames of the agreed format since the
beginning of the audio: one sample of each channel, at the session's `sample_rate`. Times are seconds since
the same beginning. `id` numbers the events that are kept until acknowledged and replayed on resume.
"""

from __future__ import annotations

from dataclasses import dataclass

from asrctl.policy.vocabulary import MAX_TERM_CHARACTERS, MAX_TERMS
from asrctl.protocol.endpointing import Endpointing
from asrctl.protocol.fields import (
    Checked,
    choice,
    code,
    flag,
    flag_or_whole,
    label,
    number,
    optional,
    part,
    parts,
    text,
    texts,
    whole,
)

_TEXT = 100_000
"""Most characters of a transcript in one message."""
_NAME = 500
MAX_START = 1 << 52
"""Largest position a session may begin at; far enough below the largest of all for any audio."""
MAX_SKIP_FRAMES = 1 << 31
_MAX_SPEAKERS = 100
_MAX_WORDS = 10_000
"""In one final."""
_LEVEL = 4

SAMPLE_BYTES = {"pcm_s16le": 2, "pcm_f32le": 4}
"""Bytes of a sample by encoding; both little-endian, floats within ±1."""


@dataclass(frozen=True, slots=True)
class AudioFormat(Checked):
    """What binary messages hold: whole frames, channels interleaved."""

    encoding: str = choice(*SAMPLE_BYTES, default="pcm_s16le")
    sample_rate: int = whole(8_000, 192_000, default=16_000)
    channels: int = whole(1, 8, default=1)

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of each channel."""
        return SAMPLE_BYTES[self.encoding] * self.channels


@dataclass(frozen=True, slots=True)
class Limits(Checked):
    """What the server takes from one connection.

    Attributes:
        max_message_bytes: Longest message, text or binary.
        max_messages_per_s: Messages per second, on average; four times as many at once.
        handshake_timeout_s: Time from the upgrade to `start` or `resume`.
        idle_timeout_s: Longest silence of a client that could send.
    """

    max_message_bytes: int = whole(1, default=1 << 20)
    max_messages_per_s: int = whole(1, default=500)
    handshake_timeout_s: float = number(default=10.0)
    idle_timeout_s: float = number(default=60.0)


@dataclass(frozen=True, slots=True)
class WireWord(Checked):
    """A word of a final, with its times."""

    start_s: float = number()
    end_s: float = number()
    text: str = text(_TEXT)
    confidence: float = number(0, 1)
    speaker: str | None = optional(label())


# From the client


@dataclass(frozen=True, slots=True)
class Start(Checked):
    """Begin a session; asks for what the table in PROTOCOL.md says, and what is None as the server has it."""

    format: AudioFormat = part(AudioFormat)  # noqa: RUF009 it makes a field
    source: str = choice("mic", "system", default="mic")
    language: str = text(100, 1, default="auto")
    model: str | None = optional(text(_NAME, 1))
    prompt: str = text(2_000, default="")
    partials: bool = flag(default=True)
    words: bool = flag(default=False)
    metrics: bool = flag(default=False)
    audio_offset: int = whole(0, MAX_START, default=0)
    endpointing: Endpointing | None = optional(part(Endpointing))  # noqa: RUF009
    partial_interval_s: float | None = optional(number(0.1, 60.0))
    vocabulary: tuple[str, ...] | None = optional(texts(MAX_TERMS, MAX_TERM_CHARACTERS))
    group: str | None = optional(label())
    speaker: str | None = optional(label())
    speakers: bool | int | None = optional(flag_or_whole(1, _MAX_SPEAKERS))


@dataclass(frozen=True, slots=True)
class Resume(Checked):
    """Go on with a session whose socket was lost; `last_event_id` is the last event that arrived, or 0."""

    session_id: str = text(_NAME, 1)
    resume_token: str = text(_NAME, 1)
    last_event_id: int = whole()


@dataclass(frozen=True, slots=True)
class Flush(Checked):
    """Finalise now what was sent so far."""


@dataclass(frozen=True, slots=True)
class Skip(Checked):
    """The client lost so many frames before it could send them; they count as sent, and as dropped."""

    frames: int = whole(1, MAX_SKIP_FRAMES)
    reason: str = text(_NAME, 1)


@dataclass(frozen=True, slots=True)
class EventAck(Checked):
    """All events up to this id have arrived and need not be kept; 0 only says that the client is there."""

    event_id: int = whole()


@dataclass(frozen=True, slots=True)
class Finish(Checked):
    """No more audio; `audio_offset` is where it ends, so that both sides can see that none is missing."""

    audio_offset: int = whole()


# From the server


@dataclass(frozen=True, slots=True)
class Ready(Checked):
    """Send audio from `audio_offset` on, at most `window_samples` beyond it or the last ack.

    `vocabulary_left_out` are terms of `start` that there was no room for; None if there are none.
    """

    session_id: str = text(_NAME, 1)
    resume_token: str = text(_NAME, 1)
    audio_offset: int = whole()
    resume_ttl_s: float = number()
    window_samples: int = whole(1)
    limits: Limits = part(Limits)  # noqa: RUF009 it makes a field
    model: str = text(_NAME)
    provider: str = text(_NAME)
    level: int = whole(0, _LEVEL)
    vocabulary_left_out: tuple[str, ...] | None = optional(texts(MAX_TERMS, MAX_TERM_CHARACTERS))


@dataclass(frozen=True, slots=True)
class AudioAck(Checked):
    """How far the server has taken the audio, and how far it answers for it.

    Attributes:
        received: The window counts from here. It falls behind what was sent when the server is behind.
        committed: Everything before is in finals, judged silence or declared dropped: it may be forgotten.
    """

    received: int = whole()
    committed: int = whole()


@dataclass(frozen=True, slots=True)
class SpeechStarted(Checked):
    """An utterance has begun."""

    utterance: int = whole()
    start_s: float = number()


@dataclass(frozen=True, slots=True)
class SpeechEnded(Checked):
    """The utterance has ended; its final follows, unless it is dropped."""

    utterance: int = whole()
    end_s: float = number()


@dataclass(frozen=True, slots=True)
class Partial(Checked):
    """What the open utterance seems to say; replaces the one before. `stable` only ever grows."""

    utterance: int = whole()
    start_s: float = number()
    end_s: float = number()
    stable: str = text(_TEXT)
    unstable: str = text(_TEXT)


@dataclass(frozen=True, slots=True)
class Final(Checked):
    """What an utterance says, for good; `text` may be empty. It answers for the frames `from` to `to`."""

    utterance: int = whole()
    start_s: float = number()
    end_s: float = number()
    text: str = text(_TEXT)
    confidence: float = number(0, 1)
    from_: int = whole()
    to: int = whole()
    words: tuple[WireWord, ...] | None = optional(parts(WireWord))
    language: str | None = optional(code())
    speaker: str | None = optional(label())
    id: int = whole(default=0)


@dataclass(frozen=True, slots=True)
class Dropped(Checked):
    """The frames `from` to `to` will not be transcribed; `utterance` is the one they belonged to, if any."""

    from_: int = whole()
    to: int = whole()
    reason: str = text(_NAME)
    utterance: int | None = optional(whole())
    id: int = whole(default=0)


@dataclass(frozen=True, slots=True)
class Speaker(Checked):
    """Who said the final of an utterance, known only now, or better than before; its words stay as they are.

    `words` is who said each of them, if they were asked for; "" is unknown, as is None for `speaker`.
    """

    utterance: int = whole()
    speaker: str | None = optional(label())
    words: tuple[str, ...] | None = optional(texts(_MAX_WORDS, 100, 0))
    id: int = whole(default=0)


@dataclass(frozen=True, slots=True)
class SpeakersLost(Checked):
    """Speakers are not told apart from here on, and why; what was said of them before stands."""

    reason: str = text(500)
    id: int = whole(default=0)


@dataclass(frozen=True, slots=True)
class Status(Checked):
    """The server changed how much work it does, 0 is normal, 4 the worst; or who does this session's."""

    level: int = whole(0, _LEVEL)
    from_level: int = whole(0, _LEVEL)
    reason: str = text(_NAME)
    model: str = text(_NAME)
    provider: str | None = optional(text(_NAME))
    id: int = whole(default=0)


@dataclass(frozen=True, slots=True)
class Metrics(Checked):
    """How the session stands. `pending_s` is audio received and not answered for."""

    received_s: float = number()
    pending_s: float = number()
    queue_depth: int = whole()
    rtf: float = number()
    level: int = whole(0, _LEVEL)


@dataclass(frozen=True, slots=True)
class Error(Checked):
    """Something is wrong; a close frame follows. `code` is for programs, `message` for people."""

    code: str = text(100, 1)
    message: str = text(2_000)
    retry_after_s: float | None = optional(number())


@dataclass(frozen=True, slots=True)
class GoAway(Checked):
    """The server will close the socket in `after_s` seconds, with 1012."""

    after_s: float = number()


@dataclass(frozen=True, slots=True)
class Done(Checked):
    """Everything was said; received = speech + silence + dropped, for this session alone."""

    audio_offset: int = whole()
    received_s: float = number()
    speech_s: float = number()
    silence_s: float = number()
    dropped_s: float = number()
    last_event_id: int = whole()
    id: int = whole(default=0)


ClientMessage = Start | Resume | Flush | Skip | EventAck | Finish
KeptMessage = Final | Dropped | Speaker | SpeakersLost | Status | Done
"""Events with an `id`: kept until acknowledged, replayed on resume."""
ServerMessage = (
    Ready | AudioAck | SpeechStarted | SpeechEnded | Partial | KeptMessage | Metrics | Error | GoAway
)

CLIENT_TYPES: dict[str, type[ClientMessage]] = {
    "start": Start,
    "resume": Resume,
    "flush": Flush,
    "skip": Skip,
    "ack": EventAck,
    "finish": Finish,
}
SERVER_TYPES: dict[str, type[ServerMessage]] = {
    "ready": Ready,
    "ack": AudioAck,
    "speech_started": SpeechStarted,
    "speech_ended": SpeechEnded,
    "partial": Partial,
    "final": Final,
    "dropped": Dropped,
    "speaker": Speaker,
    "speakers_lost": SpeakersLost,
    "status": Status,
    "metrics": Metrics,
    "error": Error,
    "goaway": GoAway,
    "done": Done,
}
