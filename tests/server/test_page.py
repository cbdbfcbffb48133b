"""What `/`, `/page/…` and `/render` answer, without a browser."""

from __future__ import annotations

import http.client
import json
import re
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest

from asrctl.errors import UsageError
from asrctl.providers.base import ModelSpec
from asrctl.render.formats import WRITERS
from asrctl.server.gate import Gate
from asrctl.server.rendering import MAX_BODY_BYTES, rendered
from asrctl.server.static import HEADERS, Page

from .servers import PATIENCE_S, Running, options_for, running, until

Scripted = Callable[..., ModelSpec]
FILES = {
    "index.html",
    "app.css",
    "app.js",
    "stream.js",
    "capture.js",
    "view.js",
    "turns.js",
    "save.js",
    "files.js",
    "server.js",
}
SEGMENTS = [
    {"start_s": 1.0, "end_s": 2.5, "text": "Hello there.", "confidence": 0.9},
    {"start_s": 3.0, "end_s": 4.0, "text": "שלום"},
]


def ask(
    server: Running, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers of any request."""
    link = http.client.HTTPConnection("127.0.0.1", server.server.port, timeout=PATIENCE_S)
    try:
        link.request(method, path, body, headers)
        answer = link.getresponse()
        return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}
    finally:
        link.close()


def render(server: Running, format_: str, given: Any, **headers: str) -> tuple[int, str]:
    """What a POST of something to /render is answered."""
    body = given if isinstance(given, bytes) else json.dumps(given).encode()
    status, text, _ = ask(server, "POST", f"/render?format={format_}", body, **headers)
    return status, text.decode()


def test_the_page_is_small_and_asks_nobody_else() -> None:
    """All files together are under 60 kB, and no address in them leads to another host."""
    page = Page()
    assert set(page.files) == FILES
    assert sum(len(each.content) for each in page.files.values()) < 60_000
    text = b"".join(each.content for each in page.files.values()).decode()
    assert set(re.findall(r"(?:https?|wss?):[\\/]+[\w.]+", text)) <= {"http://127.0.0.1"}  # in a message
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "style="):
        assert way not in text


def test_every_file_is_served_with_its_policy(shared: Running) -> None:
    """`/` and each file come with a type, an ETag and the headers that keep the page to itself."""
    for name in ("", *(f"page/{each}" for each in FILES)):
        status, body, headers = ask(shared, "GET", f"/{name}")
        assert (status, bool(body)) == (200, True)
        assert {key: headers[key.lower()] for key in HEADERS} == dict(HEADERS)
        assert headers["content-type"].startswith("text/")
        assert re.fullmatch(r'"[0-9a-f]{32}"', headers["etag"])
    assert ask(shared, "GET", "/page/..%2fapp.py")[0] == 404
    assert ask(shared, "GET", "/page/none.js")[0] == 404
    assert ask(shared, "HEAD", "/")[:2] == (200, b"")


@pytest.mark.parametrize("known", ["{}", "W/{}", '"other", {}', "*"])
def test_a_file_that_the_browser_has(shared: Running, known: str) -> None:
    """It is not sent again."""
    etag = ask(shared, "GET", "/page/app.js")[2]["etag"]
    status, body, headers = ask(shared, "GET", "/page/app.js", **{"If-None-Match": known.format(etag)})
    assert (status, body, headers["etag"]) == (304, b"", etag)
    assert ask(shared, "GET", "/page/app.js", **{"If-None-Match": '"other"'})[0] == 200


def test_a_server_without_the_page(scripted: Scripted) -> None:
    """With the page switched off its paths lead nowhere, and the rest is as before."""
    with running(options_for(scripted(), page=False)) as server:
        assert [server.get(path)[0] for path in ("/", "/page/app.js", "/health")] == [404, 404, 200]
        assert " page=" not in server.log.getvalue()


def test_the_log_names_the_page(shared: Running) -> None:
    """The address to open stands in the first line."""
    assert f"page=http://127.0.0.1:{shared.server.port}/" in shared.log.getvalue().splitlines()[0]


def test_the_page_needs_no_key_and_the_rest_does(scripted: Scripted) -> None:
    """A page that asks for the key must come without it; `/render` is for those who have it."""
    with running(options_for(scripted(), api_key="sesame"), ready=False) as server:
        assert server.get("/")[0] == 200
        assert render(server, "txt", {"segments": []})[0] == 401
        assert render(server, "txt", {"segments": []}, Authorization="Bearer sesame")[0] == 200


def test_other_names(shared: Running) -> None:
    """A web page that had its own name resolved to this machine gets nothing."""
    assert ask(shared, "GET", "/", Host="elsewhere.example")[0] == 403
    assert ask(shared, "POST", "/render", b"{}", Host="elsewhere.example")[0] == 403


@pytest.mark.parametrize(
    ("key", "origin", "host", "status"),
    [
        ("", "http://192.168.7.8:8765", "192.168.7.8:8765", None),
        ("", "http://laptop.local:8765", "laptop.local:8765", None),
        ("", "http://192.168.7.8:8765", "192.168.7.9:8765", 403),
        ("", "http://elsewhere.example:8765", "elsewhere.example:8765", 403),
        ("k", "https://asr.example", "asr.example", 401),
        ("k", "https://other.example", "asr.example", 403),
        ("", "null", "", 403),
    ],
)
def test_sockets_of_the_own_page(key: str, origin: str, host: str, status: int | None) -> None:
    """The page reaches the server that served it, by its address, but not by a name taken on for that."""
    denial = Gate(key, frozenset(), "0.0.0.0").check({"origin": origin, "host": host}, ["asrctl.v1"])
    assert (denial and denial.status) == status


def test_render_gives_what_the_command_line_writes(shared: Running) -> None:
    """Each format comes from the same code as files do."""
    for name in WRITERS:
        status, text = render(shared, name, {"segments": SEGMENTS, "source": "mic", "model": "words"})
        assert status == 200
        assert ("SPEAKER mic 1 1.000" if name == "rttm" else "Hello there.") in text
    assert render(shared, "srt", {"segments": SEGMENTS})[1].startswith("1\n00:00:01,000 --> 00:00:02,")
    assert render(shared, "vtt", {"segments": SEGMENTS})[1].startswith("WEBVTT\n")
    found = json.loads(
        render(
            shared,
            "json",
            {
                "segments": SEGMENTS,
                "source": "mic",
                "audio": {"received_s": 5.5, "speech_s": 4, "silence_s": 1.5},
            },
        )[1]
    )
    assert found["audio"] == {"received_s": 5.5, "speech_s": 4.0, "silence_s": 1.5, "dropped_s": 0.0}
    assert [each["text"] for each in found["segments"]] == ["Hello there.", "שלום"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[",
        b"\xff",
        b"[" * 100_000,
        b"[]",
        b"{}",
        b'{"segments": {}}',
        b'{"segments": [1]}',
        b'{"segments": [{"text": "a"}]}',
        b'{"segments": [{"start_s": NaN, "end_s": 1, "text": "a"}]}',
        b'{"segments": [{"start_s": -1, "end_s": 1, "text": "a"}]}',
        b'{"segments": [{"start_s": 0, "end_s": 1e300, "text": "a"}]}',
        b'{"segments": [{"start_s": 0, "end_s": true, "text": "a"}]}',
        b'{"segments": [{"start_s": 0, "end_s": 1, "text": 5}]}',
        b'{"segments": [{"start_s": 0, "end_s": 1, "text": "' + b"a" * 10_001 + b'"}]}',
        b'{"segments": [], "audio": 5}',
        b'{"segments": [], "model": 5}',
    ],
)
def test_bodies_that_make_no_sense(shared: Running, body: bytes) -> None:
    """They are refused with the reason, and hurt nobody."""
    status, text = render(shared, "srt", body)
    assert (status, text.count("\n"), len(text) > 10) == (400, 1, True)


def test_render_works_in_another_process(shared: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a body costs, the sessions do not pay for it, and there is an end to it."""
    body = {"segments": SEGMENTS}
    monkeypatch.setattr("asrctl.server.rendering._transcript", None)
    assert render(shared, "txt", body)[0] == 200
    monkeypatch.setattr("asrctl.server.render_door.MAX_RENDER_S", 0.0)
    assert render(shared, "txt", body) == (400, "it took more than 0 s\n")


def test_render_takes_two_at_once(shared: Running) -> None:
    """Also those whose body has not come yet; others are asked to come again."""
    head = b"POST /render HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"
    address = ("127.0.0.1", urlsplit(shared.url).port)
    with ExitStack() as stack:
        for _ in range(2):
            link = stack.enter_context(socket.create_connection(address))
            link.sendall(head)
        until(lambda: render(shared, "txt", {"segments": SEGMENTS})[0] == 503)
    until(lambda: render(shared, "txt", {"segments": SEGMENTS})[0] == 200)


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        (["/no/such/python"], 503, "no process can be started: "),
        ([sys.executable, "-c", "print('half', flush=True); import os; os.abort()"], 500, "ended with -6\n"),
    ],
)
def test_render_without_its_process(
    shared: Running, monkeypatch: pytest.MonkeyPatch, command: list[str], status: int, said: str
) -> None:
    """One that does not start, or dies, is told; half a file is none."""
    monkeypatch.setattr("asrctl.server.render_door._COMMAND", command)
    answer = render(shared, "txt", {"segments": SEGMENTS})
    assert answer[0] == status and said in answer[1] and "half" not in answer[1]


def test_render_refuses_what_is_no_format() -> None:
    """It names those that there are."""
    with pytest.raises(UsageError, match="known are txt, srt"):
        rendered("exe", b"{}")


def test_render_takes_speakers() -> None:
    """A segment may say who spoke, in any format that shows it."""
    body = b'{"segments": [{"start_s": 0, "end_s": 1, "text": "Hi.", "speaker": "Anna"}]}'
    assert rendered("txt", body) == "Anna: Hi.\n"
    then = body.replace(b"[", b'[{"start_s": 0, "end_s": 0.5, "text": "Oh."}, ')
    assert rendered("tsv", then).splitlines()[1:] == ["0\t500\tOh.\t", "0\t1000\tHi.\tAnna"]


def test_half_characters_become_question_marks() -> None:
    """What JSON can say and UTF-8 cannot does not end in an error of the server."""
    body = b'{"segments": [{"start_s": 0, "end_s": 1, "text": "a\\ud800b"}]}'
    assert rendered("txt", body) == "a?b\n"


def test_the_size_of_bodies(shared: Running) -> None:
    """An hour of finals is taken; what is longer than allowed, or has no length, is refused."""
    hour = {"segments": [{"start_s": i, "end_s": i + 0.9, "text": "word " * 12} for i in range(3600)]}
    status, text = render(shared, "txt", hour)
    assert (status, len(text.splitlines())) == (200, 3600)
    assert ask(shared, "POST", "/render", None, **{"Content-Length": str(MAX_BODY_BYTES + 1)})[0] == 413
    assert ask(shared, "POST", "/render", None, **{"Content-Length": "9" * 17})[0] == 413
    assert ask(shared, "POST", "/render", b"0\r\n\r\n", **{"Transfer-Encoding": "chunked"})[0] in (400, 413)
    assert ask(shared, "POST", "/metrics", b"{}")[0] == 413
    assert ask(shared, "GET", "/render")[0] == 405
    assert ask(shared, "GET", "/health")[0] == 200
