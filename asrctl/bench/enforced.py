"""Limits as they are kept: who a real server lets in, and how often a real client tries."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from asrctl.bench.paced import Talk
from asrctl.bench.remote import There
from asrctl.bench.results import Round
from asrctl.bench.setup import Setup, builtin
from asrctl.client import Client, ClientOptions
from asrctl.errors import AsrctlError, ServerError
from asrctl.transcript import SAMPLE_RATE_HZ

_TOO_MANY = 2
"""So many more come than are let in."""
_READY_S = 120.0
_END_S = 15.0
_KEPT_LINES = 20


def sessions(setup: Setup, limit: int, client: ClientOptions) -> Round:
    """More sessions than a server may hold say a sentence each, all at once.

    Args:
        setup: What the server runs.
        limit: How many it shall let in.
        client: What each asks for.

    Raises:
        AsrctlError: The server does not start.
        ServerError: It lets nobody in.
    """
    sentence = builtin(0.0)
    talk = Talk(sentence.samples(sentence.duration_s), sentence.reference)
    key = secrets.token_urlsafe(16)
    with _server(setup, limit, key) as url:
        options = replace(client, api_key=key, language=setup.files.decode.language)
        stage = There(url, options, setup.stream.endpointing)
        played = stage.play([talk] * (limit + _TOO_MANY), lambda _: None)
    let_in = [each for each in played.heard if not each.failure]
    lost = sum(each.unaccounted_samples(len(talk.samples)) for each in let_in)
    found = {
        "came": float(len(played.heard)),
        "let_in": float(len(let_in)),
        "dropped_s": sum(each.dropped_samples for each in let_in) / SAMPLE_RATE_HZ,
        "undeclared_s": lost / SAMPLE_RATE_HZ,
    }
    if "peak_rss_mb" in played.cost:
        found["peak_rss_mb"] = played.cost["peak_rss_mb"]
    return found


def reconnects(client: ClientOptions) -> Round:
    """How many connections a client makes to a server that closes each at once, before it gives up.

    Its waits are skipped: for it, they pass.
    """
    return {"attempts": float(asyncio.run(_attempts(client)))}


async def _attempts(options: ClientOptions) -> int:
    made, now_s = 0, 0.0

    async def slam(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal made
        made += 1
        writer.close()

    async def sleep(wait_s: float) -> None:
        nonlocal now_s
        now_s += wait_s
        await asyncio.sleep(0)

    server = await asyncio.start_server(slam, "127.0.0.1", 0)
    async with server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with Client(url, options, clock=lambda: now_s, sleep=sleep) as client:
            client.finish()
            with suppress(ServerError):
                async for _ in client:
                    pass
    return made


@contextmanager
def _server(setup: Setup, limit: int, key: str) -> Iterator[str]:
    """`asrctl serve` in a process of its own, ready; gives its address."""
    spec = setup.spec
    command = [sys.executable, "-P", "-m", "asrctl", "serve", "--port", "0", "--max-sessions", str(limit)]
    command += ["--provider", spec.provider, "--model", str(spec.path), "--threads", str(spec.threads)]
    command += ["--workers", str(setup.workers), "--language", setup.files.decode.language]
    environ = {**os.environ, "ASRCTL_API_KEY": key}
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environ
    ) as process:
        log = _Log(process)
        try:
            yield log.address()
        finally:
            process.terminate()
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()


class _Log(threading.Thread):
    """Reads a server's log until it ends, and sees in it when the server is ready."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        super().__init__(daemon=True, name="server-log")
        self._process = process
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._url = ""
        self._ready = False
        self._told = threading.Event()
        self.start()

    def run(self) -> None:
        """Read."""
        assert self._process.stderr is not None
        with suppress(ValueError):  # closed meanwhile
            for line in self._process.stderr:
                self._lines.append(line)
                if found := re.search(r' event=listening .*?url=("[^"]*"|\S+)', line):
                    self._url = json.loads(found[1]) if found[1].startswith('"') else found[1]
                if " event=ready" in line:
                    self._ready = True
                    self._told.set()
        self._told.set()

    def address(self) -> str:
        """Where it listens, once it is ready.

        Raises:
            AsrctlError: It is not.
        """
        self._told.wait(_READY_S)
        if not (self._ready and self._url):
            last = self._lines[-1].strip() if self._lines else "it says nothing"
            raise AsrctlError(f"`asrctl serve` did not get ready: {last}")
        return self._url
