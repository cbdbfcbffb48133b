"""What a server leaves behind when it ends, however it ends: no process, no semaphore, no shared memory."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from asrctl.audio.sample import sample_speech
from asrctl.protocol.messages import SpeechStarted
from benchmarks.serve_process import ServerProcess

from .servers import PATIENCE_S, Talker, pcm, until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """`asrctl serve` over the scripted recogniser, with a temporary directory of its own."""
    script, scratch = tmp_path / "script.json", tmp_path / "scratch"
    script.write_text("{}")
    scratch.mkdir()
    args = ("--provider", "scripted", "--model", str(script), "--grace", "1000")
    with ServerProcess(*args, environ={"TMPDIR": str(scratch)}) as process:
        yield process
    assert not list(scratch.iterdir())


def shared_files(processes: list[psutil.Process]) -> set[str]:
    """Files in shared memory that processes have mapped or open: segments and named semaphores."""
    paths = set[str]()
    for process in processes:
        paths |= {each.path for each in process.memory_maps(grouped=True)}
        paths |= {each.path for each in process.open_files()}
    return {path for path in paths if path.startswith("/dev/shm/")}


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="needs a system that shows its shared memory")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left(server: ServerProcess, how: signal.Signals) -> None:
    """After a session and a signal the server, its workers and what they shared are gone."""
    processes = server.processes()
    assert len(processes) == 2
    with Talker(server.url, pcm(sample_speech())) as talker:
        talker.finish()
    shared = shared_files(processes)
    os.kill(server.pid, how)
    assert server.wait(PATIENCE_S) == 0
    assert not processes[1].is_running()
    assert not any(os.path.exists(path) for path in shared)
    assert not [line for line in server.lines if "leaked" in line or "Traceback" in line]


def test_sigterm_twice(server: ServerProcess) -> None:
    """The first SIGTERM waits for a worker that hangs, the second does not; no process is left."""
    parent, worker = server.processes()
    worker.suspend()
    with Talker(server.url, pcm(sample_speech())) as talker:
        talker.send()
        talker.receive_until(SpeechStarted)
        parent.send_signal(signal.SIGTERM)
        until(lambda: any("event=stopping" in line for line in server.lines))
        assert parent.is_running()
        parent.send_signal(signal.SIGTERM)
        assert server.wait(PATIENCE_S) == 130
    until(lambda: not worker.is_running())


def test_the_parent_is_killed(server: ServerProcess) -> None:
    """Workers end by themselves when their parent is killed, also in the middle of work."""
    parent, worker = server.processes()
    worker.suspend()
    with Talker(server.url, pcm(sample_speech())) as talker:
        talker.send()
        talker.receive_until(SpeechStarted)
        shared = shared_files([parent, worker])
        parent.kill()
        server.wait(PATIENCE_S)
        worker.resume()
        until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)
    assert not any(os.path.exists(path) for path in shared)
