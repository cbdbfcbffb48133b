"""Speech in another language than the one it is decoded in.

A model that knows English only shows it by how unsure it is of all that it wrote; one that knows several is
asked which language it hears.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from asrctl.policy.words import words_of
from asrctl.transcript import LanguageEvidence, Segment

_CONFIDENCE = 0.5
_SPEECH_S = 2.0
"""Between what tiny.en-q8_0 gives short clips in languages that it does not know and English ones, noisy ones
among them. A fluent hallucination is not noticed; of less speech a mean tells little."""

_WORDS = 5
"""Different words, not counting numbers: fewer are no sentence, but one that is repeated, or digits, of which
a model is unsure in its own language too."""

_SURE = 0.8


def seems_foreign(segments: Iterable[Segment]) -> bool:
    """Whether confidence is low throughout, its mean over the time of all segments, of several words."""
    segments = [*segments]
    rated = [(each.end_s - each.start_s, each.confidence) for each in segments]
    length_s = sum(duration_s for duration_s, _ in rated)
    words = {word for each in segments for word in words_of(each.text) if not word.isdecimal()}
    if length_s < _SPEECH_S or len(words) < _WORDS:
        return False
    return sum(duration_s * confidence for duration_s, confidence in rated) / length_s < _CONFIDENCE


def spoken_instead(language: str, evidence: Sequence[LanguageEvidence]) -> str:
    """Another language that is surely spoken; "" if there is none.

    Args:
        language: The code of what was asked for.
        evidence: What a model heard that knows several.
    """
    length_s = sum(piece.speech_s for piece in evidence)
    shares: dict[str, float] = {}
    for piece in evidence:
        for code, share in piece.probabilities:
            shares[code] = shares.get(code, 0.0) + share * piece.speech_s
    likeliest = max(shares, key=shares.__getitem__, default=language)
    if length_s < _SPEECH_S or likeliest == language or shares[likeliest] < _SURE * length_s:
        return ""
    return likeliest
