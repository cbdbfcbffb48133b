"""HAProxy as asrctl ships its configuration, in front of servers on this machine.

with Balancer({"asr-1": 8765, "asr-2": 8766}) as balancer:
    ...  # clients connect to balancer.url

Benchmarks and tests share it.
"""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Self

from asrctl.errors import AsrctlError

CONFIG = files("asrctl").joinpath("deploy", "haproxy.cfg")
_SERVER = "    server "
_WAIT_S = 30.0
_POLL_S = 0.05


def program() -> str | None:
    """Where HAProxy is; None if it is not installed."""
    return shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")


def configured(servers: Mapping[str, int]) -> str:
    """The configuration, with these ports of this machine in place of the servers that it names."""
    lines = CONFIG.read_text(encoding="utf-8").splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith(_SERVER))
    named = [f"{_SERVER}{name} 127.0.0.1:{port}" for name, port in servers.items()]
    return "\n".join([*lines[:first], *named, *(x for x in lines[first:] if not x.startswith(_SERVER)), ""])


def free_port() -> int:
    """A port of loopback that nobody has at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Balancer:
    """HAProxy as a process, in a `with` block."""

    def __init__(self, servers: Mapping[str, int], **environ: str) -> None:
        """`servers` are ports by name; `environ` is what the configuration takes from the environment.

        Raises:
            AsrctlError: HAProxy is not installed.
        """
        found = program()
        if found is None:
            raise AsrctlError("haproxy is not installed")
        self._program = found
        self._servers = servers
        self.port, self._stats_port = free_port(), free_port()
        self._environ = {
            **os.environ,
            "ASRCTL_LISTEN": f"127.0.0.1:{self.port}",
            "ASRCTL_STATS": f"127.0.0.1:{self._stats_port}",
            **environ,
        }
        self._directory = tempfile.TemporaryDirectory()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"{'wss' if 'ASRCTL_CERTIFICATE' in self._environ else 'ws'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        path = Path(self._directory.name) / "haproxy.cfg"
        path.write_text(configured(self._servers), encoding="utf-8")
        self._process = subprocess.Popen(
            [self._program, "-db", "-f", str(path)], env=self._environ, stderr=subprocess.DEVNULL
        )
        try:
            self.wait_up(())
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._directory.cleanup()

    def wait_up(self, names: Iterable[str]) -> None:
        """Wait until HAProxy answers, and takes exactly these servers for ready.

        Raises:
            AsrctlError: It ended, or that took too long.
        """
        assert self._process is not None
        deadline_s, wanted = time.monotonic() + _WAIT_S, set(names)
        while time.monotonic() < deadline_s and self._process.poll() is None:
            with suppress(OSError, http.client.HTTPException):
                if self.up() == wanted or not wanted:
                    return
            time.sleep(_POLL_S)
        raise AsrctlError(f"HAProxy does not take {', '.join(sorted(wanted)) or 'connections'}")

    def up(self) -> set[str]:
        """The servers that have room, as HAProxy last saw it."""
        status = 'haproxy_server_status{proxy="asrctl",server="%s",state="UP"}'
        metrics = self.metrics()
        return {name for name in self._servers if metrics.get(status % name) == 1.0}

    def metrics(self) -> dict[str, float]:
        """HAProxy's own, by name with labels."""
        connection = http.client.HTTPConnection("127.0.0.1", self._stats_port, timeout=_WAIT_S)
        try:
            connection.request("GET", "/metrics")
            lines = connection.getresponse().read().decode().splitlines()
        finally:
            connection.close()
        pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    @property
    def elsewhere(self) -> int:
        """Requests so far that were tried at another server."""
        return int(self.metrics()['haproxy_backend_redispatch_warnings_total{proxy="asrctl"}'])
