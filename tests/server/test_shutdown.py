"""How a server ends: gracefully, by force, and with a recogniser that hangs."""

from __future__ import annotations

import json
from collections.abc import Callable

import psutil

from asrctl.protocol.messages import GoAway
from asrctl.providers.base import ModelSpec
from asrctl.server.options import ServeOptions

from .servers import (
    Running,
    Talker,
    options_for,
    running,
    spoken,
    until,
)

Scripted = Callable[..., ModelSpec]
WORDS = [f"w{number}" for number in range(8)]


def end(
    options: ServeOptions, act: Callable[[Running, Talker], None], audio: bytes
) -> tuple[Talker, Running]:
    """Have a client in the middle of its audio when `act` ends the server."""
    with running(options) as server:
        workers = server.server.engine.pids()
        talker = Talker(server.url, audio).connect()
        talker.send(1.6)
        until(lambda: server.server.hub.sessions[0].state.received == talker.protocol.next_offset)
        act(server, talker)
        while talker.receive():
            pass
        talker.__exit__(None, None, None)
        server.join()
        assert not [pid for pid in workers if psutil.pid_exists(pid)]
    return talker, server


def test_graceful_end(scripted: Scripted) -> None:
    """It is announced, what has ended becomes final, a word in the middle is left to the client: 1012."""

    def stop(server: Running, talker: Talker) -> None:
        server.server.stop()
        talker.receive_until(GoAway)

    talker, server = end(options_for(scripted(delay_s=0.2)), stop, spoken(*range(4)))
    assert talker.close_code == 1012
    assert talker.words == ["w0"]
    assert 8_000 <= talker.protocol.committed <= 20_800  # from the end of w0 to the beginning of w1
    assert "event=stopped" in server.log.getvalue()


def test_new_sessions_during_the_end(scripted: Scripted) -> None:
    """While the last words are decoded, handshakes get 503."""

    def stop(server: Running, talker: Talker) -> None:
        server.server.stop()
        talker.receive_until(GoAway)
        status, body, _ = server.get("/ready")
        assert (status, json.loads(body)["reason"]) == (503, "the server is shutting down")

    talker, _ = end(options_for(scripted(delay_s=1.0)), stop, spoken(0))
    assert talker.words == ["w0"]


def test_forced_end(scripted: Scripted) -> None:
    """A second signal does not wait for a recogniser that hangs."""

    def stop(server: Running, talker: Talker) -> None:
        server.server.stop()
        server.server.stop()

    options = options_for(scripted(hang_on=["w0"]), grace_s=1000.0)
    talker, _ = end(options, stop, spoken(0, 1))
    assert talker.words == []


def test_the_grace_time_ends(scripted: Scripted) -> None:
    """A recogniser that hangs is not waited for beyond the grace time."""
    options = options_for(scripted(hang_on=["w0"]), grace_s=0.3)
    talker, _ = end(options, lambda server, _: server.server.stop(), spoken(0, 1))
    assert talker.close_code == 1012
