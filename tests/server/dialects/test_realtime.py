"""`/v1/realtime` over a real socket: doors, bounds, keys for browsers, the end."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from websockets.exceptions import InvalidStatus

from asrctl.policy.admission import AdmissionOptions
from asrctl.providers.base import ModelSpec
from asrctl.server.dialects import realtime

from ..servers import PATIENCE_S, Running, open_socket, options_for, running, spoken, until
from .realtimes import NULL, RealtimeClient

Scripted = Callable[..., ModelSpec]


def asked(
    server: Running, path: str, body: object = None, method: str = "POST", **headers: str
) -> tuple[int, dict[str, Any]]:
    """Status and body of a request."""
    data = json.dumps(body).encode() if body is not None and not isinstance(body, bytes) else body
    url = f"http://127.0.0.1:{server.server.port}{path}"
    request = Request(url, data=data, headers=headers, method=method)  # type: ignore[arg-type]
    try:
        with urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_turns(shared: Running) -> None:
    """Each utterance becomes an item with its text; a place is taken with the first audio, and given back."""
    client = RealtimeClient(shared)
    assert client.until("session.created")["session"]["audio"]["input"]["format"]["rate"] == 24_000
    assert not len(shared.server.hub.admission)
    client.send(
        "session.update", session={"audio": {"input": {"format": {"type": "audio/pcm", "rate": 16_000}}}}
    )
    audio = spoken(1, 2)
    for at in range(0, len(audio), 3_001):
        client.append(audio[at : at + 3_001])
    client.until(".completed", 2)
    assert client.transcripts == ["w1", "w2"]
    assert len(shared.server.hub.admission) == 1
    client.socket.close()
    until(lambda: not shared.server.hub.sessions and not len(shared.server.hub.admission))


def test_commits(shared: Running) -> None:
    """A file at once, a commit: one item, however many utterances it holds, and its deltas are its text."""
    client = RealtimeClient(shared, "")
    client.send("session.update", session=NULL)
    numbers = list(range(25))
    client.append(spoken(*numbers))
    client.send("input_audio_buffer.commit")
    client.send("input_audio_buffer.commit")
    assert client.until(".completed")["transcript"] == " ".join(f"w{number}" for number in numbers)
    assert "".join(each["delta"] for each in client.of(".delta")) == client.transcripts[0]
    assert client.of("error")[0]["error"]["code"] == "input_audio_buffer_commit_empty"
    client.socket.close()


@pytest.mark.parametrize("kind", ["clear", "commit"])
def test_what_the_converter_holds(shared: Running, kind: str) -> None:
    """At 24 kHz a resampler holds audio back: a commit takes that too, and nothing of it outlives a clear."""
    client = RealtimeClient(shared)
    client.append(bytes(48_000))
    client.send(f"input_audio_buffer.{kind}")
    client.until("committed" if kind == "commit" else "cleared")
    [session] = shared.server.hub.sessions
    assert session._converter.held_samples == 0
    client.socket.close()
    until(lambda: not shared.server.hub.sessions)


def test_one_message_of_fifteen_mebibytes(shared: Running) -> None:
    """It is taken whole; the socket answers pings, and nothing is lost."""
    client = RealtimeClient(shared)
    client.send("session.update", session=NULL)
    tail = spoken(7)
    client.append(bytes((15 << 20) - len(tail)) + tail)
    assert client.socket.ping().wait(PATIENCE_S)
    client.send("input_audio_buffer.commit")
    assert client.until(".completed")["transcript"] == "w7"
    assert client.of(".completed")[0]["usage"]["seconds"] == pytest.approx((15 << 20) / 32_000)
    client.socket.close()


@pytest.mark.parametrize(
    ("more", "subprotocol"),
    [
        ({"additional_headers": {"Authorization": "Bearer secret"}}, None),
        ({"additional_headers": {"api-key": "secret"}}, None),
        ({"subprotocols": ["realtime", "openai-insecure-api-key.secret"]}, "realtime"),
        (
            {"subprotocols": ["realtime", "openai-insecure-api-key.secret", "openai-beta.realtime-v1"]},
            "realtime",
        ),
    ],
)
@pytest.mark.parametrize("query", ["?model=gpt-realtime", "/?model=words", ""])
def test_keys(keyed: Running, more: dict[str, Any], subprotocol: str | None, query: str) -> None:
    """In each form that clients have; browsers get `realtime` back."""
    client = RealtimeClient(keyed, query, **more)
    session = client.until("session.created")["session"]
    assert ("input_audio_format" in session) == (len(more.get("subprotocols", ())) == 3)
    assert client.socket.subprotocol == subprotocol
    assert client.socket.response is not None
    assert client.socket.response.headers["x-asrctl-model"] == "words"
    client.socket.close()


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server with a key."""
    from ..servers import script

    spec = script(tmp_path_factory.mktemp("keyed") / "plain.json")
    with running(options_for(spec, api_key="secret")) as server:
        yield server


@pytest.mark.parametrize(
    ("query", "headers", "status", "code"),
    [
        ("", {}, 401, "invalid_api_key"),
        ("", {"Authorization": "Bearer wrong"}, 401, "invalid_api_key"),
        ("", {"Authorization": "Bearer ek_wrong"}, 401, "invalid_api_key"),
        ("?model=huge", {"Authorization": "Bearer secret"}, 404, "model_not_found"),
        ("", {"Authorization": "Bearer secret", "Origin": "https://evil.example"}, 403, "origin_not_allowed"),
    ],
)
def test_who_does_not_come_in(
    keyed: Running, query: str, headers: dict[str, str], status: int, code: str
) -> None:
    """They are told in OpenAI's shape, before the upgrade."""
    with pytest.raises(InvalidStatus) as refused:
        RealtimeClient(keyed, query, additional_headers=headers)
    assert refused.value.response.status_code == status
    error = json.loads(refused.value.response.body or b"")["error"]
    assert error["code"] == code
    assert set(error) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("path", ["/v1/nope", "/v1/audio/transcriptions", "/audio/speech", "/realtime/calls"])
def test_sockets_at_other_paths(shared: Running, path: str) -> None:
    """They are told in OpenAI's shape, as requests are."""
    with pytest.raises(InvalidStatus) as refused:
        open_socket(f"ws://127.0.0.1:{shared.server.port}{path}", subprotocols=None)
    answer = refused.value.response
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")
    error = json.loads(answer.body or b"")["error"]
    assert (error["code"], set(error)) == ("not_found", {"message", "type", "param", "code"})


@pytest.mark.parametrize("path", ["/realtime", "/realtime/"])
def test_without_the_version(shared: Running, path: str) -> None:
    """Clients whose address has no `/v1` come in as well, and get keys."""
    socket = open_socket(f"ws://127.0.0.1:{shared.server.port}{path}?model=words", subprotocols=None)
    assert json.loads(socket.recv(timeout=PATIENCE_S))["type"] == "session.created"
    socket.close()
    assert asked(shared, "/realtime/client_secrets", {})[0] == 200
    assert asked(shared, path, method="GET")[0] == 426


def test_keys_for_browsers(keyed: Running) -> None:
    """They need the key to be had, carry the session, and open it without the key."""
    wish = {"type": "transcription", "audio": {"input": {"turn_detection": None}}}
    path = "/v1/realtime/client_secrets"
    assert asked(keyed, path, {})[0] == 401
    status, issued = asked(
        keyed,
        path,
        {"session": wish, "expires_after": {"anchor": "created_at", "seconds": 60}},
        Authorization="Bearer secret",
    )
    assert status == 200
    assert issued["session"]["audio"]["input"]["turn_detection"] is None
    for more in (
        {"subprotocols": ["realtime", f"openai-insecure-api-key.{issued['value']}"]},
        {"additional_headers": {"Authorization": f"Bearer {issued['value']}"}},
    ):
        client = RealtimeClient(keyed, "", **more)
        assert client.until("session.created")["session"]["audio"]["input"]["turn_detection"] is None
        client.socket.close()
    assert asked(keyed, path, {}, Authorization=f"Bearer {issued['value']}")[0] == 401


def test_keys_in_the_older_shape(shared: Running) -> None:
    """The session is the answer, with the key in it."""
    status, issued = asked(
        shared, "/v1/realtime/transcription_sessions", {"input_audio_format": "pcm16", "turn_detection": None}
    )
    assert (status, issued["object"], issued["turn_detection"]) == (
        200,
        "realtime.transcription_session",
        None,
    )
    more = {"Authorization": f"Bearer {issued['client_secret']['value']}"}
    client = RealtimeClient(shared, "", additional_headers=more)
    assert client.until("session.created")["session"]["input_audio_format"] == "pcm16"
    client.socket.close()
    status, again = asked(
        shared, "/v1/realtime/transcription_sessions/", {"client_secret": {"expires_after": {"seconds": 10}}}
    )
    assert status == 200
    assert again["client_secret"]["expires_at"] < issued["client_secret"]["expires_at"]


@pytest.mark.parametrize(
    ("path", "body", "method", "status", "code"),
    [
        ("/v1/realtime/calls", {}, "POST", 404, "not_found"),
        ("/v1/realtime", None, "GET", 426, "upgrade_required"),
        ("/v1/realtime/client_secrets", None, "GET", 405, "method_not_allowed"),
        ("/v1/realtime/client_secrets", b"{", "POST", 400, "invalid_json"),
        ("/v1/realtime/client_secrets", [1], "POST", 400, "invalid_type"),
        ("/v1/realtime/client_secrets", {"session": 7}, "POST", 400, "invalid_type"),
        ("/v1/realtime/client_secrets", {"session": {"audio": 7}}, "POST", 400, "invalid_type"),
        ("/v1/realtime/client_secrets", {"expires_after": {"seconds": 1}}, "POST", 400, "invalid_value"),
        ("/v1/realtime/client_secrets", b" " * 70_000, "POST", 413, "request_too_large"),
        ("/v1/realtime/other", {}, "POST", 404, "not_found"),
    ],
)
def test_bad_requests(shared: Running, path: str, body: object, method: str, status: int, code: str) -> None:
    """Each in OpenAI's shape; what there is no WebRTC for names the WebSocket."""
    answered, answer = asked(shared, path, body, method)
    assert (answered, answer["error"]["code"]) == (status, code)
    assert path != "/v1/realtime/calls" or "/v1/realtime" in answer["error"]["message"]


def test_a_body_that_does_not_come(shared: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has its time."""
    import socket

    monkeypatch.setattr(realtime, "_BODY_S", 0.05)
    with socket.create_connection(("127.0.0.1", shared.server.port), timeout=PATIENCE_S) as raw:
        raw.sendall(
            b"POST /v1/realtime/client_secrets HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"
        )
        assert b"400 " in raw.recv(4096)


def test_a_full_server(scripted: Scripted) -> None:
    """503 at the door; a socket that was let in before is told by an error, and 1013."""
    with running(options_for(scripted(), admission=AdmissionOptions(max_sessions=1))) as server:
        waiting, holder = RealtimeClient(server), RealtimeClient(server)
        holder.append(bytes(4800))
        until(lambda: server.sessions == 1)
        with pytest.raises(InvalidStatus) as refused:
            RealtimeClient(server)
        assert refused.value.response.status_code == 503
        assert int(refused.value.response.headers["Retry-After"]) >= 1
        assert json.loads(refused.value.response.body or b"")["error"]["code"] == "overloaded"
        waiting.append(bytes(4800))
        assert waiting.until("error")["error"]["code"] == "rate_limit_exceeded"
        assert waiting.drain() == 1013


def test_audio_that_comes_while_the_server_ends(scripted: Scripted) -> None:
    """It is said to have failed, behind what is answered."""
    with running(options_for(scripted(delay_s=0.5))) as server:
        client = RealtimeClient(server)
        client.send("session.update", session=NULL)
        client.append(spoken(1))
        until(lambda: server.sessions == 1)
        server.server.stop()
        client.until(".committed")
        client.append(spoken(2))
        assert client.drain() == 1012
        assert client.transcripts == ["w1"] and len(client.of(".committed")) == 2
        assert client.of(".failed")[0]["item_id"] == client.of(".committed")[1]["item_id"]
        server.join()


def test_a_server_that_does_not_wait(scripted: Scripted) -> None:
    """What it cannot answer in its time has failed."""
    with running(options_for(scripted(hang_on=["w7"]), grace_s=0.3)) as server:
        turns, commits = RealtimeClient(server), RealtimeClient(server)
        commits.send("session.update", session=NULL)
        for client in (turns, commits):
            client.append(spoken(7, pause_s=0.1))
        turns.until("speech_started")
        until(lambda: server.sessions == 2)
        server.server.stop()
        assert (turns.drain(), commits.drain()) == (1012, 1012)
        for client in (turns, commits):
            ids = [each["item_id"] for each in client.of(".committed")]
            assert ids and [each["item_id"] for each in client.of(".failed")] == ids
        server.join()


def test_the_end(scripted: Scripted) -> None:
    """What was said is committed and completed, then 1012."""
    with running(options_for(scripted(delay_s=0.2))) as server:
        turns, commits = RealtimeClient(server), RealtimeClient(server)
        commits.send("session.update", session=NULL)
        turns.send("session.update", session={"audio": {"input": {"format": {"rate": 16_000}}}})
        for client in (turns, commits):
            client.append(spoken(1, 2, pause_s=0.1))
        turns.until("speech_started")
        until(lambda: server.sessions == 2)
        server.server.stop()
        assert (turns.drain(), commits.drain()) == (1012, 1012)
        for client in (turns, commits):
            assert " ".join(client.transcripts).split() == ["w1", "w2"]
        server.join()
