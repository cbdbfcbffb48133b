"""Who said the finals of a live stream, as turns become known."""

from __future__ import annotations

from asrctl.policy.labels import KEPT_S, SETTLED_S, KnownTurns, SpeakerLabels
from asrctl.policy.turns import Turn
from asrctl.transcript import Segment, Word

ANNA, BEN = "voice 7", "voice 3"


def _segment(start_s: float, *words: str) -> Segment:
    """A word a second."""
    timed = tuple(Word(start_s + at, start_s + at + 0.8, word, 1.0) for at, word in enumerate(words))
    return Segment(start_s, start_s + len(words), " ".join(words), 1.0, timed)


def _known(heard_s: float, *turns: tuple[float, float, str], since_s: float = 0.0) -> KnownTurns:
    return KnownTurns(tuple(Turn(*turn) for turn in turns), since_s, heard_s)


def test_what_is_known_in_time_is_in_the_final() -> None:
    """Voices are numbered in the order of first words, whatever they are called in the turns."""
    labels = SpeakerLabels()
    assert labels.take(_known(4.0, (0, 2, ANNA), (2, 4, BEN))) == []
    said = labels.final(0, _segment(0.0, "a", "b", "c", "d"))
    assert [word.speaker for word in said.words] == ["Speaker 1", "Speaker 1", "Speaker 2", "Speaker 2"]
    assert said.speaker == "Speaker 1" and not labels.has_unheard


def test_what_is_known_later_changes_it() -> None:
    """Words stay; what does not change is not said again."""
    labels = SpeakerLabels()
    said = labels.final(4, _segment(0.0, "a", "b"))
    assert said.speaker == "" and labels.has_unheard
    ((utterance, changed),) = labels.take(_known(2.0, (0, 2, ANNA)))
    assert (utterance, changed.speaker, changed.text) == (4, "Speaker 1", "a b")
    assert not labels.has_unheard
    assert labels.take(_known(7.0, (0, 2, ANNA))) == []
    ((_, changed),) = labels.take(_known(12.0, (0, 2, BEN)))
    assert changed.speaker == "Speaker 2"


def test_what_was_not_heard_is_not_guessed() -> None:
    """Before and behind what the turns are about nothing is known."""
    labels = SpeakerLabels()
    labels.take(_known(10.0, (5, 10, ANNA), since_s=5.0))
    assert labels.final(0, _segment(4.0, "a", "b")).speaker == ""
    assert labels.final(1, _segment(9.5, "a", "b")).speaker == ""
    assert labels.final(2, _segment(6.0, "a", "b")).speaker == "Speaker 1"


def test_known_names_are_not_numbered() -> None:
    """Nobody else gets them."""
    labels = SpeakerLabels(["Anna", "Speaker 1"])
    labels.take(_known(4.0, (0, 2, "Anna"), (2, 4, BEN)))
    said = labels.final(0, _segment(0.0, "a", "b", "c", "d"))
    assert [word.speaker for word in said.words] == ["Anna", "Anna", "Speaker 2", "Speaker 2"]


def test_turns_are_needed_as_far_back_as_labels_may_change() -> None:
    """From the first final that was not covered, or lies within reach of what was heard."""
    labels = SpeakerLabels()
    assert labels.since_s == 0.0
    labels.final(0, _segment(30.0, "a"))
    labels.take(_known(100.0, since_s=50.0))
    assert labels.since_s == 30.0
    labels.take(_known(100.0, (30, 31, ANNA)))
    assert labels.since_s == 100.0 - SETTLED_S
    labels.final(1, _segment(100.0 - SETTLED_S - 1.5, "a", "b"))
    assert labels.since_s == 100.0 - SETTLED_S - 1.5


def test_finals_of_long_ago_stand() -> None:
    """They are not kept, so that memory does not grow."""
    labels = SpeakerLabels()
    labels.final(0, _segment(0.0, "a", "b"))
    assert labels.take(_known(KEPT_S + 2.0, (0, 2, ANNA))) == []
    assert not labels.has_unheard
    assert labels.take(_known(KEPT_S + 2.0, (0, 2, BEN))) == []
