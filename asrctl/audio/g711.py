"""G.711, as telephones send it: a byte a sample, in steps that grow with the level (ITU-T G.711)."""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

G711Law = Literal["mulaw", "alaw"]


def decoded(data: bytes, law: G711Law) -> NDArray[np.float32]:
    """Samples in [-1, 1), shape (n,)."""
    return _table(law)[np.frombuffer(data, np.uint8)]


@cache
def _table(law: G711Law) -> NDArray[np.float32]:
    """What each byte stands for: three bits say how large the steps are, four which of them, one the sign."""
    codes = np.arange(256)
    codes = ~codes & 0xFF if law == "mulaw" else codes ^ 0x55
    exponent, step, sign = (codes >> 4) & 7, codes & 15, codes & 128
    if law == "mulaw":
        magnitude = (((step << 3) + 132) << exponent) - 132
        return np.where(sign, -magnitude, magnitude).astype(np.float32) / np.float32(32768)
    magnitude = np.where(exponent == 0, (step << 4) + 8, ((step << 4) + 264) << np.maximum(exponent - 1, 0))
    return np.where(sign, magnitude, -magnitude).astype(np.float32) / np.float32(32768)
