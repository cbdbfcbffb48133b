"""Pages in a headless Chromium, served from a free port; what a page finds out it posts back."""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from .servers import PATIENCE_S

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")

_FLAGS = (
    "--headless",
    "--no-sandbox",  # which root cannot have
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--host-resolver-rules=MAP *.test 127.0.0.1",
)
_PAGE = """<!DOCTYPE html><meta charset="utf-8"><title>test</title><script>
const report = (text) => fetch("/report", {method: "POST", body: String(text)});
addEventListener("error", (event) => report("error: " + event.message));
addEventListener("unhandledrejection", (event) => report("error: " + event.reason));
%s
</script>"""


class Site:
    """One page at every path, on a free port, in a `with` block; `host` is a name of this machine."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        """Prepare; a `host` that is not this machine's own ends in `.test`."""
        self._reports: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._script = ""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.origin = f"http://{host}:{self._server.server_address[1]}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer((_PAGE % site._script).encode())

            def do_POST(self) -> None:
                site._reports.put(self.rfile.read(int(self.headers["Content-Length"])).decode())
                self.answer(b"")

            def answer(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing to say."""

        return Handler

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def outcome(self, script: str, scratch: Path, *flags: str) -> str:
        """What a page with this script reports first; the browser keeps its things in `scratch`."""
        assert CHROMIUM is not None
        self._script, log = script, scratch / "chromium.log"
        command = [CHROMIUM, *_FLAGS, f"--user-data-dir={scratch / 'profile'}", *flags, self.origin]
        with log.open("wb") as sink:
            browser = subprocess.Popen(command, stdout=sink, stderr=sink, start_new_session=True)
        try:
            return self._reports.get(timeout=PATIENCE_S)
        except queue.Empty:
            raise AssertionError(f"the page reported nothing: {log.read_text()[-2000:]}") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(browser.pid, signal.SIGKILL)
            browser.wait()
