"""Results as OpenAI's interface says them: bodies of JSON, and events."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from asrctl.protocol.openai.errors import RequestRefused
from asrctl.protocol.openai.request import FileRequest, language_name
from asrctl.protocol.openai.speakers import Labels
from asrctl.transcript import Segment, Word, join_text

_LEAST = 1e-9
# No recording is longer (30 years); numbers beyond it are a fault, and must still make valid JSON.
_LATEST_S = 1e9
"""A confidence below counts as this one, whose logarithm is finite."""

KEEP_ALIVE = ": working\n\n"
"""An event that is none, for a stream that has nothing to say yet."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a file: its segments, its language's code, and its length in seconds."""

    segments: tuple[Segment, ...]
    language: str
    duration_s: float

    @property
    def text(self) -> str:
        """All of the text."""
        return join_text(segment.text for segment in self.segments)

    @property
    def words(self) -> Iterator[Word]:
        """All words that have times."""
        return (word for segment in self.segments for word in segment.words)


def body_of(result: Result, request: FileRequest) -> dict[str, object]:
    """The body of `json`, `verbose_json` or `diarized_json`."""
    if request.format == "verbose_json":
        return _verbose(result, request)
    if request.format == "diarized_json":
        return _diarized(result, request)
    body: dict[str, object] = {"text": result.text, "usage": _usage(result)}
    if request.logprobs:
        body["logprobs"] = list(_logprobs(result))
    return body


def _verbose(result: Result, request: FileRequest) -> dict[str, object]:
    body: dict[str, object] = {
        "task": "translate" if request.translate else "transcribe",
        "language": language_name(result.language),
        "duration": seconds(result.duration_s),
        "text": result.text,
    }
    if request.segments:
        body["segments"] = [segment_of(number, each) for number, each in enumerate(result.segments)]
    if request.words:
        body["words"] = [word_of(word) for word in result.words]
    if request.logprobs:
        body["logprobs"] = list(_logprobs(result))
    return body | {"usage": _usage(result)}


def _diarized(result: Result, request: FileRequest) -> dict[str, object]:
    labels = Labels(request.known)
    return {
        "task": "translate" if request.translate else "transcribe",
        "duration": seconds(result.duration_s),
        "text": result.text,
        "segments": [_turn(number, each, labels) for number, each in enumerate(result.segments)],
        "usage": _usage(result),
    }


def _turn(number: int, segment: Segment, labels: Labels) -> dict[str, object]:
    """A segment of `diarized_json`, which is also an event of its stream."""
    speaker = labels.of(segment.speaker)
    return {**_timed(number, segment), "speaker": speaker, "text": segment.text.strip()}


def _timed(number: int, segment: Segment) -> dict[str, object]:
    times = {"start": seconds(segment.start_s), "end": seconds(segment.end_s)}
    return {"type": "transcript.text.segment", "id": f"seg_{number}", **times}


def segment_of(number: int, segment: Segment) -> dict[str, object]:
    """A segment with all ten fields; what this server does not know is neutral.

    `seek` is where the segment starts, in hundredths of a second; `avg_logprob` the logarithm of our
    confidence, which is the geometric mean of the tokens' probabilities.
    """
    return {
        "id": number,
        "seek": round(seconds(segment.start_s) * 100),
        "start": seconds(segment.start_s),
        "end": seconds(segment.end_s),
        "text": segment.text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": logarithm(segment.confidence),
        "compression_ratio": _compression_ratio(segment.text),
        "no_speech_prob": 0.0,
    }


def word_of(word: Word) -> dict[str, object]:
    """A word with its times."""
    return {"word": word.text, "start": seconds(word.start_s), "end": seconds(word.end_s)}


def sure_word_of(word: Word) -> dict[str, object]:
    """The same with how sure the recogniser is of it, as the dialects of other servers have it."""
    return {**word_of(word), "probability": probability(word.confidence)}


def seconds(time_s: float) -> float:
    """A time in whole milliseconds, from 0 to `_LATEST_S`: never NaN, never infinite."""
    return round(min(time_s, _LATEST_S), 3) if time_s > 0 else 0.0


def probability(confidence: float) -> float:
    """A confidence within 0 and 1, never NaN."""
    return round(min(1.0, max(0.0, confidence)), 4)


def logarithm(confidence: float) -> float:
    """The logarithm of a probability, always finite."""
    return round(math.log(min(1.0, max(_LEAST, confidence))), 4) + 0.0


def _compression_ratio(text: str) -> float:
    data = text.encode("utf-8", "replace")
    return round(len(data) / len(zlib.compress(data)), 4)


def _logprobs(result: Result) -> Iterator[dict[str, object]]:
    """A token for each word: those of the model are not told of."""
    for word in result.words:
        data = word.text.encode("utf-8", "replace")
        yield {"token": word.text, "bytes": list(data), "logprob": logarithm(word.confidence)}


def _usage(result: Result) -> dict[str, object]:
    return {"type": "duration", "seconds": seconds(result.duration_s)}


# Events


class Deltas:
    """Text that grows: what is said of it, one after the other, is the whole text."""

    def __init__(self, request: FileRequest) -> None:
        self._request = request
        self._labels = Labels(request.known)
        self._texts: list[str] = []

    def add(self, segment: Segment) -> str | None:
        """The events for another segment; None if it has no text.

        With `diarized_json` its times and speaker follow its text, with `verbose_json` its times do: OpenAI
        has no such event there, and its clients want a speaker in each.
        """
        text = segment.text.strip()
        if not text:
            return None
        number = len(self._texts)
        self._texts.append(text)
        delta = {"type": "transcript.text.delta", "delta": f" {text}" if number else text}
        if self._request.format == "diarized_json":
            turn = _turn(number, segment, self._labels)
            return event({**delta, "segment_id": turn["id"]}) + event(turn)
        if self._request.format == "verbose_json" and self._request.segments:
            return event(delta) + event({**_timed(number, segment), "speaker": "", "text": text})
        return event(delta)

    def done(self, segments: Sequence[Segment]) -> str:
        """The events that end it."""
        body: dict[str, object] = {"type": "transcript.text.done", "text": join_text(self._texts)}
        if self._request.logprobs:
            body["logprobs"] = list(_logprobs(Result(tuple(segments), "", 0.0)))
        return event(body) + "data: [DONE]\n\n"


def failed(refusal: RequestRefused) -> str:
    """The event for what goes wrong when the answer has begun; nothing comes after it."""
    return event(refusal.body())


def event(body: Mapping[str, object]) -> str:
    """A server-sent event; JSON has no line breaks outside of its strings' escapes."""
    return f"data: {json.dumps(body, separators=(',', ':'))}\n\n"
