"""The parts of Deepgram's answers that live audio and recordings share, and the answer for a recording."""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NotRequired, TypedDict

from asrctl.protocol.deepgram.query import RecordingOptions
from asrctl.protocol.openai.answer import Result, probability, seconds
from asrctl.transcript import Segment, Word, join_text

_EDGES = re.compile(r"^\W+|\W+$")
_ARCH = "asrctl"
CHANNEL_INDEX = (0, 1)
"""The first of one channel."""

Shape = dict[str, object]


class WordShape(TypedDict):
    """A word; the first is in lower case and bare. `speaker` only where speakers are told apart."""

    word: str
    start: float
    end: float
    confidence: float
    punctuated_word: str
    speaker: NotRequired[int]


class Alternative(TypedDict):
    """What was heard; `languages` only for those who asked which it is."""

    transcript: str
    confidence: float
    words: list[WordShape]
    languages: NotRequired[list[str]]


@dataclass(frozen=True, slots=True)
class Origin:
    """What every answer to one request says of where it comes from.

    Attributes:
        request_id: Of the request.
        created: When it came, as ISO 8601 in UTC.
        model: The name of the model.
        version: Of the server.
    """

    request_id: str
    created: str
    model: str
    version: str

    @property
    def model_uuid(self) -> str:
        """Always the same for a name."""
        return str(uuid.uuid5(uuid.NAMESPACE_OID, self.model))

    @property
    def model_info(self) -> Shape:
        """The model, as results and metadata have it."""
        return {"name": self.model, "version": self.version, "arch": _ARCH}

    def metadata(self, sha256: str, duration_s: float, channels: int) -> Shape:
        """What is said of a whole stream or recording."""
        return {
            "transaction_key": "deprecated",
            "request_id": self.request_id,
            "sha256": sha256,
            "created": self.created,
            "duration": seconds(duration_s),
            "channels": channels,
            "models": [self.model_uuid],
            "model_info": {self.model_uuid: self.model_info},
        }


def bare(word: str) -> str:
    """A word in lower case without punctuation around it; what is nothing but punctuation stays."""
    return _EDGES.sub("", word.lower()) or word.lower()


def spread(text: str, start_s: float, end_s: float, confidence: float = 0.0) -> tuple[Word, ...]:
    """Words of which no times are known: the time is shared out by their lengths."""
    texts = text.split()
    per_char_s = max(0.0, end_s - start_s) / max(1, sum(map(len, texts)))
    words, at_s = list[Word](), start_s
    for each in texts:
        words.append(Word(at_s, at_s + len(each) * per_char_s, each, confidence))
        at_s = words[-1].end_s
    return tuple(words)


def words_of(segment: Segment) -> tuple[Word, ...]:
    """A segment's words, with estimated times where the recogniser told none."""
    return segment.words or spread(segment.text, segment.start_s, segment.end_s, segment.confidence)


def word_shapes(words: Iterable[Word], least_s: float, most_s: float) -> Iterator[WordShape]:
    """Words in order, inside of these bounds."""
    at_s = least_s
    for word in words:
        start_s = min(most_s, max(at_s, word.start_s))
        at_s = start_s
        yield {
            "word": bare(word.text),
            "start": seconds(start_s),
            "end": seconds(min(most_s, max(start_s, word.end_s))),
            "confidence": probability(word.confidence),
            "punctuated_word": word.text,
        }


def final_words(segment: Segment, numbers: dict[str, int], least_s: float, most_s: float) -> list[WordShape]:
    """A segment's words inside of these bounds, with the numbers of their speakers where those are known.

    `numbers` are those of speakers by name; who is not among them gets the next, from 0.
    """
    words = words_of(segment)
    shapes = list(word_shapes(words, least_s, most_s))
    for word, shape in zip(words, shapes, strict=True):
        if speaker := word.speaker or segment.speaker:
            shape["speaker"] = numbers.setdefault(speaker, len(numbers))
    return shapes


def alternative(
    text: str,
    confidence: float,
    words: list[WordShape],
    *,
    punctuate: bool = True,
    languages: Sequence[str] = (),
) -> Alternative:
    """What was heard; without punctuation it is the bare words."""
    shape: Alternative = {
        "transcript": text if punctuate else " ".join(word["word"] for word in words),
        "confidence": probability(confidence),
        "words": words,
    }
    if languages:
        shape["languages"] = [*languages]
    return shape


def live_results(
    origin: Origin,
    span_ms: tuple[int, int],
    heard: Alternative,
    *,
    is_final: bool,
    speech_final: bool,
    from_finalize: bool,
) -> Shape:
    """What is heard in a span of live audio."""
    start_ms, end_ms = span_ms
    return {
        "type": "Results",
        "channel_index": CHANNEL_INDEX,
        "start": start_ms / 1000,
        "duration": (end_ms - start_ms) / 1000,
        "is_final": is_final,
        "speech_final": speech_final,
        "from_finalize": from_finalize,
        "channel": {"alternatives": [heard]},
        "metadata": {
            "request_id": origin.request_id,
            "model_info": origin.model_info,
            "model_uuid": origin.model_uuid,
        },
    }


def recording_body(result: Result, options: RecordingOptions, origin: Origin, sha256: str) -> Shape:
    """The answer for a recording."""
    numbers = dict[str, int]()
    shown = [_shown(segment, numbers, result, options) for segment in result.segments]
    channel: Shape = {
        "alternatives": [
            alternative(
                join_text(each["transcript"] for each in shown),
                _mean_confidence(result.segments),
                [word for each in shown for word in each["words"]],
                languages=_languages(result) if options.multi else (),
            )
        ]
    }
    if options.detect_language and result.language:
        channel["detected_language"] = result.language
    results: Shape = {"channels": [channel]}
    if options.utterances:
        results["utterances"] = [
            {
                **each,
                "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{origin.request_id}/{number}")),
                "start": seconds(segment.start_s),
                "end": seconds(segment.end_s),
                "channel": 0,
                **({"speaker": numbers.setdefault(segment.speaker, len(numbers))} if segment.speaker else {}),
            }
            for number, (segment, each) in enumerate(zip(result.segments, shown, strict=True))
        ]
    return {"metadata": origin.metadata(sha256, result.duration_s, 1), "results": results}


def _shown(
    segment: Segment, numbers: dict[str, int], result: Result, options: RecordingOptions
) -> Alternative:
    words = final_words(segment, numbers, 0.0, result.duration_s)
    language = (segment.language or result.language) if options.multi else ""
    languages = [language] if language else []
    return alternative(
        segment.text.strip(), segment.confidence, words, punctuate=options.punctuate, languages=languages
    )


def _languages(result: Result) -> list[str]:
    """Those that are spoken, the one with the most words first."""
    counts = Counter[str]()
    for segment in result.segments:
        counts[segment.language or result.language] += len(segment.text.split())
    return [language for language, _ in counts.most_common() if language]


def _mean_confidence(segments: Iterable[Segment]) -> float:
    """Weighted by words."""
    counted = [(segment.confidence, len(segment.text.split())) for segment in segments]
    total = sum(count for _, count in counted)
    return sum(confidence * count for confidence, count in counted) / max(1, total)
