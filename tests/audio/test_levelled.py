"""Quiet utterances beside loud ones."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from asrctl.audio.levelled import levelled


def tone(level_db: float) -> NDArray[np.float32]:
    return (np.sqrt(2) * 10 ** (level_db / 20) * np.sin(np.arange(16_000) / 5)).astype(np.float32)


def level_db(samples: NDArray[np.float32]) -> float:
    return float(10 * np.log10(np.mean(samples**2)))


@pytest.mark.parametrize(
    ("levels_db", "expected_db"),
    [
        ((-26, -40), (-26, -40)),
        ((-66, -26), (-46, -26)),
        ((-26, -76, -50), (-26, -46, -46)),
        ((-10, -90), (-10, -50)),
        ((-60,), (-60,)),
    ],
)
def test_what_is_far_below_the_loudest_is_raised(
    levels_db: tuple[float, ...], expected_db: tuple[float, ...]
) -> None:
    """To 20 dB below it, by 40 dB at most; the order stays."""
    found = [level_db(each) for each in levelled([tone(each) for each in levels_db])]
    assert found == pytest.approx(expected_db, abs=0.1)


def test_silence_stays_silent() -> None:
    quiet, loud = np.zeros(100, np.float32), tone(-20)
    assert not levelled([quiet, loud, quiet[:0]])[0].any()
