"""Results as OpenAI's clients read them."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.protocol.deepgram import shapes
from asrctl.protocol.deepgram.query import RecordingOptions
from asrctl.protocol.openai import webservice, whisper_cpp
from asrctl.protocol.openai.answer import Deltas, Result, body_of, failed, segment_of
from asrctl.protocol.openai.errors import RequestRefused
from asrctl.protocol.openai.request import FileRequest
from asrctl.transcript import Segment, Word, join_text

HELLO = Segment(0.5, 1.5, "Hello there.", 0.5, (Word(0.5, 0.9, "Hello", 0.25), Word(1.0, 1.5, "there.", 1.0)))
AGAIN = Segment(2.0, 3.0, "Again.", 1.0, (Word(2.0, 3.0, "Again.", 1.0),))
RESULT = Result((HELLO, AGAIN), "en", 4.2)


def test_json() -> None:
    """Text and the length of the input, no more."""
    usage = {"type": "duration", "seconds": 4.2}
    assert body_of(RESULT, FileRequest()) == {"text": "Hello there. Again.", "usage": usage}


def test_logprobs() -> None:
    """If asked for, one for each word, in both formats."""
    expected = [
        {"token": "Hello", "bytes": list(b"Hello"), "logprob": round(math.log(0.25), 4)},
        {"token": "there.", "bytes": list(b"there."), "logprob": 0.0},
        {"token": "Again.", "bytes": list(b"Again."), "logprob": 0.0},
    ]
    assert body_of(RESULT, FileRequest(logprobs=True))["logprobs"] == expected
    assert body_of(RESULT, FileRequest("verbose_json", logprobs=True))["logprobs"] == expected


@pytest.mark.parametrize(("words", "segments"), [(False, True), (True, False), (True, True)])
def test_verbose(words: bool, segments: bool) -> None:
    """Words and segments are there if asked for, and absent if not."""
    body = body_of(RESULT, FileRequest("verbose_json", words=words, segments=segments))
    assert ("words" in body, "segments" in body) == (words, segments)
    assert (body["task"], body["language"], body["duration"]) == ("transcribe", "english", 4.2)
    if words:
        assert body["words"] == [
            {"word": "Hello", "start": 0.5, "end": 0.9},
            {"word": "there.", "start": 1.0, "end": 1.5},
            {"word": "Again.", "start": 2.0, "end": 3.0},
        ]
    if segments:
        assert body["segments"] == [segment_of(0, HELLO), segment_of(1, AGAIN)]


def test_a_segment() -> None:
    """All ten fields, as OpenAI counts them."""
    assert segment_of(3, HELLO) == {
        "id": 3,
        "seek": 50,
        "start": 0.5,
        "end": 1.5,
        "text": "Hello there.",
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": round(math.log(0.5), 4),
        "compression_ratio": 0.6,
        "no_speech_prob": 0.0,
    }


def test_translation_is_said() -> None:
    """The task names what was done, the language what was heard."""
    body = body_of(Result((), "fr", 1.0), FileRequest("verbose_json", translate=True))
    assert (body["task"], body["language"], body["text"]) == ("translate", "french", "")


def said(events: str) -> list[dict[str, object]]:
    """The events in a stream, without its end."""
    return [json.loads(line[6:]) for line in events.split("\n\n") if line and line != "data: [DONE]"]


def test_events() -> None:
    """Deltas, then all of the text, with the words' logarithms if asked for."""
    deltas = Deltas(FileRequest(logprobs=True))
    stream = (deltas.add(HELLO) or "") + (deltas.add(AGAIN) or "")
    assert [each["delta"] for each in said(stream)] == ["Hello there.", " Again."]
    [done] = said(deltas.done([HELLO, AGAIN]))
    assert done["type"] == "transcript.text.done"
    assert done["text"] == "Hello there. Again."
    assert len(done["logprobs"]) == 3  # type: ignore[arg-type]
    assert deltas.done([]).endswith("\n\ndata: [DONE]\n\n")


def test_times_in_a_stream() -> None:
    """Who asks for segments is told when each was spoken, after its text."""
    deltas = Deltas(FileRequest("verbose_json"))
    events = said((deltas.add(HELLO) or "") + (deltas.add(AGAIN) or ""))
    assert [each["type"] for each in events] == ["transcript.text.delta", "transcript.text.segment"] * 2
    assert [(each["id"], each["start"], each["end"], each["text"]) for each in events[1::2]] == [
        ("seg_0", 0.5, 1.5, "Hello there."),
        ("seg_1", 2.0, 3.0, "Again."),
    ]
    assert [each["speaker"] for each in events[1::2]] == ["", ""]  # clients demand one
    only_words = Deltas(FileRequest("verbose_json", words=True, segments=False))
    assert len(said(only_words.add(HELLO) or "")) == 1


def test_speakers() -> None:
    """A segment for each turn; in a stream each comes after its text."""
    request = FileRequest("diarized_json", speakers=True)
    ann, ben = HELLO.said_by("Speaker 2"), AGAIN.said_by("Speaker 1")
    body = body_of(Result((ann, ben), "en", 4.2), request)
    assert {*body} == {"task", "duration", "text", "segments", "usage"}
    first = {"type": "transcript.text.segment", "id": "seg_0", "start": 0.5, "end": 1.5}
    last = {"type": "transcript.text.segment", "id": "seg_1", "start": 2.0, "end": 3.0}
    turns = [{**first, "speaker": "A", "text": "Hello there."}, {**last, "speaker": "B", "text": "Again."}]
    assert body["segments"] == turns
    deltas = Deltas(request)
    events = said((deltas.add(ann) or "") + (deltas.add(ben) or ""))
    assert events[1::2] == turns
    assert [(each["delta"], each["segment_id"]) for each in events[::2]] == [
        ("Hello there.", "seg_0"),
        (" Again.", "seg_1"),
    ]


def test_a_fault_in_mid_stream() -> None:
    """An event with the same shape as an answer."""
    [event] = said(failed(RequestRefused(500, "audio_dropped", "lost")))
    assert event == {
        "error": {"message": "lost", "type": "server_error", "param": None, "code": "audio_dropped"}
    }


ANY_FLOAT = st.floats(allow_nan=True, allow_infinity=True)
SEGMENTS = st.builds(Segment, ANY_FLOAT, ANY_FLOAT, st.text(max_size=20), ANY_FLOAT)


@given(st.lists(SEGMENTS, max_size=8))
def test_deltas_joined_are_the_text(segments: list[Segment]) -> None:
    """Clients that ignore the last event have the same text, whatever was recognised."""
    deltas = Deltas(FileRequest())
    events = [event for segment in segments if (event := deltas.add(segment)) is not None]
    joined = "".join(str(each["delta"]) for each in said("".join(events)))
    [done] = said(deltas.done(segments))
    assert joined == done["text"] == join_text(segment.text for segment in segments)
    assert all(event.count("\n") == 2 for event in events)


@pytest.mark.parametrize("end_s", [math.inf, -1e308, 1e306])
def test_numbers_that_are_none_make_valid_json(end_s: float) -> None:
    """NaN as confidence, and times without end, as of a broken model: every answer is JSON all the same."""
    word = Word(math.nan, end_s, "x", math.nan)
    result = Result((Segment(end_s, end_s, "x", math.nan, (word,)),), "en", end_s)
    request = FileRequest("verbose_json", words=True, logprobs=True)
    origin = shapes.Origin("id", "2026-01-01T00:00:00Z", "m", "1")
    for body in (
        body_of(result, request),
        whisper_cpp.inference_body(result, request),
        webservice.asr_body(result, request),
        webservice.detected_body(result),
        shapes.recording_body(result, RecordingOptions(request, utterances=True), origin, "0"),
    ):
        json.dumps(body, allow_nan=False)


@given(st.lists(SEGMENTS, max_size=5), st.sampled_from(["json", "verbose_json"]), st.booleans())
def test_bodies_are_strict_json(segments: list[Segment], name: str, logprobs: bool) -> None:
    """No NaN, no infinity, all numbers there."""
    request = FileRequest(name, words=True, logprobs=logprobs)  # type: ignore[arg-type]
    body = body_of(Result(tuple(segments), "en", 1.0), request)
    json.dumps(body, allow_nan=False)
    for segment in body.get("segments", ()):  # type: ignore[attr-defined]
        assert len(segment) == 10
