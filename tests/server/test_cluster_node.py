"""A server among others: its name, whether it has room, and how it drains."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from asrctl.errors import UsageError
from asrctl.policy.admission import AdmissionOptions
from asrctl.protocol.messages import GoAway, SpeechStarted
from asrctl.providers.base import ModelSpec
from asrctl.server.journal import Journal
from asrctl.server.options import check_node

from ..cli.commands import run
from .servers import Running, Talker, options_for, running, spoken, until

Scripted = Callable[..., ModelSpec]


def test_the_name_is_in_ids_log_and_metrics(scripted: Scripted, capsys: pytest.CaptureFixture[str]) -> None:
    """A session's id begins with it, up to the last dot; `asrctl_info` and each line of the log have it."""
    with running(options_for(scripted(), node="asr-1.west")) as server:
        with Talker(server.url, spoken(1)) as talker:
            assert talker.protocol.session_id is not None
            assert talker.protocol.session_id.rpartition(".")[0] == "asr-1.west"
            talker.finish()
        metrics = server.get("/metrics")[1]
        assert 'asrctl_info{node="asr-1.west",version="' in metrics
    Journal(node="asr-1.west").note("ready")
    assert " event=ready node=asr-1.west\n" in capsys.readouterr().err


def test_without_a_name_ids_have_no_dot(shared: Running) -> None:
    """A balancer that looks for a node in them finds none."""
    with Talker(shared.url, spoken(1)) as talker:
        assert "." not in (talker.protocol.session_id or "")


@pytest.mark.parametrize("name", ["a b", "-a", "ä", "a/b", "a" * 64, 'a"'])
def test_a_name_that_does_not_fit(name: str) -> None:
    """It has to stand in addresses, labels and lines of the log as it is."""
    with pytest.raises(UsageError, match="invalid node name"):
        check_node(name)


def test_the_option_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--node` with a name that does not fit is a usage error, before anything is loaded."""
    assert run("serve", "--node", "a b", "--model", str(tmp_path / "none")) == 2
    assert "invalid node name" in capsys.readouterr().err


def test_a_full_server_is_ready_without_room(scripted: Scripted) -> None:
    """/ready?room is for balancers: 503 while a new session would be refused; /ready stays 200."""
    options = options_for(scripted(), admission=AdmissionOptions(max_sessions=1))
    with running(options) as server:
        assert server.get("/ready?room")[0] == 200
        with Talker(server.url, spoken(1)) as talker:
            status, body, headers = server.get("/ready?room")
            reason = json.loads(body)["reason"]
            assert (status, reason) == (503, "1 session is open, which is the limit")
            assert "retry-after" in headers
            assert server.get("/ready")[0] == 200
            talker.finish()
        assert server.get("/ready?room")[0] == 200


def stopped(server: Running, talker: Talker) -> None:
    """The server was asked to end while an utterance is open, and said so."""
    talker.send(0.6)
    talker.receive_until(SpeechStarted)
    server.server.stop()
    assert talker.receive_until(GoAway).after_s == server.server.hub.options.drain_s + 10.0


def test_a_session_is_sent_elsewhere_once_it_is_quiet(scripted: Scripted) -> None:
    """While a server drains it is not ready, and an utterance goes on to its end: then comes 1012."""
    with running(options_for(scripted(), drain_s=1000.0)) as server:
        talker = Talker(server.url, spoken(*range(4))).connect()
        stopped(server, talker)
        status, body, _ = server.get("/ready")
        assert (status, json.loads(body)["reason"]) == (503, "the server is shutting down")
        talker.send(0.7)
        while talker.receive():
            pass
        talker.__exit__(None, None, None)
        server.join()
    assert (talker.close_code, talker.words) == (1012, ["w0"])
    assert talker.protocol.next_offset - talker.protocol.committed < 0.5 * 16_000


def test_a_session_may_end_while_the_server_drains(scripted: Scripted) -> None:
    """One that ends by itself meanwhile is not disturbed, and the server ends with it."""
    with running(options_for(scripted(), drain_s=1000.0)) as server:
        with Talker(server.url, spoken(0, pause_s=0.1)) as talker:
            talker.send(0.45)
            talker.receive_until(SpeechStarted)
            server.server.stop()
            talker.receive_until(GoAway)
            talker.finish()
        assert talker.words == ["w0"]
        server.join()


def test_a_session_that_is_never_quiet_is_ended(scripted: Scripted) -> None:
    """Beyond `drain_s` a speaker is not waited for: the open utterance is left to the next server."""
    with running(options_for(scripted(), drain_s=0.3)) as server:
        talker = Talker(server.url, spoken(*range(4))).connect()
        stopped(server, talker)
        while talker.receive():
            pass
        talker.__exit__(None, None, None)
        server.join()
    assert (talker.close_code, talker.words) == (1012, [])
    assert talker.protocol.committed <= 0.3 * 16_000


def test_who_resumes_at_a_draining_server_is_let_in(scripted: Scripted) -> None:
    """A session that lives there can be taken up on another socket; only new ones are refused."""
    with running(options_for(scripted(), drain_s=1000.0)) as server:
        talker = Talker(server.url, spoken(*range(3))).connect()
        stopped(server, talker)
        talker.cut()
        until(lambda: server.session.detached_s is not None)
        with talker:
            assert talker.protocol.session_id == server.session.session_id
            talker.send(0.5)
            while talker.receive():
                pass
        server.join()
    assert (talker.close_code, talker.words) == (1012, ["w0"])
