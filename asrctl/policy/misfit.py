"""Speech in a language that the model does not know, by how unsure the model is of all that it wrote."""

from __future__ import annotations

from collections.abc import Iterable

from asrctl.transcript import Segment

_CONFIDENCE = 0.5
_SPEECH_S = 2.0
"""Chosen with tiny.en-q8_0 on clips of Spanish, French, Italian and Chinese (11 clips, means 0.15 to 0.41)
against three English ones (0.65 to 0.89). Checked on others: Hindi, Polish, Portuguese and Japanese of 2 s or
more give 0.25 to 0.48 in 8 of 9 clips, one is a fluent hallucination at 0.83; English films with noise, music
and shouting (15 to 89 s) 0.65 to 0.77. Of less speech a mean says little: "Namaste, duniya" has 0.62.
With faster-whisper the same clips give 0.26 to 0.39, English ones 0.58 and more.
"""


def seems_foreign(segments: Iterable[Segment]) -> bool:
    """Whether confidence is low throughout: its mean over the time of all segments."""
    rated = [(each.end_s - each.start_s, each.confidence) for each in segments]
    length_s = sum(duration_s for duration_s, _ in rated)
    if length_s < _SPEECH_S:
        return False
    return sum(duration_s * confidence for duration_s, confidence in rated) / length_s < _CONFIDENCE
