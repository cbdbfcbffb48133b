"""What every dialect has of the server: sessions, bounds, doors, the end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from typing import ClassVar

import pytest
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.protocol import State
from websockets.sync.client import ClientConnection
from websockets.uri import parse_uri

from asrctl.policy.admission import AdmissionOptions
from asrctl.protocol.codes import CloseCode
from asrctl.protocol.dialect import SessionRequest
from asrctl.providers.base import ModelSpec
from asrctl.server import app
from asrctl.server.dialects import registry
from asrctl.server.dialects import session as sessions
from asrctl.server.dialects.door import Entrance
from asrctl.server.dialects.socket import DialectSocket

from ..servers import PATIENCE_S, Running, open_socket, options_for, running, spoken, until
from .plain import Plain, PlainEntrance

Scripted = Callable[..., ModelSpec]


@pytest.fixture
def entrances(monkeypatch: pytest.MonkeyPatch) -> list[Entrance]:
    """The dialects of servers to come."""
    made: list[Entrance] = [PlainEntrance()]
    monkeypatch.setattr(app.Application, "_entrances", lambda _: made)
    return made


@pytest.fixture
def server(entrances: list[Entrance], scripted: Scripted) -> Iterator[Running]:
    """A server with `/plain`, and two places."""
    options = options_for(scripted(), admission=AdmissionOptions(max_sessions=2))
    with running(options) as server:
        yield server


class Plainly:
    """A client."""

    def __init__(self, server: Running, **more: object) -> None:
        self._url = f"ws://127.0.0.1:{server.server.port}/plain"
        more.setdefault("subprotocols", None)
        self.socket: ClientConnection = open_socket(self._url, max_queue=None, **more)
        assert [self.receive(), self.socket.recv(timeout=PATIENCE_S)] == ["hello", b"hello"]
        self.heard: list[str] = []

    def receive(self) -> str:
        """The next text."""
        text = self.socket.recv(timeout=PATIENCE_S)
        assert isinstance(text, str)
        return text

    def ask(self, *asked: str) -> None:
        """Say words, and wait until they are done."""
        for each in asked:
            self.socket.send(each)
            self.until(f"did {each}")

    def until(self, beginning: str) -> str:
        """Take what comes up to a text with this beginning."""
        while not (text := self.receive()).startswith(beginning):
            self.heard.append(text)
        self.heard.append(text)
        return text

    def of(self, name: str) -> list[str]:
        """What was heard of a kind."""
        return [text.partition(" ")[2] for text in self.heard if text.startswith(name)]

    def closed(self) -> int | None:
        """The code that the socket is closed with."""
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                self.heard.append(self.receive())
        return closed.value.rcvd.code if closed.value.rcvd else None


def test_a_session_and_another(server: Running) -> None:
    """Each event comes; a flush is answered; after the end another may be begun on the same socket."""
    client = Plainly(server)
    for number in (1, 2):
        client.ask("open")
        client.socket.send(spoken(number, pause_s=0.1))
        client.ask("flush")
        client.until("Flushed")
        client.ask("finish")
        client.until("Finished")
    assert client.of("Final") == ["w1", "w2"]
    assert len(client.of("SpeechStarted")) == len(client.of("SpeechEnded")) == 2
    assert {each.split()[1] for each in client.of("Finished")} == {"0"}
    until(lambda: not server.sessions and not len(server.server.hub.admission))
    client.socket.close()
    log = server.log.getvalue()
    assert log.count("event=session.start") == log.count("event=session.done") == 2
    assert "dialect=plain" in log
    assert server.metric('asrctl_results_total{kind="final"}') == 2


def test_a_client_that_leaves(server: Running) -> None:
    """Its place is free at once, and what was pending is dropped in the account."""
    client = Plainly(server)
    client.ask("open")
    client.socket.send(spoken(1, 2, pause_s=0.8) + spoken(3, pause_s=0.0))
    client.until("Final")
    client.socket.close()
    until(lambda: not server.sessions and not len(server.server.hub.admission))
    until(lambda: server.metric("asrctl_audio_received_seconds_total") > 0)
    received = server.metric("asrctl_audio_received_seconds_total")
    outcomes = ("finalised", "silent", "dropped")
    parts = [server.metric(f'asrctl_audio_seconds_total{{outcome="{each}"}}') for each in outcomes]
    assert received == pytest.approx(sum(parts))
    assert parts[0] > 0
    assert parts[2] > 0


def test_discard(server: Running) -> None:
    """It drops what is not final, and the account says so; without a session there is nothing to flush."""
    client = Plainly(server)
    client.ask("flush", "open")
    client.socket.send(spoken(1, pause_s=0.0))
    client.until("SpeechStarted")
    client.ask("discard open")
    assert client.until("Dropped") == "Dropped unwanted"
    client.socket.send(spoken(2, pause_s=0.0))
    client.ask("discard", "finish")
    client.until("Finished")
    assert len(client.of("Dropped")) == 2
    assert not client.of("Final")
    assert int(client.of("Finished")[0].split()[1]) > 8_000


def test_places(server: Running, entrances: list[Entrance]) -> None:
    """A session that there is no place for is refused; at the door of a full server it is 503."""
    waiting = Plainly(server)
    holders = [Plainly(server), Plainly(server)]
    for holder in holders:
        holder.ask("open")
    with pytest.raises(InvalidStatus) as refused:
        Plainly(server)
    assert refused.value.response.status_code == 503
    assert int(refused.value.response.headers["Retry-After"]) >= 1
    waiting.socket.send("open")
    assert waiting.until("refused").startswith("refused: 2 sessions")
    holders[0].socket.close()
    until(lambda: server.sessions == 1)
    waiting.ask("open")
    assert server.metric('asrctl_rejected_total{reason="capacity"}') == 2


def test_who_comes_in(entrances: list[Entrance], scripted: Scripted) -> None:
    """The key counts in the dialect's own form too; foreign pages and those without a key are told no."""
    with running(options_for(scripted(), api_key="secret"), ready=False) as server:
        until(lambda: server.get("/ready")[0] == 200)
        for more in (
            {"subprotocols": ["a", "secret"]},
            {"additional_headers": {"Authorization": "Bearer secret"}},
        ):
            client = Plainly(server, **more)
            assert client.socket.response is not None
            assert client.socket.response.headers["x-plain"] == "yes"
            assert client.socket.subprotocol == (more.get("subprotocols") or [None])[0]
            client.socket.close()
        for status, more in (
            (401, {"subprotocols": ["a", "wrong"]}),
            (401, {}),
            (
                403,
                {"additional_headers": {"Authorization": "Bearer secret", "Origin": "https://evil.example"}},
            ),
        ):
            with pytest.raises(InvalidStatus) as refused:
                Plainly(server, **more)
            assert refused.value.response.status_code == status
            assert (refused.value.response.body or b"").startswith(b"no: ")
            assert "secret" not in server.log.getvalue()


def test_sockets_without_a_session_are_bounded(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that has had none for longest makes way: nobody can hold the door shut. Others do not count."""
    monkeypatch.setattr(registry, "MAX_WAITING", 2)
    first, second, third = (Plainly(server) for _ in range(3))
    assert first.closed() == CloseCode.OVERLOAD
    second.ask("open")
    Plainly(server)
    third.ask("open")


def test_pings_without_a_session(server: Running) -> None:
    """A few show that a client is there; a flood of them ends the socket."""
    client = Plainly(server)
    for _ in range(20):
        client.socket.ping()
    client.ask("note")
    with contextlib.suppress(ConnectionClosed):  # it is closed meanwhile
        for _ in range(400):
            client.socket.ping()
    assert client.closed() in (CloseCode.POLICY, None)  # None: cut, for it went on


def test_a_flood_without_a_session(server: Running) -> None:
    """It ends the socket, where the same in a session is only read more slowly."""
    flooding, speaking = Plainly(server), Plainly(server)
    speaking.ask("open")
    with contextlib.suppress(ConnectionClosed):  # it is closed meanwhile
        for _ in range(200):
            flooding.socket.send("note")
    assert flooding.closed() == CloseCode.POLICY
    speaking.ask(*["note"] * 100)


def test_what_the_server_does_not_have(entrances: list[Entrance], scripted: Scripted) -> None:
    """A language that it does not know is told of; what came with the request is left out."""
    entrances[:] = [PlainEntrance(language="klingon")]
    with running(options_for(scripted())) as server:
        client = Plainly(server)
        client.socket.send("open")
        assert "klingon" in client.until("failed")
        client.socket.send("note")
        assert client.until("did") == "did note"
        assert "event=noted dialect=plain what=this" in server.log.getvalue()
        assert not len(server.server.hub.admission)


def test_audio_that_comes_faster_than_it_is_recognised(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A minute at once waits on disk and loses nothing; the socket answers pings meanwhile."""
    monkeypatch.setattr(sessions, "_IN_MEMORY_S", 2.0)
    client = Plainly(server)
    client.ask("open")
    numbers = list(range(40))
    audio = spoken(*numbers)
    for at in range(0, len(audio), 3200):
        client.socket.send(audio[at : at + 3200])
    assert client.socket.ping().wait(PATIENCE_S)
    client.ask("flush", "finish")
    client.until("Finished")
    assert client.of("Final") == [f"w{number}" for number in numbers]
    assert client.of("Finished") == [f"{len(audio) // 2} 0"]
    assert client.heard.index("Flushed") > client.heard.index("Final w39")


def test_more_than_may_wait(
    entrances: list[Entrance], scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its session is ended, and the client told so; another may be begun."""
    monkeypatch.setattr(sessions, "_IN_MEMORY_S", 0.0)
    with running(options_for(scripted(), spool_s=1.0)) as server:
        client = Plainly(server)
        client.ask("open")
        for _ in range(16):
            client.socket.send(bytes(128_000))
        assert "1 s of audio" in client.until("refused")
        client.ask("open")
        until(lambda: server.sessions == 1)


def test_a_full_disk(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same where the disk takes no more."""
    monkeypatch.setattr(sessions, "_IN_MEMORY_S", 0.0)
    monkeypatch.setattr("asrctl.server.spool.tempfile.TemporaryFile", full)
    client = Plainly(server)
    client.ask("open")
    client.socket.send(bytes(3200))
    client.until("refused")


def full(*_: object, **__: object) -> None:
    """What a full disk does."""
    raise OSError("no space left on device")


def test_a_session_that_fails(server: Running) -> None:
    """Whatever ends it is told; the socket stays."""
    client = Plainly(server)
    client.ask("open")

    def explode(*_: object) -> None:
        raise RuntimeError("no ears")

    server.session._session._stream.feed = explode  # type: ignore[method-assign,assignment]
    client.socket.send(spoken(1))
    assert client.until("failed") == "failed: RuntimeError: no ears"
    client.ask("open")
    server.session._converter.feed = explode  # type: ignore[method-assign,assignment]
    client.socket.send(spoken(1))
    assert client.until("failed") == "failed: RuntimeError: no ears"
    client.ask("open")


def test_a_mistake_of_ours(server: Running) -> None:
    """It closes one socket with 1011, and is in the log."""
    client = Plainly(server)
    client.socket.send("break")
    assert client.closed() == 1011
    assert 'error=RuntimeError detail="a mistake"' in server.log.getvalue()


class Stalled:
    """A WebSocket whose client never reads, and says nothing."""

    scope: ClassVar[dict[str, object]] = {}

    async def receive(self) -> object:
        return await asyncio.Event().wait()

    async def send_text(self, text: str) -> None:
        await asyncio.Event().wait()


async def test_a_reader_that_never_reads(server: Running) -> None:
    """What waits to be sent is bounded: what can be left out is left out first, then the socket is closed."""
    client = DialectSocket(Stalled(), server.server.hub, "plain", Plain(SessionRequest()))  # type: ignore[arg-type]
    run = asyncio.create_task(client.run())
    for _ in range(10):
        client.driver.receive_text("note")
    held = client._unsent_bytes
    client.send("x", droppable=True)
    assert client._unsent_bytes == held
    while not client.driver.closed:
        client.driver.receive_text("much")
    assert client._close is not None
    assert (client._close.code, client._unsent_bytes) == (1008, 0)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)


def test_a_flood_of_pings(server: Running) -> None:
    """More control frames than anybody needs close the socket; messages are only read more slowly."""
    client = Plainly(server)
    client.ask("open")
    for _ in range(2100):
        client.socket.send("note")
    for _ in range(2100):
        client.until("did note")
    with pytest.raises(ConnectionClosed) as closed:
        for _ in range(4000):
            client.socket.ping()
        client.closed()
        client.socket.send("x")
    assert closed.value.rcvd is None or closed.value.rcvd.code == 1008


def test_long_messages(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to the dialect's bound, and as far as all sockets together may hold so much."""
    client = Plainly(server)
    client.ask("open")
    client.socket.send(bytes(3 << 20))
    client.ask("finish")
    assert client.until("Finished").split()[1] == str(3 << 19)
    with contextlib.suppress(ConnectionClosed):
        client.socket.send(bytes(5 << 20))
    assert client.closed() == 1009
    crowded = Plainly(server)
    crowded.ask("note")
    server.call(lambda: setattr(_long(server), "_most_bytes", 2 << 20))
    with contextlib.suppress(ConnectionClosed):
        crowded.socket.send(bytes(3 << 20))
    assert crowded.closed() == 1013


def test_a_client_that_is_still_sending_reads_why(server: Running) -> None:
    """A message that is too long is taken to its end, and thrown away: else the client would be reset."""
    client = ClientProtocol(parse_uri(f"ws://127.0.0.1:{server.server.port}/plain"))
    client.send_request(client.connect())
    with socket.create_connection(("127.0.0.1", server.server.port), timeout=PATIENCE_S) as connection:
        connection.sendall(b"".join(client.data_to_send()))
        while client.state is not State.OPEN:
            client.receive_data(connection.recv(4096))
        client.send_binary(bytes(5 << 20))
        message = b"".join(client.data_to_send())
        for at in range(0, len(message), 1 << 16):
            connection.sendall(message[at : at + (1 << 16)])
        while data := connection.recv(1 << 16):
            client.receive_data(data)
    assert client.close_rcvd is not None and client.close_rcvd.code == 1009


def _long(server: Running) -> object:
    driver = next(iter(server.server._app.dialects._drivers))
    return driver._transport._socket.long_messages  # type: ignore[attr-defined]


def test_the_end(server: Running) -> None:
    """What was fed becomes final, then the socket is closed with 1012; those without a session are too."""
    client, idle = Plainly(server), Plainly(server)
    client.ask("open")
    client.socket.send(spoken(1, 2, pause_s=0.1))
    client.until("SpeechStarted")
    started = time.monotonic()
    server.server.stop()
    assert client.closed() == idle.closed() == 1012
    assert client.of("Final")[-1].endswith("w2")
    assert "never" not in client.heard
    server.join()
    assert time.monotonic() - started < server.server._options.grace_s + 5
