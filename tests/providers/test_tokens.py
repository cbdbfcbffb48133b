"""From tokens to words: characters stay whole, times stay inside, loops are cut."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.providers.tokens import Token, geometric_mean, is_unsure, tidy, words_of
from asrctl.transcript import Hypothesis, Segment, Word

TIMES = st.floats(-2000, 2000)
WORDS = st.builds(Word, TIMES, TIMES, st.text(min_size=1), st.floats(0, 1))
SEGMENTS = st.builds(Segment, TIMES, TIMES, st.text(min_size=1), st.floats(0, 1), st.lists(WORDS).map(tuple))


def tokens(*pieces: bytes) -> list[Token]:
    return [Token(piece, at / 10, at / 10 + 0.1, 0.5) for at, piece in enumerate(pieces)]


def test_words_begin_at_spaces() -> None:
    """Tokens without a space in front belong to the word before, and so does punctuation."""
    words = words_of(tokens(b" Hel", b"lo", b",", b" world", b"."), "en")
    assert [word.text for word in words] == ["Hello,", "world."]
    assert [(word.start_s, round(word.end_s, 1)) for word in words] == [(0.0, 0.3), (0.3, 0.5)]


@pytest.mark.parametrize(
    ("confidences", "duration_s", "unsure"),
    [
        ((), 5.0, False),
        ((0.9, 0.9), 5.0, False),
        ((0.9, 0.2), 5.0, False),
        ((0.3, 0.2), 5.0, True),
        ((0.3, 0.2), 0.9, False),
    ],
)
def test_doubt(confidences: tuple[float, ...], duration_s: float, unsure: bool) -> None:
    """All segments, or none; of a word or less confidence says little."""
    segments = tuple(Segment(0.0, 1.0, "word", each) for each in confidences)
    assert is_unsure(Hypothesis(segments, "en", 0.0), duration_s) == unsure


def test_languages_without_spaces() -> None:
    """There each token is a word, unless it ends inside a character."""
    first, second = "\u4f60".encode(), "\u597d".encode()
    words = words_of(tokens(first, second[:1], second[1:]), "zh")
    assert [word.text for word in words] == ["\u4f60", "\u597d"]


def test_spaces_alone_are_no_word() -> None:
    """Nothing but space makes no word, and no tokens make none."""
    assert words_of(tokens(b" ", b" "), "en") == ()
    assert words_of([], "en") == ()


@given(st.text(), st.integers(1, 4))
def test_no_character_is_lost(text: str, step: int) -> None:
    """However a tokeniser cuts the bytes, the words hold every character that is no space, whole."""
    raw = text.encode("utf-8", "replace")
    words = words_of(tokens(*(raw[at : at + step] for at in range(0, len(raw), step))), "zh")
    said = "".join("".join(word.text.split()) for word in words)
    assert said == "".join(raw.decode().split())


def test_geometric_mean() -> None:
    """Of equals it is one of them, of nothing 0, and a probability of 0 is no error."""
    assert geometric_mean([]) == 0
    assert geometric_mean([0.5, 0.5]) == pytest.approx(0.5)
    assert geometric_mean([0.25, 1.0]) == pytest.approx(0.5)
    assert 0 < geometric_mean([0.0, 1.0]) < 1e-4


@given(st.lists(SEGMENTS, max_size=5).map(tuple), st.floats(0, 30))
def test_times_are_inside_and_in_order(segments: tuple[Segment, ...], duration_s: float) -> None:
    """Whatever times a decoder guessed: segments in the window, words in their segment, all in order."""
    floor_s = 0.0
    for segment in tidy(segments, duration_s):
        assert floor_s <= segment.start_s <= segment.end_s <= duration_s
        floor_s = segment.start_s
        for word in segment.words:
            assert floor_s <= word.start_s <= word.end_s <= segment.end_s
            floor_s = word.end_s
        floor_s = segment.end_s


def test_good_times_stay() -> None:
    """What is in order is not touched."""
    segment = Segment(1.0, 2.0, "a b", 0.5, (Word(1.0, 1.5, "a", 0.5), Word(1.6, 2.0, "b", 0.5)))
    assert tidy((segment,), math.inf) == (segment,)


def test_loops_are_cut_with_their_words() -> None:
    """Text and words lose the same rounds of a loop; where they do not match, the words stay as they are."""
    words = tuple(Word(at / 20, (at + 1) / 20, "go", 1.0) for at in range(12))
    (cut,) = tidy((Segment(0, 0.6, " ".join(["go"] * 12), 1.0, words),), 0.6)
    assert (cut.text, cut.words) == ("go", words[:1])
    (cut,) = tidy((Segment(0, 0.6, " ".join(["go"] * 12), 1.0, words[:2]),), 0.6)
    assert (cut.text, cut.words) == ("go", words[:2])


def test_a_loop_within_a_word_is_cut() -> None:
    """Text and words alike; what can be said in the time stays."""
    looped = "-".join("C" * 60)
    words = (Word(0.0, 1.0, "Amken,", 0.9), Word(1.0, 4.0, looped, 0.9))
    (segment,) = tidy((Segment(0.0, 4.0, f"Amken, {looped}", 0.9, words),), 4.0)
    assert segment.text == "Amken, C-C"
    assert [word.text for word in segment.words] == ["Amken,", "C-C"]
    assert tidy((Segment(0.0, 4.0, "ha-ha-ha-ha-ha", 0.9),), 4.0)[0].text == "ha-ha-ha-ha-ha"


def test_spoken_repetitions_have_until_the_next_segment() -> None:
    """A segment whose end came early is no loop if its words fit before the next, or before the end."""
    said = " ".join(["five"] * 8)
    early = (Segment(0, 0.3, said, 1.0), Segment(2.0, 2.3, said, 1.0))
    assert [segment.text for segment in tidy(early, 4.0)] == [said, said]
    assert [segment.text for segment in tidy(early, 2.4)] == [said, "five"]


@pytest.mark.parametrize(
    ("text", "duration_s", "kept"),
    [
        ("Thank you. Thank you.", 0.1, False),
        ("Thank you.", 0.1, False),
        ("No.", 0.1, True),
        ("Okay then.", 0.4, True),
        ("word " * 30, 3.0, True),
    ],
)
def test_nobody_says_a_phrase_in_a_tenth_of_a_second(text: str, duration_s: float, kept: bool) -> None:
    """Of longer windows only loops are judged by their length."""
    assert bool(tidy((Segment(0.0, duration_s, text.strip(), 0.9),), duration_s)) is kept
