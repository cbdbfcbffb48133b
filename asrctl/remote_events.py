"""What a server says, as the events of a session on this machine; its text is made safe to show."""

from __future__ import annotations

from asrctl.events import Dropped, Event, Final, Partial, SpeakerChanged, SpeakersLost, SpeechStarted
from asrctl.network.text import safe_text
from asrctl.protocol import messages
from asrctl.transcript import Segment, Word


def event_of(message: object) -> Event | None:
    """A server's message as an event; None for what is about the link."""
    if isinstance(message, messages.SpeechStarted):
        return SpeechStarted(message.utterance, message.start_s)
    if isinstance(message, messages.Partial):
        return Partial(
            message.utterance,
            0,
            message.start_s,
            message.end_s,
            safe_text(message.stable),
            safe_text(message.unstable),
        )
    if isinstance(message, messages.Final):
        words = words_of(message)
        language, text = safe_text(message.language or ""), safe_text(message.text)
        segment = Segment(message.start_s, message.end_s, text, message.confidence, words, language=language)
        segment = segment.labelled(safe_text(message.speaker or ""), [word.speaker for word in words])
        return Final(message.utterance, segment, message.from_, message.to, language=language)
    if isinstance(message, messages.Speaker):
        names = tuple(map(safe_text, message.words or ()))
        return SpeakerChanged(message.utterance, safe_text(message.speaker or ""), names)
    if isinstance(message, messages.SpeakersLost):
        return SpeakersLost(safe_text(message.reason))
    if isinstance(message, messages.Dropped):
        return Dropped(message.utterance, message.from_, message.to, safe_text(message.reason))
    return None


def words_of(final: messages.Final) -> tuple[Word, ...]:
    """The words of a final, if they were asked for."""
    return tuple(
        Word(
            word.start_s,
            word.end_s,
            safe_text(word.text),
            word.confidence,
            safe_text(word.speaker or final.speaker or ""),
        )
        for word in final.words or ()
    )
