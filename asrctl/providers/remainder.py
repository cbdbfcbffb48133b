"""Decoders stop early now and then: what they left over is decoded as a window of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_UNHEARD_S = 2.0
"""Windows end with speech, so that no hypothesis should end this long before its window does."""

_MAX_REMAINDERS = 4


def decode_whole(
    decode: Callable[[NDArray[np.float32]], Hypothesis], samples: NDArray[np.float32]
) -> Hypothesis:
    """Decode a window to its end.

    Whisper may end its text after the first of several utterances and say that there is no more: on 14
    minutes of joined recordings, 20 words of 1685 were lost in one such window, with all of the encoder too.

    Args:
        decode: Decodes one window.
        samples: Shape (n,), mono float32 at 16 kHz, that ends with speech.

    Returns:
        What `decode` made of the window, and of what it left over at the end.
    """
    hypothesis = decode(samples)
    for _ in range(_MAX_REMAINDERS):
        heard_s = hypothesis.segments[-1].end_s if hypothesis.segments else float("inf")
        if len(samples) / SAMPLE_RATE_HZ - heard_s < _UNHEARD_S:
            break
        rest = decode(samples[round(heard_s * SAMPLE_RATE_HZ) :])
        if not rest.segments:
            break
        more = tuple(segment.shifted(heard_s) for segment in rest.segments)
        hypothesis = replace(hypothesis, segments=hypothesis.segments + more)
    return hypothesis
