"""What to do where a decoder falls into a repetition loop: decode the window in two halves."""

from __future__ import annotations

from collections.abc import Callable

from asrctl.providers.tokens import tidy
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis, Samples

LEAST_CUT_SAMPLES = 4 * SAMPLE_RATE_HZ
"""A window that is shorter is not cut: few words and little context are left of it."""

_FRAME_SAMPLES = SAMPLE_RATE_HZ // 10


def decode_in_halves(decode: Callable[[Samples], Hypothesis], samples: Samples) -> Hypothesis:
    """Decode a window in two parts, cut where it is quietest in its middle third.

    Args:
        decode: Decodes one window.
        samples: Shape (n,), mono float32 at 16 kHz, at least `LEAST_CUT_SAMPLES`.
    """
    cut = _quietest_sample(samples)
    first, second = decode(samples[:cut]), decode(samples[cut:])
    cut_s, rest_s = cut / SAMPLE_RATE_HZ, (len(samples) - cut) / SAMPLE_RATE_HZ
    more = (segment.shifted(cut_s) for segment in tidy(second.segments, rest_s))
    return Hypothesis((*tidy(first.segments, cut_s), *more), first.language, 0.0)


def _quietest_sample(samples: Samples) -> int:
    """The middle of the quietest frame of the middle third."""
    import numpy as np

    frames = samples[: len(samples) // _FRAME_SAMPLES * _FRAME_SAMPLES].reshape(-1, _FRAME_SAMPLES)
    third = len(frames) // 3
    energies = np.square(frames[third : len(frames) - third]).mean(axis=1)
    return int(third + np.argmin(energies)) * _FRAME_SAMPLES + _FRAME_SAMPLES // 2
