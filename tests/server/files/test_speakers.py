"""Speakers of uploaded files: told apart by another process, said in each interface's own way."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import openai
import pytest

from asrctl.server.files import service, upload
from asrctl.speakers import process
from tests.speakers import children

from ..servers import Running, options_for, running, script
from .requests import HELLO, WORDS, client, post

TURNS = [(0.0, 0.9, "x"), (0.9, 9.0, "y")]
REFERENCE = f"data:audio/wav;base64,{base64.b64encode(HELLO).decode()}"

Told = Callable[[tuple[str, ...]], None]


@pytest.fixture(scope="module")
def capable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that has what tells speakers apart."""
    folder = tmp_path_factory.mktemp("speakers")
    with running(options_for(script(folder / "plain.json"), speakers_dir=folder)) as server:
        yield server


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """Chooses who plays the process."""
    return lambda command: monkeypatch.setattr(process, "COMMAND", command)


def diarized(server: Running, **fields: object) -> httpx.Response:
    return post(server, response_format="diarized_json", **fields)


def parts(segments: list[dict[str, str]]) -> list[tuple[str, str]]:
    return [(segment["speaker"], segment["text"]) for segment in segments]


def test_diarized_json(capable: Running, told: Told) -> None:
    """A segment for each turn, whose speakers are letters in the order of their first words."""
    told(children.saying(TURNS))
    body = diarized(capable).json()
    assert body["text"] == WORDS and body["task"] == "transcribe"
    assert "".join(dict.fromkeys(speaker for speaker, _ in parts(body["segments"]))) == "AB"
    assert " ".join(text for _, text in parts(body["segments"])) == WORDS
    first = body["segments"][0]
    assert {*first} == {"type", "id", "start", "end", "speaker", "text"}
    assert (first["type"], first["id"]) == ("transcript.text.segment", "seg_0")
    assert body["usage"] == {"type": "duration", "seconds": body["duration"]}


def test_known_speakers(capable: Running, told: Told) -> None:
    """The voice in a reference has the name that came with it."""
    told(children.naming())
    fields = {"known_speaker_names[]": "Ann", "known_speaker_references[]": REFERENCE}
    speakers = [speaker for speaker, _ in parts(diarized(capable, **fields).json()["segments"])]
    assert [*dict.fromkeys(speakers)] == ["A", "Ann"]


def test_a_stream_names_speakers(capable: Running, told: Told) -> None:
    """A segment after each delta, which names it; deltas joined are the text."""
    told(children.saying(TURNS))
    text = diarized(capable, stream="true").text
    events = [json.loads(line[6:]) for line in text.split("\n\n") if line.startswith("data: {")]
    deltas = [each for each in events if each["type"] == "transcript.text.delta"]
    segments = [each for each in events if each["type"] == "transcript.text.segment"]
    assert [each["segment_id"] for each in deltas] == [each["id"] for each in segments]
    assert "".join(each["delta"] for each in deltas) == events[-1]["text"] == WORDS
    assert {each["speaker"] for each in segments} == {"A", "B"}


def test_openai_python(capable: Running, told: Told) -> None:
    """The client's own type, and its own way to send references."""
    told(children.naming())
    base = f"http://127.0.0.1:{capable.server.port}/v1"
    with openai.OpenAI(api_key="any", base_url=base, max_retries=0, timeout=30.0) as talking:
        answer = talking.audio.transcriptions.create(
            file=("talk.wav", HELLO),
            model="gpt-4o-transcribe-diarize",
            response_format="diarized_json",
            chunking_strategy="auto",
            known_speaker_names=["Ann"],
            known_speaker_references=[REFERENCE],
        )
    assert {segment.speaker for segment in answer.segments} == {"A", "Ann"}
    assert answer.text == WORDS and answer.segments[-1].end <= answer.duration


@pytest.mark.parametrize(
    ("command", "status", "code", "message"),
    [
        (children.crashing(), 500, "speakers_unknown", "speakers are unknown: the process"),
        (children.refusing("ModelError", "no room"), 503, "overloaded", "no room"),
    ],
)
def test_no_speakers_are_no_answer(
    capable: Running, told: Told, command: tuple[str, ...], status: int, code: str, message: str
) -> None:
    """A transcript without them is not what was asked for."""
    told(command)
    answer = diarized(capable)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert error["message"].startswith(message)


def test_a_reference_without_a_voice(capable: Running, told: Told) -> None:
    """It is said whose it is, and not where the server keeps it."""
    code = "import json, sys; path = json.loads(sys.argv[1])['samples']['Ann']; "
    code += "print(json.dumps({'kind': 'UsageError', 'error': path + ': nobody speaks in it'}))"
    told((*children.failing()[:2], code))
    fields = {"known_speaker_names[]": "Ann", "known_speaker_references[]": REFERENCE}
    error = diarized(capable, **fields).json()["error"]
    assert error["message"] == "the voice of Ann cannot be learned: nobody speaks in it"
    assert error["param"] == "known_speaker_references"


def test_references_are_bounded(capable: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """They may be longer than all other fields, and no longer than they need to be."""
    monkeypatch.setattr(upload, "MAX_REFERENCES_BYTES", len(REFERENCE) - 1)
    answer = diarized(capable, **{"known_speaker_references[]": REFERENCE})
    assert answer.status_code == 413
    assert answer.json()["error"]["param"] == "known_speaker_references"


def test_a_recording_that_is_too_long(capable: Running, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who spoke when would be kept of all of it."""
    told(children.saying(TURNS))
    monkeypatch.setattr(service, "MAX_DIARIZED_S", 1.0)
    assert "hours at most" in diarized(capable).json()["error"]["message"]
    assert post(capable).json()["text"] == WORDS


def test_without_what_it_takes(shared: Running) -> None:
    """A server that lacks the extra says so, before anything is decoded."""
    error = diarized(shared).json()["error"]
    assert (error["code"], error["param"]) == ("unsupported_value", "response_format")
    assert "extra speakers" in error["message"]
    refused = listen(shared, "diarize=true")
    assert (refused.status_code, refused.json()["err_code"]) == (400, "Bad Request")
    assert "extra speakers" in refused.json()["err_msg"]


def listen(server: Running, query: str) -> httpx.Response:
    with client(server) as http:
        return http.post(f"/v1/listen?{query}", content=HELLO)


@pytest.mark.parametrize("asked", ["diarize=true", "diarize_model=latest"])
def test_deepgram(capable: Running, told: Told, asked: str) -> None:
    """Words and utterances have numbers, from 0, in the order of first words."""
    told(children.saying(TURNS))
    answer = listen(capable, f"{asked}&utterances=true")
    assert "dg-ignored" not in answer.headers
    results = answer.json()["results"]
    words = results["channels"][0]["alternatives"][0]["words"]
    assert [*dict.fromkeys(word["speaker"] for word in words)] == [0, 1]
    assert " ".join(word["word"] for word in words) == WORDS
    for utterance in results["utterances"]:
        assert {word["speaker"] for word in utterance["words"]} == {utterance["speaker"]}
    assert "speaker" not in listen(capable, "diarize=false").text


def test_nothing_is_left(
    capable: Running, told: Told, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """References go with the upload."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    told(children.naming())
    fields = {"known_speaker_names[]": "Ann", "known_speaker_references[]": REFERENCE}
    assert diarized(capable, **fields).status_code == 200
    assert not [*tmp_path.iterdir()]
