"""Foreign errors: each is mapped, once, to something a person understands."""

from __future__ import annotations

import asyncio
import email.utils
import inspect
import socket
import ssl
import time
from typing import Any

import pytest
import websockets.exceptions
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosedError, InvalidStatus, InvalidURI, WebSocketException
from websockets.frames import Close as CloseFrame
from websockets.http11 import Response

from asrctl.client.failures import MAPPED, link_failure
from asrctl.client.link import open_socket, stream_url
from asrctl.network.failures import LinkFailure
from asrctl.network.hosts import is_loopback
from asrctl.protocol.codes import CloseCode
from asrctl.protocol.messages import Error
from tests.client.clients import run
from tests.client.server import Refuse, ScriptedServer

KINDS = [
    kind
    for kind in vars(websockets.exceptions).values()
    if isinstance(kind, type) and issubclass(kind, WebSocketException)
]


def closed(code: int | None, reason: str = "", sent: int | None = None) -> ConnectionClosedError:
    return ConnectionClosedError(
        CloseFrame(code, reason) if code else None, CloseFrame(sent, "") if sent else None, None
    )


def refused(status: int, **headers: str) -> InvalidStatus:
    return InvalidStatus(Response(status, "", Headers({k.replace("_", "-"): v for k, v in headers.items()})))


ARGUMENTS: dict[str, Any] = {
    "rcvd": None,
    "sent": None,
    "response": Response(500, "", Headers()),
    "size_or_message": 1,
    "max_size": 1,
}
"""What exceptions are made of that is no text."""


def example(kind: type[WebSocketException]) -> WebSocketException:
    """An exception of this class, with arguments that will do."""
    if not inspect.isfunction(kind.__init__):  # none of its own: that of a built-in exception
        return kind("text")
    needed = [
        ARGUMENTS.get(parameter.name, "text")
        for parameter in inspect.signature(kind).parameters.values()
        if parameter.default is parameter.empty or parameter.name in ARGUMENTS
    ]
    return kind(*needed)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_map_is_complete(kind: type[WebSocketException]) -> None:
    """Whatever the library raises, now or in another version, becomes a failure with a reason."""
    failure = link_failure(example(kind))
    assert issubclass(kind, MAPPED)
    assert isinstance(failure, LinkFailure)
    assert failure.reason


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "connection refused"),
        (ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 1)"), "connection refused"),
        (
            OSError("Multiple exceptions: [Errno 111] Connect call failed, [Errno 101] x"),
            "connection refused",
        ),
        (socket.gaierror(-2, "Name or service not known"), "name or service not known"),
        (TimeoutError(), "no answer in time"),
        (ConnectionResetError(), "connectionreseterror"),
        (EOFError("the stream ended"), "the connection failed: the stream ended"),
        (closed(None), "the connection was lost"),
        (closed(None, sent=1011), "the server stopped answering"),
        (closed(1011), "the server failed"),
        (closed(1012), "the server restarts"),
        (closed(4001), "another client took the session over"),
        (closed(3999, "odd"), "the server closed the connection: 3999 odd"),
        (closed(1000), "the server closed the connection: 1000"),
        (refused(500), "HTTP 500"),
        (refused(503), "the server is full, or still loading (503)"),
    ],
)
def test_worth_another_try(error: Exception, reason: str) -> None:
    """Networks and servers recover: the reason is told, and the client goes on."""
    failure = link_failure(error)
    assert (failure.reason, str(failure), failure.fatal) == (reason, reason, False)


@pytest.mark.parametrize(
    "error",
    [
        InvalidURI("ws://x:y", "bad port"),
        refused(400),
        refused(401),
        refused(404),
        closed(1003),
        closed(1007),
        closed(1009),
        closed(4400),
        ssl.SSLCertVerificationError("self-signed"),
        websockets.exceptions.NegotiationError("no subprotocol"),
    ],
    ids=str,
)
def test_not_worth_another_try(error: Exception) -> None:
    """What is wrong now will be wrong again."""
    if isinstance(error, ssl.SSLCertVerificationError):
        error.verify_message = "self-signed certificate"
    assert link_failure(error).fatal


def test_what_the_server_said_before() -> None:
    """Its message is better than the meaning of its close code."""
    failure = link_failure(closed(1013), Error("overload", "ten are here", 12.0))
    assert failure.reason == "the server says: ten are here"
    assert failure.retry_after_s == 12.0


@pytest.mark.parametrize(
    ("code", "soon"),
    [(CloseCode.RESTART, True), (CloseCode.SESSION_GONE, False), (CloseCode.INTERNAL, False)],
)
def test_when_to_come_back(code: CloseCode, soon: bool) -> None:
    """After a restart soon; a server that closes is there."""
    failure = link_failure(closed(code))
    assert (failure.soon, failure.close_code, failure.answered) == (soon, code, True)


@pytest.mark.parametrize(
    ("error", "answered"),
    [
        (ConnectionRefusedError(111, "Connection refused"), False),
        (TimeoutError(), False),
        (closed(None), False),
        (refused(503), True),
        (refused(404), True),
    ],
)
def test_whether_anybody_answered(error: Exception, answered: bool) -> None:
    """A network that refuses or is silent is no answer; a status or a close frame is one."""
    assert link_failure(error).answered is answered


def test_messages_that_are_too_long() -> None:
    """A server whose messages this side refused would send them again."""
    failure = link_failure(closed(None, sent=1009))
    assert (failure.reason, failure.fatal) == ("the server sends messages that are too long", True)


def test_what_a_server_says_of_its_refusal() -> None:
    """It is in the reason, after what the status means."""
    headers = Headers({"content-type": "text/plain; charset=utf-8"})
    full = InvalidStatus(Response(503, "Service Unavailable", headers, b"10 sessions are open\n"))
    assert link_failure(full).reason == "the server is full, or still loading (503): 10 sessions are open"


def test_a_refusal_does_not_show_the_key() -> None:
    """A server that says again what it was sent, at length, is quoted without the key, and cut."""

    async def main() -> LinkFailure:
        refusal = Refuse(401, said=f"your key is sesame {'x' * 1000}\x1b[2J")
        async with ScriptedServer([refusal]).running() as server:
            with pytest.raises(LinkFailure) as caught:
                await open_socket(stream_url(server.url), None, "sesame", 5.0, 5.0)
        return caught.value

    failure = run(main())
    assert failure.reason.startswith("invalid API key (401): your key is [key] xxx") and failure.fatal
    assert len(failure.reason) <= 300 and failure.reason.isprintable()


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        ("12", 12.0),
        (" 3 ", 3.0),
        ("0", 0.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("²", None),
    ],
)
def test_retry_after(value: str, wait_s: float | None) -> None:
    """Whole seconds count, nonsense does not."""
    assert link_failure(refused(503, Retry_After=value)).retry_after_s == wait_s


def test_retry_after_a_date() -> None:
    """A date is as many seconds away as it is."""
    value = email.utils.formatdate(time.time() + 100, usegmt=True)
    wait_s = link_failure(refused(503, Retry_After=value)).retry_after_s
    assert wait_s is not None and 90 < wait_s <= 100


def test_no_server_at_all() -> None:
    """A real refusal of a real system is mapped too."""
    with pytest.raises(LinkFailure, match="connect"):
        run(open_socket("ws://127.0.0.1:1/v1/stream", None, None, 5.0, 5.0))


def test_not_a_websocket_server() -> None:
    """Something else on that port is told from a server."""

    async def main() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            await open_socket(f"ws://127.0.0.1:{port}", None, None, 5.0, 5.0)

    with pytest.raises(LinkFailure, match="handshake failed"):
        run(main())


def test_a_websocket_server_of_another_kind() -> None:
    """A server that does not speak the protocol is not asked again."""
    from websockets.asyncio.server import ServerConnection, serve

    async def ignore(socket: ServerConnection) -> None:
        await socket.wait_closed()

    async def main() -> None:
        async with serve(ignore, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            await open_socket(f"ws://127.0.0.1:{port}", None, None, 5.0, 5.0)

    with pytest.raises(LinkFailure, match="does not speak") as caught:
        run(main())
    assert caught.value.fatal


@pytest.mark.parametrize(
    ("host", "direct"), [("localhost", True), ("127.9.9.9", True), ("::1", True), ("example.org", False)]
)
def test_no_proxy_on_the_way_to_oneself(host: str, direct: bool) -> None:
    """A proxy that the environment names is not asked for this machine's own addresses."""
    assert is_loopback(host) is direct


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("ws://127.0.0.1:8765", "ws://127.0.0.1:8765/v1/stream"),
        ("wss://host/", "wss://host/v1/stream"),
        ("ws://[::1]:80", "ws://[::1]:80/v1/stream"),
        ("wss://host/asr/v1/stream?x=1", "wss://host/asr/v1/stream?x=1"),
    ],
)
def test_addresses(given: str, address: str) -> None:
    """A host and a port are enough; a path that is given is kept."""
    assert stream_url(given) == address
