"""Log mel energies as OpenAI's Whisper computes them, of the last 8 s of audio that was normalised."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from asrctl.models.convert import mel_filters
from asrctl.policy.end_of_turn import WINDOW_SAMPLES
from asrctl.transcript import Samples

BANDS = 80
_FFT, _STEP_SAMPLES = 400, 160
_LEAST_POWER = 1e-10
_LEAST_VARIANCE = 1e-7
_RANGE = 8.0
"""Decades below the loudest that are told apart."""


def log_mel(samples: Samples) -> NDArray[np.float32]:
    """Features of shape (80, 800) of audio at 16 kHz: its last 8 s, silence before what is shorter."""
    window = np.zeros(WINDOW_SAMPLES, np.float32)
    last = samples[-WINDOW_SAMPLES:]
    window[WINDOW_SAMPLES - len(last) :] = last
    window = (window - window.mean()) / np.sqrt(window.var() + _LEAST_VARIANCE)
    padded = np.pad(window, _FFT // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FFT)[::_STEP_SAMPLES]
    spectrum = np.fft.rfft(frames[: WINDOW_SAMPLES // _STEP_SAMPLES] * _window())
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    energies = np.log10(np.maximum(_filters() @ power.T, _LEAST_POWER))
    found: NDArray[np.float32] = (np.maximum(energies, energies.max() - _RANGE) + 4.0) / 4.0
    return found.astype(np.float32)


@cache
def _window() -> NDArray[np.float32]:
    """Hann's, periodic."""
    return np.hanning(_FFT + 1)[:-1].astype(np.float32)


@cache
def _filters() -> NDArray[np.float32]:
    return mel_filters(BANDS)
