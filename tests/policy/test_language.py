"""The language of a stream: followed where it changes, and not overturned by a doubtful detection."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.languages import CODES
from asrctl.policy.language import PIECE_S, LanguageBelief, of_each, pieces
from asrctl.transcript import SAMPLE_RATE_HZ, LanguageEvidence


def heard(speech_s: float, **shares: float) -> LanguageEvidence:
    return LanguageEvidence(speech_s, tuple(sorted(shares.items(), key=lambda each: -each[1])))


SPANISH, ENGLISH = heard(4.0, es=0.98, pt=0.01), heard(4.0, en=0.98, es=0.01)


def test_before_anything_is_heard() -> None:
    """What was asked is what to ask a recogniser."""
    assert LanguageBelief("auto").language == "auto" and LanguageBelief("auto").is_open
    assert LanguageBelief("en,es").language == "en,es" and LanguageBelief("en,es").is_open


def test_a_language_that_is_given_stays() -> None:
    """Whatever is heard, there is nothing to find out."""
    belief = LanguageBelief("de").after([SPANISH] * 9)
    assert belief.language == "de" and not belief.is_open


def test_there_and_back() -> None:
    """Spanish, then English, then Spanish again are followed at once where there is enough speech."""
    belief, found = LanguageBelief("auto"), []
    for piece in (SPANISH, SPANISH, SPANISH, ENGLISH, ENGLISH, SPANISH):
        belief = belief.after([piece])
        found.append(belief.language)
    assert found == ["es", "es", "es", "en", "en", "es"]


@pytest.mark.parametrize("piece", [heard(1.0, ru=0.59, fr=0.01), heard(0.5, pl=0.9), heard(1.0, en=0.7)])
def test_little_speech_does_not_overturn_what_is_settled(piece: LanguageEvidence) -> None:
    """After French, a detection on a second of speech is taken for French, and so is what follows."""
    belief = LanguageBelief("auto").after([heard(4.0, fr=0.97), heard(3.0, fr=0.9), piece])
    assert belief.language == "fr"


def test_little_speech_settles_little() -> None:
    """A first second that was taken for Russian is forgotten as soon as there is more to go by."""
    belief = LanguageBelief("auto").after([heard(1.0, ru=0.59, uk=0.1, fr=0.002)])
    assert belief.language == "ru"
    assert belief.after([heard(3.0, fr=0.9, ru=0.05)]).language == "fr"


def test_weak_hints_add_up() -> None:
    """Short utterances that all point to another language are believed in the end."""
    belief = LanguageBelief("auto").after([SPANISH] * 3)
    hint = heard(0.8, en=0.8, es=0.05)
    assert belief.after([hint]).language == "es"
    assert belief.after([hint] * 4).language == "en"


def test_only_languages_that_were_named() -> None:
    """Of a list one is chosen, even if all were found unlikely."""
    belief = LanguageBelief("en,es").after([heard(4.0, it=0.9, es=0.02, en=0.001)])
    assert belief.language == "es"
    assert belief.shares is not None and set(belief.shares) == {"en", "es"}


def test_rare_languages_need_more() -> None:
    """Latin and Yoruba are mostly mistakes of small models: at par with a common language they lose."""
    assert LanguageBelief("auto").after([heard(2.0, la=0.4, it=0.2)]).language == "it"
    assert LanguageBelief("auto").after([heard(4.0, la=0.95, it=0.01)]).language == "la"


def test_what_comes_later_tells_too() -> None:
    """A short beginning of a change is put right by what follows it; `after` alone would keep Spanish."""
    belief = LanguageBelief("auto").after([SPANISH] * 3)
    short = heard(1.0, en=0.6, es=0.2)
    assert belief.after([short]).language == "es"
    assert belief.path([SPANISH, short, ENGLISH, ENGLISH]) == ["es", "en", "en", "en"]
    assert LanguageBelief("auto").path([short, ENGLISH]) == ["en", "en"]
    assert LanguageBelief("auto").path([]) == []


@pytest.mark.parametrize(("share", "found"), [(0.003, "es"), (0.05, "en")])
def test_one_between_two_others(share: float, found: str) -> None:
    """Of all languages it may be in another one, since what comes back behind it is likely to; unless the
    language around it is likely enough."""
    between = heard(2.0, es=0.9, en=share)
    assert LanguageBelief("auto").path([ENGLISH, between, ENGLISH]) == ["en", found, "en"]


def test_each_utterance_of_a_window_has_its_language() -> None:
    """Also between two in another; of which nothing was heard, that of the one before, or else after, it."""
    utterances = [(0, 10), (12, 20), (22, 30), (32, 40)]
    belief = LanguageBelief("en,es")
    there_and_back = [ENGLISH, SPANISH._replace(start_sample=12), ENGLISH._replace(start_sample=22)]
    assert of_each(utterances, there_and_back, belief) == ["en", "es", "en", "en"]
    assert of_each(utterances, there_and_back[1:], belief) == ["es", "es", "en", "en"]
    both = [ENGLISH, SPANISH._replace(start_sample=6)]
    assert of_each([(0, 10)], both, belief) == ["es"]
    assert of_each(utterances, [], belief) == []
    assert of_each(utterances, there_and_back, LanguageBelief("es")) == []


def test_languages_of_which_nothing_is_said_are_not_impossible() -> None:
    """Only the likeliest are told: of a piece that could be anything, the others share what is left."""
    french = heard(3.4, fr=0.87, en=0.01)
    anything = heard(2.2, th=0.2, la=0.07, es=0.07, en=0.07)
    end = heard(6.4, fr=0.92, en=0.01)
    found = LanguageBelief("auto").path([ENGLISH, french, anything, end])
    assert found == ["en", "fr", "fr", "fr"]


def test_what_is_looked_at() -> None:
    """All of a short window, or utterance; the beginning and the end of a long one."""
    most = round(PIECE_S * SAMPLE_RATE_HZ)
    assert pieces(most) == [(0, most)]
    assert pieces(most + 1) == [(0, most)]
    assert pieces(2 * most) == [(0, most), (most, 2 * most)]
    assert pieces(9 * most, [(0, 5), (7, 7 + 2 * most)]) == [(0, 5), (7, 7 + most), (7 + most, 7 + 2 * most)]


@given(
    st.lists(
        st.tuples(
            st.floats(0, 30),
            st.dictionaries(st.sampled_from(sorted(CODES)), st.floats(0, 1), max_size=10),
        ),
        max_size=20,
    )
)
def test_shares_are_probabilities(told: list[tuple[float, dict[str, float]]]) -> None:
    """Whatever is heard, however often, shares stay positive and add up to 1."""
    evidence = [LanguageEvidence(speech_s, tuple(shares.items())) for speech_s, shares in told]
    belief = LanguageBelief("auto").after(evidence)
    assert belief.language == "auto" if not told else belief.language in CODES
    if belief.shares is not None:
        assert all(share > 0 for share in belief.shares.values())
        assert sum(belief.shares.values()) == pytest.approx(1)
    assert len(LanguageBelief("auto").path(evidence)) == len(told)
