"""A server of `POST /v1/audio/transcriptions` with a script: it hears words, and misbehaves when told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .brains import WORD_S, words_in
from .remote_server import DEADLINE_S


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
        file_fields: What their files were called.
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
        self.file_fields: list[str] = []
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
        wanted = dict(fields).get("response_format", "verbose_json")
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
        fields, file_field, wav = read_form(self.headers["Content-Type"], body)
        owner.file_fields.append(file_field)
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


def read_form(content_type: str, body: bytes) -> tuple[list[tuple[str, str]], str, bytes]:
    """The fields of a form, and the name and content of its file."""
    form = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    fields, file_field, file = [], "", b""
    parts = form.get_payload()
    assert isinstance(parts, list)
    for part in parts:
        assert isinstance(part, Message)
        payload = part.get_payload(decode=True)
        name = part.get_param("name", header="content-disposition")
        assert isinstance(payload, bytes) and isinstance(name, str)
        if part.get_filename():
            file_field, file = name, payload
        else:
            fields.append((name, payload.decode()))
    return fields, file_field, file


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients go whenever they like."""


@contextmanager
def serving_http(server: HttpServer, port: int = 0) -> Iterator[HttpServer]:
    """Run a server in a thread; 0 takes a free port."""
    handler = type("Handler", (_Handler,), {"owner": server})
    listener = _Listener(("127.0.0.1", port), handler)
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
