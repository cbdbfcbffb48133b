"""Another asrctl as the provider: a real server with a real worker, whose endpointing is not ours."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asrctl.errors import DecodeError, ProviderError
from asrctl.policy.backoff import BackoffOptions
from asrctl.providers.base import Completed, DecodeOptions
from asrctl.providers.scripted import speak

from ..client.server import (
    WORD_SAMPLES,
    CloseWith,
    Cut,
    Fault,
    Refuse,
    Restart,
    ScriptedServer,
    sound,
    words,
)
from ..server.servers import Running, options_for, running, script
from .remote_server import DEADLINE_S
from .remote_streams import feed, open_stream, options, utter

SILENCE = np.zeros(16_000, np.float32)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    """A server that hears everything."""
    with running(options_for(script(tmp_path / "plain.json"))) as server:
        yield server


def peer(server: Running, **changes: Any) -> Any:
    return options(server.url, "asrctl", **({"model": ""} | changes))


def test_utterances_come_back_in_order(server: Running) -> None:
    """Each utterance gives its words once, whatever the server's own endpointing makes of it."""
    with open_stream(peer(server)) as (session, ear):
        utter(session, 1, 2, 3)
        utter(session, 4)
        feed(session, np.concatenate([speak([5]), SILENCE, speak([6])]))
        session.complete()
        assert ear.wait_completed(3) == ["w1 w2 w3", "w4", "w5 w6"]


def test_times_count_from_the_utterances_first_sample(server: Running) -> None:
    """The server counts from the beginning of the stream; we from the beginning of the utterance."""
    decode = DecodeOptions(word_timestamps=True)
    with open_stream(peer(server), decode) as (session, ear):
        utter(session, 1, 2)
        feed(session, np.concatenate([speak([3]), SILENCE, speak([4])]))
        session.complete()
        ear.wait_completed(2)
    second = [each.hypothesis for each in ear.spoken if isinstance(each, Completed)][1]
    words = [word for segment in second.segments for word in segment.words]
    assert [(word.text, round(word.start_s, 2)) for word in words] == [("w3", 0.0), ("w4", 1.2)]


def test_utterances_without_sound_or_words(server: Running) -> None:
    """Nothing, next to nothing, and silence are completed in their turn, without text."""
    with open_stream(peer(server)) as (session, ear):
        session.complete()
        utter(session, 1)
        session.feed(np.zeros(10, np.float32))
        session.complete()
        session.feed(SILENCE)
        session.complete()
        utter(session, 2)
        assert ear.wait_completed(5) == ["", "w1", "", "", "w2"]


def test_text_is_heard_before_it_is_complete(server: Running) -> None:
    """Stable text and finals of an open utterance are said as they come, and only grow."""
    with open_stream(peer(server)) as (session, ear):
        feed(session, np.concatenate([speak([1, 2]), SILENCE, speak([3])]))
        ear.wait(lambda: ear.heard[-1].split() == ["w1", "w2"])
        session.complete()
        assert ear.wait_completed(1) == ["w1 w2 w3"]
        assert ear.texts[0].startswith(ear.heard[0])


def test_a_closed_stream_says_nothing(server: Running) -> None:
    """After `close` nothing is said, and the server is rid of the connection."""
    with open_stream(peer(server)) as (session, ear):
        utter(session, 1)
        ear.wait_completed(1)
        feed(session, speak([2, 3]))
        session.complete()
        session.close()
        said = len(ear.spoken)
        utter(session, 4)
    assert len(ear.spoken) == said


def test_audio_that_the_server_drops_is_asked_for_again(tmp_path: Path) -> None:
    """A drop is no text: the utterance is sent again, and given up when it is the audio's fault."""
    refusing = script(tmp_path / "refuse.json", refuse_on=["w7"])
    with running(options_for(refusing)) as server, open_stream(peer(server)) as (session, ear):
        utter(session, 1)
        utter(session, 7)
        error = ear.wait_lost()
    assert ear.texts == ["w1"]
    assert isinstance(error, DecodeError) and "refused by the script" in str(error)


@contextmanager
def scripted(server: ScriptedServer) -> Iterator[ScriptedServer]:
    """A server without a worker, in a thread; it hears what `sound` says at each position."""
    started, over = threading.Event(), threading.Event()

    async def main() -> None:
        async with server.running():
            started.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    try:
        assert started.wait(DEADLINE_S)
        yield server
    finally:
        over.set()
        thread.join(DEADLINE_S)


def test_sessions_that_are_forgotten_lose_nothing() -> None:
    """A server that restarts, one that cuts, and one that knows no session: each word comes once."""
    faults: list[Fault] = [
        Restart(5_000),
        Cut(9_000),
        Refuse(503, "0"),
        Restart(20_000),
        CloseWith(1013),
        Cut(30_000),
    ]
    length = 5 * WORD_SAMPLES
    with (
        scripted(ScriptedServer(faults)) as server,
        open_stream(options(server.url, "asrctl", model="")) as (session, ear),
    ):
        for number in range(8):
            feed(session, sound(number * length, (number + 1) * length), chunk=700)
            session.complete()
        texts = ear.wait_completed(8)
    assert " ".join(texts).split() == words(8 * length)
    assert [len(text.split()) for text in texts] == [5] * 8
    assert server.handshakes == 7


def test_links_that_were_of_use_count_no_more() -> None:
    """More cuts than there are attempts are survived, as long as utterances come to their end in between."""
    length, few = 5 * WORD_SAMPLES, BackoffOptions(first_s=0.005, max_s=0.01, max_attempts=3)
    with (
        scripted(ScriptedServer([Cut(2 * length + 8_000)] * 6)) as server,
        open_stream(options(server.url, "asrctl", model="", backoff=few)) as (session, ear),
    ):
        for number in range(14):
            feed(session, sound(number * length, (number + 1) * length))
            session.complete()
            ear.wait_completed(number + 1)
    assert " ".join(ear.texts).split() == words(14 * length)
    assert server.handshakes == 7


def test_a_server_that_is_away_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`Lost` says why; the audio stays with the caller, and no file is left behind."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    few = BackoffOptions(first_s=0.001, max_s=0.002, max_attempts=3)
    with open_stream(options("ws://127.0.0.1:9", "asrctl", backoff=few)) as (session, ear):
        utter(session, 1, 2)
        error = ear.wait_lost()
    assert type(error) is ProviderError
    assert str(error).count("127.0.0.1") == 1
    assert "refused" in str(error) and "gave up after 3 attempts" in str(error)
    assert not list(tmp_path.iterdir())


def test_an_outage_has_an_end() -> None:
    """However many attempts are left, others do the work after a while."""
    slow = BackoffOptions(first_s=0.05, max_s=0.1, max_attempts=1000)
    with open_stream(options("ws://127.0.0.1:9", "asrctl", backoff=slow, outage_s=0.3)) as (_, ear):
        assert "gave up after 0.3 s" in str(ear.wait_lost())


def test_a_server_that_does_not_finish_is_given_up(tmp_path: Path) -> None:
    """An utterance whose final does not come is asked elsewhere."""
    hanging = script(tmp_path / "hang.json", hang_on=["w9"])
    with (
        running(options_for(hanging)) as server,
        open_stream(peer(server, completion_timeout_s=0.5)) as (session, ear),
    ):
        utter(session, 9)
        assert "did not answer in time" in str(ear.wait_lost())
