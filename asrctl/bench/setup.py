"""What is measured: a recogniser that can be started, and speech to give it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from asrctl.audio.files import open_audio
from asrctl.audio.sample import SENTENCES, sample_speech
from asrctl.providers.base import ModelSpec
from asrctl.streaming.files import FileOptions
from asrctl.streaming.stream import SpeechDetector, StreamOptions
from asrctl.transcript import SAMPLE_RATE_HZ
from asrctl.workers.options import HealthCheck

Samples = NDArray[np.float32]
"""Shape (n,), mono at 16 kHz."""

BUILTIN_NOTE = "the built-in speech is five synthetic sentences, repeated: a recording of yours tells more"
_CHUNK_SAMPLES = SAMPLE_RATE_HZ
_PAUSES_S = (0.7, 2.5)
"""As people pause in a conversation, and as `policy.capacity` reckons."""


class Tell(Protocol):
    """Progress callback: what is measured, and how much of the total is done."""

    def __call__(self, what: str, done: float, total: float) -> None: ...


def silent(what: str, done: float, total: float) -> None:
    """No progress is shown."""


@dataclass(frozen=True, slots=True)
class Setup:
    """A way to run a model.

    Attributes:
        model: Its name.
        spec: What a worker loads.
        workers: Processes.
        health: What a worker decodes before it is ready.
        files: How files are cut and decoded.
        stream: How live audio is cut and decoded.
        detector: Makes what finds speech.
    """

    model: str
    spec: ModelSpec
    workers: int
    health: HealthCheck
    files: FileOptions
    stream: StreamOptions
    detector: Callable[[], SpeechDetector]

    @property
    def name(self) -> str:
        """Model, provider, workers x threads: "tiny.en-q8_0 whisper_cpp 1x2"."""
        return f"{self.model} {self.spec.provider} {self.workers}x{self.spec.threads}"

    @property
    def description(self) -> dict[str, Any]:
        """For the record."""
        recorded = {"provider": self.spec.provider, "threads": self.spec.threads}
        return {"model": self.model, "workers": self.workers, **recorded}


@dataclass(frozen=True, slots=True)
class Speech:
    """What is decoded.

    Attributes:
        name: A path, or "built-in".
        duration_s: Its length.
        chunks: Opens it; the samples in order.
        reference: The reference transcript; None if unknown.
        builtin: It ships with asrctl.
    """

    name: str
    duration_s: float
    chunks: Callable[[], Iterator[Samples]]
    reference: str | None
    builtin: bool = False

    @property
    def description(self) -> dict[str, Any]:
        """For the record."""
        return {
            "name": self.name,
            "duration_s": round(self.duration_s, 3),
            "builtin": self.builtin,
            "has_reference": self.reference is not None,
        }

    def samples(self, at_most_s: float) -> Samples:
        """The beginning of it, all at once."""
        wanted, parts, count = round(at_most_s * SAMPLE_RATE_HZ), list[Samples](), 0
        for chunk in self.chunks():
            parts.append(chunk)
            if (count := count + len(chunk)) >= wanted:
                break
        return np.concatenate(parts)[:wanted]


def recorded(path: str, reference: str | None) -> Speech:
    """A file, which is read once to learn its length, and so that it does not fail halfway.

    Raises:
        AudioError: It cannot be read.
    """

    def chunks() -> Iterator[Samples]:
        with open_audio(path) as audio:
            yield from audio

    length = sum(len(chunk) for chunk in chunks())
    return Speech(Path(path).name, length / SAMPLE_RATE_HZ, chunks, reference)


def builtin(duration_s: float, seed: int = 0) -> Speech:
    """The sentences that come with asrctl, in turn, with pauses: about as long as asked, and at least one.

    Args:
        duration_s: It ends with the sentence that reaches this.
        seed: Decides on the pauses.
    """
    sentences = [(sample_speech(file), text) for file, text in SENTENCES.items()]
    dice = np.random.default_rng(seed)
    parts, texts = [_pause(dice)], list[str]()
    while not texts or sum(map(len, parts)) < duration_s * SAMPLE_RATE_HZ:
        speech, text = sentences[len(texts) % len(sentences)]
        parts += [speech, _pause(dice)]
        texts.append(text)
    samples = np.concatenate(parts)

    def chunks() -> Iterator[Samples]:
        for at in range(0, len(samples), _CHUNK_SAMPLES):
            yield samples[at : at + _CHUNK_SAMPLES]

    return Speech("built-in", len(samples) / SAMPLE_RATE_HZ, chunks, " ".join(texts), builtin=True)


def _pause(dice: np.random.Generator) -> Samples:
    """As recordings have it: noise of about -72 dBFS, not zeros."""
    length = round(dice.uniform(*_PAUSES_S) * SAMPLE_RATE_HZ)
    return dice.normal(0.0, 8 / 32768, length).astype(np.float32)
