"""Whose words are whose, by time."""

from __future__ import annotations

from itertools import islice, pairwise

from hypothesis import given
from hypothesis import strategies as st

from asrctl.policy.turns import Turn, labelled, numbered_names, smoothed, speaker_of
from asrctl.transcript import Segment, Word

TURNS = [Turn(0.0, 2.0, "A"), Turn(1.5, 4.0, "B")]


def test_a_stretch_is_given_to_who_speaks_for_most_of_it() -> None:
    """Overlapping turns are weighed by the time shared."""
    assert speaker_of(0.5, 1.8, TURNS) == "A"
    assert speaker_of(1.6, 3.0, TURNS) == "B"


def test_a_stretch_beside_a_turn_is_given_to_the_nearest() -> None:
    """Quiet ends of words are in no turn; a second away, nobody is meant."""
    assert speaker_of(4.3, 4.5, TURNS) == "B"
    assert speaker_of(5.5, 6.0, TURNS) == ""
    assert speaker_of(0.0, 1.0, []) == ""


def test_words_have_speakers_of_their_own() -> None:
    """A segment is given to who says most of it; its text does not change."""
    words = (Word(0.2, 0.9, "yes", 1.0), Word(2.5, 2.9, "no", 1.0))
    found = labelled(Segment(0.2, 2.9, "yes no", 1.0, words), TURNS)
    assert [word.speaker for word in found.words] == ["A", "B"]
    assert (found.speaker, found.text) == ("A", "yes no")


def test_numbers_go_around_names_that_somebody_has() -> None:
    """In whatever case: a reader would take them for one person."""
    assert [*islice(numbered_names(["speaker 2", "Anna"]), 3)] == ["Speaker 1", "Speaker 3", "Speaker 4"]


def test_a_segment_without_words_counts_as_a_whole() -> None:
    """It is given to who speaks for most of it."""
    assert labelled(Segment(1.9, 4.0, "well", 1.0), TURNS).speaker == "B"


def test_short_gaps_are_closed_and_short_turns_left_out() -> None:
    """A pause for breath is part of a turn."""
    turns = [Turn(0.0, 1.0, "A"), Turn(1.1, 2.0, "A"), Turn(3.0, 3.05, "B")]
    assert smoothed(turns, gap_s=0.2, least_s=0.1) == [Turn(0.0, 2.0, "A")]


@given(st.lists(st.tuples(st.floats(0, 9), st.floats(0, 9), st.sampled_from("AB"))), st.floats(0.0, 2.0))
def test_joined_turns_of_a_speaker_lie_apart(edges: list[tuple[float, float, str]], gap_s: float) -> None:
    """Whatever the turns: in order, further apart than the gap, and nothing that was said is left out."""
    turns = [Turn(min(a, b), max(a, b), name) for a, b, name in edges]
    found = smoothed(turns, gap_s, 0.0)
    assert found == sorted(found, key=lambda turn: turn.start_s)
    for name in "AB":
        own = [turn for turn in found if turn.speaker == name]
        assert all(b.start_s - a.end_s > gap_s for a, b in pairwise(own))
    for turn in turns:
        assert any(
            each.speaker == turn.speaker and each.start_s <= turn.start_s and turn.end_s <= each.end_s
            for each in found
        )
