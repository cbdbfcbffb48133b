"""What to do where a decoder falls into a repetition loop: decode the window in two halves."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis, Samples

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHORTEST_SAMPLES = 4 * SAMPLE_RATE_HZ
"""A window that is shorter is not cut: few words and little context are left of it."""

_FRAME_SAMPLES = SAMPLE_RATE_HZ // 10


def decode_in_halves(decode: Callable[[NDArray[np.float32]], Hypothesis], samples: Samples) -> Hypothesis:
    """Decode a window in two parts, cut where it is quietest in its middle third.

    Args:
        decode: Decodes one window.
        samples: Shape (n,), mono float32 at 16 kHz, at least `SHORTEST_SAMPLES`.
    """
    cut = _quietest_sample(samples)
    first, second = decode(samples[:cut]), decode(samples[cut:])
    more = tuple(segment.shifted(cut / SAMPLE_RATE_HZ) for segment in second.segments)
    return Hypothesis(first.segments + more, first.language, 0.0)


def _quietest_sample(samples: Samples) -> int:
    """The middle of the quietest frame of the middle third."""
    import numpy as np

    frames = samples[: len(samples) // _FRAME_SAMPLES * _FRAME_SAMPLES].reshape(-1, _FRAME_SAMPLES)
    third = len(frames) // 3
    energies = np.square(frames[third : len(frames) - third]).mean(axis=1)
    return int(third + np.argmin(energies)) * _FRAME_SAMPLES + _FRAME_SAMPLES // 2
