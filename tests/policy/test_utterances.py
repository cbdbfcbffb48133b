"""The utterances of a window: all of it, in order, parted where nobody speaks."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from asrctl.policy.endpointing import Span
from asrctl.policy.language import PIECE_S
from asrctl.policy.packing import Window
from asrctl.policy.utterances import Utterance, runs, utterances_in
from asrctl.transcript import SAMPLE_RATE_HZ

S = SAMPLE_RATE_HZ
WINDOW = Window((Span(1 * S, 4 * S), Span(9 * S, 17 * S)), S // 5)


def middle(span: Span) -> int:
    return (span.start_sample + span.end_sample) // 2


def test_pauses_part_a_span() -> None:
    """In their middle, unless less than a second would be left; a long part without a pause is two."""
    voiced = [
        Span(1 * S, 3 * S // 2),
        Span(2 * S, 5 * S // 2),
        Span(5 * S // 2 + 100, 4 * S),
        Span(9 * S, 17 * S),
    ]
    found = utterances_in(WINDOW, voiced, middle)
    cut = 5 * S // 2 + 50
    assert [utterance.span for utterance in found] == [
        Span(1 * S, cut),
        Span(cut, 4 * S),
        Span(9 * S, 13 * S),
        Span(13 * S, 17 * S),
    ]
    behind = 3 * S + S // 5
    assert [utterance.place for utterance in found] == [
        (0, cut - S),
        (cut - S, 3 * S),
        (behind, behind + 4 * S),
        (behind + 4 * S, behind + 8 * S),
    ]


def test_runs_of_one_language() -> None:
    """They are as windows are: parts of a span are one again, and pauses between spans are kept."""
    found = utterances_in(WINDOW, [], middle)
    whole = (0, 11 * S + S // 5)
    assert list(runs(WINDOW, found, ["en"] * 3)) == [(WINDOW, whole, "en")]
    first, second = runs(WINDOW, found, ["en", "en", "es"])
    assert first[0].spans == (Span(1 * S, 4 * S), Span(9 * S, 13 * S))
    assert first[0].length_samples == first[1][1] - first[1][0] == 7 * S + S // 5
    assert second == (Window((Span(13 * S, 17 * S),), S // 5), (first[1][1], whole[1]), "es")
    assert list(runs(WINDOW, found, [])) == []


@st.composite
def windows(draw: st.DrawFn) -> tuple[Window, list[Span]]:
    """A window with stretches of speech in it, and about it."""
    lengths = draw(st.lists(st.integers(1, 12 * S), min_size=1, max_size=5))
    at, spans = draw(st.integers(0, S)), list[Span]()
    for length in lengths:
        spans.append(Span(at, at + length))
        at += length + draw(st.integers(1, 2 * S))
    edges = sorted(draw(st.lists(st.integers(0, at), max_size=12, unique=True)))
    return Window(tuple(spans), draw(st.integers(0, S))), [Span(*each) for each in pairwise(edges)][::2]


@given(windows(), st.data())
def test_all_of_a_window_once(given: tuple[Window, list[Span]], data: st.DataObject) -> None:
    """In order, no part longer than two thirds of the longest utterance, nor shorter than it has to be."""
    window, voiced = given
    found = utterances_in(window, voiced, middle)
    assert sum(each.span.length_samples for each in found) == sum(
        span.length_samples for span in window.spans
    )
    assert all(one.place[1] <= other.place[0] for one, other in pairwise(found))
    assert all(each.span.length_samples == each.place[1] - each.place[0] for each in found)
    assert all(each.span.length_samples <= PIECE_S * S for each in found)
    assert found[-1].place[1] == window.length_samples
    assert all(
        each.span.length_samples >= min(S, *(s.length_samples for s in window.spans)) for each in found
    )
    languages = data.draw(st.lists(st.sampled_from("ab"), min_size=len(found), max_size=len(found)))
    parts = list(runs(window, found, languages))
    assert [language for _, _, language in parts] == [
        language for at, language in enumerate(languages) if at == 0 or languages[at - 1] != language
    ]
    assert all(part.length_samples == end - start for part, (start, end), _ in parts)
    assert sum(part.length_samples for part, _, _ in parts) <= window.length_samples


def test_what_was_heard_is_one_of_them() -> None:
    """A window of one short utterance is that."""
    window = Window((Span(5, 100),), 0)
    assert utterances_in(window, [Span(20, 90)], middle) == (Utterance(Span(5, 100), (0, 95)),)
