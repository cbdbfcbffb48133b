"""What a server says, as events."""

from __future__ import annotations

from asrctl.client import Phase, State
from asrctl.events import Dropped, Final, Partial, SpeakerChanged, SpeakersLost, SpeechStarted
from asrctl.protocol import messages
from asrctl.remote_events import event_of


def test_a_servers_events_are_as_ours() -> None:
    """The same classes, with positions and words; what is about the link is none."""
    assert event_of(messages.SpeechStarted(1, 2.0)) == SpeechStarted(1, 2.0)
    assert event_of(messages.Dropped(5, 9, "why", None)) == Dropped(None, 5, 9, "why")
    final = event_of(
        messages.Final(0, 1.0, 2.0, "a", 0.5, 16_000, 32_000, (messages.WireWord(1.0, 2.0, "a", 0.5),))
    )
    assert isinstance(final, Final) and final.end_sample == 32_000 and final.segment.words[0].end_s == 2.0
    assert event_of(State(Phase.LIVE)) is None


def test_what_a_server_says_cannot_command_a_terminal() -> None:
    """Control characters are taken out of all that is shown: partials, finals, words and reasons."""
    evil, harmless = "a\x1b[2Jb", "a\ufffd[2Jb"
    word = messages.WireWord(1.0, 2.0, evil, 0.5)
    partial = event_of(messages.Partial(0, 0.0, 1.0, evil, evil))
    assert isinstance(partial, Partial) and (partial.stable, partial.unstable) == (harmless, harmless)
    final = event_of(messages.Final(0, 1.0, 2.0, evil, 0.5, 16_000, 32_000, (word,)))
    assert isinstance(final, Final) and final.segment.text == final.segment.words[0].text == harmless
    dropped = event_of(messages.Dropped(5, 9, evil, None))
    assert isinstance(dropped, Dropped) and dropped.reason == harmless


def test_speakers_told_apart_by_a_server() -> None:
    """Finals have those of their words; what comes later is an event of its own, safe to show."""
    word = messages.WireWord(0.0, 0.5, "hello", 1.0, "Speaker 2")
    final = messages.Final(3, 0.0, 1.0, "hello", 1.0, 0, 16_000, (word,), speaker="Speaker 1")
    said = event_of(final)
    assert isinstance(said, Final)
    assert (said.segment.speaker, said.segment.words[0].speaker) == ("Speaker 1", "Speaker 2")
    changed = event_of(messages.Speaker(3, "Ann\x1ba", ("Ben", "")))
    assert isinstance(changed, SpeakerChanged)
    assert (changed.utterance, "\x1b" in changed.speaker, changed.words) == (3, False, ("Ben", ""))
    assert event_of(messages.Speaker(3)) == SpeakerChanged(3, "")
    assert event_of(messages.SpeakersLost("gone")) == SpeakersLost("gone")
