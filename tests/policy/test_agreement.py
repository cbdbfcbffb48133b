"""Agreement: stable words come from two runs in a row, never change, and are never doubled."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asrctl.policy.agreement import StablePrefix
from asrctl.transcript import Word


def words(text: str, start_s: float = 0.0, word_s: float = 0.5) -> list[Word]:
    """The text's words, one after the other, each `word_s` long."""
    return [
        Word(start_s + index * word_s, start_s + (index + 1) * word_s, word, 1.0)
        for index, word in enumerate(text.split())
    ]


def text(found: tuple[Word, ...]) -> str:
    """The words joined."""
    return " ".join(word.text for word in found)


def shown(prefix: StablePrefix, run: str) -> tuple[str, str]:
    """Update with a run and give the stable and the unstable text."""
    agreement = prefix.update(words(run))
    return text(agreement.stable), text(agreement.unstable)


def test_first_run_is_all_unstable() -> None:
    """One run alone agrees with nobody."""
    assert shown(StablePrefix(), "the cat sat") == ("", "the cat sat")


def test_two_runs_agree_on_their_common_prefix() -> None:
    """What both runs begin with becomes stable; the rest is the newer run's."""
    prefix = StablePrefix()
    shown(prefix, "the cat sad")
    assert shown(prefix, "the cat sat on") == ("the cat", "sat on")
    assert shown(prefix, "the cat sat on the") == ("the cat sat on", "the")


def test_comparison_ignores_case_and_punctuation() -> None:
    """Case and punctuation change from run to run as the sentence grows; the newer run's form is shown."""
    prefix = StablePrefix()
    shown(prefix, "Well. don't")
    assert shown(prefix, "well, Don't stop") == ("well, Don't", "stop")


def test_marks_of_other_scripts_are_not_punctuation() -> None:
    """Vowel signs tell words apart: two Hindi words that differ in one do not agree."""
    prefix = StablePrefix()
    shown(prefix, "की")
    assert shown(prefix, "का") == ("", "का")


def test_a_run_that_contradicts_stable_words_changes_only_the_tail() -> None:
    """Stable words stay as they were, and what the run has after its version of them follows, not doubled."""
    prefix = StablePrefix()
    shown(prefix, "everyone is here")
    shown(prefix, "everyone is here")
    assert shown(prefix, "every one is here now") == ("everyone is here", "now")
    assert shown(prefix, "someone is here now then") == ("everyone is here now", "then")


def test_among_equally_near_prefixes_the_times_decide() -> None:
    """When nothing matches, the run's words that lie where the stable ones lie stand for them."""
    prefix = StablePrefix()
    shown(prefix, "one two")
    shown(prefix, "one two")
    assert text(prefix.update(words("an two four", word_s=0.5)).unstable) == "four"
    assert text(prefix.update(words("x y z", word_s=0.5)).unstable) == "z"
    assert text(prefix.update(words("x y z", word_s=1.0)).unstable) == "y z"


def test_an_empty_or_shorter_run_takes_nothing_back() -> None:
    """A run that lost words leaves the stable ones alone, and agreement starts over after them."""
    prefix = StablePrefix()
    shown(prefix, "one two three")
    shown(prefix, "one two three")
    assert shown(prefix, "") == ("one two three", "")
    assert shown(prefix, "one") == ("one two three", "")
    assert shown(prefix, "one two three four") == ("one two three", "four")


runs = st.lists(
    st.lists(st.sampled_from(["a", "b", "B.", "c", "-"]), max_size=8).map(" ".join), min_size=1, max_size=12
)


@given(runs)
def test_stable_words_never_shrink_nor_change(hypotheses: list[str]) -> None:
    """Whatever the runs say, each stable prefix begins with the one before it, to the last bit."""
    prefix, before = StablePrefix(), tuple[Word, ...]()
    for hypothesis in hypotheses:
        agreement = prefix.update(words(hypothesis))
        assert agreement.stable[: len(before)] == before
        before = agreement.stable


@given(runs)
def test_nothing_becomes_stable_that_one_run_alone_had(hypotheses: list[str]) -> None:
    """New stable words continue what the run before showed as unstable."""
    prefix = StablePrefix()
    stable_before, unstable_before = prefix.update(words(hypotheses[0]))
    for hypothesis in hypotheses[1:]:
        stable, unstable = prefix.update(words(hypothesis))
        new = stable[len(stable_before) :]
        assert len(new) <= len(unstable_before)
        for word, earlier in zip(new, unstable_before, strict=False):
            assert word.text.strip(".").casefold() == earlier.text.strip(".").casefold()
        stable_before, unstable_before = stable, unstable


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=30), st.lists(st.integers(0, 30), max_size=8))
def test_truthful_runs_show_the_truth(truth: list[str], lengths: list[int]) -> None:
    """If each run is a beginning of the same words, what is shown is one, with no word doubled or lost."""
    prefix, agreed = StablePrefix(), 0
    before = 0
    for length in (min(length, len(truth)) for length in lengths):
        stable, unstable = prefix.update(words(" ".join(truth[:length])))
        agreed = max(agreed, min(before, length))
        before = length
        assert text(stable) == " ".join(truth[: len(stable)])
        assert len(stable) >= agreed or length < len(stable)
        if length >= len(stable):
            assert text(stable + unstable) == " ".join(truth[:length])
