"""The worker process without its parent."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.workers.messages import Abort, Decode, Load, header_of
from asrctl.workers.wire import read_frame, write_frame

PATIENCE_S = 30.0
SPEC = ModelSpec("scripted", Path("weights"))
SAMPLES = np.zeros(1, np.float32)

DEAF = """
import threading
from asrctl.workers import child

class Deaf:
    def __enter__(self): return self
    def __exit__(self, *_): pass
    def description(self): return "deaf"
    def transcribe(self, *_): threading.Event().wait()

child._load = lambda spec: Deaf()
child.main()
"""


def test_a_decode_that_hears_of_no_abort_ends_with_its_parent() -> None:
    """A worker in native code that never comes back does not outlive the parent that was killed."""
    process = subprocess.Popen([sys.executable, "-c", DEAF], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin and process.stdout
    try:
        write_frame(process.stdin, header_of(Load(SPEC)))
        process.stdin.flush()
        assert read_frame(process.stdout)[0]["type"] == "Loaded"
        write_frame(process.stdin, header_of(Decode(1, DecodeOptions(), SAMPLES)), bytes(4))
        process.stdin.close()
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def run(code: str, *messages: Any) -> subprocess.CompletedProcess[bytes]:
    """A worker that is given these frames, then the end of its input."""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdin
        for header in messages:
            write_frame(child.stdin, header)
        out, err = child.communicate(timeout=PATIENCE_S)
    return subprocess.CompletedProcess(command, child.returncode, out, err)


@pytest.mark.parametrize("first", [header_of(Abort(1)), {"type": "load"}, {}], ids=str)
def test_a_first_message_that_is_not_load(first: dict[str, Any]) -> None:
    """A worker that is not told what to load ends by itself."""
    assert run("from asrctl.workers.child import main; main()", first).returncode == 0


def test_an_unforeseen_error_while_loading_keeps_its_traceback() -> None:
    """Whatever a loader raises is told to the parent in one line, and printed in full for diagnosis."""
    code = """
from asrctl.workers import child
def load(spec): raise ImportError("GLIBCXX_3.4.32 not found")
child._load = load
child.main()
"""
    done = run(code, header_of(Load(SPEC)))
    assert b"ImportError: GLIBCXX_3.4.32 not found" in done.stdout
    assert b"Traceback" in done.stderr


def test_a_bug_in_the_worker_is_no_success() -> None:
    """An exception that nobody catches ends the worker with another code than 0, and its traceback."""
    code = """
from asrctl.workers import child
class Broken:
    def __enter__(self): return self
    def __exit__(self, *_): pass
    def description(self): raise RuntimeError("a bug")
child._load = lambda spec: Broken()
child.main()
"""
    done = run(code, header_of(Load(SPEC)))
    assert done.returncode == 1
    assert b"RuntimeError: a bug" in done.stderr


def test_a_worker_does_without_asyncio() -> None:
    """Importing it would cost time at each start, and memory in each worker."""
    code = "import asrctl.workers.child, sys; print('asyncio' in sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_bug_in_another_thread_ends_the_worker() -> None:
    """Where several windows are decoded at a time, none is left without an answer."""
    code = """
import sys
from asrctl.workers import child
class Model:
    def description(self): return "two"
    def close(self): pass
    def twin(self): return self
    def transcribe(self, *_): sys.exit("a bug")
child._load = lambda spec: Model()
child.main()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin and process.stdout and process.stderr
        write_frame(process.stdin, header_of(Load(replace(SPEC, parallel=2))))
        process.stdin.flush()
        assert read_frame(process.stdout)[0]["type"] == "Loaded"
        write_frame(process.stdin, header_of(Decode(1, DecodeOptions(), SAMPLES)), bytes(4))
        process.stdin.flush()
        assert process.wait(PATIENCE_S) == 1
        assert b"SystemExit: a bug" in process.stderr.read()
