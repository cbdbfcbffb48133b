"""Utterances whose words a decoder left out: found by how little is said in their time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.policy.left_out import Sparse, is_there, sparse
from asrctl.transcript import Segment

PLACES_S = [(0.0, 3.0), (3.2, 6.2), (6.4, 9.4)]
SPEECH_S = [2.6, 2.6, 2.6]
SORRY = "I'm sorry, there are no matches for those keywords."


def segment(start_s: float, end_s: float, text: str = SORRY) -> Segment:
    return Segment(start_s, end_s, text, 0.9)


@pytest.mark.parametrize(
    ("segments", "found"),
    [
        ([segment(0, 3), segment(3.2, 6.2), segment(6.4, 9.4)], []),
        ([segment(0, 3), segment(6.4, 9.4)], [((1, 2), (1, 1))]),
        ([segment(0, 3), segment(3.2, 9.2)], []),
        ([segment(0, 3), segment(3.2, 9.2, "there are no matches")], [((1, 3), (1, 2))]),
        ([segment(0, 3), segment(3.2, 6.2, "No."), segment(6.4, 9.4)], [((1, 2), (1, 2))]),
        ([segment(0, 9.4, SORRY)], [((0, 3), (0, 1))]),
        ([], [((0, 1), (0, 0)), ((1, 2), (0, 0)), ((2, 3), (0, 0))]),
        ([segment(0, 3), segment(3.05, 3.15, "No."), segment(3.2, 6.2), segment(6.4, 9.4)], []),
    ],
)
def test_too_few_words(segments: list[Segment], found: list[tuple[tuple[int, int], tuple[int, int]]]) -> None:
    """In a gap, in a sentence that is stretched over two utterances, or in one word for three seconds."""
    assert list(sparse(segments, PLACES_S, SPEECH_S)) == [Sparse(*each) for each in found]


def test_where_nobody_speaks_no_word_is_missed() -> None:
    """Less than a second is a breath, or a noise."""
    assert list(sparse([segment(0, 3), segment(6.4, 9.4)], PLACES_S, [2.6, 0.9, 2.6])) == []


def test_words_that_are_there() -> None:
    """A decoder whose times are wrong has them all the same; most of what is new is not in the text."""
    text = ["please", "try", "again", "or", "press", "one", "to", "hear", "it", "once", "more"]
    assert is_there(["press", "one", "to", "hear"], text)
    assert is_there(["press", "one", "to", "fear"], text)
    assert not is_there(["try", "to", "press", "one", "of", "them", "again"], text)
    assert not is_there(["marque", "uno"], text) and not is_there(["uno"], [])


times = st.floats(0, 12)


@given(
    st.lists(st.tuples(times, times, st.sampled_from(["no", SORRY])), max_size=6),
    st.lists(st.tuples(st.floats(0.1, 3), st.floats(0, 3)), min_size=1, max_size=5),
)
def test_each_segment_belongs_to_one_run(
    said: list[tuple[float, float, str]], utterances: list[tuple[float, float]]
) -> None:
    """Runs do not overlap, whatever the times are, and are in order."""
    segments = [segment(min(one, other), max(one, other), text) for one, other, text in said]
    places_s, at_s = list[tuple[float, float]](), 0.0
    for length_s, _ in utterances:
        places_s.append((at_s, at_s + length_s))
        at_s += length_s + 0.2
    upto = (0, 0)
    for run in sparse(segments, places_s, [speech_s for _, speech_s in utterances]):
        assert upto[0] <= run.utterances[0] < run.utterances[1] <= len(places_s)
        assert upto[1] <= run.segments[0] <= run.segments[1] <= len(segments)
        upto = run.utterances[1], run.segments[1]
