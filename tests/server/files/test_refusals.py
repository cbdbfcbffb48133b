"""What cannot be served is said in the shape of its dialect, whatever is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from asrctl.errors import ProviderError, QueueFull
from asrctl.providers.base import ModelSpec
from asrctl.server.options import Models, NamedModel

from ..servers import Running, options_for, running, script
from .requests import FORM as FORM_TYPE
from .requests import HELLO, TRANSCRIPTIONS, WORDS, Raw, client, form, post

Scripted = Callable[..., ModelSpec]
TRANSLATIONS = "/v1/audio/translations"
JSON = {"Content-Type": "application/json"}
MULTIPART = {"Content-Type": FORM_TYPE}
KEY = "the-key"


@pytest.fixture(scope="module")
def english(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server of a model that knows English only, with a key."""
    spec = script(tmp_path_factory.mktemp("script") / "plain.json")
    with running(options_for(spec, models=Models(NamedModel("tiny.en", spec)), api_key=KEY)) as server:
        yield server


def check(answer: httpx.Response, status: int, code: str, param: str | None) -> None:
    """The answer has OpenAI's shape."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["code"], error["param"]) == (code, param)
    assert error["type"] == ("server_error" if status >= 500 else "invalid_request_error")
    assert 5 < len(error["message"]) < 400
    assert str(Path.cwd().anchor) + "tmp" not in error["message"]


@pytest.mark.parametrize(
    ("path", "fields", "status", "code", "param"),
    [
        (TRANSCRIPTIONS, {"model": "large-v3"}, 404, "model_not_found", "model"),
        (TRANSCRIPTIONS, {"response_format": "diarized_json"}, 400, "unsupported_value", "response_format"),
        (TRANSCRIPTIONS, {"response_format": "doc"}, 400, "invalid_value", "response_format"),
        (TRANSCRIPTIONS, {"language": "klingon"}, 400, "unsupported_language", "language"),
        (TRANSCRIPTIONS, {"stream": "maybe"}, 400, "invalid_value", "stream"),
        (TRANSCRIPTIONS, {"stream": "true", "response_format": "vtt"}, 400, "unsupported_value", "stream"),
        (TRANSCRIPTIONS, {"temperature": "x"}, 400, "invalid_value", "temperature"),
        (TRANSCRIPTIONS, {"include[]": "x"}, 400, "invalid_value", "include"),
        (TRANSLATIONS, {"model": "large-v3"}, 404, "model_not_found", "model"),
        (TRANSLATIONS, {"language": "xx"}, 400, "unsupported_language", "language"),
        (
            TRANSCRIPTIONS,
            {"response_format": "verbose_json", "timestamp_granularities[]": "x"},
            400,
            "invalid_value",
            "timestamp_granularities",
        ),
    ],
)
def test_fields(
    shared: Running, path: str, fields: dict[str, str], status: int, code: str, param: str
) -> None:
    """Each wrong field is named."""
    check(post(shared, path, **fields), status, code, param)


@pytest.mark.parametrize("stream", ["true", "false"])
@pytest.mark.parametrize(
    ("file", "code"),
    [
        (None, "missing_file"),
        (b"", "invalid_file"),
        (b"This is text. " * 50, "invalid_file"),
        (b"\x00\xff\x17" * 500, "invalid_file"),
        (HELLO[:44], "invalid_file"),
        (b"RIFF", "invalid_file"),
        (b"<html><body>404</body></html>", "invalid_file"),
    ],
)
def test_files(shared: Running, file: bytes | None, code: str, stream: str) -> None:
    """A file that is not there, empty or no audio is the client's fault, also where a stream was wanted."""
    parts = [("stream", stream.encode(), None), *([] if file is None else [("file", file, "a.wav")])]
    with client(shared) as http:
        check(http.post(TRANSCRIPTIONS, content=form(*parts), headers=MULTIPART), 400, code, "file")


@pytest.mark.parametrize(
    ("body", "headers", "code", "param"),
    [
        (b"{}", JSON, "missing_file", "file"),
        (b"model=whisper-1", {"Content-Type": "application/x-www-form-urlencoded"}, "missing_file", "file"),
        (HELLO, {"Content-Type": "audio/wav"}, "missing_file", "file"),
        (b"", {}, "missing_file", "file"),
        (b"x", {"Content-Type": "multipart/form-data"}, "missing_file", "file"),
        (b"x", {"Content-Type": f"multipart/form-data; boundary={'b' * 300}"}, "missing_file", "file"),
        (b"no boundary in it", MULTIPART, "invalid_form", None),
        (form(("file", HELLO, "a"))[:-5], MULTIPART, "invalid_form", None),
        (b"", MULTIPART, "invalid_form", None),
        (form(("file", HELLO, "a")).replace(b'name="file"', b"x"), MULTIPART, "invalid_form", None),
        (form(*[("a", b"", None)] * 300), MULTIPART, "invalid_form", None),
    ],
)
def test_bodies(shared: Running, body: bytes, headers: dict[str, str], code: str, param: str | None) -> None:
    """What is no form, or a broken one, is refused."""
    with client(shared) as http:
        check(http.post(TRANSCRIPTIONS, content=body, headers=headers), 400, code, param)


def test_fields_without_end(shared: Running) -> None:
    """Fields and headers of parts are kept in memory, and so are bounded."""
    with client(shared) as http:
        long = form(("prompt", b"x" * 300_000, None))
        check(http.post(TRANSCRIPTIONS, content=long, headers=MULTIPART), 413, "content_too_large", None)
        long = form(*[(f"field{'x' * 3000}", b"", None)] * 100)
        check(http.post(TRANSCRIPTIONS, content=long, headers=MULTIPART), 413, "content_too_large", None)
        long = form(("x" * 300_000, b"", None))
        check(http.post(TRANSCRIPTIONS, content=long, headers=MULTIPART), 400, "invalid_form", None)


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "param"),
    [
        ("GET", TRANSCRIPTIONS, 405, "method_not_allowed", None),
        ("PUT", TRANSCRIPTIONS, 405, "method_not_allowed", None),
        ("DELETE", "/v1/models", 405, "method_not_allowed", None),
        ("POST", "/v1/models", 405, "method_not_allowed", None),
        ("GET", "/v1/models/gpt-4o", 404, "model_not_found", "model"),
        ("GET", "/v1/chat/completions", 404, "not_found", None),
        ("POST", "/v1/chat/completions", 404, "not_found", None),
        ("POST", "/v1/audio/speech", 404, "not_found", None),
        ("POST", "/audio/speech", 404, "not_found", None),
        ("GET", "/v1/", 404, "not_found", None),
    ],
)
def test_paths(shared: Running, method: str, path: str, status: int, code: str, param: str | None) -> None:
    """Other paths and methods have OpenAI's shape too."""
    with client(shared) as http:
        content = b"{}" if method in ("POST", "PUT") else None
        answer = http.request(method, path, content=content, headers=JSON if content else {})
        check(answer, status, code, param)
        assert ("allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({}, False),
        ({"Authorization": "Bearer wrong"}, False),
        ({"Authorization": "Basic dGhlLWtleQ=="}, False),
        ({"api-key": "wrong"}, False),
        ({"Authorization": f"Bearer {KEY}"}, True),
        ({"Authorization": f"bearer  {KEY}"}, True),
        ({"api-key": KEY}, True),
        ({"Authorization": "Bearer x", "api-key": KEY}, True),
    ],
)
def test_the_key(english: Running, headers: dict[str, str], passes: bool) -> None:
    """Where there is a key, it is needed, as a bearer token or as `api-key`."""
    answer = post(english, headers=headers)
    if passes:
        assert answer.json()["text"] == WORDS
    else:
        check(answer, 401, "invalid_api_key", None)
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("value", ["Bearer", "Bearer sk-anything", "Token x"])
def test_without_a_key_any_passes(shared: Running, value: str) -> None:
    """Clients that insist on a key may send any where none is needed, even an empty one."""
    assert post(shared, headers={"Authorization": value}).json()["text"] == WORDS
    with Raw(shared) as raw:  # httpx refuses to send a token that is empty, as other clients do
        raw.start("Authorization: Bearer \r\nConnection: close", "/v1/models", "GET")
        assert raw.read().startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [(TRANSCRIPTIONS, {"language": "de"}, "language"), (TRANSLATIONS, {}, "model")],
)
def test_a_model_of_english_alone(english: Running, path: str, fields: dict[str, str], param: str) -> None:
    """Other languages and translation are the client's fault, so that it may ask again without."""
    answer = post(english, path, headers={"api-key": KEY}, **fields)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert post(english, headers={"api-key": KEY}, language="en-US").json()["text"] == WORDS
    found = post(english, "/detect-language", name="audio_file", headers={"api-key": KEY}).json()
    assert (found["language_code"], found["detected_language"]) == ("en", "english")


def test_aliases_have_their_own_shapes(shared: Running) -> None:
    """whisper.cpp says it in a string, the web service in `detail`."""
    bad = {"file": b"text " * 100}
    answer = post(shared, "/inference", **bad)
    assert (answer.status_code, list(answer.json())) == (400, ["error"])
    assert "text, not audio" in answer.json()["error"]
    assert "no format" in post(shared, "/inference", response_format="x").json()["error"]
    for path in ("/asr?output=x", "/asr?encode=x", "/detect-language?encode=x", "/asr"):
        answer = post(shared, path, name="other" if path == "/asr" else "audio_file")
        assert (answer.status_code, list(answer.json())) == (400, ["detail"])
    assert shared.get("/asr")[0] == 405


@pytest.mark.parametrize(
    "origin", ["http://localhost:3000", "https://127.0.0.1", "tauri://localhost", "http://tauri.localhost"]
)
def test_pages_of_this_machine(shared: Running, origin: str) -> None:
    """They may ask, and read the answer, also that something is wrong."""
    for answer in (
        post(shared, headers={"Origin": origin}),
        post(shared, file=None, headers={"Origin": origin}),
    ):
        assert answer.headers["access-control-allow-origin"] == origin
        assert answer.headers["vary"] == "Origin"


def test_preflight(scripted: Scripted) -> None:
    """A page that was allowed is told so before it sends the key; all headers that it asks for are."""
    options = options_for(scripted(), api_key=KEY, allow_origins=frozenset({"app://obsidian.md"}))
    wanted = "authorization,x-stainless-os,content-type"
    ask = {
        "Origin": "app://obsidian.md",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": wanted,
        "Access-Control-Request-Private-Network": "true",
    }
    with running(options) as server, client(server) as http:
        answer = http.options(TRANSCRIPTIONS, headers=ask)
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["access-control-allow-origin"] == "app://obsidian.md"
        assert answer.headers["access-control-allow-headers"] == wanted
        assert answer.headers["access-control-allow-methods"] == "POST, OPTIONS"
        assert answer.headers["access-control-allow-private-network"] == "true"
        assert answer.headers["vary"] == "Origin"
        answer = post(server, headers={"Origin": "app://obsidian.md"})
        check(answer, 401, "invalid_api_key", None)
        assert answer.headers["access-control-allow-origin"] == "app://obsidian.md"


def test_foreign_pages_and_names(shared: Running) -> None:
    """Other sites, and names that were made to point here, are refused before the body is read."""
    for headers, code in (
        ({"Origin": "https://example.org"}, "origin_not_allowed"),
        ({"Origin": "null"}, "origin_not_allowed"),
        ({"Host": "evil.example.org"}, "host_not_allowed"),
    ):
        answer = post(shared, headers=headers)
        check(answer, 403, code, None)
        assert "access-control-allow-origin" not in answer.headers
    with client(shared) as http:
        answer = http.options(TRANSCRIPTIONS, headers={"Origin": "https://example.org"})
        check(answer, 403, "origin_not_allowed", None)


def test_what_is_not_decoded_is_an_error(scripted: Scripted) -> None:
    """A window that the recogniser refuses is no silence: an error, which in a stream is the last event."""
    with running(options_for(scripted(refuse_on=["w4"]))) as server:
        answer = post(server)
        check(answer, 500, "audio_dropped", None)
        stream: Any = post(server, stream="true")
        assert stream.status_code == 200
        assert '"code":"audio_dropped"' in stream.text.split("\n\n")[-2]
        assert "transcript.text.done" not in stream.text


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ProviderError("no worker runs"), 503, "overloaded"),
        (QueueFull("as many decodes wait as may"), 503, "overloaded"),
        (RuntimeError("a mistake"), 500, "internal"),
    ],
)
@pytest.mark.parametrize("stream", ["true", "false"])
def test_faults_of_ours(
    shared: Running, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, code: str, stream: str
) -> None:
    """What the decoder cannot do now is no fault of the client, and a mistake shows no internals."""

    async def decode(*unused: object) -> None:
        raise error

    monkeypatch.setattr(shared.server.engine.decoder, "decode", decode)
    answer = post(shared, stream=stream)
    if stream == "true":
        assert answer.status_code == 200
        assert f'"code":"{code}"' in answer.text
    else:
        check(answer, status, code, None)
    assert "a mistake" not in answer.text.replace("made a mistake", "")
