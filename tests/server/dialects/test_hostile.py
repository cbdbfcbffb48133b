"""Clients over WebSockets that go too fast, or go away.

test_wyoming.py has the same over TCP, test_service.py those that do not read.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from websockets.sync.client import ClientConnection

from ..servers import PATIENCE_S, Running, open_socket, options_for, running, spoken, until
from .realtimes import NULL

MINUTE = list(range(60))


class Deepgram:
    """Audio as it is."""

    path = "/v1/listen?encoding=linear16&sample_rate=16000"
    first: tuple[str, ...] = ()
    last = ('{"type": "CloseStream"}',)

    @staticmethod
    def frame(audio: bytes) -> str | bytes:
        """Audio as it is sent."""
        return audio

    @staticmethod
    def text(event: dict[str, Any]) -> str:
        """What an event says for good."""
        return event["channel"]["alternatives"][0]["transcript"] if event.get("is_final") else ""

    @staticmethod
    def is_end(event: dict[str, Any]) -> bool:
        """Whether nothing comes after it."""
        return bool(event["type"] == "Metadata")


class Realtime:
    """Audio as base64, committed at the end."""

    path = "/v1/realtime"
    first = (json.dumps({"type": "session.update", "session": NULL}),)
    last = ('{"type": "input_audio_buffer.commit"}',)

    @staticmethod
    def frame(audio: bytes) -> str | bytes:
        """Audio as it is sent."""
        return json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(audio).decode()})

    @staticmethod
    def text(event: dict[str, Any]) -> str:
        """What an event says for good."""
        return event["transcript"] if event["type"].endswith(".completed") else ""

    @staticmethod
    def is_end(event: dict[str, Any]) -> bool:
        """Whether nothing comes after it."""
        return bool(event["type"].endswith((".completed", "error")))


Speaks = type[Deepgram] | type[Realtime]
both = pytest.mark.parametrize("dialect", [Deepgram, Realtime])


@pytest.fixture
def server(scripted: Callable[..., Any]) -> Iterator[Running]:
    """A server whose metrics are of one test."""
    with running(options_for(scripted(delay_s=0.02))) as server:
        yield server


def connected(server: Running, dialect: Speaks) -> ClientConnection:
    """A client that has asked for what it needs."""
    url = f"ws://127.0.0.1:{server.server.port}{dialect.path}"
    socket = open_socket(url, subprotocols=None, max_queue=None)
    for message in dialect.first:
        socket.send(message)
    return socket


def send(socket: ClientConnection, dialect: Speaks, audio: bytes) -> None:
    """Audio at once, in pieces of a tenth of a second."""
    for at in range(0, len(audio), 3_200):
        socket.send(dialect.frame(audio[at : at + 3_200]))


@both
def test_a_minute_at_once(server: Running, dialect: Speaks) -> None:
    """Pings are answered meanwhile, and every word comes, once."""
    with closing(connected(server, dialect)) as socket:
        send(socket, dialect, spoken(*MINUTE))
        assert socket.ping().wait(PATIENCE_S)
        for message in dialect.last:
            socket.send(message)
        words: list[str] = []
        over = False
        while not over:
            event = json.loads(socket.recv(timeout=PATIENCE_S))
            words += dialect.text(event).split()
            over = dialect.is_end(event)
    assert words == [f"w{number}" for number in MINUTE]


@both
def test_a_client_that_vanishes(server: Running, dialect: Speaks) -> None:
    """Cut in the middle of speech, it leaves its place at once; all of its audio is in the account."""
    socket = connected(server, dialect)
    audio = spoken(1, 2) + spoken(3, pause_s=0.0)
    send(socket, dialect, audio)
    until(lambda: server.metric('asrctl_results_total{kind="final"}') == 2)
    socket.socket.close()
    until(lambda: not server.sessions and not len(server.server.hub.admission))
    received_s = server.metric("asrctl_audio_received_seconds_total")
    outcomes = ("finalised", "silent", "dropped")
    parts_s = [server.metric(f'asrctl_audio_seconds_total{{outcome="{each}"}}') for each in outcomes]
    assert received_s == pytest.approx(len(audio) / 32_000, abs=0.2)
    assert received_s == pytest.approx(sum(parts_s))
    assert min(parts_s[0], parts_s[2]) > 0
