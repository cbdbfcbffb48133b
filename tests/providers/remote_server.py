"""Servers with a script: what they hear is in the audio (see `speak`), and they misbehave when told to.

The brains of the realtime dialects take messages and give messages, without a socket. They are strict: a
client that says what the real servers do not take is answered with an error, or is the end of the test.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import secrets
import ssl
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

WORD_S = 0.18
"""A word of `speak`, without the pause after it."""
_LOUD = 0.08
_TOLERANCE_S = 0.003
_GRACE_S = 5.0
DEADLINE_S = 30.0
_log = logging.getLogger(__name__)
_log.setLevel(logging.CRITICAL)


def words_in(pcm: bytes, rate_hz: int, *, whole: bool = True) -> list[str]:
    """The words in PCM made by `speak`; one that is too short or too long shows it.

    Args:
        pcm: Signed 16 bit.
        rate_hz: Its rate.
        whole: Whether a word at the very end is over.
    """
    samples: NDArray[np.float64] = np.frombuffer(pcm, "<i2") / 32768
    loud = np.concatenate(([False], np.abs(samples) >= _LOUD, [False]))
    edges = np.flatnonzero(np.diff(loud.astype(np.int8)))
    words = []
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        if end == len(samples) and not whole:
            break
        length_s = (end - start) / rate_hz
        number = round((float(np.median(samples[start:end])) - 0.1) * 8192)
        good = abs(length_s - WORD_S) <= _TOLERANCE_S
        words.append(f"w{number}" if good else f"w{number}:{length_s * 1000:.0f}ms")
    return words


class Broken(AssertionError):
    """The client said what no server takes."""


class Brain(Protocol):
    """One socket's side of the server."""

    def hello(self) -> list[dict[str, Any]]: ...
    def receive(self, message: dict[str, Any]) -> list[dict[str, Any]]: ...


class OpenAiBrain:
    """OpenAI's transcription dialect.

    Args:
        rate_hz: The rate that the server wants.
        early: Whether deltas come while audio is appended, as newer models do, or after the commit.
        backwards: Whether items that were committed while others waited are answered last to first.
        lazy: How many commits are waited for before any is answered.
    """

    def __init__(
        self, rate_hz: int = 24_000, *, early: bool = False, backwards: bool = False, lazy: int = 1
    ) -> None:
        self.rate_hz = rate_hz
        self.session: dict[str, Any] = {}
        self._early = early
        self._backwards = backwards
        self._lazy = lazy
        self._pcm = bytearray()
        self._told = 0
        self._items = 0
        self._waiting: list[tuple[str, list[str]]] = []

    def hello(self) -> list[dict[str, Any]]:
        format_ = {"type": "audio/pcm", "rate": self.rate_hz}
        session = {"type": "transcription", "audio": {"input": {"format": format_}}}
        return [{"type": "session.created", "session": session}]

    def receive(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        kind = message["type"]
        if kind == "session.update":
            return self._update(message["session"])
        if kind == "input_audio_buffer.append":
            self._pcm += base64.b64decode(message["audio"], validate=True)
            return self._deltas(whole=False) if self._early else []
        if kind == "input_audio_buffer.commit":
            return self._commit(message.get("event_id"))
        raise Broken(kind)

    def _update(self, session: dict[str, Any]) -> list[dict[str, Any]]:
        audio = session["audio"]["input"]
        if session["type"] != "transcription" or audio["turn_detection"] is not None:
            raise Broken(str(session))
        if audio["format"] != {"type": "audio/pcm", "rate": self.rate_hz}:
            raise Broken(str(audio["format"]))
        self.session = session
        return [{"type": "session.updated", "session": session}]

    @property
    def _item(self) -> str:
        return f"item_{self._items}"

    def _commit(self, event_id: str | None) -> list[dict[str, Any]]:
        if not self.session:
            raise Broken("committed before the session was set up")
        if len(self._pcm) < 2 * self.rate_hz // 10:
            error = {
                "type": "invalid_request_error",
                "code": "input_audio_buffer_commit_empty",
                "message": "buffer too small",
                "event_id": event_id,
            }
            return [{"type": "error", "error": error}]
        item, before = self._item, f"item_{self._items - 1}" if self._items else None
        events: list[dict[str, Any]] = [
            {"type": "input_audio_buffer.committed", "item_id": item, "previous_item_id": before},
            {"type": "conversation.item.added", "item": _item(item), "previous_item_id": before},
            {"type": "conversation.item.done", "item": _item(item), "previous_item_id": before},
        ]
        events += self._deltas(whole=True)
        self._waiting.append((item, words_in(bytes(self._pcm), self.rate_hz)))
        self._pcm.clear()
        self._told, self._items = 0, self._items + 1
        return events + self._completed()

    def _deltas(self, *, whole: bool) -> list[dict[str, Any]]:
        words = words_in(bytes(self._pcm), self.rate_hz, whole=whole)
        new, self._told = words[self._told :], max(self._told, len(words))
        return [_transcription("delta", self._item, delta=f" {word}") for word in new]

    def hurry(self) -> list[dict[str, Any]]:
        """Answer what waits."""
        self._lazy = 1
        return self._completed()

    def _completed(self) -> list[dict[str, Any]]:
        if not self._waiting or len(self._waiting) < self._lazy:
            return []
        waiting, self._waiting = self._waiting, []
        return [
            _transcription("completed", item, transcript=" ".join(words), usage=_USAGE)
            for item, words in (reversed(waiting) if self._backwards else waiting)
        ]


_USAGE = {"type": "duration", "seconds": 1.0}


def _item(item: str) -> dict[str, Any]:
    content = [{"type": "input_audio", "transcript": None}]
    return {"id": item, "type": "message", "role": "user", "status": "completed", "content": content}


def _transcription(what: str, item: str, **fields: object) -> dict[str, Any]:
    kind = f"conversation.item.input_audio_transcription.{what}"
    return {"type": kind, "item_id": item, "content_index": 0, **fields}


class OwnTurnsBrain:
    """A server like speaches: the older form of the dialect, and utterances that it ends by itself.

    It takes no format, no `turn_detection` of null, and no session without a model; it commits when half a
    second of silence follows speech, which it announces, and answers a commit as any other.

    Args:
        announces: Whether it says when speech starts and stops.
    """

    def __init__(self, *, announces: bool = True) -> None:
        self.session: dict[str, Any] = {}
        self.commits = 0
        self._announces = announces
        self._pcm = bytearray()
        self._items = 0
        self._speaking = False

    def hello(self) -> list[dict[str, Any]]:
        self.session = {
            "input_audio_format": "pcm16",
            "input_audio_transcription": {"model": "theirs"},
            "turn_detection": {"type": "server_vad", "silence_duration_ms": 500},
        }
        return [{"type": "session.created", "session": self.session}]

    def receive(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        kind = message["type"]
        if kind == "session.update":
            if set(message["session"]) - {"input_audio_transcription"}:
                raise Broken(str(message))
            self.session |= message["session"]
            if "model" not in self.session["input_audio_transcription"]:
                raise Broken("no model")
            return [{"type": "session.updated", "session": self.session}]
        if kind == "input_audio_buffer.append":
            self._pcm += base64.b64decode(message["audio"], validate=True)
            return self._listen()
        if kind == "input_audio_buffer.commit":
            self.commits += 1
            if len(self._pcm) < 4_800:
                return [{"type": "error", "error": {"message": "the buffer is too small"}}]
            return self._item("a commit")
        if kind == "input_audio_buffer.clear":
            self._pcm.clear()
            return [{"type": "input_audio_buffer.cleared"}]
        raise Broken(kind)

    def _listen(self) -> list[dict[str, Any]]:
        loud = np.flatnonzero(np.abs(np.frombuffer(bytes(self._pcm), "<i2")) > 0.08 * 32768)
        events: list[dict[str, Any]] = []
        if len(loud) and not self._speaking:
            self._speaking = True
            started = {"type": "input_audio_buffer.speech_started", "item_id": f"item_{self._items}"}
            events += [started] if self._announces else []
        if self._speaking and len(self._pcm) // 2 - int(loud[-1]) > 12_000:
            stopped = {"type": "input_audio_buffer.speech_stopped", "item_id": f"item_{self._items}"}
            events += [stopped] if self._announces else []
            events += self._item("silence")
        return events

    def _item(self, why: str) -> list[dict[str, Any]]:
        item, pcm = f"item_{self._items}", bytes(self._pcm)
        self._items, self._speaking = self._items + 1, False
        self._pcm.clear()
        text = " ".join(words_in(pcm, 24_000)) or f"words made up of {why}"
        return [
            {"type": "input_audio_buffer.committed", "item_id": item, "previous_item_id": None},
            _transcription("completed", item, transcript=text, usage=_USAGE),
        ]


class VllmBrain:
    """vLLM's dialect, with its habit of throwing away what comes before `transcription.done`.

    Args:
        early: After so many words a generation ends by itself; 0 for never.
    """

    def __init__(self, early: int = 0) -> None:
        self.model: str | None = None
        self._early = early
        self._pcm = bytearray()
        self._told = 0
        self._running = False

    def hello(self) -> list[dict[str, Any]]:
        return [{"type": "session.created", "id": "sess-1", "created": 1}]

    def receive(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        kind = message["type"]
        if kind == "session.update":
            self.model = message["model"]
            return []
        if kind == "input_audio_buffer.append":
            self._pcm += base64.b64decode(message["audio"], validate=True)
            return self._deltas(whole=False) if self._running else []
        if kind != "input_audio_buffer.commit":
            raise Broken(kind)
        if message.get("final") and self._early and not self._running:
            return []  # it crossed the end that came by itself
        if self.model is None:
            return [{"type": "error", "error": "Model not validated.", "code": "model_not_validated"}]
        return self._end() if message.get("final") else self._begin()

    def _begin(self) -> list[dict[str, Any]]:
        if self._running:
            raise Broken("a second generation")
        self._running, self._told = True, 0
        return self._deltas(whole=False)

    def _end(self) -> list[dict[str, Any]]:
        if not self._running:
            raise Broken("the end of no generation")
        text = "".join(f" {word}" for word in words_in(bytes(self._pcm), 16_000))
        events = self._deltas(whole=True)
        self._running = False
        self._pcm.clear()
        return [*events, {"type": "transcription.done", "text": text, "usage": {}}]

    def _deltas(self, *, whole: bool) -> list[dict[str, Any]]:
        words = words_in(bytes(self._pcm), 16_000, whole=whole)
        new, self._told = words[self._told :], max(self._told, len(words))
        deltas = [{"type": "transcription.delta", "delta": f" {word}"} for word in new]
        if whole or not self._early or len(words) < self._early:
            return deltas
        self._running = False
        self._pcm.clear()
        text = "".join(f" {word}" for word in words)
        return [*deltas, {"type": "transcription.done", "text": text, "usage": {}}]


# Faults of a socket


@dataclass(frozen=True)
class Refuse:
    """Answer the handshake with this status."""

    status: int = 503
    retry_after: str | None = None
    body: str = "no\n"


@dataclass(frozen=True)
class Mute:
    """Accept, and never say anything."""


@dataclass(frozen=True)
class Say:
    """Accept, and say this instead of `session.created`."""

    data: str | bytes


@dataclass(frozen=True)
class After:
    """Serve until so many bytes have come; then say this, if anything, and close with this code, if any."""

    bytes: int = 0
    say: str | None = None
    code: int | None = None
    reason: str = ""


@dataclass(frozen=True)
class Once:
    """Serve one utterance to its end, and close with this code."""

    code: int = 1011


@dataclass(frozen=True)
class Unfinished:
    """Serve, but never say that an utterance came to its end."""


@dataclass(frozen=True)
class Slow:
    """Serve, each answer so much later."""

    delay_s: float


Fault = Refuse | Mute | Say | After | Once | Unfinished | Slow
_ENDINGS = ("transcription.done", "conversation.item.input_audio_transcription.completed")


class RealtimeServer:
    """Serves each connection with a brain of its own, and with the next fault; then well.

    Attributes:
        url: Where it is.
        handshakes: How many there were.
        requests: Paths of the handshakes.
        keys: The `Authorization` of each handshake.
        brains: One for each connection that was served.
        broken: What clients said that no server takes; must stay empty.
        closes: How clients closed.
    """

    def __init__(
        self,
        brain: Any = OpenAiBrain,
        faults: Iterable[Fault | None] = (),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._new_brain = brain
        self._tls = tls
        self._faults = iter(faults)
        self._bound: dict[int, Fault | None] = {}
        self.url = ""
        self.handshakes = 0
        self.requests: list[str] = []
        self.keys: list[str | None] = []
        self.brains: list[Any] = []
        self.broken: list[str] = []
        self.closes: list[int | None] = []

    async def start(self) -> Server:
        """Listen on a port of its own."""
        server = await serve(
            self._serve,
            "127.0.0.1",
            0,
            process_request=self._shake,
            compression=None,
            ping_interval=None,
            max_queue=None,
            close_timeout=0.1,
            ssl=self._tls,
            logger=_log,
        )
        self.url = f"{'wss' if self._tls else 'ws'}://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        return server

    def _shake(self, socket: ServerConnection, request: Request) -> Response | None:
        self.handshakes += 1
        self.requests.append(request.path)
        self.keys.append(request.headers.get("Authorization"))
        fault = next(self._faults, None)
        if isinstance(fault, Refuse):
            response = socket.respond(HTTPStatus(fault.status), fault.body)
            if fault.retry_after is not None:
                response.headers["Retry-After"] = fault.retry_after
            return response
        self._bound[id(socket)] = fault
        return None

    async def _serve(self, socket: ServerConnection) -> None:
        fault = self._bound.pop(id(socket))
        try:
            await self._speak(socket, fault)
        except ConnectionClosed:
            pass
        except Broken as broken:
            self.broken.append(str(broken))
        self.closes.append(socket.close_code)

    async def _speak(self, socket: ServerConnection, fault: Fault | None) -> None:
        if isinstance(fault, Mute):
            await socket.wait_closed()
            return
        if isinstance(fault, Say):
            await socket.send(fault.data)
            await socket.wait_closed()
            return
        brain: Brain = self._new_brain()
        self.brains.append(brain)
        heard_bytes = 0
        if await self._say(socket, brain.hello(), fault, heard_bytes):
            return
        async for message in socket:
            heard_bytes += len(message)
            if await self._say(socket, brain.receive(json.loads(message)), fault, heard_bytes):
                return

    async def _say(
        self, socket: ServerConnection, events: list[dict[str, Any]], fault: Fault | None, heard_bytes: int
    ) -> bool:
        """Send events, as the fault has it; whether that was the end."""
        if isinstance(fault, Slow):
            await asyncio.sleep(fault.delay_s)
        for event in events:
            if not (isinstance(fault, Unfinished) and event["type"] in _ENDINGS):
                await socket.send(json.dumps({"event_id": secrets.token_hex(4), **event}))
        if isinstance(fault, Once) and any(event["type"] in _ENDINGS for event in events):
            await socket.close(fault.code)
            return True
        if not isinstance(fault, After) or heard_bytes < fault.bytes:
            return False
        if fault.say is not None:
            await socket.send(fault.say)
        if fault.code is None:
            await socket.wait_closed()
        else:
            await socket.close(fault.code, fault.reason)
        return True


@asynccontextmanager
async def serving(server: RealtimeServer) -> AsyncIterator[str]:
    """Run a server; gives its URL."""
    listener = await server.start()
    try:
        yield server.url
    finally:
        listener.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(_GRACE_S):
                await listener.wait_closed()
    assert not server.broken


# Plain HTTP


@dataclass(frozen=True)
class Reply:
    """Answer a request with this instead."""

    status: int = 503
    body: bytes = b""
    missing_bytes: int = 0
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Hang:
    """Answer nothing until the server ends, or the client goes."""


@dataclass(frozen=True)
class Break:
    """Close the connection instead of an answer."""


@dataclass(frozen=True)
class Hold:
    """Answer well, but only when this is set."""

    until: threading.Event


HttpFault = Reply | Hang | Break | Hold


class HttpServer:
    """`POST /v1/audio/transcriptions`; each request meets the next fault, and then is answered well.

    Attributes:
        url: Where it is.
        forms: The fields of each request that was read.
        paths: Their paths.
        keys: Their `Authorization`.
        key: The one that is wanted; empty for any.
        requests: How many were read, whatever became of them.
        verbose: Whether verbose_json is known.
        needs_model: Whether a request without a model is refused, as FastAPI does.
    """

    def __init__(
        self, faults: Iterable[HttpFault | None] = (), *, verbose: bool = True, needs_model: bool = False
    ) -> None:
        self._faults = iter(faults)
        self._lock = threading.Lock()
        self.over = threading.Event()
        self.url = ""
        self.forms: list[list[tuple[str, str]]] = []
        self.paths: list[str] = []
        self.keys: list[str | None] = []
        self.connections = 0
        self.requests = 0
        self.key = ""
        self.verbose = verbose
        self.needs_model = needs_model

    def next_fault(self) -> HttpFault | None:
        with self._lock:
            self.requests += 1
            return next(self._faults, None)

    def answer(self, fields: list[tuple[str, str]], pcm: bytes) -> Reply:
        """What a good server says."""
        wanted = dict(fields)["response_format"]
        if self.needs_model and "model" not in dict(fields):
            detail = [{"type": "missing", "loc": ["body", "model"], "msg": "Field required"}]
            return Reply(422, json.dumps({"detail": detail}).encode())
        if wanted == "verbose_json" and not self.verbose:
            error = {"error": {"message": "response_format 'verbose_json' is not compatible", "param": "x"}}
            return Reply(400, json.dumps(error).encode())
        words = words_in(pcm, 16_000)
        answer: dict[str, Any] = {"text": " ".join(words)}
        if wanted == "verbose_json":
            ends = [{"word": word, "start": 0.2 * i, "end": 0.2 * i + WORD_S} for i, word in enumerate(words)]
            segment = {"id": 0, "start": 0.0, "end": 0.2 * len(words), "text": f" {' '.join(words)}"}
            answer |= {"language": "english", "duration": len(pcm) / 32_000}
            answer |= {"segments": [segment | {"avg_logprob": -0.1}] if words else []}
            if ("timestamp_granularities[]", "word") in fields:
                answer |= {"words": ends}
        return Reply(200, json.dumps(answer).encode())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = DEADLINE_S
    disable_nagle_algorithm = True
    owner: HttpServer

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""

    def setup(self) -> None:
        self.owner.connections += 1
        super().setup()

    def do_HEAD(self) -> None:
        self.send_response(401 if self.owner.key and self.headers["Authorization"] != self.owner.key else 405)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        owner = self.owner
        body = self.rfile.read(int(self.headers["Content-Length"]))
        fault = owner.next_fault()
        if isinstance(fault, Hang):
            owner.over.wait(DEADLINE_S)
        if isinstance(fault, Hold):
            fault.until.wait(DEADLINE_S)
            fault = None
        if isinstance(fault, Hang | Break):
            self.close_connection = True
            return
        fields, wav = read_form(self.headers["Content-Type"], body)
        owner.forms.append(fields)
        owner.paths.append(self.path)
        owner.keys.append(self.headers["Authorization"])
        reply = fault or owner.answer(fields, wav[44:])
        self.send_response(reply.status)
        for name, value in reply.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body) + reply.missing_bytes))
        self.close_connection = reply.missing_bytes > 0
        self.end_headers()
        self.wfile.write(reply.body)


def read_form(content_type: str, body: bytes) -> tuple[list[tuple[str, str]], bytes]:
    """The fields of a form, and its file."""
    form = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    fields, file = [], b""
    parts = form.get_payload()
    assert isinstance(parts, list)
    for part in parts:
        assert isinstance(part, Message)
        payload = part.get_payload(decode=True)
        name = part.get_param("name", header="content-disposition")
        assert isinstance(payload, bytes) and isinstance(name, str)
        if part.get_filename():
            file = payload
        else:
            fields.append((name, payload.decode()))
    return fields, file


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients go whenever they like."""


@contextmanager
def serving_http(server: HttpServer) -> Iterator[HttpServer]:
    """Run a server in a thread."""
    handler = type("Handler", (_Handler,), {"owner": server})
    listener = _Listener(("127.0.0.1", 0), handler)
    server.url = f"http://127.0.0.1:{listener.server_address[1]}"
    thread = threading.Thread(target=listener.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        listener.shutdown()
        thread.join(DEADLINE_S)
        with suppress(OSError):
            listener.server_close()


def numbered(texts: Sequence[str]) -> list[str]:
    """The words of some texts, in order."""
    return [word for text in texts for word in text.split()]
