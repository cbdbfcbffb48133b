"""Another asrctl as the provider: a real server with a real worker, whose endpointing is not ours."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asrctl.errors import DecodeError, ProviderError
from asrctl.policy.backoff import BackoffOptions
from asrctl.providers.base import DecodeOptions
from asrctl_tests.scripted import speak

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
from .ears import SOON_S, Stream, in_loop
from .remote_streams import open_stream, recognizer, settings

SILENCE = np.zeros(16_000, np.float32)
NOWHERE = "ws://127.0.0.1:9"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that hears everything."""
    with running(options_for(script(tmp_path_factory.mktemp("script") / "plain.json"))) as server:
        yield server


def peer(server: Running, **changes: Any) -> Any:
    return settings(server.url, "asrctl", **({"model": ""} | changes))


@in_loop
async def test_utterances_come_back(server: Running) -> None:
    """Each utterance gives its words once, whatever the server's own endpointing makes of it."""
    async with open_stream(peer(server)) as stream:
        stream.utter(1, 2, 3)
        stream.utter(4)
        stream.feed(np.concatenate([speak([5]), SILENCE, speak([6])]))
        stream.end()
        assert await stream.ear.wait_completed(3) == ["w1 w2 w3", "w4", "w5 w6"]


@in_loop
async def test_times_count_from_the_utterances_first_sample(server: Running) -> None:
    """The server counts from the beginning of the stream; we from the beginning of the utterance."""
    async with open_stream(peer(server), DecodeOptions(word_timestamps=True)) as stream:
        stream.utter(1, 2)
        stream.feed(np.concatenate([speak([3]), SILENCE, speak([4])]))
        stream.end()
        await stream.ear.wait_completed(2)
    second = stream.ear.completed[1].hypothesis
    spoken = [word for segment in second.segments for word in segment.words]
    assert [(word.text, round(word.start_s, 2)) for word in spoken] == [("w3", 0.0), ("w4", 1.2)]


@in_loop
async def test_utterances_without_sound_or_words(server: Running) -> None:
    """Nothing, next to nothing, and silence are completed without text."""
    async with open_stream(peer(server)) as stream:
        stream.end()
        stream.utter(1)
        stream.feed(np.zeros(10, np.float32))
        stream.end()
        stream.feed(SILENCE)
        stream.end()
        stream.utter(2)
        assert await stream.ear.wait_completed(5) == ["", "w1", "", "", "w2"]


@in_loop
async def test_text_is_heard_before_it_is_complete(server: Running) -> None:
    """Stable text and finals of an open utterance are said as they come, and only grow."""
    async with open_stream(peer(server)) as stream:
        stream.feed(np.concatenate([speak([1, 2]), SILENCE, speak([3])]))
        await stream.ear.wait(lambda: stream.ear.last_heard(0) == "w1 w2")
        assert stream.ear.heard(0)[-1].stable == ("w1", "w2")
        stream.end()
        assert await stream.ear.wait_completed(1) == ["w1 w2 w3"]


@in_loop
async def test_a_closed_stream_says_nothing(server: Running) -> None:
    """After `close` nothing is said, and the server is rid of the connection."""
    async with open_stream(peer(server)) as stream:
        stream.utter(1)
        await stream.ear.wait_completed(1)
        stream.utter(2, 3)
        stream.close()
        said = len(stream.ear.spoken)
        stream.utter(4)
    assert len(stream.ear.spoken) == said


@in_loop
async def test_nothing_is_said_of_a_dropped_utterance(server: Running) -> None:
    """Those behind it are heard."""
    async with open_stream(peer(server)) as stream:
        for number in range(4):
            stream.utter(number)
        stream.drop(0)
        stream.drop(2)
        await stream.ear.wait_completed(2)
        assert [each.utterance for each in stream.ear.completed] == [1, 3]


@in_loop
async def test_audio_that_the_server_drops_is_asked_for_again(tmp_path: Path) -> None:
    """A drop is no text: the utterance is sent again, and fails alone when it is the audio's fault."""
    refusing = script(tmp_path / "refuse.json", refuse_on=["w7"])
    with running(options_for(refusing)) as server:
        async with open_stream(peer(server)) as stream:
            for number in (1, 7, 2):
                stream.utter(number)
            assert await stream.ear.wait_completed(2) == ["w1", "w2"]
            failed = await stream.ear.wait_failed()
    assert failed.utterance == 1
    assert isinstance(failed.error, DecodeError) and "refused by the script" in str(failed.error)


@in_loop
async def test_ready_is_a_server_that_takes_a_socket(server: Running) -> None:
    """It is asked before audio is sent."""
    async with recognizer(peer(server)) as remote:
        await remote.wait_ready()
    async with recognizer(settings(NOWHERE, "asrctl")) as remote:
        with pytest.raises(ProviderError, match="refused"):
            await remote.wait_ready()


@in_loop
async def test_sessions_that_are_forgotten_lose_nothing() -> None:
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
    async with (
        ScriptedServer(faults).running() as server,
        open_stream(settings(server.url, "asrctl", model="")) as stream,
    ):
        for number in range(8):
            stream.feed(sound(number * length, (number + 1) * length), chunk=700)
            stream.end()
        texts = await stream.ear.wait_completed(8)
    assert " ".join(texts).split() == words(8 * length)
    assert [len(text.split()) for text in texts] == [5] * 8
    assert server.handshakes == 7


@in_loop
async def test_links_that_were_of_use_count_no_more() -> None:
    """More cuts than there are attempts are survived, as long as utterances come to their end in between."""
    length, few = 5 * WORD_SAMPLES, BackoffOptions(first_s=0.005, max_s=0.01, max_attempts=3)
    async with (
        ScriptedServer([Cut(2 * length + 8_000)] * 6).running() as server,
        open_stream(settings(server.url, "asrctl", model=""), backoff=few) as stream,
    ):
        for number in range(14):
            stream.feed(sound(number * length, (number + 1) * length))
            stream.end()
            await stream.ear.wait_completed(number + 1)
    assert " ".join(stream.ear.texts).split() == words(14 * length)
    assert server.handshakes == 7


@in_loop
async def test_nobody_there_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`Lost` says why, however many attempts are left; the audio stays with the caller, in no file."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    began_s = time.monotonic()
    async with open_stream(settings(NOWHERE, "asrctl"), backoff=BackoffOptions(first_s=10.0)) as stream:
        stream.utter(1, 2)
        end = await stream.ear.wait_lost()
    assert time.monotonic() - began_s < SOON_S
    assert type(end.error) is ProviderError and end.utterance == 0
    assert str(end.error).count("127.0.0.1") == 1 and "refused" in str(end.error)
    assert not list(tmp_path.iterdir())


@in_loop
async def test_a_server_that_goes_is_waited_for_a_moment_only() -> None:
    """It may be restarted; others do its work if it is not back soon."""
    slow = BackoffOptions(first_s=0.05, max_s=0.1, max_attempts=1000)
    length = 5 * WORD_SAMPLES
    scripted = ScriptedServer()
    async with scripted.running() as server:
        chosen = settings(server.url, "asrctl", model="", restart_s=0.3)
        remote = recognizer(chosen, slow)
        stream = Stream(await remote.__aenter__())
        stream.feed(sound(0, length))
        stream.end()
        await stream.ear.wait_completed(1)
    began_s = time.monotonic()
    assert "gave up" in str((await stream.ear.wait_lost()).error)
    assert time.monotonic() - began_s < SOON_S
    await remote.__aexit__(None, None, None)


@in_loop
async def test_an_outage_has_an_end() -> None:
    """However many attempts are left, others do the work after a while."""
    slow = BackoffOptions(first_s=0.05, max_s=0.1, max_attempts=1000)
    async with (
        ScriptedServer([Refuse(503, "0")] * 1000).running() as server,
        open_stream(settings(server.url, "asrctl", model="", outage_s=0.3), backoff=slow) as stream,
    ):
        assert "gave up" in str((await stream.ear.wait_lost()).error)


@in_loop
async def test_a_server_that_does_not_finish_is_given_up(tmp_path: Path) -> None:
    """An utterance whose final does not come is asked elsewhere, and is the one to blame."""
    hanging = script(tmp_path / "hang.json", hang_on=["w9"])
    with running(options_for(hanging)) as server:
        async with open_stream(peer(server, completion_timeout_s=0.5)) as stream:
            stream.utter(9)
            stream.utter(1)
            end = await stream.ear.wait_lost()
    assert "did not answer in time" in str(end.error) and end.utterance == 0
