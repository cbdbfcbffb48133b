"""JSON and JSON Lines, schema 1."""

from __future__ import annotations

import json
import math
from typing import Any

from asrctl.render.options import RenderOptions
from asrctl.render.writer import Sink, Writer
from asrctl.transcript import AudioAccount, Segment, Transcript, Word

SCHEMA = 1
"""Version of the JSON below; adding a key does not change it, changing or removing one does."""

_TIME_DIGITS = 3
_CONFIDENCE_DIGITS = 4
_SAMPLE_DIGITS = 7
"""1/16000 s is 0.0000625 s: seven digits keep an account exact to the sample."""


class JsonWriter(Writer):
    """One JSON document, written when the input ends."""

    def segment(self, segment: Segment) -> None:
        """Nothing yet: the document is written whole."""

    def finish(self, transcript: Transcript) -> None:
        """Write the document."""
        self._sink.write(_dumps(document(transcript), indent=2))


class JsonLinesWriter(Writer):
    """A line of type "segment" for each segment as it comes, and one of type "summary" at the end."""

    def __init__(self, sink: Sink, options: RenderOptions | None = None) -> None:
        super().__init__(sink, options)
        self._segments = 0

    def segment(self, segment: Segment) -> None:
        """Write the segment's line."""
        record = {"type": "segment", "schema": SCHEMA, **_segment(self._segments, segment)}
        self._segments += 1
        self._sink.write(_dumps(record))

    def finish(self, transcript: Transcript) -> None:
        """Write the line that says the input has ended: all that the segments do not say."""
        summary = {"type": "summary", **document(transcript), "segment_count": self._segments}
        del summary["segments"], summary["text"]
        self._sink.write(_dumps(summary))


def document(transcript: Transcript) -> dict[str, Any]:
    """The transcript as the JSON of schema 1: times in seconds, numbers that are not finite as null.

    Keys about speakers and tracks are there only where there are any.
    """
    timing = transcript.timing
    tracks = [{"speaker": track.speaker, "audio": _account(track.audio)} for track in transcript.tracks]
    return {
        "schema": SCHEMA,
        "source": transcript.source,
        "model": transcript.model,
        "provider": transcript.provider,
        "language": transcript.language,
        "duration_s": _number(transcript.duration_s, _TIME_DIGITS),
        "text": transcript.text,
        **({"speakers": list(transcript.speakers)} if transcript.speakers else {}),
        "segments": [_segment(index, segment) for index, segment in enumerate(transcript.segments)],
        "audio": _account(transcript.audio),
        **({"tracks": tracks} if tracks else {}),
        "timing": {
            "load_s": _number(timing.load_s, _TIME_DIGITS),
            "inference_s": _number(timing.inference_s, _TIME_DIGITS),
            "wall_s": _number(timing.wall_s, _TIME_DIGITS),
            "rtf": _number(transcript.rtf, _CONFIDENCE_DIGITS),
        },
    }


def _segment(index: int, segment: Segment) -> dict[str, Any]:
    words = [_span(word) for word in segment.words]
    return {"id": index, **_span(segment), "language": segment.language, "words": words}


def _span(span: Segment | Word) -> dict[str, Any]:
    return {
        "start_s": _number(span.start_s, _TIME_DIGITS),
        "end_s": _number(span.end_s, _TIME_DIGITS),
        "text": span.text.strip(),
        "confidence": _number(span.confidence, _CONFIDENCE_DIGITS),
        **({"speaker": span.speaker} if span.speaker else {}),
    }


def _account(audio: AudioAccount) -> dict[str, float | None]:
    return {name: _number(seconds, _SAMPLE_DIGITS) for name, seconds in audio.seconds().items()}


def _number(value: float, digits: int) -> float | None:
    return round(float(value), digits) if math.isfinite(value) else None


def _dumps(record: dict[str, Any], indent: int | None = None) -> str:
    return json.dumps(record, ensure_ascii=False, allow_nan=False, indent=indent) + "\n"
