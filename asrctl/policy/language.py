"""Which language is spoken, where it may change: each detection is weighed against what was heard before.

A hidden Markov model with one state for each language, filtered forward: a stream stays in its language with
probability 1 - `_CHANGES`, and what a recogniser says of a piece of audio is the likelihood. So a language is
not pinned by the first utterance, and a detection on little speech does not overturn a settled one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from asrctl.languages import CODES, candidates, is_open
from asrctl.transcript import SAMPLE_RATE_HZ, LanguageEvidence

PIECE_S = 6.4
"""Audio that is looked at for a detection: 320 of the 1500 positions of Whisper's encoder."""

_CHANGES = 0.3
_TRUSTED_S = 2.0
"""A detection on less speech counts less, in proportion: a second is often taken for another language."""
_SUSPECTED = 3.0
"""Another language so many times likelier at a window's end is reason to look at its utterances. In joined
clips of the choosing half, nearly a quarter of them Dutch that it never knows, 70 % of the time got its
language, 63 % when a change had to be believed first (base-q8_0, by hand)."""
_LEAST = 1e-4
"""No detection is surer than this that a language is not spoken."""
_COMMON = frozenset(
    """
    en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta
    """.split()  # noqa: SIM905 easier to read than strings
)
"""Languages with the most speech in Whisper's training data; small models hear others mostly by mistake."""
_RARE = 0.1


@dataclass(frozen=True, slots=True)
class LanguageBelief:
    """How likely which language is, for the audio that comes next.

    Attributes:
        asked: What the user said: a code, "auto", or several codes joined by commas.
        shares: Probabilities of the languages that come into question, adding up to 1; empty before anything
            was heard.
    """

    asked: str
    shares: Mapping[str, float] | None = None

    @property
    def is_open(self) -> bool:
        """Whether it has to be found out."""
        return is_open(self.asked)

    @property
    def language(self) -> str:
        """What to decode in: the likeliest language's code; what was asked before anything was heard."""
        if self.shares is None:
            return self.asked
        return max(self.shares, key=self.shares.__getitem__)

    def after(self, evidence: Iterable[LanguageEvidence]) -> LanguageBelief:
        """The belief once these pieces of audio were looked at, in order; without any it stays."""
        belief = self
        for piece in evidence if self.is_open else ():
            belief = replace(belief, shares=belief._weighed(piece))
        return belief

    def path(self, evidence: Sequence[LanguageEvidence]) -> list[str]:
        """The likeliest language of each of several pieces that follow each other, from what all of them say.

        What came later tells too: the beginning of a change, on little speech, shows by what comes after it.
        """
        base = _base(candidates(self.asked))
        scores = {code: math.log(share) for code, share in (self.shares or base).items()}
        steps: list[dict[str, str]] = []
        for piece in evidence:
            likelihoods = _likelihoods(piece, base)
            best = max(scores, key=scores.__getitem__)
            before: dict[str, str] = {}
            following: dict[str, float] = {}
            for code, share in base.items():
                stays = scores[code] + math.log(1 - _CHANGES)
                comes = scores[best] + math.log(_CHANGES * share)
                before[code] = code if stays >= comes else best
                following[code] = max(stays, comes) + math.log(likelihoods[code])
            steps, scores = [*steps, before], following
        language, languages = max(scores, key=scores.__getitem__), list[str]()
        for step in reversed(steps):
            languages.insert(0, language)
            language = step[language]
        return languages

    def _weighed(self, piece: LanguageEvidence) -> dict[str, float]:
        base = _base(candidates(self.asked))
        before, likelihoods = self.shares or base, _likelihoods(piece, base)
        weights = {
            code: ((1 - _CHANGES) * before[code] + _CHANGES * share) * likelihoods[code]
            for code, share in base.items()
        }
        total = sum(weights.values())
        return {code: weight / total for code, weight in weights.items()}


def _likelihoods(piece: LanguageEvidence, codes: Iterable[str]) -> dict[str, float]:
    """What is left of the probability is shared by the languages of which nothing is said."""
    trust = min(1.0, piece.speech_s / _TRUSTED_S)
    found = dict(piece.probabilities)
    untold = (1 - sum(found.values())) / max(1, len(CODES) - len(found))
    return {code: math.pow(max(found.get(code, untold), _LEAST), trust) for code in codes}


def _base(allowed: Sequence[str]) -> dict[str, float]:
    """How likely languages are before anything was heard; those that were named are equally likely."""
    rates = {code: 1.0 if allowed or code in _COMMON else _RARE for code in allowed or sorted(CODES)}
    total = sum(rates.values())
    return {code: rate / total for code, rate in rates.items()}


def pieces(length_samples: int) -> list[tuple[int, int]]:
    """What to look at of a window, (start, end) in samples: its beginning, and its end if that is another."""
    piece_samples = round(PIECE_S * SAMPLE_RATE_HZ)
    if length_samples <= piece_samples:
        return [(0, length_samples)]
    return [(0, piece_samples), (length_samples - piece_samples, length_samples)]


def may_change_within(belief: LanguageBelief, evidence: Sequence[LanguageEvidence]) -> bool:
    """Whether a window may begin in one language and end in another.

    That is asked before its utterances are looked at one by one, so less is enough than to believe in a
    change: the end of a window is often in both languages.
    """
    if len(evidence) < 2 or not belief.is_open:
        return False
    before = belief.after(evidence[:1]).language
    likelihoods = _likelihoods(evidence[-1], _base(candidates(belief.asked)))
    return max(likelihoods.values()) >= _SUSPECTED * likelihoods[before]
