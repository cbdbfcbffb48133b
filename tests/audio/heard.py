"""Where in some audio asrctl's own sentence is heard: right words at right times, without a model."""

from __future__ import annotations

import numpy as np

from asrctl.audio.files import open_audio
from asrctl.audio.sample import sample_speech
from tests.audio.samples import Samples

SENTENCE_S = 2.93
_LEAST_LIKENESS = 0.9  # of 1; codecs of the test files reach 0.97, half the speed 0.1
_APART = 16_000


def read(spec: str, **options: int) -> tuple[Samples, list[str]]:
    """All samples of an input and its warnings."""
    with open_audio(spec, **options) as reader:  # type: ignore[arg-type]
        chunks = list(reader)
        return np.concatenate(chunks), reader.warnings


def sentences_at_s(samples: Samples) -> list[float]:
    """When the sentence begins, each time that it is heard, at its own speed."""
    sentence = sample_speech()
    n_fft = 1 << int(np.ceil(np.log2(len(samples) + len(sentence))))
    spectrum = np.fft.rfft(samples, n_fft) * np.conj(np.fft.rfft(sentence, n_fft))
    products = np.abs(np.fft.irfft(spectrum, n_fft))[: len(samples)]
    energy = np.concatenate([[0.0], np.cumsum(samples.astype(np.float64) ** 2)])
    starts: list[float] = []
    while True:
        at = int(np.argmax(products))
        heard = energy[min(len(samples), at + len(sentence))] - energy[at]
        if products[at] < _LEAST_LIKENESS * np.sqrt(heard * np.sum(sentence**2)) or not heard:
            return sorted(starts)
        starts.append(at / 16_000)
        products[max(0, at - _APART) : at + _APART] = 0
