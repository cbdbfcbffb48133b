"""Frames that say nothing: they are counted, looked at in pieces, and thrown away after the end."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from websockets.exceptions import ConnectionClosed

from asrctl.protocol.messages import Limits
from asrctl.providers.base import ModelSpec

from .servers import (
    Running,
    Talker,
    options_for,
    running,
    spoken,
    until,
)
from .test_abuse import raw_frame, started

Scripted = Callable[..., ModelSpec]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that gives strangers a second."""
    from .servers import script

    spec = script(tmp_path_factory.mktemp("script") / "plain.json")
    limits = replace(Limits(), handshake_timeout_s=1.0, max_messages_per_s=50)
    with running(options_for(spec, limits=limits)) as server:
        yield server


def frames_of(kind: str) -> bytes:
    """A hundred thousand frames of which a server has nothing."""
    one = {
        "pings": raw_frame(9, b""),
        "pongs": raw_frame(10, b""),
        "fragments": raw_frame(0, b"", fin=False),
        "texts": raw_frame(1, b"x"),
    }[kind]
    return one * 100_000


@pytest.mark.parametrize("kind", ["pings", "pongs", "fragments", "texts"])
def test_frames_that_say_nothing(server: Running, kind: str) -> None:
    """Control frames and fragments are counted like messages; the loop goes on while they are looked at."""
    slowest_s = 0.0
    link = started(server)
    with Talker(server.url, spoken(1, 2)) as good:
        if kind == "fragments":
            link.socket.sendall(raw_frame(2, b"ab", fin=False))
        with contextlib.suppress(OSError):
            link.socket.sendall(frames_of(kind))
        while server.call(lambda: len(server.server._app.connections)) > 1:
            started_s = time.monotonic()
            server.call(lambda: None)
            slowest_s = max(slowest_s, time.monotonic() - started_s)
        good.finish()
        assert good.words == ["w1", "w2"]
    assert slowest_s < 2.0
    assert re.search(r"code=(1008|1007|4400)", server.log.getvalue())
    link.close()


def test_frames_after_the_end(server: Running) -> None:
    """What comes after the server's close frame costs nothing, and does not keep the socket open."""
    link = started(server)
    link.send("no JSON")
    with contextlib.suppress(OSError, ConnectionClosed):
        for _ in range(200):
            link.socket.sendall(frames_of("pings")[:60_000])
    until(lambda: server.call(lambda: len(server.server.limiter)) == 0)
    link.close()
