"""What was shown of an utterance stays, whoever recognises it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asrctl.policy.shown import ShownText


def test_text_grows() -> None:
    """What is settled goes over from the one to the other."""
    shown = ShownText()
    assert shown.update([], ["so"]) == ("", "so")
    assert shown.update(["so", "we"], ["beat"]) == ("so we", "beat")
    assert shown.update(["so", "we", "beat", "on"], []) == ("so we beat on", "")


def test_another_recogniser_adds_only_what_is_new() -> None:
    """Its words are lined up with those shown, though it spells them differently."""
    shown = ShownText()
    shown.update(["So", "we", "beat", "on,"], [])
    assert shown.update([], ["so"]) == ("So we beat on,", "")
    assert shown.update(["So", "we"], ["beat"]) == ("So we beat on,", "")
    assert shown.update([], ["so", "we", "beat", "on", "boats"]) == ("So we beat on,", "boats")
    assert shown.update(["so", "we", "beat", "on", "boats"], []) == ("So we beat on, boats", "")


def test_a_word_that_was_heard_in_two_is_not_repeated() -> None:
    """Insertions and deletions are found by edit distance."""
    shown = ShownText()
    shown.update(["a", "boat", "against", "the", "current"], [])
    later = ["a", "both", "against", "the", "cur", "rent", "borne", "back"]
    assert shown.update([], later).stable == "a boat against the current"
    assert shown.update([], later).unstable.endswith("borne back")
    fewer = ["boat", "against", "the", "current", "borne", "back"]
    assert shown.update(fewer, []) == ("a boat against the current borne back", "")


texts = st.lists(st.sampled_from(["a", "b", "c", "B,"]), max_size=6)


@given(updates=st.lists(st.tuples(texts, texts), max_size=8))
def test_stable_text_never_shrinks(updates: list[tuple[list[str], list[str]]]) -> None:
    """Whatever recognisers say."""
    shown, before = ShownText(), ""
    for settled, unsettled in updates:
        stable = shown.update(settled, unsettled).stable
        assert stable.startswith(before)
        before = stable
