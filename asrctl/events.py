"""What a live stream says. Times are seconds, positions are samples at 16 kHz, both since its start."""

from __future__ import annotations

from dataclasses import dataclass

from asrctl.transcript import AudioAccount, Segment


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """An utterance has begun; exactly one `Final` or `Dropped` will end it."""

    utterance: int
    start_s: float


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """The utterance is complete; its final is on the way. `paused` is whether the speaker ended it, and not a
    flush, the end of the stream, or a cut because it was too long."""

    utterance: int
    end_s: float
    paused: bool = True


@dataclass(frozen=True, slots=True)
class Partial:
    """What the open utterance seems to say; replaces the one before.

    Attributes:
        utterance: Its number, from 0.
        revision: Counts this utterance's partials, from 1.
        start_s: Where the utterance begins.
        end_s: How far this partial has heard.
        stable: Text that later partials of this utterance only ever extend.
        unstable: Text after it that may still change.
    """

    utterance: int
    revision: int
    start_s: float
    end_s: float
    stable: str
    unstable: str


@dataclass(frozen=True, slots=True)
class Final:
    """What an utterance says, for good; `segment.text` is empty if it held no words after all.

    Finals come in order and do not overlap. `start_sample` and `end_sample` are the audio they account for,
    `provider` is whose words they are, `language` the code of the language they were taken to be in.
    """

    utterance: int
    segment: Segment
    start_sample: int
    end_sample: int
    provider: str = ""
    language: str = ""


@dataclass(frozen=True, slots=True)
class Dropped:
    """Audio that will not be transcribed, and why. `utterance` is None for audio that was never received."""

    utterance: int | None
    start_sample: int
    end_sample: int
    reason: str


@dataclass(frozen=True, slots=True)
class ProviderChanged:
    """Another provider takes the next utterance, or takes up again what one had not finished, and why."""

    provider: str
    reason: str


@dataclass(frozen=True, slots=True)
class SpeakerChanged:
    """Who said a final is known only now, or better than before; its words stay as they are.

    Attributes:
        utterance: That of the final.
        speaker: Who said it, or most of it; "" is unknown.
        words: Who said each of its words, in their order; empty if it has no words.
    """

    utterance: int
    speaker: str
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SpeakersLost:
    """Speakers are not told apart from here on, and why; what was said of them before stands."""

    reason: str


@dataclass(frozen=True, slots=True)
class Flushed:
    """The stream was flushed: the events before this one answer for all audio before `sample`."""

    sample: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The stream has ended and everything was said; in the account nothing is pending."""

    account: AudioAccount


Event = (
    SpeechStarted
    | SpeechEnded
    | Partial
    | Final
    | Dropped
    | ProviderChanged
    | SpeakerChanged
    | SpeakersLost
    | Flushed
    | Finished
)
