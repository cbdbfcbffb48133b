"""Ray nodes on this machine that nobody else can reach, and a command that runs while one of them is lost.

python -m tests.cluster.nodes --lose-after 250 out -- asrctl transcribe in --output-dir out --cluster ADDRESS

Ray listens on other addresses than loopback: so it is started in a network namespace that has nothing else,
and in a namespace of processes, so that whatever happens, none is left.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

ADDRESS = "127.0.0.1:6379"
"""Where the nodes are reached, in their namespace; by `ray://` it takes 10 s more to connect."""

_NO_TOKEN = "RAY_AUTH_MODE=disabled"
"""What `ray.init` starts leaves a token at home: a head then wants it, and other nodes do not send it."""
_START_S = 180.0
_POLL_S = 0.25
_PATIENT = {**os.environ, "RAY_raylet_start_wait_time_s": "150"}
"""On a busy machine a node takes longer than the 60 s it is given."""


def isolated(command: Sequence[str]) -> list[str]:
    """The command, in namespaces where there is only loopback and only its own processes."""
    rights = [] if os.geteuid() == 0 else ["--map-root-user"]
    enter = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", *rights]
    start = f'ip link set lo up && {_NO_TOKEN} exec "$@"'
    return [*enter, "sh", "-c", start, "sh", *command]


def why_not() -> str:
    """Why nodes cannot be started here; empty if they can."""
    if find_spec("ray") is None:
        return "needs ray (pip install 'asrctl[ray]')"
    if not (shutil.which("unshare") and shutil.which("ip")):
        return "needs unshare and ip, of Linux"
    tried = subprocess.run(isolated(["true"]), capture_output=True, text=True)
    return f"needs a network namespace: {tried.stderr.strip()}" if tried.returncode else ""


class Nodes:
    """Ray nodes with one CPU each, the first of them the head; a context manager."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._processes: list[subprocess.Popen[bytes]] = []
        self._directory = Path(tempfile.mkdtemp(prefix="ray"))  # paths of its sockets must be short

    def __enter__(self) -> Self:
        """Start them, and wait until all are there."""
        for number in range(self._count):
            to = ["--head", "--port=6379", f"--temp-dir={self._directory}", "--include-dashboard=false"]
            self._start(number, to if number == 0 else [f"--address={ADDRESS}"])
            if number == 0:
                self._wait_for(lambda: _listens(6379))
        self._wait_for(lambda: all("Ray runtime started" in self._said(n) for n in range(self._count)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number in reversed(range(self._count)):
            self.lose(number)
        shutil.rmtree(self._directory, ignore_errors=True)

    def lose(self, number: int) -> None:
        """Kill all processes of a node at once, as if its machine had lost power."""
        try:
            first = psutil.Process(self._processes[number].pid)
            lost = [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        for process in lost:
            try:
                process.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        self._processes[number].wait()

    def _start(self, number: int, how: list[str]) -> None:
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1", *how]
        command += ["--disable-usage-stats"] * (number == 0)
        command += ["--object-store-memory=300000000"]
        with self._log(number).open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=_PATIENT)
        self._processes.append(process)

    def _log(self, number: int) -> Path:
        return self._directory / f"node-{number}.log"

    def _said(self, number: int) -> str:
        return self._log(number).read_text(errors="replace")

    def _wait_for(self, condition: Any) -> None:
        give_up_s = time.monotonic() + _START_S
        while not condition():
            for number, process in enumerate(self._processes):
                if process.poll() is not None:
                    raise RuntimeError(f"node {number} ended: {self._said(number)}")
            if time.monotonic() > give_up_s:
                raise TimeoutError(f"Ray did not start within {_START_S:.0f} s: {self._said(0)}")
            time.sleep(_POLL_S)


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def watched(
    command: Sequence[str], out: Path, nodes: Nodes | None = None, lose_after: int = 0
) -> dict[str, Any]:
    """Run a command, and lose the second node when there are so many transcripts.

    Returns:
        Its exit code, what it said, and when it started, lost the node, wrote each transcript, and ended;
        and transcripts that were written more than once.
    """
    seen: dict[str, tuple[int, float]] = {}
    twice: list[str] = []
    lost_s: float | None = None
    started_s = time.time()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        while True:
            code = process.poll()
            for path in out.rglob("*"):
                if path.suffix == ".part" or not path.is_file():
                    continue
                found = path.stat()
                inode, _ = seen.setdefault(str(path), (found.st_ino, found.st_mtime))
                twice += [str(path)] * (inode != found.st_ino)
            if nodes is not None and lost_s is None and len(seen) >= lose_after:
                nodes.lose(1)
                lost_s = time.time()
            if code is not None:
                break
            time.sleep(_POLL_S)
        ended_s = time.time()
        said.seek(0)
        text = said.read().decode(errors="replace")
    times = {"started_s": started_s, "lost_s": lost_s, "ended_s": ended_s}
    return {**times, "code": code, "said": text, "written_s": [at for _, at in seen.values()], "twice": twice}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line, inside of the namespaces: prints what happened, as JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.nodes")
    parser.add_argument("--lose-after", type=int, required=True, help="transcripts; then a node is killed")
    parser.add_argument("out", type=Path, help="where transcripts are written")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(arguments)
    before_s = time.monotonic()
    with Nodes(2) as nodes:
        up_s = time.monotonic()
        result = watched(options.command, options.out, nodes, options.lose_after)
    print(json.dumps({**result, "nodes_s": up_s - before_s}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
