"""What recognisers say: words, segments, hypotheses, transcripts. All times are seconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16_000
"""Rate of all audio inside asrctl."""
Samples: TypeAlias = "NDArray[np.float32]"
"""Audio: mono float32 at 16 kHz in [-1, 1], shape (n,)."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word with its times in seconds and a confidence in [0, 1]; `text` carries no spaces around it.

    `speaker` is who said it; "" is unknown.
    """

    start_s: float
    end_s: float
    text: str
    confidence: float
    speaker: str = ""

    def shifted(self, offset_s: float) -> Word:
        """The same word, `offset_s` seconds later."""
        return replace(self, start_s=self.start_s + offset_s, end_s=self.end_s + offset_s)


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of text with its times in seconds; `words` is empty unless word times were asked for.

    `speaker` is who said it, or most of it: words may have speakers of their own; "" is unknown.
    `language` is the code of the language it was taken to be in; empty where nobody said.
    """

    start_s: float
    end_s: float
    text: str
    confidence: float
    words: tuple[Word, ...] = ()
    speaker: str = ""
    language: str = ""

    def shifted(self, offset_s: float) -> Segment:
        """The same segment and words, `offset_s` seconds later."""
        return replace(
            self,
            start_s=self.start_s + offset_s,
            end_s=self.end_s + offset_s,
            words=tuple(word.shifted(offset_s) for word in self.words),
        )

    def said_by(self, speaker: str) -> Segment:
        """The same segment and words, all said by `speaker`."""
        return self.labelled(speaker, ())

    def labelled(self, speaker: str, words: Sequence[str]) -> Segment:
        """The same segment said by `speaker`, and its words by `words`; these may be none, or one each."""
        speakers = words or [speaker] * len(self.words)
        pairs = zip(self.words, speakers, strict=True)
        return replace(self, speaker=speaker, words=tuple(replace(word, speaker=who) for word, who in pairs))

    def turns(self) -> tuple[Segment, ...]:
        """The segment in parts that have one speaker each; a word without one has the segment's."""
        groups = [tuple(words) for _, words in groupby(self.words, lambda word: word.speaker or self.speaker)]
        return tuple(
            replace(part, speaker=(part.words or (self,))[0].speaker or self.speaker)
            for part in self._in_parts(groups)
        )

    def parted(self, pause_s: float) -> tuple[Segment, ...]:
        """The segment in parts between which nothing was said for `pause_s` seconds, by its words."""
        groups: list[tuple[Word, ...]] = []
        for word in self.words:
            if groups and word.start_s - groups[-1][-1].end_s < pause_s:
                groups[-1] += (word,)
            else:
                groups.append((word,))
        return self._in_parts(groups)

    def _in_parts(self, groups: list[tuple[Word, ...]]) -> tuple[Segment, ...]:
        if len(groups) < 2:
            return (self,)
        return tuple(
            replace(self, start_s=words[0].start_s, end_s=words[-1].end_s, text=text, words=words)
            for words, text in zip(groups, _cut(self.text, groups), strict=True)
        )


class LanguageEvidence(NamedTuple):
    """What a recogniser says of a piece of audio: how long it is, languages with their probabilities, and
    where in the window it begins."""

    speech_s: float
    probabilities: tuple[tuple[str, float], ...]
    start_sample: int = 0


class Part(StrEnum):
    """A part of the work of decoding a window."""

    FIRST = "first"
    """The first decode."""
    AGAIN = "again"
    """A text that looks wrong, decoded again with more of the encoder."""
    FALLBACK = "fallback"
    """Another way, after a repetition loop that the second decode did not end."""
    REST = "rest"
    """What the first decode left over at the window's end."""
    LANGUAGE = "language"
    """Finding out the language."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What a recogniser made of one window; times count from the window's first sample.

    `inference_s` is the wall time the recogniser took; `language` a code such as "en"; `provider` who it was,
    where there are several; `evidence` what it heard of the language, if that was asked and it can tell;
    `parts_s` what the time went to, if it says; `is_loop` whether the decoder repeated itself in it, so that
    another decode with more effort may give a better text.
    """

    segments: tuple[Segment, ...]
    language: str
    inference_s: float
    provider: str = ""
    evidence: tuple[LanguageEvidence, ...] = ()
    parts_s: Mapping[Part, float] = field(default_factory=dict)
    is_loop: bool = False

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

    def seconds(self) -> dict[str, float]:
        """What documents and messages say of it: `received_s`, `speech_s`, `silence_s` and `dropped_s`."""
        return {
            "received_s": self.received_samples / SAMPLE_RATE_HZ,
            "speech_s": self.speech_samples / SAMPLE_RATE_HZ,
            "silence_s": self.silence_samples / SAMPLE_RATE_HZ,
            "dropped_s": self.dropped_samples / SAMPLE_RATE_HZ,
        }

    def closed(self) -> AudioAccount:
        """The same at the end: what is still pending will never be transcribed, and counts as dropped."""
        return replace(self, dropped_samples=self.dropped_samples + self.pending_samples)

    def __add__(self, other: AudioAccount) -> AudioAccount:
        """The account of both."""
        return AudioAccount(
            self.received_samples + other.received_samples,
            self.speech_samples + other.speech_samples,
            self.silence_samples + other.silence_samples,
            self.dropped_samples + other.dropped_samples,
        )


@dataclass(frozen=True, slots=True)
class Timing:
    """Where the time went, in seconds; `inference_s` is summed over workers, so it may exceed `wall_s`."""

    load_s: float
    inference_s: float
    wall_s: float


@dataclass(frozen=True, slots=True)
class Track:
    """A track of a recording: who is on it, and where its samples went."""

    speaker: str
    audio: AudioAccount


@dataclass(frozen=True, slots=True)
class Transcript:
    """The whole result for one input; `tracks`, if it had any, add up to `audio`."""

    source: str
    model: str
    provider: str
    language: str
    duration_s: float
    segments: tuple[Segment, ...]
    audio: AudioAccount
    timing: Timing
    tracks: tuple[Track, ...] = ()

    @property
    def text(self) -> str:
        """The segments' texts joined by single spaces."""
        return join_text(segment.text for segment in self.segments)

    @property
    def speakers(self) -> tuple[str, ...]:
        """Who speaks, in the order of their first words; empty where that is unknown."""
        turns = (turn.speaker for segment in self.segments for turn in segment.turns())
        return tuple(dict.fromkeys(speaker for speaker in turns if speaker))

    @property
    def rtf(self) -> float:
        """Wall time per second of audio; below 1 is faster than real time."""
        return self.timing.wall_s / self.duration_s if self.duration_s else 0.0


def _cut(text: str, parts: Sequence[Sequence[Word]]) -> list[str]:
    """The text of each part; spaced as the whole text is, where that holds all the words."""
    starts, at = [], 0
    for words in parts:
        for index, word in enumerate(words):
            found = text.find(word.text, at)
            if found < 0:
                return [join_text(word.text for word in words) for words in parts]
            starts += [found] if index == 0 else []
            at = found + len(word.text)
    edges = [0, *starts[1:], len(text)]
    return [text[start:end].strip() for start, end in pairwise(edges)]


def join_text(texts: Iterable[str]) -> str:
    """Join pieces of text by single spaces, skipping empty ones."""
    return " ".join(text for text in (piece.strip() for piece in texts) if text)
