"""Terms that are likely: which are taken, and what recognisers read of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.errors import UsageError
from asrctl.policy.vocabulary import MAX_TERMS, Fit, checked_terms, context, fit, holds_term, usable_terms


def test_each_term_once() -> None:
    """Without surplus spaces and empty ones; of several spellings the first, in the order given."""
    given = [" Ada  Lovelace", "", "  ", "Łódź", "ada lovelace", "東京"]
    assert checked_terms(given) == usable_terms(given) == ("Ada Lovelace", "Łódź", "東京")


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ([f"t{number}" for number in range(101)], "101 terms are too many: 100 at most"),
        (["a" * 101], "'a{40}' has more than 100 characters"),
        (["a\0b"], r"holds characters that are no text"),
        (["\ud800"], "no text"),
        ("Ada", "a list of terms, not a text: 'Ada'"),
    ],
)
def test_what_does_not_do(terms: list[str], message: str) -> None:
    """It is refused in a line that names it."""
    with pytest.raises(UsageError, match=message):
        checked_terms(terms)


def test_what_clients_of_others_send() -> None:
    """What does not do is left out."""
    assert usable_terms(["a" * 101, "Ada", "a\0b"]) == ("Ada",)
    assert len(usable_terms(f"t{number}" for number in range(101))) == MAX_TERMS


def test_the_first_terms_have_room() -> None:
    """What comes behind one that there is no room for has none either, however short."""
    long = "Balasubramanian " * 6
    terms = ("Ada", *(f"{long}{number}" for number in range(9)), "Bo")
    kept, left_out = fit(terms)
    assert kept + left_out == terms and kept[0] == "Ada" and left_out[-1] == "Bo"
    assert fit(()) == Fit((), ())


@given(st.lists(st.text(min_size=1, max_size=100), max_size=100))
def test_the_room_is_that_of_a_prompt(terms: list[str]) -> None:
    """Terms of all alphabets are divided in two without change; a prompt has few hundred bytes of room."""
    kept, left_out = fit(terms)
    assert [*kept, *left_out] == terms
    assert sum(len(term.encode()) for term in kept) <= 600


def test_context() -> None:
    """The prompt comes first: what is nearest to the speech counts most."""
    assert context("A call.", ("Ada", "Bo")) == "A call. Ada, Bo"
    assert (context("", ("Ada",)), context("A call.", ()), context("", ())) == ("Ada", "A call.", "")


def test_the_prompt_makes_room() -> None:
    """Its end is what stays; without terms nothing is cut."""
    prompt = "x" * 5000 + " end"
    assert context(prompt, ()) == prompt
    told = context(prompt, ("Ada",))
    assert told.endswith("x end Ada") and 500 < len(told) < 700
    assert context(prompt, ["Ada"] * 200) == ", ".join(["Ada"] * 200)


@pytest.mark.parametrize(
    ("text", "found"),
    [("With ada lovelace, today.", True), ("Ada", False), ("", False), ("Bo!", True), ("Bob", False)],
)
def test_terms_in_a_text(text: str, found: bool) -> None:
    """They are whole words, of any case, with punctuation around them."""
    assert holds_term(text, ("Ada Lovelace", "Bo")) is found
