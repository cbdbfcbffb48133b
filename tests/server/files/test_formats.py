"""Every format of every dialect, with words that the scripted recogniser reads."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ..servers import Running
from .requests import FORM as FORM_TYPE
from .requests import HELLO, LONG, TRANSCRIPTIONS, WORDS, Raw, client, form, post, said, wav

PATHS = [
    *(TRANSCRIPTIONS, "/audio/transcriptions", "/v1/audio/transcriptions/", "/audio/transcriptions/"),
    *("/v1//audio/transcriptions", "///v1/audio/transcriptions"),  # of an address that ends with a slash
]


@pytest.mark.parametrize("path", PATHS)
def test_json(shared: Running, path: str) -> None:
    """Text and usage, on every spelling of the path; the served model is named."""
    answer = post(shared, path, model="whisper-1")
    assert answer.json() == {"text": WORDS, "usage": {"type": "duration", "seconds": 3.3}}
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-asrctl-model"] == "words"


@pytest.mark.parametrize("name", ["http://localhost", "HTTP://127.0.0.1:1", "https://[::1]:8765"])
def test_a_target_with_the_name_of_the_server(shared: Running, name: str) -> None:
    """Clients may send it, and those of proxies do; a query goes with it."""
    body = form(("file", HELLO, "a.wav"))
    headers = f"Content-Type: {FORM_TYPE}\r\nContent-Length: {len(body)}\r\nConnection: close"
    with Raw(shared) as raw:
        raw.start(headers, f"{name}{TRANSCRIPTIONS}?from=http://a//b")
        raw.send(body)
        assert WORDS.encode() in raw.read()
    with Raw(shared) as raw:
        raw.start("Connection: close", name, "GET")
        assert raw.read().startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("text", "text/plain", f"{WORDS}\n"),
        ("srt", "text/plain", "1\n00:00:00,300 --> 00:00:01,130\nw1 w2 w3\n\n"
         "2\n00:00:01,900 --> 00:00:02,730\nw4 w5\n\n"),
        ("vtt", "text/vtt", "WEBVTT\n\n00:00:00.300 --> 00:00:01.130\nw1 w2 w3\n\n"
         "00:00:01.900 --> 00:00:02.730\nw4 w5\n\n"),
    ],
)  # fmt: skip
def test_text(shared: Running, name: str, kind: str, text: str) -> None:
    """Plain text and subtitles, with their types."""
    answer = post(shared, response_format=name)
    assert answer.text == text
    assert answer.headers["content-type"] == f"{kind}; charset=utf-8"


@pytest.mark.parametrize("brackets", ["", "[]"])
def test_verbose(shared: Running, brackets: str) -> None:
    """Words and segments as asked for; the times are those of the input."""
    fields = {f"timestamp_granularities{brackets}": ["word", "segment"], "response_format": "verbose_json"}
    body = post(shared, **fields).json()  # type: ignore[arg-type]
    assert [word["word"] for word in body["words"]] == WORDS.split()
    assert [word["start"] for word in body["words"]] == pytest.approx([0.3, 0.5, 0.7, 1.9, 2.1], abs=0.05)
    assert (body["task"], body["language"], body["duration"]) == ("transcribe", "english", 3.3)
    assert " ".join(segment["text"] for segment in body["segments"]) == WORDS


def events(text: str) -> list[dict[str, Any]]:
    """The events of a stream that ends as it should."""
    *lines, end, rest = text.split("\n\n")
    assert (end, rest) == ("data: [DONE]", "")
    return [json.loads(line.removeprefix("data: ")) for line in lines if not line.startswith(":")]


def test_stream(shared: Running) -> None:
    """Deltas come while the file is decoded; joined they are the text."""
    with client(shared) as http, http.stream(
        "POST", TRANSCRIPTIONS, data={"stream": "true", "model": "gpt-4o-transcribe"}, files={"file": LONG}
    ) as answer:  # fmt: skip
        assert answer.headers["content-type"] == "text/event-stream"
        pieces = list(answer.iter_text())
    *deltas, done = events("".join(pieces))
    assert len(deltas) > 5
    assert {each["type"] for each in deltas} == {"transcript.text.delta"}
    assert "".join(each["delta"] for each in deltas) == done["text"]
    assert done["text"] == post(shared, file=LONG).json()["text"]
    assert done["type"] == "transcript.text.done"


def test_logprobs(shared: Running) -> None:
    """One for each word, in JSON and at the end of a stream."""
    expected = [{"token": word, "bytes": list(word.encode()), "logprob": 0.0} for word in WORDS.split()]
    assert post(shared, **{"include[]": "logprobs"}).json()["logprobs"] == expected
    stream = post(shared, stream="true", **{"include[]": "logprobs"}).text
    assert events(stream)[-1]["logprobs"] == expected


def test_silence(shared: Running) -> None:
    """A file in which nobody speaks is empty text in each format, and no error."""
    quiet = wav(said([])[:32_000])
    assert post(shared, file=quiet).json()["text"] == ""
    assert post(shared, file=quiet, response_format="srt").text == ""
    assert post(shared, file=quiet, response_format="vtt").text == "WEBVTT\n\n"
    assert post(shared, file=quiet, response_format="verbose_json").json()["segments"] == []
    assert [each["text"] for each in events(post(shared, file=quiet, stream="true").text)] == [""]


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("filename", ["audio.webm", "x", None])
def test_the_file_may_stand_anywhere_and_be_called_anything(
    shared: Running, first: bool, filename: str | None
) -> None:
    """Clients send the file first or last, with a wrong name or none; its fields count all the same."""
    file, more = ("file", HELLO, filename), ("response_format", b"text", None)
    body = form(file, more) if first else form(more, file)
    with client(shared) as http:
        answer = http.post(TRANSCRIPTIONS, content=body, headers={"Content-Type": FORM_TYPE})
        assert answer.text == f"{WORDS}\n"
        chunks = (body[at : at + 1000] for at in range(0, len(body), 1000))
        answer = http.post(TRANSCRIPTIONS, content=chunks, headers={"Content-Type": FORM_TYPE})
        assert answer.text == f"{WORDS}\n"


def test_translation(shared: Running) -> None:
    """The same form on another path; its task is named."""
    body = post(shared, "/v1/audio/translations", response_format="verbose_json").json()
    assert (body["task"], body["text"]) == ("translate", WORDS)


def test_models(shared: Running) -> None:
    """What is served, with and without the version; aliases are not listed."""
    for path in ("/v1/models", "/models", "/v1/models/"):
        status, text, _ = shared.get(path)
        assert status == 200
        assert [each["id"] for each in json.loads(text)["data"]] == ["words"]
    model = json.loads(shared.get("/v1/models/words")[1])
    assert set(model) == {"id", "object", "created", "owned_by"}
    assert shared.get("/v1/models/whisper-1")[0] == 404


def test_inference(shared: Running) -> None:
    """whisper.cpp's server: text as its own type, words inside of segments."""
    assert post(shared, "/inference", temperature="0.0").json() == {"text": WORDS}
    assert post(shared, "/inference", response_format="text").headers["content-type"].startswith("text/html")
    assert "-->" in post(shared, "/inference", response_format="srt").text
    body = post(shared, "/inference", response_format="verbose_json").json()
    assert [word["word"] for each in body["segments"] for word in each["words"]] == WORDS.split()


@pytest.mark.parametrize("output", ["txt", "srt", "vtt", "tsv", "json"])
def test_asr(shared: Running, output: str) -> None:
    """whisper-asr-webservice: options are in the query, and all is of type text/plain."""
    query = f"task=transcribe&language=en&output={output}&word_timestamps=true"
    answer = post(shared, f"/asr?{query}", name="audio_file")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert "w3" in answer.text
    if output == "json":
        assert [word["word"] for each in answer.json()["segments"] for word in each["words"]] == WORDS.split()
    if output == "tsv":
        assert answer.text.startswith("start\tend\ttext\n")


def test_asr_without_a_container(shared: Running) -> None:
    """With `encode=false` the file is bare samples."""
    answer = post(shared, "/asr?encode=false", file=HELLO[44:], name="audio_file")
    assert answer.text == f"{WORDS}\n"
    body = post(shared, "/detect-language?encode=false", file=HELLO[44:], name="audio_file").json()
    assert set(body) == {"detected_language", "language_code", "confidence"}


def test_a_connection_serves_many_requests(shared: Running) -> None:
    """Files, pages and refusals over one connection."""
    with client(shared) as http:
        for _ in range(3):
            assert http.post(TRANSCRIPTIONS, files={"file": HELLO}).json()["text"] == WORDS
            assert http.get("/v1/models").status_code == 200
            assert http.post(TRANSCRIPTIONS, data={"model": "x"}, files={"file": HELLO}).status_code == 404
        assert http.head("/v1/models").content == b""
