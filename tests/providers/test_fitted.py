"""How much of the encoder a window gets, and what is decoded again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from asrctl.policy.window import Effort, second_token_budget, token_budget
from asrctl.providers.base import DecodeOptions
from asrctl.providers.fitted import transcribe
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis, Samples, Segment
from tests.audio.syllables import again_and_again, speech, word

GREEDY = DecodeOptions()
LOOP = "I have to go to the next slide please check for this"


class Scripted:
    """A library that says what a function makes of its calls; keeps what it was asked.

    Attributes:
        asked: For each decode its length in seconds, positions and most tokens.
        levels: The peak of what each decode was given.
        decoded: How.
    """

    is_multilingual = False
    least_effort = Effort.DRAFT
    clock_s = staticmethod(time.perf_counter)

    def __init__(self, say: Callable[[float, int], tuple[str, float, int]]) -> None:
        """`say` gives text, confidence and tokens for a length and the number of the decode."""
        self._say = say
        self.asked: list[tuple[float, int, int]] = []
        self.levels: list[float] = []
        self.decoded: list[DecodeOptions] = []

    def languages_of(self, samples: Samples) -> tuple[tuple[str, float], ...]:
        return (("fr", 0.9), ("en", 0.1))

    def decode(
        self, samples: Samples, options: DecodeOptions, positions: int, most_tokens: int
    ) -> tuple[Hypothesis, int]:
        length_s = len(samples) / SAMPLE_RATE_HZ
        self.asked.append((length_s, positions, most_tokens))
        self.levels.append(float(abs(samples).max()))
        self.decoded.append(options)
        text, sure, tokens = self._say(length_s, len(self.asked))
        return Hypothesis((Segment(0.0, length_s, text, sure),), options.language, 0.0), tokens


def noise(length_s: float, level: float = 0.1) -> Samples:
    drawn = np.random.default_rng(0).normal(0, level, round(length_s * SAMPLE_RATE_HZ))
    return drawn.astype(np.float32)


def with_effort(effort: Effort) -> DecodeOptions:
    return replace(GREEDY, effort=effort)


@pytest.mark.parametrize(
    ("effort", "least", "positions"),
    [
        (Effort.DRAFT, Effort.DRAFT, 328),
        (Effort.LIGHT, Effort.NORMAL, 512),
        (Effort.NORMAL, Effort.DRAFT, 512),
        (Effort.THOROUGH, Effort.DRAFT, 1500),
    ],
)
def test_what_is_sure_is_decoded_once(effort: Effort, least: Effort, positions: int) -> None:
    """With as much of the encoder as its effort and the library need, to as many tokens as can be said."""
    whisper = Scripted(lambda length_s, _: ("well said", 0.9, 4))
    whisper.least_effort = least
    heard = transcribe(whisper, noise(4), with_effort(effort))
    assert whisper.asked == [(4.0, positions, token_budget(4.0))]
    assert heard.text == "well said" and set(heard.parts_s) == {"first"}


@pytest.mark.parametrize(
    ("again", "tokens", "text"),
    [("surer", 4, "surer"), (f"{LOOP} " * 3, 40, "unsure"), ("without end", token_budget(4.0), "unsure")],
)
def test_what_is_unsure_is_decoded_again(again: str, tokens: int, text: str) -> None:
    """The surer of both is taken, unless it is a loop, of which a decoder is surest."""
    whisper = Scripted(lambda _, count: ("unsure", 0.2, 4) if count == 1 else (again, 0.9, tokens))
    heard = transcribe(whisper, noise(4), GREEDY)
    assert [positions for _, positions, _ in whisper.asked] == [512, 1250]
    assert heard.text == text and "again" in heard.parts_s
    live = Scripted(lambda *_: ("unsure", 0.2, 4))
    transcribe(live, noise(4), with_effort(Effort.LIGHT))
    assert len(live.asked) == 1


def test_a_loop_that_stays_is_decoded_in_ever_smaller_parts() -> None:
    """Of live speech it is told of; a draft is left as it is."""
    whisper = Scripted(lambda length_s, _: (" ".join([LOOP] * (1 if length_s < 4 else 9)), 0.9, 0))
    light = transcribe(whisper, noise(6), with_effort(Effort.LIGHT))
    assert light.is_loop and [length_s for length_s, *_ in whisper.asked] == [6.0]
    whisper.asked.clear()
    assert not transcribe(whisper, noise(6), with_effort(Effort.DRAFT)).is_loop and len(whisper.asked) == 1
    for effort, whole in ((Effort.NORMAL, 2), (Effort.AGAIN, 1)):
        whisper.asked.clear()
        heard = transcribe(whisper, noise(6), with_effort(effort))
        lengths_s = [length_s for length_s, *_ in whisper.asked]
        assert lengths_s[:whole] == [6.0] * whole and max(lengths_s[whole:]) < 4
        assert whisper.asked[whole - 1][1:] == (1250, second_token_budget(6.0))
        assert heard.text == " ".join([LOOP] * (len(lengths_s) - whole))


def test_what_fills_its_budget_lacks_words() -> None:
    """Speech of more tokens than usual is decoded again, to more of them, also where somebody waits."""
    whisper = Scripted(lambda _, count: ("and" if count == 1 else "and so on", 0.9, token_budget(6.0)))
    heard = transcribe(whisper, noise(6), with_effort(Effort.LIGHT))
    assert heard.text == "and so on"
    assert whisper.asked == [(6.0, 428, token_budget(6.0)), (6.0, 1250, second_token_budget(6.0))]


def test_repeated_words_are_counted_and_quiet_ones_raised() -> None:
    """At once where the first decode loops, and what is behind is decoded; what is loud stays as it is."""
    whisper = Scripted(lambda _, count: (("no, " * 40).strip() if count == 1 else "he said.", 0.9, 0))
    rng = np.random.default_rng(4)
    said = np.concatenate([again_and_again(rng, word(rng, 0.3), 12, 0.03), speech(rng, 0.8)])
    heard = transcribe(whisper, 0.002 * said, with_effort(Effort.LIGHT))
    assert heard.text == "no, " * 12 + "he said." and not heard.is_loop
    assert len(whisper.levels) == 2 and min(whisper.levels) > 0.02
    loud = Scripted(lambda *_: ("loud", 0.9, 1))
    transcribe(loud, said, GREEDY)
    assert loud.levels == [float(abs(said).max())]


def test_the_language_is_told_only_by_weights_that_know_several() -> None:
    """The others decode English, whatever was asked for."""
    open_ = replace(GREEDY, language="auto", translate=True)
    whisper = Scripted(lambda *_: ("bonjour", 0.9, 2))
    assert transcribe(whisper, noise(3), open_).evidence == ()
    assert whisper.decoded == [replace(open_, language="en", translate=False)]
    whisper.is_multilingual = True
    heard = transcribe(whisper, noise(3), open_)
    assert heard.language == "fr" and heard.evidence[0].probabilities[0] == ("fr", 0.9)
    assert whisper.decoded[1] == replace(open_, language="fr") and "language" in heard.parts_s


@pytest.mark.parametrize("effort", [Effort.NORMAL, Effort.AGAIN])
def test_silence_is_not_decoded(effort: Effort) -> None:
    """Digital silence has no words."""
    whisper = Scripted(lambda *_: ("Thank you.", 0.9, 3))
    assert transcribe(whisper, np.zeros(80_000, np.float32), with_effort(effort)).text == ""
    assert whisper.asked == []
