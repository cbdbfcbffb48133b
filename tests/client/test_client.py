"""The client as its callers know it: audio in, events out, limits, states, ways to leave."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import wave
from pathlib import Path

import numpy as np
import pytest

from asrctl.client import BufferOptions, Client, ClientOptions, Phase
from asrctl.client.replay import BLOCK_BYTES
from asrctl.errors import UsageError
from asrctl.protocol.messages import Dropped, Final, Limits
from tests.client.clients import Heard, hear, run
from tests.client.runs import SAMPLES, assert_all_heard, transcribed
from tests.client.server import (
    Cut,
    Fault,
    Mute,
    Refuse,
    Restart,
    ScriptedServer,
    always,
    pcm,
    sound,
)


def test_a_good_server() -> None:
    """Audio goes in, words come out, nobody waits."""
    heard, server = transcribed([])
    assert_all_heard(heard)
    assert (server.handshakes, heard.time.slept_s) == (1, [])
    assert heard.phases[0] is Phase.CONNECTING and heard.phases[-1] is Phase.DONE
    assert Phase.LIVE in heard.phases
    assert heard.client is not None and heard.client.ready is not None and heard.client.done is not None
    assert heard.client.ready.model == "scripted"
    assert heard.client.done.received_s == SAMPLES / 16_000


def test_nothing_fed() -> None:
    """A stream may be empty."""
    heard, _ = transcribed([], samples=0)
    assert heard.error is None and heard.words == []


def test_asks_for_what_is_wanted() -> None:
    """The options reach the server, and the key goes with the handshake."""
    options = ClientOptions(
        source="system", language="de", model="base", prompt="Anna", partials=False, words=True, api_key="k1"
    )
    _, server = transcribed([], options=options)
    start = server.starts[0]
    assert (start.source, start.language, start.model, start.prompt) == ("system", "de", "base", "Anna")
    assert (start.partials, start.words) == (False, True)
    assert server.keys == ["Bearer k1"]


def test_holds_back() -> None:
    """What is beyond the server's window waits in the client, which says that it is buffering."""

    async def main() -> None:
        server = ScriptedServer(window=8_000)
        server.hold = True
        async with server.running(), Client(server.url) as client:
            client.feed(sound(0, 1))  # of a word that never ends, so that nothing is committed
            client.feed(sound(1, 1500))
            client.feed(sound(0, 60_000))
            async for event in client:
                if getattr(event, "phase", None) is Phase.BUFFERING:
                    break
            assert client.unsent_samples > 16_000
            assert str(client.state).startswith("buffering")

    async def through() -> Heard:
        async with ScriptedServer(window=4_000).running() as server:
            return await hear(server.url, 100_000, feed=feed_at_once)

    async def feed_at_once(client: Client) -> None:
        client.feed(sound(0, 100_000))
        client.finish()

    run(main())
    heard = run(through())
    assert_all_heard(heard, 100_000)


def test_gaps_are_declared() -> None:
    """Audio that the source lost is declared with its place and its reason, once, also after a cut."""

    async def feed(client: Client) -> None:
        client.feed(sound(0, 5000))
        client.skip(3000, "overflow")
        client.feed(sound(8000, 20_000))
        client.finish()

    async def main() -> Heard:
        async with ScriptedServer([Cut(8_000), Cut(1000)]).running() as server:
            return await hear(server.url, 0, feed=feed)

    heard = run(main())
    assert [(drop.from_, drop.to, drop.reason) for drop in heard.drops] == [(5000, 8000, "overflow")]
    covered = sorted((event.from_, event.to) for event in heard.events if isinstance(event, Final | Dropped))
    assert covered[0][0] == 0 and covered[-1][1] == 20_000
    assert all(before[1] == after[0] for before, after in itertools.pairwise(covered))
    assert not any("noise" in word for word in heard.words)
    assert heard.client is not None and heard.client.account.dropped_samples == 3000


def test_what_no_buffer_holds_is_declared() -> None:
    """While the server is away, audio beyond memory and disk is given up oldest first, and declared."""
    options = ClientOptions(buffer=BufferOptions(2 * BLOCK_BYTES, 2 * BLOCK_BYTES))
    total = 9 * BLOCK_BYTES // 2

    async def feed(client: Client) -> None:
        for at in range(0, total, 4096):
            client.feed(sound(at, min(total, at + 4096)))
        client.finish()

    async def main() -> tuple[Heard, ScriptedServer]:
        async with ScriptedServer([Refuse(503)]).running() as server:
            return await hear(server.url, 0, options, feed), server

    heard, server = run(main())
    assert heard.error is None
    (drop,) = heard.drops
    assert [start.audio_offset for start in server.starts] == [drop.to], "however long it was, it is not sent"
    assert not any('"skip"' in text for text in server.said_by_clients)
    assert drop.from_ == 0 and drop.to >= 4 * BLOCK_BYTES // 2
    assert not any("noise" in word for word in heard.words)
    assert heard.finals[0].from_ == drop.to and heard.finals[-1].to == total
    assert heard.client is not None
    account = heard.client.account
    assert (account.received_samples, account.dropped_samples) == (total, drop.to)
    assert account.pending_samples == 0


def test_a_loss_behind_a_closed_window_is_one_loss() -> None:
    """A server that is behind is told in one message of all that its client had to let go meanwhile."""
    options = ClientOptions(buffer=BufferOptions(2 * BLOCK_BYTES, 0))

    async def main() -> tuple[Dropped, list[str]]:
        server = ScriptedServer(window=800)  # less than a word
        server.hold = True
        async with server.running(), Client(server.url, options) as client:
            client.feed(sound(0, 800))
            while client.unsent_samples or client.state.phase is not Phase.LIVE:
                await asyncio.sleep(0)
            client.feed(sound(800, 300_000))
            async for event in client:
                if isinstance(event, Dropped):
                    return event, [text for text in server.said_by_clients if '"skip"' in text]
        raise AssertionError("nothing was declared")

    drop, skips = run(main())
    assert drop.from_ == 800 and drop.to > 200_000
    assert drop.reason == "the client's buffer is full"
    assert len(skips) == 1


def test_gives_up_with_the_audio_saved(tmp_path: Path) -> None:
    """What was not answered for is in a WAV whose path the error tells, to the sample."""
    faults: list[Fault | None] = [Restart(20_000), *[Refuse(404)]]
    heard, _ = transcribed(faults, options=ClientOptions(salvage_dir=tmp_path))
    assert heard.error is not None and heard.client is not None
    found = re.search(r"kept in (\S+\.wav)$", str(heard.error))
    assert found is not None
    assert Path(found[1]).parent == tmp_path
    with wave.open(found[1]) as wav:
        assert (wav.getframerate(), wav.getnchannels(), wav.getsampwidth()) == (16_000, 1, 2)
        saved = np.frombuffer(wav.readframes(wav.getnframes()), "<i2")
    start = heard.finals[-1].to if heard.finals else 0
    assert start == heard.client.account.received_samples
    assert np.array_equal(saved, pcm(start, start + len(saved)))
    assert start + len(saved) == heard.client.fed_samples


def test_salvage_for_those_who_leave(tmp_path: Path) -> None:
    """Whoever leaves early can have the audio saved; where there is none, there is no file."""

    async def main() -> tuple[str, str]:
        options = ClientOptions(salvage_dir=tmp_path)
        async with ScriptedServer([Mute()]).running() as server, Client(server.url, options) as client:
            before = client.salvage()
            client.feed(sound(0, 8000))
            return before, client.salvage()

    before, after = run(main())
    (saved,) = tmp_path.iterdir()
    assert before == ""
    assert after == f"the audio from 0.0 to 0.5 s is not transcribed; it is kept in {saved}"


def test_keeps_the_server_awake() -> None:
    """A client with nothing to say tells an impatient server that it is there."""

    async def main() -> tuple[list[object], int]:
        limits = Limits(idle_timeout_s=0.4)
        async with ScriptedServer(limits=limits).running() as server, Client(server.url) as client:
            client.feed(sound(0, 100))
            async with asyncio.timeout(20):
                while len(server.said_by_clients) < 4:
                    await asyncio.sleep(0.01)
            return [json.loads(text) for text in server.said_by_clients[:4]], server.handshakes

    (start, *rest), handshakes = run(main())
    assert isinstance(start, dict) and start["type"] == "start"
    assert rest == [{"type": "ack", "event_id": 0}] * 3
    assert handshakes == 1, "the link was never lost"


def test_flush() -> None:
    """A flush finalises what was sent, before the end."""

    async def main() -> str:
        async with ScriptedServer().running() as server, Client(server.url) as client:
            client.feed(sound(0, 500))
            while client.unsent_samples or client.state.phase is not Phase.LIVE:
                await asyncio.sleep(0)
            client.flush()
            async for event in client:
                if isinstance(event, Final):
                    return event.text
        return ""

    assert run(main()) == "w0"


def test_samples_out_of_range() -> None:
    """What is too loud is clipped, what is no number is silence; nothing wraps around."""

    async def main() -> list[int]:
        async with ScriptedServer().running() as server, Client(server.url) as client:
            client.feed(np.array([2.0, -2.0, np.nan, np.inf, 0.5], np.float32))
            while not server.sessions or not next(iter(server.sessions.values())).audio:
                await asyncio.sleep(0)
            audio = next(iter(server.sessions.values())).audio
            return [int(sample) for sample in np.frombuffer(bytes(audio), "<i2")]

    assert run(main()) == [32767, -32768, 0, 32767, 16384]


def test_two_clients_hear_their_own() -> None:
    """Clients of one server share nothing."""

    async def main() -> list[Heard]:
        async with ScriptedServer([Cut(5000), None, Cut(7000)]).running() as server:
            return list(await asyncio.gather(*(hear(server.url, 30_000 + n) for n in range(3))))

    for number, heard in enumerate(run(main())):
        assert_all_heard(heard, 30_000 + number)


def test_leaving_early() -> None:
    """Leaving the block ends everything: no task is left, and no file."""

    async def main() -> None:
        async with ScriptedServer(always(Mute())).running() as server:
            async with Client(server.url) as client:
                client.feed(sound(0, 1000))
            assert len(asyncio.all_tasks()) <= 3  # this test's, and the server's

    run(main())


def test_leaving_frees_who_waits() -> None:
    """Somebody who waits to feed more does not wait for ever when the block is left."""

    async def main() -> None:
        async with ScriptedServer(always(Mute())).running() as server:
            async with Client(server.url) as client:
                client.feed(sound(0, 20_000))
                waiting = asyncio.create_task(client.wait_unsent_below(1))
                await asyncio.sleep(0)
            await waiting
            with pytest.raises(RuntimeError, match="the client was closed"):
                client.feed(sound(0, 1))

    run(main())


def test_nothing_after_the_end() -> None:
    """Audio after `finish` is a mistake of the caller's."""

    async def main() -> None:
        async with ScriptedServer().running() as server, Client(server.url) as client:
            client.finish()
            with pytest.raises(RuntimeError, match="the audio was finished"):
                client.feed(sound(0, 10))
            with pytest.raises(RuntimeError, match="the audio was finished"):
                client.finish()

    run(main())


@pytest.mark.parametrize("url", ["", "host:80", "http://host", "ws://", "ws://host:port", "ws://host:0"])
def test_addresses_that_are_none(url: str) -> None:
    """They are refused before anything is tried."""
    with pytest.raises(UsageError, match="should look like ws://"):
        Client(url)
