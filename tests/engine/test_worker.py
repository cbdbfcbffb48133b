"""The worker process without its parent."""

from __future__ import annotations

import subprocess
import sys

from asrctl.engine.wire import read_frame, write_frame
from tests.server.servers import PATIENCE_S

DEAF = """
import threading
from asrctl.engine import worker

class Deaf:
    def __enter__(self): return self
    def __exit__(self, *_): pass
    def description(self): return "deaf"
    def transcribe(self, *_): threading.Event().wait()

worker._load = lambda spec: Deaf()
worker.main()
"""


def test_a_decode_that_hears_of_no_abort_ends_with_its_parent() -> None:
    """A worker in native code that never comes back does not outlive the parent that was killed."""
    process = subprocess.Popen([sys.executable, "-c", DEAF], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin and process.stdout
    try:
        write_frame(process.stdin, {"type": "load", "spec": {}})
        process.stdin.flush()
        assert read_frame(process.stdout)[0]["type"] == "loaded"
        write_frame(process.stdin, {"type": "decode", "id": 1, "options": {}}, bytes(4))
        process.stdin.close()
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.stdout.close()
        process.wait()
