"""Live sessions on a real server with the scripted provider, and the limits that servers and clients keep."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("starlette")

from asrctl.bench import stream
from asrctl.bench.paced import Talk
from asrctl.bench.remote import RemoteBackend, processes_of
from asrctl.client import ClientOptions
from asrctl.errors import ServerError
from asrctl.policy.admission import AdmissionOptions
from asrctl.policy.backoff import BackoffOptions
from asrctl.policy.endpointing import EndpointerOptions
from asrctl_tests.scripted import speak
from benchmarks import promises
from tests.server.servers import options_for, running, script
from tests.streaming.speech import silence

WORDS = "w0 w1 w2 w3 w4 w5"
TALK = Talk(
    np.concatenate([silence(0.3), speak(range(3)), silence(0.8), speak(range(3, 6)), silence(0.8)]), WORDS
)


def there(url: str) -> RemoteBackend:
    """A backend on a server."""
    return RemoteBackend(url, ClientOptions(language="en"), EndpointerOptions())


def test_sessions_on_a_server(tmp_path: Path) -> None:
    """Every word of each comes, late by what the server needs; its own cost is that of its processes."""
    with running(options_for(script(tmp_path / "script.json"))) as server:
        backend = there(server.url)
        figures = stream.run(backend, [TALK, replace(TALK, starts_s=0.4)])
        assert os.getpid() in processes_of(server.url)
    assert figures["wer_percent"] == figures["unpaced_wer_percent"] == 0
    assert figures["utterances"] == 4
    assert figures["dropped_s"] == figures["undeclared_s"] == figures["refused"] == 0
    assert 0 < figures["final_p50_s"] < 30 and 0 < figures["word_lag_p50_s"] < 30
    assert figures["cpu_per_audio_s"] > 0 and figures["peak_rss_mb"] > 0
    assert backend.description["model"] == "words" and backend.name == server.url


def test_a_session_that_is_refused_is_counted(tmp_path: Path) -> None:
    """Its audio counts as dropped, which misses every target, and nothing else is lost."""
    options = options_for(script(tmp_path / "script.json"), admission=AdmissionOptions(max_sessions=1))
    with running(options) as server:
        figures = stream.run(there(server.url), [TALK, TALK])
    assert figures["refused"] == 1
    assert figures["dropped_s"] == pytest.approx(len(TALK.samples) / 16_000)
    assert figures["undeclared_s"] == 0
    assert figures["utterances"] == 2
    assert not stream.Target(60.0).met_by(figures)


def test_no_server_is_told() -> None:
    """At once, with its address."""
    with pytest.raises(ServerError, match=r"127\.0\.0\.1:9"):
        stream.run(there("ws://127.0.0.1:9"), [TALK])


def test_another_machines_processes_are_unknown() -> None:
    """Nor is there anybody on a port where nobody listens."""
    assert processes_of("ws://example.org:8765") == []
    assert processes_of("ws://127.0.0.1:9") == []


@pytest.mark.parametrize("attempts", [1, 4])
def test_a_client_gives_up_where_it_should(attempts: int) -> None:
    """So many connections really are made."""
    options = ClientOptions(backoff=BackoffOptions(max_attempts=attempts))
    assert asyncio.run(promises.attempts(options)) == attempts
