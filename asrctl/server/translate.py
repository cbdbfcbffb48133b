"""From the engine's events, in samples at 16 kHz, to messages, in the client's frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from asrctl import events
from asrctl.languages import known_language
from asrctl.protocol.messages import (
    Dropped,
    Final,
    Partial,
    ServerMessage,
    Speaker,
    SpeakersLost,
    SpeechEnded,
    SpeechStarted,
    Status,
    WireWord,
)
from asrctl.protocol.session import ServerSession
from asrctl.transcript import SAMPLE_RATE_HZ, Word

_MS = 3
"""Decimals of times."""


@dataclass(frozen=True, slots=True)
class Positions:
    """Between samples at 16 kHz since the session began, and frames since the audio did."""

    audio_offset: int
    rate_hz: int

    def frames(self, sample: int) -> int:
        """The frame at or before a sample."""
        return self.audio_offset + sample * self.rate_hz // SAMPLE_RATE_HZ

    def samples(self, frame: int) -> int:
        """How many samples all frames before this one make."""
        return round((frame - self.audio_offset) * SAMPLE_RATE_HZ / self.rate_hz)

    def time_s(self, time_s: float) -> float:
        """A time since the session began as one since the audio did."""
        return max(0.0, round(self.audio_offset / self.rate_hz + time_s, _MS))


def message_of(
    event: events.SpeechStarted
    | events.SpeechEnded
    | events.Partial
    | events.Final
    | events.Dropped
    | events.SpeakerChanged
    | events.SpeakersLost,
    positions: Positions,
    state: ServerSession,
) -> ServerMessage:
    """What to tell the client."""
    match event:
        case events.SpeechStarted():
            return SpeechStarted(event.utterance, positions.time_s(event.start_s))
        case events.SpeechEnded():
            return SpeechEnded(event.utterance, positions.time_s(event.end_s))
        case events.Partial():
            start_s, end_s = positions.time_s(event.start_s), positions.time_s(event.end_s)
            return Partial(event.utterance, start_s, end_s, event.stable, event.unstable)
        case events.Final():
            segment = event.segment
            words = tuple(_word(word, positions) for word in segment.words) if state.start.words else None
            return Final(
                utterance=event.utterance,
                start_s=positions.time_s(segment.start_s),
                end_s=positions.time_s(segment.end_s),
                text=segment.text,
                confidence=_share(segment.confidence),
                from_=min(positions.frames(event.start_sample), state.received),
                to=min(positions.frames(event.end_sample), state.received),
                words=words,
                language=known_language(event.language) or None,
                speaker=state.start.speaker or segment.speaker or None,
            )
        case events.Dropped():
            return Dropped(
                from_=min(positions.frames(event.start_sample), state.received),
                to=min(positions.frames(event.end_sample), state.received),
                reason=event.reason[:500],
                utterance=event.utterance,
            )
        case events.SpeakerChanged():
            names = event.words if state.start.words else None
            return Speaker(event.utterance, event.speaker or None, names)
        case events.SpeakersLost():
            return SpeakersLost(event.reason[:500])
        case _:
            assert_never(event)


def status_of(event: events.ProviderChanged, level: int, models: Mapping[str, str]) -> Status:
    """What to tell the client when another provider has its utterances; the level stays as it is."""
    return Status(
        level=level,
        from_level=level,
        reason=event.reason[:500],
        model=models.get(event.provider, ""),
        provider=event.provider,
    )


def _word(word: Word, positions: Positions) -> WireWord:
    start_s, end_s = positions.time_s(word.start_s), positions.time_s(word.end_s)
    return WireWord(start_s, end_s, word.text, _share(word.confidence), word.speaker or None)


def _share(value: float) -> float:
    """Within 0 to 1, whatever rounding did; NaN becomes 0."""
    return round(min(max(0.0, value), 1.0), _MS)
