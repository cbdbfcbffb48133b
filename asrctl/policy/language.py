"""Which language is spoken, where it may change: each detection is weighed against what was heard before.

A hidden Markov model with one state for each language, filtered forward: a stream stays in its language most
of the time, and what a recogniser says of a piece of audio is the likelihood. So a language is not pinned by
the first utterance, and a detection on little speech does not overturn a settled one. What comes back is
likelier than what was never heard.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from asrctl.languages import CODES, candidates, is_open
from asrctl.transcript import SAMPLE_RATE_HZ, LanguageEvidence

PIECE_S = 6.4
POSITIONS = round(50 * PIECE_S)
"""What is looked at for a detection, and the positions of Whisper's encoder for it, also of less audio: with
128 for a second 47 % of such pieces of real speech in the reporting half had their language, 63 % with as
many as these, or 256 (base-q8_0, by hand)."""

_MUCH_LONGER = 1.25
"""Of what is less longer than a piece, the end would tell next to nothing that its beginning has not."""
_CHANGES = 0.3
"""How often a piece is in any language, whatever the one before was in."""
_RETURNS = 0.1
"""How often it goes back to what was heard earlier. In simulated streams of the choosing half 84 % of single
utterances between others in another language were found in files, 51 % without this; 98.9 and 99.2 % where
the language did not change (base-q8_0, by hand, detected with less of the encoder than now)."""
_TRUSTED_S = 2.0
"""A detection on less speech counts less, in proportion: a second is often taken for another language."""
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
        shares: Probabilities of the languages that come into question, adding up to 1; None before anything
            was heard.
        usual: Their mean over all that was heard so far.
        pieces: How many pieces that were.
    """

    asked: str
    shares: Mapping[str, float] | None = None
    usual: Mapping[str, float] | None = None
    pieces: int = 0

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
            belief = belief._after(piece)
        return belief

    def path(self, evidence: Sequence[LanguageEvidence]) -> list[str]:
        """The likeliest language of each of several pieces that follow each other, from what all of them say.

        What came later tells too: the beginning of a change, on little speech, shows by what comes after it,
        and a language that comes back is likelier all along.
        """
        base = _base(candidates(self.asked))
        arrivals = self.after(evidence)._arrivals(base)
        scores = {code: math.log(share) for code, share in (self.shares or base).items()}
        steps: list[dict[str, str]] = []
        for piece in evidence:
            likelihoods = _likelihoods(piece, base)
            best = max(scores, key=scores.__getitem__)
            before: dict[str, str] = {}
            following: dict[str, float] = {}
            for code, arrival in arrivals.items():
                stays, comes = scores[code] + math.log(_stay(arrival)), scores[best] + math.log(arrival)
                before[code] = code if stays >= comes else best
                following[code] = max(stays, comes) + math.log(likelihoods[code])
            steps, scores = [*steps, before], following
        language, languages = max(scores, key=scores.__getitem__), list[str]()
        for step in reversed(steps):
            languages.insert(0, language)
            language = step[language]
        return languages

    def _after(self, piece: LanguageEvidence) -> LanguageBelief:
        base = _base(candidates(self.asked))
        before, likelihoods = self.shares or base, _likelihoods(piece, base)
        weights = {
            code: (_stay(arrival) * before[code] + arrival * (1 - before[code])) * likelihoods[code]
            for code, arrival in self._arrivals(base).items()
        }
        total, count = sum(weights.values()), self.pieces + 1
        shares = {code: weight / total for code, weight in weights.items()}
        mean = self.usual or shares
        usual = {code: mean[code] + (share - mean[code]) / count for code, share in shares.items()}
        return replace(self, shares=shares, usual=usual, pieces=count)

    def _arrivals(self, base: Mapping[str, float]) -> dict[str, float]:
        """How likely a piece is in each language if the one before was in another."""
        heard = self.usual or {}
        return {code: _CHANGES * share + _RETURNS * heard.get(code, 0.0) for code, share in base.items()}


def _stay(arrival: float) -> float:
    """How likely the language of an arrival stays."""
    return 1 - _CHANGES - _RETURNS + arrival


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


def pieces(length_samples: int, utterances: Sequence[tuple[int, int]] = ()) -> list[tuple[int, int]]:
    """What to look at of a window, (start, end) in samples: each utterance, or the window if it is one; of
    what is longer than a piece the beginning, and of what is much longer the end too."""
    piece_samples = round(PIECE_S * SAMPLE_RATE_HZ)
    found = list[tuple[int, int]]()
    for start, end in utterances or [(0, length_samples)]:
        found.append((start, min(end, start + piece_samples)))
        if end - start > _MUCH_LONGER * piece_samples:
            found.append((end - piece_samples, end))
    return found


def of_each(
    utterances: Sequence[tuple[int, int]], evidence: Sequence[LanguageEvidence], belief: LanguageBelief
) -> list[str]:
    """The language of each utterance of a window; empty if nothing was heard of any, or it is given.

    Args:
        utterances: Where they start and end in the window, in samples.
        evidence: What was heard of the window.
        belief: What was known before it.
    """
    path = belief.path(evidence) if belief.is_open else []
    found, language = list[str](), next(iter(path), "")
    for start, end in utterances if path else ():
        inside = [one for one, piece in zip(path, evidence, strict=True) if start <= piece.start_sample < end]
        language = inside[-1] if inside else language  # too short to tell: that of the one before
        found.append(language)
    return found
