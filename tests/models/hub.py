"""A server that answers as Hugging Face does for one file, and can be told to fail."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """Serves `content` under every name that ends in .bin or .gguf; of the latter it publishes the SHA-256.

    Attributes:
        status: What each request is answered with.
        cuts: How many answers are cut off half way.
        halts: Whether answers stop half way, and keep the client waiting.
        sha256: What is published of .gguf files; that of the content by default.
        claimed_bytes: The length that is told beforehand; that of the content by default.
        stalled: While it is set, requests are taken and not answered.
        requests: "METHOD path range" of each.
    """

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = content
        self.status = 200
        self.cuts = 0
        self.halts = False
        self.sha256 = hashlib.sha256(content).hexdigest()
        self.claimed_bytes = len(content)
        self.stalled = False
        self.closing = threading.Event()
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        """For `HF_ENDPOINT`."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        if self._begin(self.server.status):
            self.send_header("Content-Length", str(self.server.claimed_bytes))
            self.end_headers()

    def do_GET(self) -> None:
        start = int((re.findall(r"bytes=(\d+)-", self.headers.get("Range", "")) or [0])[0])
        body = self.server.content[start:]
        if not self._begin(206 if start else self.server.status):
            return
        self.send_header("Content-Length", str(len(body)))
        if start:
            whole = len(self.server.content)
            self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
        self.end_headers()
        if self.server.cuts:
            self.server.cuts -= 1
            body = body[: len(body) // 2]
        if self.server.halts:
            self.wfile.write(body[: len(body) // 2])
            self.server.closing.wait()
            return
        self.wfile.write(body)

    def _begin(self, status: int) -> bool:
        """Answer, unless stalled; False where there is no body to come."""
        if not self.path.endswith((".bin", ".gguf")):  # huggingface_hub has interests of its own
            self.send_error(404)
            return False
        self.server.requests.append(f"{self.command} {self.path} {self.headers.get('Range', '')}".strip())
        if self.server.stalled:
            self.server.closing.wait()
            return False
        self.send_response(status)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha1(self.server.content).hexdigest()}"')
        if self.path.endswith(".gguf") and self.server.sha256:
            self.send_header("X-Linked-Etag", f'"{self.server.sha256}"')
            self.send_header("X-Linked-Size", str(self.server.claimed_bytes))
        if status < 400:
            return True
        self.end_headers()
        return False

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(content: bytes) -> Iterator[Hub]:
    """A hub on a port of its own, for as long as the block lasts."""
    with Hub(content) as hub:
        thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield hub
        finally:
            hub.closing.set()
            hub.shutdown()
            thread.join()
