"""Short speech is heard better after other speech: a known sentence goes before it, and is taken off again.

Alone, a telephone's "Press star to cancel." comes back as "Press Start to cancel."; in the file that it was
cut from, behind other sentences, it does not, nor behind one that has nothing to do with it.

Measured on 291 live utterances, 3,357 words (tiny.en q8_0): 125 words wrong instead of 132 for 1.09 times the
CPU; on the ten talks of the load test 449 of 11,627 instead of 480. By hand: of nine finals that it changed
eight were better and none worse; behind themselves, or behind half of the sentence, 142 and 148 words were
wrong, and with 0.6 s of silence in front 140.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from asrctl.audio.sample import SAMPLE_TEXT, sample_speech
from asrctl.policy.words import word_key
from asrctl.providers.tokens import geometric_mean
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis, Segment, join_text

SURE_ALONE = 0.88
"""Short speech less sure than this is decoded again, behind the sentence."""

SURE_BEHIND = 0.6
"""What is still less sure than this is decoded again with more of the encoder."""

_LANGUAGE = "en"  # of the sentence; before speech in another it would mislead
_LONGEST_S = 4.0
_PAUSE_S = 0.3
_WORDS = SAMPLE_TEXT.split()
_MISHEARD_WORDS = 1
"""By so many the sentence may come back longer or shorter than it is."""


def helps(language: str, duration_s: float) -> bool:
    """Whether it is worth trying with doubtful speech in this language and of this length, in seconds."""
    return language == _LANGUAGE and duration_s < _LONGEST_S


def led_in(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The sentence, a pause, and these samples, shape (n,), mono float32 at 16 kHz."""
    return np.concatenate((_lead_in(), samples))


def without_lead_in(hypothesis: Hypothesis) -> Hypothesis | None:
    """What was heard after the sentence, times from its end on; None if that cannot be told apart.

    Args:
        hypothesis: Of what `led_in` made, with words.
    """
    heard = [word_key(word.text) for segment in hypothesis.segments for word in segment.words]
    last = len(_WORDS) - 1
    ends = range(last - _MISHEARD_WORDS, last + _MISHEARD_WORDS + 1)
    end = next((at for at in ends if heard[at : at + 1] == [word_key(_WORDS[-1])]), None)
    if end is None:
        return None
    segments, skip = list[Segment](), end + 1
    for segment in hypothesis.segments:
        words, skip = segment.words[skip:], max(0, skip - len(segment.words))
        if words:
            text = join_text(word.text for word in words) if len(words) < len(segment.words) else segment.text
            sure = geometric_mean([word.confidence for word in words])
            rest = replace(segment, start_s=words[0].start_s, text=text, confidence=sure, words=words)
            segments.append(rest.shifted(-len(_lead_in()) / SAMPLE_RATE_HZ))
    return replace(hypothesis, segments=tuple(segments)) if segments else None


@cache
def _lead_in() -> NDArray[np.float32]:
    return np.concatenate((sample_speech(), np.zeros(round(_PAUSE_S * SAMPLE_RATE_HZ), np.float32)))
