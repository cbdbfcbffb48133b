"""At least thirty kinds of bad handshakes, frames and messages: each is answered as documented, and a
well-behaved session beside them loses nothing.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

from asrctl.protocol.messages import Limits
from asrctl.server.options import ServeOptions

from .servers import (
    PATIENCE_S,
    Running,
    Talker,
    check_account,
    open_socket,
    options_for,
    running,
    script,
    spoken,
    until,
)

START = '{"type":"start","format":{}}'
RESUME = '{"type":"resume","session_id":"x","resume_token":"y","last_event_id":0}'
LONG_SKIP = '{"type":"skip","frames":99999999,"reason":"x"}'
UPGRADE = (
    b"GET /v1/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: asrctl.v1\r\n"
    b"Authorization: Bearer sesame\r\nSec-WebSocket-Key: %b\r\n\r\n"
)
LIMITS = Limits(max_message_bytes=50_000, max_messages_per_s=50)
IMPATIENT = replace(LIMITS, handshake_timeout_s=2, idle_timeout_s=1)


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> ServeOptions:
    """Tight limits and a key, and time enough for clients on a busy machine."""
    spec = script(tmp_path_factory.mktemp("script") / "plain.json")
    return options_for(spec, api_key="sesame", limits=LIMITS, window_s=4.0, hold_s=4.0, resume_ttl_s=1.0)


@pytest.fixture(scope="module")
def server(options: ServeOptions) -> Iterator[Running]:
    """A server with these options."""
    with running(options) as server:
        yield server


@pytest.fixture(scope="module")
def impatient(options: ServeOptions) -> Iterator[Running]:
    """A server that waits for nobody."""
    with running(replace(options, limits=IMPATIENT)) as server:
        yield server


KEY = {"Authorization": "Bearer sesame"}


def started(server: Running) -> ClientConnection:
    """A socket with a session."""
    link = open_socket(server.url, additional_headers=KEY)
    link.send(START)
    assert json.loads(link.recv(PATIENCE_S))["type"] == "ready"
    return link


def closing(link: ClientConnection) -> tuple[int | None, str]:
    """The code with which the server closes, and the code of the `error` before it, if there was one."""
    error = ""
    try:
        while True:
            message = json.loads(link.recv(PATIENCE_S))
            error = message["code"] if message["type"] == "error" else error
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None, error


def raw_frame(opcode: int, payload: bytes, *, masked: bool = True, fin: bool = True, rsv: int = 0) -> bytes:
    """A frame as it goes over the wire."""
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    size = len(payload)
    bit = 0x80 if masked else 0
    head += bytes([bit | size]) if size < 126 else bytes([bit | 126]) + struct.pack("!H", size)
    if not masked:
        return head + payload
    mask = os.urandom(4)
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


HANDSHAKES: list[tuple[str, dict[str, object], int]] = [
    ("no key", {"additional_headers": {}}, 401),
    ("a wrong key", {"additional_headers": {"Authorization": "Bearer sesam"}}, 401),
    ("a key of another scheme", {"additional_headers": {"Authorization": "Basic sesame"}}, 401),
    ("an empty key", {"additional_headers": {"Authorization": "Bearer "}}, 401),
    ("a wrong key elsewhere", {"subprotocols": ["asrctl.v1", "asrctl.key.x"], "additional_headers": {}}, 401),
    ("no subprotocol", {"subprotocols": None}, 400),
    ("another subprotocol", {"subprotocols": ["asrctl.v9"]}, 400),
    ("a page from elsewhere", {"origin": "https://example.org"}, 403),
    ("a page without origin", {"origin": "null"}, 403),
    ("an origin that is none", {"origin": "http://[::1"}, 403),
    ("a page that pretends", {"origin": "https://localhost.example.org"}, 403),
]


@pytest.mark.parametrize(
    ("more", "status"), [row[1:] for row in HANDSHAKES], ids=[row[0] for row in HANDSHAKES]
)
def test_bad_handshakes(server: Running, more: dict[str, object], status: int) -> None:
    """The door is shut in HTTP, before there is a socket."""
    with pytest.raises(InvalidStatus) as refused:
        open_socket(server.url, **{"additional_headers": KEY, **more})
    assert refused.value.response.status_code == status
    assert (status == 401) == ("WWW-Authenticate" in refused.value.response.headers)


def test_good_handshakes(server: Running) -> None:
    """A key in either place, and pages of this machine, are welcome."""
    for more in (
        {"additional_headers": KEY, "origin": "http://localhost:3000"},
        {"additional_headers": KEY, "origin": "http://127.0.0.1"},
        {"subprotocols": ["asrctl.v1", "asrctl.key.sesame"]},
    ):
        link = open_socket(server.url, **more)
        assert link.subprotocol == "asrctl.v1"
        link.close()


def test_other_paths(server: Running) -> None:
    """There is nothing elsewhere, and some things are not for everybody."""
    with pytest.raises(InvalidStatus) as refused:
        open_socket(server.url.replace("/v1/stream", "/v2/stream"), additional_headers=KEY)
    assert refused.value.response.status_code == 404
    assert server.get("/nothing")[0] == 404
    assert server.get("/v1/stream")[0] == 404
    assert [server.get(path)[0] for path in ("/metrics", "/capabilities")] == [401, 401]
    assert [server.get(path)[0] for path in ("/health", "/ready")] == [200, 200]


FIRST: list[tuple[str, str | bytes, int, str]] = [
    ("audio first", bytes(320), 1003, "not_started"),
    ("not JSON", "hello", 1007, "bad_json"),
    ("nothing", "", 1007, "bad_json"),
    ("deep JSON", "[" * 40_000, 1007, "bad_json"),
    ("a list", "[]", 4400, "bad_request"),
    ("a number", "7", 4400, "bad_request"),
    ("no type", '{"format":{}}', 4400, "bad_request"),
    ("an unknown type", '{"type":"stop"}', 4400, "bad_request"),
    ("a server's message", '{"type":"done"}', 4400, "bad_request"),
    ("flush first", '{"type":"flush"}', 4400, "bad_request"),
    ("finish first", '{"type":"finish","audio_offset":0}', 4400, "bad_request"),
    ("ack first", '{"type":"ack","event_id":0}', 4400, "bad_request"),
    ("no format", '{"type":"start"}', 4400, "bad_request"),
    ("an unknown key", '{"type":"start","format":{},"fast":true}', 4400, "bad_request"),
    ("an unknown encoding", '{"type":"start","format":{"encoding":"opus"}}', 4400, "bad_request"),
    ("a rate of nothing", '{"type":"start","format":{"sample_rate":0}}', 4400, "bad_request"),
    ("a rate of much", '{"type":"start","format":{"sample_rate":1e99}}', 4400, "bad_request"),
    ("many channels", '{"type":"start","format":{"channels":99}}', 4400, "bad_request"),
    ("a strange source", '{"type":"start","format":{},"source":"radio"}', 4400, "bad_request"),
    ("a strange language", '{"type":"start","format":{},"language":"klingon"}', 4400, "bad_request"),
    ("a model that is not there", '{"type":"start","format":{},"model":"large"}', 4400, "bad_request"),
    ("a path as a model", '{"type":"start","format":{},"model":"../../etc/passwd"}', 4400, "bad_request"),
    ("a huge offset", '{"type":"start","format":{},"audio_offset":9999999999999999}', 4400, "bad_request"),
    ("half a character", '{"type":"start","format":{},"prompt":"\\udc00"}', 4400, "bad_request"),
    ("no such session", RESUME, 4410, "session_gone"),
]


@pytest.mark.parametrize(
    ("frame", "code", "error"), [row[1:] for row in FIRST], ids=[row[0] for row in FIRST]
)
def test_bad_beginnings(server: Running, frame: str | bytes, code: int, error: str) -> None:
    """What is wrong as a first message has its close code, and an `error` that says why."""
    link = open_socket(server.url, additional_headers=KEY)
    link.send(frame)
    assert closing(link) == (code, error)
    link.close()


def flood(link: ClientConnection) -> None:
    """More messages than anybody needs."""
    for _ in range(1000):
        link.send('{"type":"flush"}')


def hurry(link: ClientConnection) -> None:
    """Audio faster than real time without end, whatever the server says."""
    for _ in range(100):
        link.send(bytes(32_000))


LATER: list[tuple[str, Callable[[ClientConnection], None], int | None, str]] = [
    ("odd bytes", lambda link: link.send(bytes(321)), 1007, "bad_audio"),
    ("an empty frame", lambda link: link.send(b""), 1007, "bad_audio"),
    ("start again", lambda link: link.send(START), 4400, "bad_request"),
    ("a gap", lambda link: link.send('{"type":"finish","audio_offset":5}'), 4409, "offset_gap"),
    ("an event of the future", lambda link: link.send('{"type":"ack","event_id":99}'), 4400, "bad_request"),
    ("a long skip", lambda link: link.send(LONG_SKIP), 4400, "bad_request"),
    ("a long message", lambda link: link.send(bytes(60_000)), 1009, ""),
    ("a long text", lambda link: link.send("x" * 60_000), 1009, ""),
    ("a flood of messages", flood, 1008, "too_many_messages"),
    ("a flood of audio", hurry, 1008, "window_exceeded"),
    ("no UTF-8", lambda link: link.socket.sendall(raw_frame(1, b"\xff\xfe")), 1007, ""),
    ("a reserved bit", lambda link: link.socket.sendall(raw_frame(2, b"ab", rsv=4)), 1002, ""),
    ("a reserved opcode", lambda link: link.socket.sendall(raw_frame(5, b"ab")), 1002, ""),
    ("no mask", lambda link: link.socket.sendall(raw_frame(2, b"ab", masked=False)), 1002, ""),
    ("a continuation of nothing", lambda link: link.socket.sendall(raw_frame(0, b"ab")), 1002, ""),
    ("a long ping", lambda link: link.socket.sendall(raw_frame(9, bytes(126))), 1002, ""),
]


@pytest.mark.parametrize(("act", "code", "error"), [row[1:] for row in LATER], ids=[row[0] for row in LATER])
def test_bad_sessions(
    server: Running, act: Callable[[ClientConnection], None], code: int, error: str
) -> None:
    """What is wrong in a session closes its socket, and nobody else's."""
    link = started(server)
    with contextlib.suppress(ConnectionClosed, OSError):  # it may be closed while we talk
        act(link)
    assert closing(link) == (code, error)
    link.close()


def test_silence_is_not_for_ever(impatient: Running) -> None:
    """A socket on which nothing comes is closed: before the session, and in it."""
    mute = open_socket(impatient.url, additional_headers=KEY)
    idle = started(impatient)
    assert closing(mute) == (4408, "handshake_timeout")
    assert closing(idle) == (4408, "idle")
    mute.close()
    idle.close()


def test_half_requests(impatient: Running) -> None:
    """Connections that never say a whole request, or rubbish, or vanish, are no trouble."""
    address = ("127.0.0.1", impatient.server.port)
    with socket.create_connection(address) as half, socket.create_connection(address) as rubbish:
        half.sendall(b"GET /v1/stream HTTP/1.1\r\nHost: x\r\n")
        rubbish.sendall(b"\x16\x03\x01" + os.urandom(200) + b"\r\n\r\n")
        key = base64.b64encode(os.urandom(16))
        with socket.create_connection(address) as gone:
            gone.sendall(UPGRADE % key)
        assert impatient.get("/health")[0] == 200
        half.settimeout(PATIENCE_S)
        assert half.recv(100) == b""  # it is not waited for either
        until(lambda: impatient.sessions == 0 and not len(impatient.server.hub.admission))


def test_beside_all_of_that(server: Running) -> None:
    """A session that goes on meanwhile loses nothing, and feels nothing."""
    audio = spoken(*range(12), pause_s=0.6)
    good = Talker(f"{server.url}", audio)
    good_headers = KEY
    good.socket = open_socket(server.url, additional_headers=good_headers)
    good._do(good.protocol.connected())
    good.receive()
    for _, frame, code, error in FIRST:
        good.send(0.2)
        link = open_socket(server.url, additional_headers=KEY)
        link.send(frame)
        assert closing(link) == (code, error)
        link.close()
    for _, act, expected, error in LATER:
        good.send(0.2)
        link = started(server)
        with contextlib.suppress(ConnectionClosed, OSError):
            act(link)
        assert closing(link) == (expected, error)
        link.close()
    done = good.finish()
    good.socket.close()
    assert good.words == [f"w{number}" for number in range(12)]
    check_account(done)
    assert done.dropped_s == 0
    assert not re.search(r"[ \"]w\d+[ \"\n]", server.log.getvalue())
