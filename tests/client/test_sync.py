"""The client without `async`: the same events, and nothing that runs when no method does."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from asrctl.client import ClientOptions, Final, Phase, SyncClient
from asrctl.errors import ServerError, UsageError
from tests.client.clients import Time
from tests.client.runs import SAMPLES, serving
from tests.client.server import Cut, Mute, Refuse, ScriptedServer, always, pcm, words


def raw(samples: int = SAMPLES, chunk: int = 1000) -> Iterator[bytes]:
    for at in range(0, samples, chunk):
        yield pcm(at, min(samples, at + chunk)).tobytes()


def finals(events: object) -> list[str]:
    return [event.text for event in events if isinstance(event, Final)]  # type: ignore[attr-defined]


def test_a_source() -> None:
    """It is read to its end, over a link that is cut, and the properties say how it went."""
    waits = Time()
    with (
        serving(ScriptedServer([Cut(20_000)])) as server,
        SyncClient(server.url, source=raw(), sleep=waits.sleep) as client,
    ):
        assert client.ready is None and client.done is None
        assert finals(client) == words(SAMPLES)
        assert client.ready is not None and client.done is not None
        assert client.state.phase is Phase.DONE
        assert client.account.received_samples == SAMPLES
        assert finals(client) == [], "the end stays the end"
    assert len(waits.slept_s) == 1


def test_audio_as_it_comes() -> None:
    """What is fed goes out while events are asked for, and each of them comes once."""
    said = []
    with serving(ScriptedServer()) as server, SyncClient(server.url) as client:
        for chunk in raw(16_000, 1600):
            client.feed(chunk)
            said += client.poll(0.01)
        client.wait_unsent_below(1)
        client.flush()
        deadline_s = time.monotonic() + 20
        while len(finals(said)) < 10 and time.monotonic() < deadline_s:
            said += client.poll(0.05)
        assert finals(said) == words(16_000), "all of it before the end"
        client.skip(1600, "overflow")
        client.finish()
        said += client
        assert client.account.dropped_samples == 1600
    assert finals(said) == words(16_000)


def test_a_poll_takes_no_longer_than_it_may() -> None:
    """A server that says nothing costs the time that was given; what waits goes on with the next call."""
    with serving(ScriptedServer(always(Mute()))) as server, SyncClient(server.url) as client:
        for timeout_s in (0.0, 0.2):
            began_s = time.monotonic()
            client.poll(timeout_s)
            assert timeout_s <= time.monotonic() - began_s < timeout_s + 2.0


def test_a_server_that_is_given_up() -> None:
    """The error comes where events are asked for, once; what was fed can be had saved."""
    options = ClientOptions(salvage=False)
    with serving(ScriptedServer([Refuse(401)])) as server, SyncClient(server.url, options) as client:
        client.feed(pcm(0, 1000).tobytes())
        with pytest.raises(ServerError, match="invalid API key"):
            list(client)
        assert client.poll() == []
        assert "kept in" in client.salvage()


def test_no_thread_is_left() -> None:
    """There is none but those that step a source, which end with the client."""
    with serving(ScriptedServer()) as server:
        before = threading.active_count()
        with SyncClient(server.url) as client:
            client.feed(pcm(0, 1000).tobytes())
            client.poll(0.05)
            assert threading.active_count() <= before + 1  # the name of the server is looked up in one
        assert threading.active_count() == before


def test_left_in_the_middle() -> None:
    """A block that is left early leaves nothing running, whatever was waited for."""
    with (
        serving(ScriptedServer()) as server,
        pytest.raises(ZeroDivisionError),
        SyncClient(server.url, source=raw(10_000_000)) as client,
    ):
        for event in client:
            if isinstance(event, Final):
                raise ZeroDivisionError


def test_inside_an_event_loop() -> None:
    """It says that it does not belong there."""

    async def main() -> None:
        SyncClient("ws://127.0.0.1:1").__enter__()

    with pytest.raises(RuntimeError, match="event loop"):
        asyncio.run(main())


def test_an_address_that_is_none() -> None:
    """It is refused before anything is tried."""
    with pytest.raises(UsageError):
        SyncClient("http://host")
