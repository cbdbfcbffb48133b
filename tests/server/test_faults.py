"""Faults: sockets that are cut, workers that are killed, readers that stall, servers that end."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed

from asrctl.protocol.client import ClientState, Opened
from asrctl.protocol.messages import Done, Dropped, Final
from asrctl.providers.base import ModelSpec
from asrctl.workers.options import PoolOptions
from asrctl_tests.scripted import speak

from ..streaming.speech import silence
from .servers import (
    HEALTH,
    PATIENCE_S,
    Running,
    Talker,
    check_account,
    open_socket,
    options_for,
    pcm,
    running,
    spoken,
    until,
)

Scripted = Callable[..., ModelSpec]
WORDS = [f"w{number}" for number in range(8)]


def test_cuts_everywhere(shared: Running) -> None:
    """However often the socket is lost, each final comes exactly once and no sample is missing."""
    talker = Talker(shared.url, spoken(*range(8), pause_s=0.6)).connect()
    for seconds in (0.01, 0.4, 0.5, 1.0, 0.05, 2.0):
        talker.send(seconds)
        talker.cut()
        talker.connect()
    done = talker.finish()
    talker.__exit__(None, None, None)
    assert talker.words == WORDS
    assert [final.utterance for final in talker.of(Final)] == list(range(8))
    check_account(done)
    assert (done.dropped_s, done.audio_offset) == (0, len(talker.audio) // 2)


def test_a_cut_in_the_middle_of_a_frame(shared: Running) -> None:
    """Half a message never happened: audio goes on where the server says."""
    talker = Talker(shared.url, spoken(1, 2)).connect()
    talker.send(1.0)
    assert talker.socket is not None
    talker.socket.socket.sendall(b"\x82\xfe\x10\x00abcd" + bytes(1000))  # 4096 bytes were promised
    talker.cut()
    talker.connect()
    assert talker.protocol.next_offset == 16_000
    talker.finish()
    talker.__exit__(None, None, None)
    assert talker.words == ["w1", "w2"]


def test_done_is_lost(shared: Running) -> None:
    """A client that lost its socket before `done` gets it when it resumes."""
    talker = Talker(shared.url, spoken(1)).connect()
    talker.send()
    talker._do(talker.protocol.finish(talker.protocol.next_offset))
    talker.cut()
    talker.connect()
    while talker.protocol.state is not ClientState.DONE:
        assert talker.receive()
    talker.__exit__(None, None, None)
    assert talker.words == ["w1"]
    assert len(talker.of(Done)) == 1


def test_the_newest_wins(shared: Running) -> None:
    """A second socket takes the session over; the first is closed with 4001 and feels nothing else."""
    talker = Talker(shared.url, spoken(1, 2)).connect()
    talker.send(1.0)
    older, talker.socket = talker.socket, None
    talker.protocol.disconnected()
    talker.connect()
    assert older is not None
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            older.recv(PATIENCE_S)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4001
    older.close()
    talker.finish()
    talker.__exit__(None, None, None)
    assert talker.words == ["w1", "w2"]


def test_somebody_elses_session(shared: Running) -> None:
    """Who knows a session's name and has the token of another gets nothing, and changes nothing."""
    with Talker(shared.url, spoken(1, 2)) as talker, Talker(shared.url, b"") as other:
        talker.send(1.0)
        token = other.of(Opened)[0].ready.resume_token
        link = open_socket(f"{shared.url}?session={talker.protocol.session_id}")
        request = {
            "type": "resume",
            "session_id": talker.protocol.session_id,
            "resume_token": token,
            "last_event_id": 0,
        }
        link.send(json.dumps(request))
        assert json.loads(link.recv(PATIENCE_S))["code"] == "unauthorised"
        with pytest.raises(ConnectionClosed) as closed:
            link.recv(PATIENCE_S)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4401
        link.close()
        talker.finish()
    assert talker.words == ["w1", "w2"]


def test_a_session_expires(scripted: Scripted) -> None:
    """After its time a session is gone; the client starts again where its finals ended, and loses nothing."""
    with running(options_for(scripted(), resume_ttl_s=0.2)) as server:
        talker = Talker(server.url, spoken(*range(4))).connect()
        talker.send(2.0)
        talker.receive_until(Final)
        talker.cut()
        until(lambda: server.sessions == 0)
        talker.connect()  # it is told that the session is gone
        while talker.receive():
            pass
        assert talker.close_code == 4410
        talker.connect()
        done = talker.finish()
        talker.__exit__(None, None, None)
    assert talker.words == WORDS[:4]
    assert [final.utterance for final in talker.of(Final)] == sorted({f.utterance for f in talker.of(Final)})
    assert talker.protocol.account.received_samples == len(talker.audio) // 2
    assert done.audio_offset == len(talker.audio) // 2


def more_restarts(server: Running, before: int) -> bool:
    """Whether a worker was replaced since."""
    return server.server.engine.restarts > before


def kill(pids: list[int]) -> None:
    """End processes as the kernel does when memory is short."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def test_workers_are_killed(scripted: Scripted) -> None:
    """Workers that die are replaced, and the audio they had is tried again."""
    options = options_for(scripted(delay_s=0.05), pool=PoolOptions(health=HEALTH, attempts=9))
    with running(options) as server:
        talker = Talker(server.url, spoken(*range(8), pause_s=0.6)).connect()
        for _ in range(3):
            before = server.server.engine.restarts
            talker.send(1.5)
            kill(server.server.engine.pids())
            until(partial(more_restarts, server, before))
            until(lambda: server.server.engine.ready)
        done = talker.finish()
        talker.__exit__(None, None, None)
        assert talker.words == WORDS
        assert done.dropped_s == 0
        check_account(done)


def test_audio_that_kills_every_worker(scripted: Scripted) -> None:
    """Speech that no worker survives is declared dropped; the rest is transcribed."""
    options = options_for(scripted(crash_on=["w7"]), pool=PoolOptions(health=HEALTH, attempts=2))
    with running(options) as server, Talker(server.url, spoken(5, 7, 6), partials=False) as talker:
        done = talker.finish()
        [dropped] = talker.of(Dropped)
        assert "gave up after 2 attempts" in dropped.reason
        assert talker.words == ["w5", "w6"]
        assert done.dropped_s == pytest.approx((dropped.to - dropped.from_) / 16_000)
        check_account(done)


def test_the_watchdog(scripted: Scripted) -> None:
    """A worker that hangs is replaced at its deadline, /ready says so meanwhile, and the words come."""
    options = options_for(scripted(hang_on=["w7"], crashes=1), watchdog_s=1.0)
    # 2 s of speech: its deadline comes long after the first second.
    speech = pcm(np.concatenate((speak(range(7, 17)), silence(0.8), speak([20]), silence(0.8))))
    with running(options) as server, Talker(server.url, speech, partials=False) as talker:
        talker.send()
        until(lambda: json.loads(server.get("/ready")[1])["reason"].startswith("nothing is decoded"))
        done = talker.finish()
        assert talker.words == [*(f"w{n}" for n in range(7, 17)), "w20"]
        check_account(done)
        assert 'reason="nothing is decoded although work waits"' in server.log.getvalue()
        assert server.metric("asrctl_stalls_total") == server.metric("asrctl_worker_restarts_total") == 1
        server.wait_ready()


def test_decoding_stops_working(scripted: Scripted) -> None:
    """When decodes fail one after the other the server is not ready, until its test speech works again."""
    options = options_for(scripted(refuse_on=["w5", "w6", "w7"]))
    with running(options) as server, Talker(server.url, spoken(5, 6, 7), partials=False) as talker:
        done = talker.finish()
        assert len(talker.of(Dropped)) == 3
        check_account(done)
        until(lambda: 'event=error reason="decoding fails"' in server.log.getvalue())
        server.wait_ready()


def test_a_provider_that_fails(scripted: Scripted) -> None:
    """Without a worker and without a fallback the server is not ready, even if idle; it tries again.

    What was counted before it started again stays counted.
    """
    spec = scripted()
    with running(options_for(spec, retry_s=0.5, watchdog_s=0.5)) as server:
        spec.path.write_text('{"fail_load": "no luck"}')
        kill(server.server.engine.pids())
        until(lambda: json.loads(server.get("/ready")[1])["reason"] == "the provider failed")
        assert server.metric("asrctl_level") == 4
        lost = server.metric("asrctl_worker_restarts_total")
        spec.path.write_text("{}")
        server.wait_ready()
        assert server.metric("asrctl_worker_restarts_total") >= lost > 0
        with Talker(server.url, spoken(5)) as talker:
            talker.finish()
        assert talker.words == ["w5"]
        until(lambda: server.metric("asrctl_level") == 3)


def test_a_reader_that_stalls(scripted: Scripted) -> None:
    """A client that sends and never reads is bounded; others are served meanwhile."""
    options = options_for(scripted(), window_s=5.0, hold_s=5.0)
    with running(options) as server, Talker(server.url, spoken(1, 2, 3)) as good:
        link = open_socket(server.url)
        link.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link.send('{"type":"start","format":{}}')
        good.send(0.5)
        with pytest.raises(ConnectionClosed):
            for _ in range(10_000):
                link.send(bytes(3200))
        link.close()
        good.finish()
        assert good.words == ["w1", "w2", "w3"]


def test_acks_fall_behind(scripted: Scripted) -> None:
    """While the recogniser is slow the window closes, and the client holds back; nothing is lost."""
    options = options_for(scripted(delay_s=0.3), window_s=2.0, hold_s=2.0)
    with running(options) as server, Talker(server.url, spoken(*range(8), pause_s=0.6)) as talker:
        done = talker.finish()
        assert talker.words == WORDS
        assert done.dropped_s == 0


def test_many_finals_wait(scripted: Scripted) -> None:
    """More utterances than the pool's queue was made for wait for a slow recogniser; none is dropped."""
    pool = PoolOptions(health=HEALTH, queue_limit=4)
    with running(options_for(scripted(delay_s=0.05), pool=pool)) as server:
        talkers = [Talker(server.url, spoken(*range(40), pause_s=0.6)).connect() for _ in range(2)]
        for talker in talkers:
            talker.send()
        for talker in talkers:
            done = talker.finish()
            assert (len(talker.words), done.dropped_s) == (40, 0)
            talker.__exit__(None, None, None)


def test_a_flood_of_flushes(scripted: Scripted) -> None:
    """A client that cuts its audio into crumbs loses some of them itself; the others lose nothing."""
    options = options_for(scripted(delay_s=0.02), window_s=3.0, hold_s=3.0)
    with running(options) as server, Talker(server.url, spoken(1, 2, 3)) as good:
        bad = Talker(server.url, pcm(speak([5] * 10)), partials=False).connect()
        for _ in range(60):
            bad.send(0.03)
            bad._do(bad.protocol.flush())
        done = good.finish()
        assert good.words == ["w1", "w2", "w3"]
        assert done.dropped_s == 0
        check_account(bad.finish())
        assert any("too much was waiting" in each.reason for each in bad.of(Dropped))
        bad.__exit__(None, None, None)
