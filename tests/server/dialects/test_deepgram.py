"""Deepgram's `/v1/listen` at a real server: handshakes, frames, bodies, and how each is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

from asrctl.policy.admission import AdmissionOptions
from asrctl.providers.base import ModelSpec
from asrctl.server.options import Models, NamedModel
from asrctl.speakers import live_process
from tests.speakers import children

from ..files.requests import HELLO, WORDS, Raw, client, said
from ..servers import PATIENCE_S, Running, open_socket, options_for, pcm, running, script, spoken, until

KEY = "the-key"
LISTEN = "/v1/listen"
FORMAT = {"encoding": "linear16", "sample_rate": "16000"}
Scripted = Callable[..., ModelSpec]


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server of a model that knows English only, with a key."""
    spec = script(tmp_path_factory.mktemp("script") / "plain.json")
    with running(options_for(spec, models=Models(NamedModel("tiny.en", spec)), api_key=KEY)) as server:
        yield server


class Listening:
    """A client of live audio."""

    def __init__(self, server: Running, headers: dict[str, str] | None = None, **query: str) -> None:
        url = f"ws://127.0.0.1:{server.server.port}{LISTEN}?{urlencode({**FORMAT, **query})}"
        self.socket: ClientConnection = open_socket(
            url, max_queue=None, subprotocols=None, additional_headers=headers
        )
        self.said: list[dict[str, Any]] = []

    def __enter__(self) -> Listening:
        return self

    def __exit__(self, *unused: object) -> None:
        self.socket.close()

    def ask(self, kind: str) -> None:
        """Send a message without fields."""
        self.socket.send(json.dumps({"type": kind}))

    def until(self, kind: str) -> dict[str, Any]:
        """Take messages up to one of a type."""
        while True:
            self.said.append(json.loads(self.socket.recv(timeout=PATIENCE_S)))
            if self.said[-1]["type"] == kind:
                return self.said[-1]

    def code(self) -> int:
        """What the socket is closed with."""
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                self.said.append(json.loads(self.socket.recv(timeout=PATIENCE_S)))
        assert closed.value.rcvd is not None
        return closed.value.rcvd.code

    @property
    def words(self) -> list[str]:
        """Of all that is final."""
        finals = [each for each in self.said if each.get("is_final")]
        return [word for each in finals for word in each["channel"]["alternatives"][0]["transcript"].split()]


def refusal(
    server: Running, path: str = LISTEN, subprotocols: Any = None, **headers: str
) -> tuple[int, Any, Any]:
    """Status, body and headers of a handshake that is refused."""
    with pytest.raises(InvalidStatus) as caught:
        open_socket(
            f"ws://127.0.0.1:{server.server.port}{path}",
            subprotocols=subprotocols,
            additional_headers=headers,
        )
    answer = caught.value.response
    return answer.status_code, json.loads(answer.body or b""), answer.headers


def check_serves(server: Running, **headers: str) -> None:
    """Somebody else is served as if nothing was."""
    with Listening(server, headers) as listening:
        listening.socket.send(spoken(1, 2))
        listening.ask("CloseStream")
        assert listening.code() == 1000
        assert listening.words == ["w1", "w2"]


def test_a_whole_stream(shared: Running) -> None:
    """Words, ends of speech, the answer to `Finalize`, metadata, and 1000 at the end."""
    with Listening(shared, interim_results="true", vad_events="true", endpointing="10") as listening:
        answer = listening.socket.response
        assert answer is not None
        assert answer.headers["dg-clamped"] == "endpointing=300"
        assert answer.headers["x-asrctl-model"] == "words"
        listening.ask("KeepAlive")
        listening.socket.send(spoken(1))
        listening.until("SpeechStarted")
        listening.ask("Finalize")
        while not listening.until("Results")["from_finalize"]:
            pass
        assert listening.words == ["w1"]
        listening.socket.send(spoken(2, 3))
        listening.socket.send(b"")
        assert listening.code() == 1000
    assert listening.words == ["w1", "w2", "w3"]
    assert listening.said[-1]["type"] == "Metadata"
    assert listening.said[-1]["request_id"] == answer.headers["dg-request-id"]
    finals = [each for each in listening.said if each.get("is_final")]
    assert any(final["speech_final"] for final in finals)


@pytest.mark.parametrize("path", ["/v1/listen/", "//v1/listen", "/v1//listen/"])
def test_addresses_that_end_with_a_slash(shared: Running, path: str) -> None:
    """They lead to the same."""
    with open_socket(f"ws://127.0.0.1:{shared.server.port}{path}?{QUERY}", subprotocols=None) as socket:
        socket.send('{"type": "CloseStream"}')
        assert json.loads(socket.recv(timeout=PATIENCE_S))["type"] == "Metadata"


@pytest.mark.parametrize("encoding", ["linear16", "linear32", "float32"])
def test_encodings(shared: Running, encoding: str) -> None:
    """The same audio in each, in pieces of odd lengths."""
    samples = said([1, 2], [3])
    audio = pcm(samples) if encoding == "linear16" else samples.astype("<f4").tobytes()
    with Listening(shared, encoding=encoding) as listening:
        for at in range(0, len(audio), 4001):
            listening.socket.send(audio[at : at + 4001])
        listening.ask("CloseStream")
        assert listening.code() == 1000
    assert listening.words == ["w1", "w2", "w3"]
    assert listening.said[-1]["duration"] == pytest.approx(len(samples) / 16_000, abs=0.005)


def test_two_channels_are_mixed(shared: Running) -> None:
    """Words on one of them come as well as those on both, however frames are cut; time is counted once."""
    both, one = said([1, 2]), said([3])
    left, right = np.concatenate((both, 2 * one)), np.concatenate((both, 0 * one))
    audio = pcm(np.column_stack((left, right)).ravel())
    with Listening(shared, channels="2") as listening:
        for at in range(0, len(audio), 4001):
            listening.socket.send(audio[at : at + 4001])
        listening.ask("CloseStream")
        assert listening.code() == 1000
    assert listening.words == ["w1", "w2", "w3"]
    assert listening.said[-1]["duration"] == pytest.approx(len(left) / 16_000, abs=0.005)
    assert listening.said[-1]["channels"] == 2


@pytest.mark.parametrize(
    ("headers", "subprotocols"),
    [
        ({"Authorization": f"Token {KEY}"}, None),
        ({"Authorization": f"token {KEY}"}, None),
        ({"Authorization": f"Bearer {KEY}"}, None),
        ({"Authorization": f"bearer {KEY}"}, None),
        ({}, ["token", KEY]),
        ({}, ["bearer", KEY, "x-deepgram-session-id", "an-id"]),
        ({}, ["x-other", "token", KEY]),
    ],
)
def test_keys(keyed: Running, headers: dict[str, str], subprotocols: Any) -> None:
    """Each way to give the key; the first subprotocol is answered."""
    url = f"ws://127.0.0.1:{keyed.server.port}{LISTEN}?{urlencode(FORMAT)}"
    with open_socket(url, subprotocols=subprotocols, additional_headers=headers) as socket:
        assert socket.subprotocol == (subprotocols or [None])[0]
        socket.send('{"type": "CloseStream"}')
        assert json.loads(socket.recv(timeout=PATIENCE_S))["type"] == "Metadata"


QUERY = urlencode(FORMAT)


@pytest.mark.parametrize(
    ("query", "headers", "subprotocols", "status"),
    [
        (QUERY, {}, None, 401),
        (QUERY, {"Authorization": "Token wrong"}, None, 401),
        (QUERY, {"Authorization": f"Basic {KEY}"}, None, 401),
        (QUERY, {}, ["token", "wrong"], 401),
        (QUERY, {}, ["token"], 401),
        (QUERY, {}, [KEY, "token"], 401),
        (QUERY, {"Authorization": f"Token {KEY}", "Origin": "https://elsewhere.example"}, None, 403),
        ("", None, None, 400),
        ("encoding=linear16", None, None, 400),
        ("encoding=opus&sample_rate=48000", None, None, 400),
        (f"{QUERY}&channels=9", None, None, 400),
        ("encoding=linear16&sample_rate=1", None, None, 400),
        (f"{QUERY}&model=bad", None, None, 400),
        (f"{QUERY}&model=%FF%00%0d%0ax:y", None, None, 400),
        (f"{QUERY}&language=de", None, None, 400),
        (f"{QUERY}&endpointing=soon", None, None, 400),
        (f"{QUERY}&interim_results=perhaps", None, None, 400),
        (f"{QUERY}&callback=http%3A%2F%2Flocalhost", None, None, 400),
        (f"{QUERY}&redact=pci", None, None, 400),
        (f"{QUERY}&channels=2&multichannel=true", None, None, 400),
        (f"{QUERY}&diarize=true", None, None, 400),
    ],
)
def test_refused_handshakes(
    keyed: Running, query: str, headers: dict[str, str] | None, subprotocols: Any, status: int
) -> None:
    """What is wrong is in a header as in the body, in Deepgram's shape."""
    given = {"Authorization": f"Token {KEY}"} if headers is None else headers
    code, body, answered = refusal(keyed, f"{LISTEN}?{query}", subprotocols, **given)
    assert code == status
    assert set(body) == {"err_code", "err_msg", "request_id"}
    assert body["err_code"] == {400: "Bad Request", 401: "INVALID_AUTH", 403: "Forbidden"}[status]
    assert answered["dg-request-id"] == body["request_id"]
    assert answered["dg-error"][:20] == body["err_msg"].encode("ascii", "replace").decode()[:20]
    check_serves(keyed, Authorization=f"Token {KEY}")


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "{",
        "[]",
        "\x00",
        '{"type": "Nothing"}',
        '{"type": 1}',
        "[" * 50_000,
        '{"type": "Configure", "keyterms": 1}',
    ],
)
def test_bad_frames(shared: Running, frame: str) -> None:
    """They are answered, and the stream goes on."""
    with Listening(shared) as listening:
        listening.socket.send(spoken(1))
        listening.socket.send(frame)
        error = listening.until("Error")
        assert (error["variant"], error["message"]) == ("SchemaError", frame[:200])
        listening.ask("CloseStream")
        assert listening.code() == 1000
    assert listening.words == ["w1"]


def test_a_message_too_long(shared: Running) -> None:
    """Closed as the standard says; others are served."""
    with Listening(shared) as listening:
        listening.socket.send(bytes(2 << 20))
        assert listening.code() == 1009
    check_serves(shared)


def test_full(scripted: Scripted) -> None:
    """No place: 503 and when to come again at the handshake, else 1013 when audio comes."""
    with running(options_for(scripted(), admission=AdmissionOptions(max_sessions=1))) as server:
        with Listening(server) as late, Listening(server) as first:
            first.socket.send(spoken(1))
            until(lambda: server.sessions == 1)
            code, body, headers = refusal(server, f"{LISTEN}?{QUERY}")
            assert (code, body["err_code"]) == (503, "Service Unavailable")
            assert int(headers["retry-after"]) >= 1
            late.socket.send(spoken(1))
            assert late.until("Error")["variant"] == "Overloaded"
            assert late.code() == 1013
        until(lambda: server.sessions == 0)
        check_serves(server)


def speakers(said: list[dict[str, Any]]) -> list[int | None]:
    """Of all words."""
    heard = [each["channel"]["alternatives"][0] for each in said if each["type"] == "Results"]
    return [word.get("speaker") for each in heard for word in each["words"]]


def test_speakers(telling: Running) -> None:
    """The label that is known when a final is sent, also at the end; interim words and others' have none."""
    with Listening(telling, diarize="true", interim_results="true") as listening:
        while 0 not in speakers(listening.said):  # finals do not wait for labels
            listening.socket.send(spoken(1))
            while not listening.until("Results")["is_final"]:
                pass
        listening.socket.send(spoken(2, pause_s=0.0))
        listening.ask("CloseStream")
        assert listening.code() == 1000
    finals = [each for each in listening.said if each.get("is_final")]
    assert listening.words[-1] == "w2" and {*speakers(finals[:-1])} <= {None, 0}
    assert speakers(finals)[-2:] == [0, 1]
    assert {*speakers([each for each in listening.said if each.get("is_final") is False])} <= {None}
    with Listening(telling) as listening:
        listening.socket.send(spoken(1))
        listening.ask("CloseStream")
        assert listening.code() == 1000
    assert speakers(listening.said) == [None]


def test_speakers_are_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash costs labels, and no words; it is told once."""
    monkeypatch.setattr(live_process, "COMMAND", children.crashing())
    options = options_for(script(tmp_path / "script.json"), speakers_dir=tmp_path)
    with running(options) as server, Listening(server, diarize="true") as listening:
        listening.socket.send(spoken(1, 2))
        listening.ask("CloseStream")
        assert listening.code() == 1000
    assert listening.words == ["w1", "w2"]
    [lost] = [each for each in listening.said if each["type"] == "Error"]
    assert lost["variant"] == "SpeakersLost" and "crashed" in lost["description"]


def test_shutdown(scripted: Scripted) -> None:
    """In the middle of an utterance: its words come, then 1012."""
    with running(options_for(scripted())) as server, Listening(server, vad_events="true") as listening:
        listening.socket.send(spoken(1, pause_s=0.0))
        listening.until("SpeechStarted")
        server.server.stop()
        assert listening.code() == 1012
        assert listening.words == ["w1"]
        assert listening.said[-1]["type"] == "Metadata"


# Recordings


def listen(server: Running, body: Any = HELLO, query: str = "", **headers: str) -> httpx.Response:
    """Post a recording."""
    with client(server) as http:
        return http.post(f"{LISTEN}{query}", content=body, headers=headers)


def test_recording(shared: Running) -> None:
    """A file as the body; words with times, utterances if asked for, and the hash of what came."""
    import hashlib

    answer = listen(
        shared, query="?utterances=true&model=nova-3&topics=true", **{"Content-Type": "audio/wav"}
    )
    assert answer.status_code == 200
    assert (answer.headers["dg-ignored"], answer.headers["x-asrctl-model"]) == ("topics", "words")
    body = answer.json()
    assert body["metadata"]["request_id"] == answer.headers["dg-request-id"]
    assert body["metadata"]["sha256"] == hashlib.sha256(HELLO).hexdigest()
    assert body["metadata"]["duration"] == pytest.approx((len(HELLO) - 44) / 32_000, abs=0.01)
    [alternative] = body["results"]["channels"][0]["alternatives"]
    assert alternative["transcript"] == WORDS
    assert [word["word"] for word in alternative["words"]] == WORDS.split()
    assert " ".join(each["transcript"] for each in body["results"]["utterances"]) == WORDS


def test_recording_without_header(shared: Running) -> None:
    """Headerless PCM with its format in the query, in chunks of which nobody knows how many there are."""
    chunks = (HELLO[44:][at : at + 10_000] for at in range(0, len(HELLO), 10_000))
    answer = listen(shared, chunks, f"?{QUERY}")
    assert answer.json()["results"]["channels"][0]["alternatives"][0]["transcript"] == WORDS


@pytest.mark.parametrize(
    ("body", "query", "headers", "status"),
    [
        (HELLO, "", {"Authorization": "Token wrong"}, 401),
        (HELLO, "", {"Origin": "https://elsewhere.example"}, 403),
        (b"", "", {}, 400),
        (b"text " * 100, "", {}, 400),
        (bytes(1000), "", {}, 400),
        (b'{"url": "http://localhost/a.wav"}', "", {"Content-Type": "application/json"}, 400),
        (b'{"url": 1', "", {"Content-Type": "Application/JSON; charset=utf-8"}, 400),
        (HELLO, "?model=bad", {}, 400),
        (HELLO, "?language=de", {}, 400),
        (HELLO, "?encoding=opus&sample_rate=48000", {}, 400),
        (HELLO, "?encoding=linear16", {}, 400),
        (HELLO, "?multichannel=true", {}, 400),
        (HELLO, "?redact=true", {}, 400),
        (HELLO, "?callback=http://localhost/", {}, 400),
        (HELLO, "?utterances=perhaps", {}, 400),
    ],
)
def test_refused_recordings(
    keyed: Running, body: bytes, query: str, headers: dict[str, str], status: int
) -> None:
    """In Deepgram's shape, in the body as in a header; nothing is fetched for anybody."""
    key = {"Authorization": f"Token {KEY}"}
    answer = listen(keyed, body, query, **key | headers)
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"err_code", "err_msg", "request_id"}
    assert answer.headers["dg-request-id"] == answer.json()["request_id"]
    assert answer.headers["dg-error"] == answer.json()["err_msg"]
    assert str(Path.cwd().anchor) + "tmp" not in answer.text
    assert listen(keyed, **key).status_code == 200


def test_other_methods(shared: Running) -> None:
    """They are refused in the same shape."""
    with client(shared) as http:
        answer = http.get(LISTEN)
    assert (answer.status_code, answer.json()["err_code"]) == (405, "Method Not Allowed")
    assert "POST" in answer.headers["allow"]


def test_a_recording_too_long(scripted: Scripted) -> None:
    """Refused by its length before it comes, or where it exceeds it."""
    from asrctl.server.files.limits import FileLimits

    with running(options_for(scripted(), files=FileLimits(upload_bytes=1000))) as server:
        with Raw(server) as raw:
            raw.start("Content-Length: 5000", LISTEN)
            head = raw.read(b"}").decode()
        assert " 413 " in head
        answer = listen(server, (bytes(500) for _ in range(5)))
        assert (answer.status_code, "1000" in answer.json()["err_msg"]) == (413, True)


def test_a_recording_while_loading(scripted: Scripted) -> None:
    """While nothing can be decoded: 503 and when to come again."""
    with running(options_for(scripted(hang_on=["w1"])), ready=False) as server:
        answer = listen(server)
        assert (answer.status_code, answer.json()["err_code"]) == (503, "Service Unavailable")
        assert int(answer.headers["retry-after"]) >= 1
