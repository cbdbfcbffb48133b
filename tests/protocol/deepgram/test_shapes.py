"""The answer for a recording."""

from __future__ import annotations

from dataclasses import replace

import pytest

from asrctl.protocol.deepgram.query import RecordingOptions
from asrctl.protocol.deepgram.shapes import recording_body, spread
from asrctl.protocol.openai.answer import Result
from asrctl.protocol.openai.request import FileRequest
from asrctl.transcript import Segment, Word

from .talks import ORIGIN

SEGMENTS = (
    Segment(0.5, 1.5, "Hello there.", 0.9, (Word(0.5, 0.9, "Hello", 0.8), Word(0.95, 1.5, "there.", 1.0))),
    Segment(2.0, 3.2, "Bye!", 0.6, (Word(2.0, 3.2, "Bye!", 0.6),)),
)
RESULT = Result(SEGMENTS, "en", 3.0)
PLAIN = RecordingOptions(FileRequest())


def test_recording() -> None:
    """Metadata, one channel, one alternative with words, none of which ends after the recording."""
    body = recording_body(RESULT, PLAIN, ORIGIN, "abc")
    metadata, results = body["metadata"], body["results"]
    assert isinstance(metadata, dict) and isinstance(results, dict)
    assert (metadata["request_id"], metadata["sha256"], metadata["duration"]) == ("an-id", "abc", 3.0)
    assert set(results) == {"channels"}
    [channel] = results["channels"]
    assert set(channel) == {"alternatives"}
    [alternative] = channel["alternatives"]
    assert alternative["transcript"] == "Hello there. Bye!"
    assert alternative["confidence"] == pytest.approx((2 * 0.9 + 0.6) / 3, abs=1e-4)
    assert [word["word"] for word in alternative["words"]] == ["hello", "there", "bye"]
    assert alternative["words"][-1]["end"] == 3.0


def test_recording_with_more() -> None:
    """Utterances and languages for those who ask, bare words for those who want them."""
    options = RecordingOptions(
        FileRequest(), utterances=True, punctuate=False, multi=True, detect_language=True
    )
    results = recording_body(RESULT, options, ORIGIN, "abc")["results"]
    assert isinstance(results, dict)
    [channel] = results["channels"]
    assert channel["detected_language"] == "en"
    assert channel["alternatives"][0]["transcript"] == "hello there bye"
    assert channel["alternatives"][0]["languages"] == ["en"]
    first, second = results["utterances"]
    assert (first["start"], first["end"], first["transcript"], first["channel"]) == (
        0.5,
        1.5,
        "hello there",
        0,
    )
    assert first["id"] != second["id"]


def test_a_recording_in_several_languages() -> None:
    """All are named, the one with most words first; each utterance has its own."""
    spanish = replace(SEGMENTS[1], text="adiós a todos", language="es", words=())
    options = RecordingOptions(FileRequest(), utterances=True, multi=True)
    said = Result((replace(SEGMENTS[0], language="fr"), spanish), "fr", 9.0)
    results = recording_body(said, options, ORIGIN, "abc")["results"]
    assert isinstance(results, dict)
    assert results["channels"][0]["alternatives"][0]["languages"] == ["es", "fr"]
    assert [each["languages"] for each in results["utterances"]] == [["fr"], ["es"]]


def test_speakers() -> None:
    """Numbers from 0 on words and utterances; nothing where nobody is known to speak."""
    ann, ben = SEGMENTS[0].said_by("Ann"), SEGMENTS[1].said_by("Ben")
    said = Result((ben, SEGMENTS[0], ann), "en", 9.0)
    results = recording_body(said, RecordingOptions(FileRequest(), utterances=True), ORIGIN, "abc")["results"]
    assert isinstance(results, dict)
    words = results["channels"][0]["alternatives"][0]["words"]
    assert [word.get("speaker") for word in words] == [0, None, None, 1, 1]
    assert [each.get("speaker") for each in results["utterances"]] == [0, None, 1]


def test_silence() -> None:
    """Nothing was said: empty, and no language to name."""
    options = RecordingOptions(FileRequest(), multi=True, detect_language=True)
    results = recording_body(Result((), "", 1.0), options, ORIGIN, "abc")["results"]
    assert results == {"channels": [{"alternatives": [{"transcript": "", "confidence": 0.0, "words": []}]}]}


def test_words_without_times() -> None:
    """They share the time by their lengths; no time at all is shared out as such."""
    first, second = spread("aa bbbb", 1.0, 2.2)
    assert (first.start_s, first.end_s) == (1.0, pytest.approx(1.4))
    assert (second.start_s, second.end_s) == (first.end_s, pytest.approx(2.2))
    assert [word.end_s for word in spread("a b", 3.0, 2.0)] == [3.0, 3.0]
    assert spread(" ", 0.0, 1.0) == ()
