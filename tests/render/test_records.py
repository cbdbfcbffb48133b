"""JSON and JSON Lines."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from typing import Any, NoReturn

from hypothesis import given

from asrctl.render.records import JsonLinesWriter, document
from asrctl.transcript import AudioAccount, Segment, Word
from tests.render.samples import rendered, segment, segment_lists, transcript


def strict(text: str) -> Any:
    """Parse JSON as the standard has it, without NaN and Infinity."""

    def refuse(name: str) -> NoReturn:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_json_is_what_the_contract_says() -> None:
    """Every key of schema 1 is there, with times to the millisecond."""
    words = (Word(0.10004, 0.5, " Hi", 0.87654321),)
    item = Segment(0.1, 0.50049, " Hi ", 0.9, words, "en")
    assert strict(rendered("json", [item], duration_s=2.0)) == {
        "schema": 1,
        "source": "a.wav",
        "model": "tiny.en",
        "provider": "whisper_cpp",
        "language": "en",
        "duration_s": 2.0,
        "text": "Hi",
        "segments": [
            {
                "id": 0,
                "start_s": 0.1,
                "end_s": 0.5,
                "text": "Hi",
                "confidence": 0.9,
                "language": "en",
                "words": [{"start_s": 0.1, "end_s": 0.5, "text": "Hi", "confidence": 0.8765}],
            }
        ],
        "audio": {"received_s": 2.0, "speech_s": 1.8, "silence_s": 0.2, "dropped_s": 0.0},
        "timing": {"load_s": 0.123, "inference_s": 1.5, "wall_s": 0.5, "rtf": 0.25},
    }


def test_json_is_written_at_the_end_and_ends_its_line() -> None:
    """An interrupted run calls `finish` with what there is, and the document is whole."""
    text = rendered("json", [])
    assert strict(text)["segments"] == []
    assert text.endswith("}\n")


def test_json_says_null_for_numbers_that_are_not() -> None:
    """NaN and infinity are not JSON; null is."""
    broken = Segment(math.nan, math.inf, "a", math.nan)
    first = strict(rendered("json", [broken], duration_s=1))["segments"][0]
    assert (first["start_s"], first["end_s"], first["confidence"]) == (None, None, None)


def test_the_account_in_seconds_is_exact_to_the_sample() -> None:
    """Multiplying by the rate gives the samples back, so the account can be balanced from the JSON."""
    account = AudioAccount(1_000_003, 700_001, 300_001, 1)
    audio = document(replace(transcript(), audio=account))["audio"]
    samples = [round(audio[key] * 16_000, 2) for key in ("received_s", "speech_s", "silence_s", "dropped_s")]
    assert samples == [1_000_003, 700_001, 300_001, 1]


def test_jsonl_has_each_segments_line_at_once() -> None:
    """A consumer can read a segment before the next one exists."""
    sink = io.StringIO()
    writer = JsonLinesWriter(sink)
    writer.segment(segment("Hi", 0, 1))
    line = strict(sink.getvalue())
    assert (line["type"], line["schema"], line["id"], line["text"]) == ("segment", 1, 0, "Hi")


def test_jsonl_ends_with_a_summary() -> None:
    """The last line says that the input ended, how many segments there were, and where the audio went."""
    lines = [
        strict(line) for line in rendered("jsonl", [segment("a", 0, 1), segment("b", 1, 2)]).splitlines()
    ]
    assert [line["type"] for line in lines] == ["segment", "segment", "summary"]
    assert lines[-1]["segment_count"] == 2
    assert lines[-1]["audio"]["received_s"] == 2.0
    assert "text" not in lines[-1] and "segments" not in lines[-1]


@given(segment_lists())
def test_jsonl_and_json_tell_the_same(segments: list[Segment]) -> None:
    """Both hold the same segments, a line each, whatever the text holds."""
    *lines, summary = [strict(line) for line in rendered("jsonl", segments).split("\n")[:-1]]
    for line in lines:
        assert (line.pop("type"), line.pop("schema")) == ("segment", 1)
    whole = strict(rendered("json", segments))
    assert whole["segments"] == lines
    assert whole["timing"] == summary["timing"]
