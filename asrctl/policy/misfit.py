"""Speech in a language that the model does not know, by how unsure the model is of all that it wrote."""

from __future__ import annotations

from collections.abc import Iterable

from asrctl.transcript import Segment

_CONFIDENCE = 0.5
_SPEECH_S = 2.0
"""Between what tiny.en-q8_0 gives short clips in languages that it does not know and English ones, noisy ones
among them. A fluent hallucination is not noticed; of less speech a mean tells little."""


def seems_foreign(segments: Iterable[Segment]) -> bool:
    """Whether confidence is low throughout: its mean over the time of all segments."""
    rated = [(each.end_s - each.start_s, each.confidence) for each in segments]
    length_s = sum(duration_s for duration_s, _ in rated)
    if length_s < _SPEECH_S:
        return False
    return sum(duration_s * confidence for duration_s, confidence in rated) / length_s < _CONFIDENCE
