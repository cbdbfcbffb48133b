"""What a window needs of the encoder, what it can hold, and when a text is a repetition loop."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.policy.window import (
    FULL_AUDIO_CTX,
    Effort,
    audio_context,
    has_loop,
    is_sayable,
    loop_free,
    token_budget,
    word_without_loop,
)

WORDS = st.lists(st.sampled_from(["a", "b", "c", "D.", "é", "...", "7"]), max_size=40)


@pytest.mark.parametrize(
    ("duration_s", "positions"),
    [(0, 512), (1, 512), (7.68, 512), (7.7, 513), (10, 628), (27.44, 1500), (30, 1500), (300, 1500)],
)
def test_audio_context(duration_s: float, positions: int) -> None:
    """The window and a margin, at least 512 positions, at most the encoder's 30 s."""
    assert audio_context(duration_s) == positions


@pytest.mark.parametrize(
    ("effort", "short", "long", "checked"),
    [
        (Effort.DRAFT, 320, 628, False),
        (Effort.LIGHT, 320, 628, True),
        (Effort.NORMAL, 512, 628, True),
        (Effort.AGAIN, 1250, 1250, True),
        (Effort.THOROUGH, 1500, 1500, False),
    ],
)
def test_effort(effort: Effort, short: int, long: int, checked: bool) -> None:
    """Less effort saves on short windows; none is too little for a long one. Drafts stay as they are."""
    assert (audio_context(2, effort), audio_context(10, effort)) == (short, long)
    assert effort.is_checked == checked


@given(st.floats(0, 30), st.floats(0, 30))
def test_longer_windows_never_get_less(one_s: float, other_s: float) -> None:
    """Context covers the audio unless it is full, and neither it nor the budget shrinks with length."""
    shorter_s, longer_s = sorted((one_s, other_s))
    assert audio_context(shorter_s) <= audio_context(longer_s) <= FULL_AUDIO_CTX
    assert token_budget(shorter_s) <= token_budget(longer_s)
    assert audio_context(longer_s) >= min(FULL_AUDIO_CTX, 50 * longer_s)


@given(st.floats(0, 30))
def test_a_second_look_sees_more(duration_s: float) -> None:
    """More than the first of any effort but the greatest, and no more than there is."""
    second = audio_context(duration_s, Effort.AGAIN)
    assert audio_context(duration_s) <= second <= FULL_AUDIO_CTX
    assert audio_context(duration_s) < second or second == FULL_AUDIO_CTX


def test_a_second_look_at_a_short_window_is_not_at_everything() -> None:
    """Attention takes memory by the square of it."""
    assert [audio_context(each, Effort.AGAIN) for each in (2, 14, 20, 28)] == [1250, 1250, 1256, 1500]


@pytest.mark.parametrize(("duration_s", "tokens"), [(0, 10), (0.1, 11), (1, 17), (12, 94), (30, 220)])
def test_token_budget(duration_s: float, tokens: int) -> None:
    """Ten, and seven for each second; a full window's fits whisper's own limit of 224."""
    assert token_budget(duration_s) == tokens


@pytest.mark.parametrize(
    ("text", "loops"),
    [
        ("", False),
        ("no no", False),
        ("No, no, no.", True),
        ("one two one two", False),
        ("and one two one two One two.", True),
        ("a b c d e f g h " * 3, True),
        ("I have to go to the next slide please check for this " * 3, True),
        ("a b c d e f g h i j k l m n o p q " * 3, False),
        ("- - -", False),
        ("go - go - go -", True),
        ("the C-C-C-C", True),
        ("twenty-one, twenty-two, twenty-three", False),
        ("1,000,000", False),
        ("का की के को कि", False),
    ],
)
def test_has_loop(text: str, loops: bool) -> None:
    """One to sixteen words three times in a row, whatever their case and punctuation; dashes are no words."""
    assert has_loop(text) is loops


@pytest.mark.parametrize(
    ("word", "kept"),
    [
        ("-".join("C" * 90), "C-C"),
        ("ha-ha-ha", "ha-ha-ha"),
        ("twenty-one,", "twenty-one,"),
        ("1,1,1,1,1,1,1", "1,1"),
    ],
)
def test_word_without_loop(word: str, kept: str) -> None:
    """A decoder may loop within a word."""
    assert word_without_loop(word) == kept


@pytest.mark.parametrize(
    ("text", "duration_s", "kept"),
    [
        ("no no no", 0.1, "no no no"),
        ("no no no no no", 0.5, "no"),
        ("well one two one two one two one two one two three", 1.0, "well one two three"),
        ("you you you you you and me me me me me me me", 1.0, "you and me"),
        ("Bye. bye! BYE bye bye", 0.5, "Bye."),
        ("", 0.0, ""),
        ("का की के को कि और", 0.1, "का की के को कि और"),
    ],
)
def test_loop_free(text: str, duration_s: float, kept: str) -> None:
    """What comes five times in a row is kept once where there was no time to say it; three times stays."""
    words = text.split()
    assert " ".join(words[at] for at in loop_free(words, duration_s)) == kept


@pytest.mark.parametrize(
    ("text", "duration_s"),
    [
        ("Please dial 5 5 5 5 5 5 5 1 2", 4.5),
        ("Go go go go go! Run run run run run!", 2.4),
        (" ".join(["We shall overcome."] * 6), 10.0),
        ("No, no, no, no, no, no, no, no, no.", 1.3),
        ("はい はい はい はい はい はい", 2.0),
        ("जय जय जय जय जय जय", 2.0),
        ("ha-ha-ha-ha-ha-ha", 1.0),
    ],
)
def test_spoken_repetitions_stay(text: str, duration_s: float) -> None:
    """What somebody could have said in the time is speech, however often it comes."""
    words = text.split()
    assert loop_free(words, duration_s) == list(range(len(words)))


@given(WORDS, st.floats(0, 10))
def test_loop_free_keeps_order_and_what_does_not_repeat(words: list[str], duration_s: float) -> None:
    """Indices go up, text without a suspicious repetition stays whole, and no word's last trace is cut."""
    kept = loop_free(words, duration_s)
    assert kept == sorted(set(kept))
    assert {words[at] for at in kept} >= set(words) - {"..."} or has_loop(" ".join(words))
    if not has_loop(" ".join(words)):
        assert kept == list(range(len(words)))
    assert bool(kept) == bool(words)


@given(WORDS, st.integers(5, 30))
def test_any_loop_is_cut(words: list[str], repeats: int) -> None:
    """However often it goes round, a loop of up to sixteen words leaves no five rounds behind."""
    unit = [*words[:15], "end"]
    kept = loop_free(unit * repeats, 0.0)
    assert len(kept) < 5 * len(unit)


@pytest.mark.parametrize("duration_s", [1.0, 5.0, 12.0, 28.0])
def test_a_loop_that_fills_the_token_budget_is_cut(duration_s: float) -> None:
    """A word is a token at least, and a decoder that loops goes on until its budget is spent."""
    words = ["the"] * token_budget(duration_s)
    assert len(loop_free(words, duration_s)) == 1


def test_a_loop_within_a_word_takes_time_too() -> None:
    """Nobody says ninety letters in twelve seconds."""
    assert not is_sayable(["Amken,", "-".join("C" * 90)], 12.0)
    assert is_sayable(["A-B-C,", "twenty-five"], 1.0)


@pytest.mark.parametrize(
    ("repeats", "duration_s", "sayable"), [(33, 5.0, True), (99, 14.1, False), (60, 20.0, True)]
)
def test_nobody_repeats_as_fast_for_long(repeats: int, duration_s: float, sayable: bool) -> None:
    """Seven a second for a breath, four a second for as long as somebody likes; other words do not count."""
    assert is_sayable(["No,"] * repeats, duration_s) is sayable
    assert is_sayable(
        [f"{chr(98 + at % 20)}o{chr(98 + at // 20)}" for at in range(repeats * 9 // 10)], duration_s
    )
