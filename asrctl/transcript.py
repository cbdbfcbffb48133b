"""What recognisers say: words, segments, hypotheses, transcripts. All times are seconds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

SAMPLE_RATE_HZ = 16_000
"""Rate of all audio inside asrctl: mono float32 in [-1, 1]."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word with its times in seconds and a confidence in [0, 1]; `text` carries no spaces around it."""

    start_s: float
    end_s: float
    text: str
    confidence: float

    def shifted(self, offset_s: float) -> Word:
        """The same word, `offset_s` seconds later."""
        return replace(self, start_s=self.start_s + offset_s, end_s=self.end_s + offset_s)


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of text with its times in seconds; `words` is empty unless word times were asked for.

    `language` is the code of the language it was taken to be in; empty where nobody said.
    """

    start_s: float
    end_s: float
    text: str
    confidence: float
    words: tuple[Word, ...] = ()
    language: str = ""

    def shifted(self, offset_s: float) -> Segment:
        """The same segment and words, `offset_s` seconds later."""
        return replace(
            self,
            start_s=self.start_s + offset_s,
            end_s=self.end_s + offset_s,
            words=tuple(word.shifted(offset_s) for word in self.words),
        )


class LanguageEvidence(NamedTuple):
    """What a recogniser says of a piece of audio: how long it is, and languages with their probabilities."""

    speech_s: float
    probabilities: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What a recogniser made of one window; times count from the window's first sample.

    `inference_s` is the wall time the recogniser took; `language` a code such as "en"; `provider` who it was,
    where there are several; `evidence` what it heard of the language, if that was asked and it can tell.
    """

    segments: tuple[Segment, ...]
    language: str
    inference_s: float
    provider: str = ""
    evidence: tuple[LanguageEvidence, ...] = ()

    @property
    def text(self) -> str:
        """The segments' texts joined by single spaces."""
        return join_text(segment.text for segment in self.segments)

    @property
    def confidence(self) -> float:
        """The mean of the segments' confidences, weighted by their words; 0 without segments."""
        counts = [len(segment.text.split()) or 1 for segment in self.segments]
        weighted = zip(self.segments, counts, strict=True)
        return sum(segment.confidence * count for segment, count in weighted) / max(1, sum(counts))


@dataclass(frozen=True, slots=True)
class AudioAccount:
    """Where every sample went: received = speech + silence + pending + dropped, in samples at 16 kHz.

    `pending_samples` is 0 once a stream has ended.
    """

    received_samples: int = 0
    speech_samples: int = 0
    silence_samples: int = 0
    dropped_samples: int = 0

    @property
    def pending_samples(self) -> int:
        """Samples received and not yet accounted for."""
        return self.received_samples - self.speech_samples - self.silence_samples - self.dropped_samples


@dataclass(frozen=True, slots=True)
class Timing:
    """Where the time went, in seconds; `inference_s` is summed over workers, so it may exceed `wall_s`."""

    load_s: float
    inference_s: float
    wall_s: float


@dataclass(frozen=True, slots=True)
class Transcript:
    """The whole result for one input."""

    source: str
    model: str
    provider: str
    language: str
    duration_s: float
    segments: tuple[Segment, ...]
    audio: AudioAccount
    timing: Timing

    @property
    def text(self) -> str:
        """The segments' texts joined by single spaces."""
        return join_text(segment.text for segment in self.segments)

    @property
    def rtf(self) -> float:
        """Wall time per second of audio; below 1 is faster than real time."""
        return self.timing.wall_s / self.duration_s if self.duration_s else 0.0


def join_text(texts: Iterable[str]) -> str:
    """Join pieces of text by single spaces, skipping empty ones."""
    return " ".join(text for text in (piece.strip() for piece in texts) if text)
