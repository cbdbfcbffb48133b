"""Words said again and again, as often as the audio has them."""

from __future__ import annotations

import numpy as np
import pytest

from asrctl.providers.repeated import as_spoken
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis, Samples, Segment, Word
from tests.audio.syllables import again_and_again, speech, word


def sounds(*parts: int | float) -> Samples:
    """Speech of some seconds, or a word of 0.3 s so many times."""
    rng = np.random.default_rng(4)
    return np.concatenate(
        [
            speech(rng, part) if isinstance(part, float) else again_and_again(rng, word(rng, 0.3), part, 0.03)
            for part in parts
        ]
    )


def heard(*texts: str) -> Hypothesis:
    """One segment for each text, two seconds each."""
    segments = [Segment(2.0 * at, 2.0 * at + 2, text, 0.9) for at, text in enumerate(texts)]
    return Hypothesis(tuple(segments), "en", 0.1)


def nothing(samples: Samples) -> Hypothesis:
    """A decoder that hears nothing more."""
    return Hypothesis((), "en", 0.0)


@pytest.mark.parametrize(
    ("samples", "texts", "expected"),
    [
        (sounds(12), ["no, " * 40], ["no, " * 12]),
        (sounds(12), ["no, " * 13], ["no, " * 13]),
        (sounds(12), ["no, " * 8], ["no, " * 8]),
        (sounds(1.5, 9), ["The number is " + "five " * 33], ["The number is " + "five " * 9]),
        (sounds(8, 1.5), ["yes, " * 26, "that is it."], ["yes, " * 8, "that is it."]),
        (sounds(8, 1.0, 9), ["go " * 30 + "and then", "run " * 12], ["go " * 8 + "and then", "run " * 9]),
        (sounds(8), ["run, " * 5, "run, " * 9], ["run, " * 5, "run, " * 3]),
        (sounds(8), ["let it go " * 14 + "let it"], ["let it go " * 8]),
    ],
)
def test_as_often_as_the_audio_has_them(samples: Samples, texts: list[str], expected: list[str]) -> None:
    """To one or so, as far as the audio can tell; nothing is added."""
    found = as_spoken(heard(*(text.strip() for text in texts)), samples, nothing)
    assert found is not None
    assert [segment.text for segment in found.segments] == [text.strip() for text in expected]


@pytest.mark.parametrize(
    ("samples", "text"),
    [
        (sounds(12), "no, no, no"),
        (sounds(12), ""),
        (sounds(5.0), "no, " * 40),
        (sounds(8, 1.0, 9), "go, " * 40),
        (sounds(3.0, 9), "five " * 33),
        (sounds(12), "No-o-o-o-o-o-o " + "no, " * 40),
        (np.zeros(48_000, np.float32), "no, " * 40),
    ],
)
def test_what_cannot_be_told(samples: Samples, text: str) -> None:
    """No loop, a loop of which the audio has none or two, words that are missing, a loop within a word."""
    assert as_spoken(heard(text.strip()), samples, nothing) is None


def test_what_is_behind_a_loop_is_decoded() -> None:
    """However short, from the end of the loop on, also where the decoder gave its own 30 s."""
    looped = Hypothesis((Segment(0.0, 30.0, " ".join(["wait,"] * 40), 0.9),), "en", 0.1)
    lengths_s = list[float]()

    def decode(samples: Samples) -> Hypothesis:
        lengths_s.append(len(samples) / SAMPLE_RATE_HZ)
        return Hypothesis((Segment(0.0, 0.5, "he said", 0.8),), "en", 0.1)

    found = as_spoken(looped, sounds(10, 0.6), decode)
    assert found is not None
    waited, said = found.segments
    assert len(waited.text.split()) == 10 and said.text == "he said"
    assert waited.end_s == pytest.approx(3.0, abs=0.25) and said.start_s == pytest.approx(3.0, abs=0.25)
    assert lengths_s == [pytest.approx(3.6 - said.start_s, abs=0.01)]
    as_spoken(looped, np.concatenate([sounds(10), 0.01 * sounds(2.0)]), decode)
    as_spoken(looped, sounds(10), decode)
    assert len(lengths_s) == 1, "too quiet, or nothing there"


def test_words_that_are_said_in_pairs() -> None:
    """A pair is what the audio repeats; its words count."""
    rng = np.random.default_rng(5)
    two = again_and_again(rng, word(rng, 0.25), 2, 0.0)
    pairs = again_and_again(rng, np.concatenate([two, np.zeros(6400, np.float32)]), 6, 0.02)
    found = as_spoken(heard(" ".join(["no"] * 40)), pairs, nothing)
    assert found is not None
    assert len(found.text.split()) in (11, 12, 13)


@pytest.mark.parametrize(("text", "count"), [("0", 10), ("zero", 10), ("5", 20), ("five", 20)])
def test_digits_of_two_syllables_are_no_pairs(text: str, count: int) -> None:
    rng = np.random.default_rng(6)
    twos = np.concatenate([word(rng, 0.2), word(rng, 0.25)])
    found = as_spoken(heard(" ".join([text] * 40)), again_and_again(rng, twos, 10, 0.02), nothing)
    assert found is not None
    assert len(found.text.split()) == pytest.approx(count, abs=1)


def test_words_of_a_loop_have_times() -> None:
    words = [Word(0.0, 30.0, text, 0.9) for text in ["So", *["no"] * 20]]
    segment = Segment(0.0, 30.0, " ".join(word.text for word in words), 0.9, tuple(words))
    found = as_spoken(Hypothesis((segment,), "en", 0.1), sounds(0.5, 10), nothing)
    assert found is not None
    said = found.segments[0].words
    assert [word.text for word in said] == ["So", *["no"] * 10]
    starts_s = [word.start_s for word in said[1:]]
    assert np.diff(starts_s) == pytest.approx(0.3, abs=0.06)
    assert starts_s[0] == pytest.approx(0.5, abs=0.2)
