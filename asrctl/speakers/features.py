"""Log mel energies as Kaldi computes them, which speaker embeddings were trained on."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from asrctl.models.campplus import FEATURES
from asrctl.transcript import SAMPLE_RATE_HZ, Samples

FRAME_SAMPLES, STEP_SAMPLES = 400, 160
"""25 ms every 10 ms."""
_FFT = 512
_LOWEST_HZ = 20.0
_PREEMPHASIS = 0.97
_FLOOR = float(np.finfo(np.float32).eps)

Features = NDArray[np.float32]


def log_mel(samples: Samples) -> Features:
    """Features of shape (frames, 80); frames that reach beyond the end are left out."""
    if len(samples) < FRAME_SAMPLES:
        return np.zeros((0, FEATURES), np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME_SAMPLES)[::STEP_SAMPLES]
    frames = frames - frames.mean(axis=1, keepdims=True)
    before = np.concatenate((frames[:, :1], frames[:, :-1]), axis=1)
    spectrum = np.fft.rfft((frames - np.float32(_PREEMPHASIS) * before) * _window(), _FFT)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    energies = power[:, : _FFT // 2] @ _filters()
    found: Features = np.log(np.maximum(energies, _FLOOR)).astype(np.float32)
    return found


@cache
def _window() -> NDArray[np.float32]:
    """Povey's: a Hann window to the power of 0.85."""
    hann: NDArray[np.float64] = np.hanning(FRAME_SAMPLES)
    return (hann**0.85).astype(np.float32)


@cache
def _filters() -> NDArray[np.float32]:
    """Triangles on the mel scale, shape (256, 80)."""
    edges = np.linspace(_mel(np.array(_LOWEST_HZ)), _mel(np.array(SAMPLE_RATE_HZ / 2)), FEATURES + 2)
    bins = _mel(np.arange(_FFT // 2) * SAMPLE_RATE_HZ / _FFT)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)


def _mel(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1127.0 * np.log1p(hz / 700.0)
