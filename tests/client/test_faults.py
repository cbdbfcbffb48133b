"""The client against servers and networks that fail: each word once, in order, none missing."""

from __future__ import annotations

import asyncio
import itertools
import random
import socket
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.client import Client, ClientOptions, Phase
from asrctl.errors import ServerError
from asrctl.policy.breaker import BreakerOptions, BreakerState, CircuitBreaker
from asrctl.protocol.codec import encode
from asrctl.protocol.messages import Done, Error, Final, Limits, Ready
from benchmarks.faults.proxy import FaultyProxy, Plan
from tests.client.clients import Heard, Time, hear, run
from tests.client.runs import SAMPLES, assert_all_heard, transcribed
from tests.client.server import (
    CloseWith,
    Cut,
    Fault,
    Mute,
    Refuse,
    Restart,
    Say,
    ScriptedServer,
    always,
    sound,
)

GONE = ClientOptions(wait_for_server_s=0.0)
"""For a server that may have been there before: it is attempts that count."""


@pytest.mark.parametrize("seed", range(12))
def test_cut_anywhere(seed: int) -> None:
    """Connections break at any byte of audio: the session is resumed, and nothing is lost or doubled."""
    chance = random.Random(seed)
    cuts: list[Fault | None] = [Cut(chance.randrange(1, 30_000)) for _ in range(chance.randrange(1, 8))]
    heard, server = transcribed(cuts, samples=SAMPLES + chance.randrange(4000))
    samples = heard.client.fed_samples if heard.client else 0
    assert_all_heard(heard, samples)
    assert len(server.starts) == 1, "the session was resumed, not begun again"
    assert server.named[-1] in server.sessions


@pytest.mark.parametrize("seed", range(12))
def test_restart_anywhere(seed: int) -> None:
    """A server that restarts knows nothing any more: a new session goes on where the old one had got to."""
    chance = random.Random(seed)
    faults: list[Fault | None] = [
        Restart(chance.randrange(1, 30_000), code=chance.choice([1001, 1011, 1012])) for _ in range(3)
    ]
    heard, server = transcribed(faults)
    assert_all_heard(heard)
    assert len(server.starts) >= 2
    assert [start.audio_offset for start in server.starts] == sorted(
        start.audio_offset for start in server.starts
    )


def test_cut_before_anything_was_sent() -> None:
    """A session that is cut while it is empty is resumed at its beginning."""
    heard, _ = transcribed([Cut(1), Cut(2), None], samples=1)
    assert_all_heard(heard, 1)


def test_comes_back_soon_after_a_restart() -> None:
    """1012 asks clients back: the first wait is below a second, then sessions unknown cost no wait at all."""
    heard, server = transcribed([Restart(20_000)])
    assert_all_heard(heard)
    assert server.handshakes == 3  # the second was told that its session is gone
    assert len(heard.time.slept_s) == 1 and heard.time.slept_s[0] < 1.0


def test_accepts_and_closes() -> None:
    """A server that takes connections only to close them is tried 15 times, never fast, then given up."""
    heard, server = transcribed(always(CloseWith(1013)))  # type: ignore[arg-type]
    assert server.handshakes == 15
    assert heard.error is not None and "gave up after 15 attempts" in str(heard.error)
    assert "overloaded" in str(heard.error)
    assert len(heard.time.slept_s) == 14
    assert heard.time.now_s > 9 * 60, "the breaker keeps it from trying more often than once a minute"
    assert heard.phases[-1] is Phase.GAVE_UP


def test_the_breaker_opens() -> None:
    """After five failures in a row the server is left alone for a minute, each time; people can see it."""
    heard, _ = transcribed(always(Refuse(500)))  # type: ignore[arg-type]
    opened = [state for state in heard.states if state.breaker is BreakerState.OPEN]
    assert opened and opened[0].attempt == 6
    assert all(wait_s < 15 for wait_s in heard.time.slept_s[:4])
    assert all(wait_s >= 48 for wait_s in heard.time.slept_s[4:])
    assert heard.time.slept_s[4] == pytest.approx(60.0)


def test_a_refusal_names_its_time() -> None:
    """Retry-After wins over the doubling, as seconds or as a date; one that is past means now."""
    faults: list[Fault | None] = [Refuse(503, "7"), Refuse(503, "Wed, 01 Jan 2020 00:00:00 GMT"), Refuse(503)]
    heard, server = transcribed(faults)
    assert_all_heard(heard)
    assert server.handshakes == 4
    asked_s, doubled_s = heard.time.slept_s
    assert 7.0 <= asked_s <= 8.4
    assert doubled_s == pytest.approx(4.0, rel=0.2)


def test_an_overloaded_server_names_its_time_too() -> None:
    """An error message with retry_after_s counts as the header does."""
    heard, _ = transcribed([CloseWith(1013, Error("overload", "come later", retry_after_s=20.0))])
    assert_all_heard(heard)
    assert 20.0 <= heard.time.slept_s[0] <= 24.0
    assert any("come later" in state.reason for state in heard.states)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Refuse(401), "invalid API key (401)"),
        (Refuse(403), "does not let this client in"),
        (Refuse(404), "HTTP 404"),
        (CloseWith(4400, Error("bad_request", "no such model")), "no such model"),
        (Say("not JSON"), "does not keep to asrctl.v1"),
        (Say(b"binary"), "does not keep to asrctl.v1"),
    ],
)
def test_hopeless(fault: Fault, reason: str) -> None:
    """What would end the same way again is not tried again."""
    heard, server = transcribed([fault])
    assert heard.error is not None and reason in str(heard.error)
    assert (server.handshakes, heard.time.slept_s) == (1, [])


def test_audio_after_the_server_was_given_up() -> None:
    """Whoever goes on feeding is told why it is not taken any more."""

    async def main() -> None:
        time = Time()
        with pytest.raises(ServerError, match="gave up after 15 attempts"):
            async with Client("ws://127.0.0.1:1", GONE, clock=time, sleep=time.sleep) as client:
                async for _ in client:
                    pass
        with pytest.raises(RuntimeError, match="gave up after 15 attempts"):
            client.feed(bytes(20))

    run(main())


def test_a_storm_of_reconnects() -> None:
    """Fifty clients that lose their server at once do not come back at once, and not for ever."""

    async def lost(seed: int) -> Time:
        time = Time()
        with pytest.raises(ServerError, match="gave up after 15 attempts"):
            client = Client(
                "ws://127.0.0.1:1", GONE, clock=time, sleep=time.sleep, random=random.Random(seed).random
            )
            async with client:
                async for _ in client:
                    pass
        return time

    async def main() -> list[Time]:
        return [await lost(seed) for seed in range(50)]

    attempts = [list(itertools.accumulate(time.slept_s)) for time in run(main())]
    assert {len(times) for times in attempts} == {14}
    for number in (0, 5, 13):
        at_s = sorted(times[number] for times in attempts)
        busiest = max(sum(start <= each < start + 0.1 for each in at_s) for start in at_s)
        assert busiest < 50 * (0.5 if number == 0 else 0.25), f"attempt {number + 2} comes in a crowd"


def test_a_server_that_was_never_there() -> None:
    """It is given up within seconds, and the error says so; meanwhile the client is connecting."""
    heard = run(hear("ws://127.0.0.1:1", 100))
    assert (
        "connection refused; gave up after 5 s (--wait-for-server waits longer); the audio from 0.0 to 0.0 s"
        in str(heard.error)
    )
    assert heard.error is not None and heard.error.exit_code == 5
    assert heard.time.now_s == pytest.approx(5.0)
    assert len(heard.time.slept_s) == 3
    assert heard.phases == [Phase.CONNECTING, Phase.GAVE_UP]
    assert "connecting, attempt 2 in 1 s" in map(str, heard.states)


def test_a_server_that_has_been_there() -> None:
    """Once a server has answered, its being away is an outage: it is tried as often as any."""

    async def main() -> Heard:
        time = Time()
        server = ScriptedServer([Refuse(503)])
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(server.running())

            async def gone(_: Client) -> None:
                while not time.slept_s:
                    await asyncio.sleep(0)
                await stack.aclose()

            return await hear(server.url, 0, feed=gone, time=time)

    heard = run(main())
    assert "connection refused; gave up after 15 attempts" in str(heard.error)
    assert len(heard.time.slept_s) == 14


def test_a_server_that_is_awaited() -> None:
    """Whoever wants to wait for a server that is not there yet may, however many attempts that takes."""
    options = ClientOptions(wait_for_server_s=3600.0)
    heard = run(hear("ws://127.0.0.1:1", 0, options))
    assert "gave up after 3600 s" in str(heard.error)
    assert heard.time.now_s == pytest.approx(3600.0)
    assert len(heard.time.slept_s) > 30


def test_a_server_that_accepts_and_is_silent() -> None:
    """A port at which somebody listens and says nothing is given up as soon as one where nobody does."""

    async def main(port: int) -> tuple[Heard, float]:
        loop = asyncio.get_running_loop()
        began_s, heard = loop.time(), Heard()
        client = Client(
            f"ws://127.0.0.1:{port}", ClientOptions(wait_for_server_s=0.3), sleep=heard.time.sleep
        )
        async with client:
            with pytest.raises(ServerError) as caught:
                async for event in client:
                    heard.events.append(event)
        heard.error = caught.value
        return heard, loop.time() - began_s

    with socket.create_server(("127.0.0.1", 0)) as listening:
        heard, took_s = run(main(listening.getsockname()[1]))
    assert "no answer in time; gave up after 0.3 s" in str(heard.error)
    assert took_s < 5.0


def test_a_server_that_says_nothing() -> None:
    """A server that accepts and is never ready counts as a failure."""
    heard, _ = transcribed([Mute()], options=ClientOptions(connect_timeout_s=0.2))
    assert_all_heard(heard)
    assert any("not ready in time" in state.reason for state in heard.states)


def test_a_link_that_stalls() -> None:
    """A server that stops answering holds nothing up for ever once its pings stop too."""

    async def main() -> Heard:
        async with (
            ScriptedServer().running() as server,
            FaultyProxy(server.url, [Plan("stall", 30_000), Plan("half-open", 30_000)]).running() as proxy,
        ):
            return await hear(proxy.url, SAMPLES, ClientOptions(keepalive_s=0.2))

    heard = run(main())
    assert_all_heard(heard)
    assert len(heard.time.slept_s) >= 2


@pytest.mark.parametrize(("live_s", "given_up"), [(29.0, True), (31.0, False)])
def test_attempts_are_forgiven_after_half_a_minute(live_s: float, given_up: bool) -> None:
    """A link that was ready for 30 s begins the count again; shorter ones add up to 15."""
    rounds, samples = 20, 2000
    time = Time()

    async def feed(client: Client) -> None:
        for at in range(0, rounds * samples, samples):
            while client.state.phase is not Phase.LIVE:
                await asyncio.sleep(0)
            time.now_s += live_s
            client.feed(sound(at, at + samples))
            while client.state.phase is Phase.LIVE:
                await asyncio.sleep(0)
        client.finish()

    async def main() -> tuple[Heard, ScriptedServer]:
        async with ScriptedServer([Cut(2 * samples)] * rounds).running() as server:
            return await hear(server.url, 0, feed=feed, time=time), server

    heard, server = run(main())
    if given_up:
        assert "gave up after 15 attempts" in str(heard.error)
        assert server.handshakes == 15
    else:
        assert_all_heard(heard, rounds * samples)
        assert server.handshakes == rounds + 1


def test_waits_count_down() -> None:
    """What is shown of a wait is what is left of it."""
    time = Time()

    async def main() -> list[str]:
        shown: list[str] = []

        async def sleep(duration_s: float) -> None:
            for _ in range(2):
                shown.append(str(client.state))
                time.now_s += duration_s / 2
            if len(shown) > 4:
                await asyncio.Event().wait()

        async with Client("ws://127.0.0.1:1", GONE, clock=time, sleep=sleep, random=lambda: 0.5) as client:
            while len(shown) < 6:
                await asyncio.sleep(0)
        return shown

    assert run(main()) == [
        *["reconnecting 2/15 in 1 s", "reconnecting 2/15 in 0 s"],
        *["reconnecting 3/15 in 2 s", "reconnecting 3/15 in 1 s"],
        *["reconnecting 4/15 in 4 s", "reconnecting 4/15 in 2 s"],
    ]


def test_a_shared_breaker() -> None:
    """Clients that share a breaker send one of them ahead, however many there are."""
    time = Time()
    breaker = CircuitBreaker(BreakerOptions(), time)
    for _ in range(5):
        breaker.failed()

    async def main() -> int:
        async with ScriptedServer(always(Mute())).running() as server, AsyncExitStack() as stack:
            time.now_s += 60.0
            asleep = []

            async def sleep(duration_s: float) -> None:
                asleep.append(duration_s)
                await asyncio.Event().wait()

            for _ in range(5):
                client = Client(server.url, GONE, clock=time, sleep=sleep, breaker=breaker)
                await stack.enter_async_context(client)
            while len(asleep) < 4 or not server.handshakes:
                await asyncio.sleep(0)
            assert asleep == [60.0] * 4
            return server.handshakes

    assert run(main()) == 1


def test_a_trial_that_works() -> None:
    """Half a minute of work closes the breaker, while the link goes on."""
    time = Time()
    breaker = CircuitBreaker(BreakerOptions(), time)
    for _ in range(5):
        breaker.failed()
    time.now_s += 60.0

    async def main() -> list[BreakerState]:
        async with (
            ScriptedServer().running() as server,
            Client(server.url, clock=time, breaker=breaker) as client,
        ):
            while client.state.phase is not Phase.LIVE:
                await asyncio.sleep(0)
            states = [client.state.breaker]
            time.now_s += 31.0
            client.feed(sound(0, 1600))
            async for event in client:
                if isinstance(event, Final):
                    break
            while not client.account.received_samples or client.state.breaker is states[0]:
                await asyncio.sleep(0)
            return [*states, client.state.breaker]

    assert run(main()) == [BreakerState.HALF_OPEN, BreakerState.CLOSED]


def test_a_server_that_is_confused() -> None:
    """A server that wants audio from a place where there is none is not believed."""
    ready = Ready("id", "token", 999_999, 60.0, 1000, Limits(), "model", "provider", 0)
    heard, _ = transcribed([Say(encode(ready))])
    assert "asks for audio that is not there" in str(heard.error)


@given(
    st.lists(
        st.one_of(
            st.builds(Cut, st.integers(1, 40_000)),
            st.builds(Restart, st.integers(1, 40_000), st.sampled_from([1001, 1011, 1012])),
            st.builds(CloseWith, st.sampled_from([1000, 1011, 1012, 1013, 4001, 4408, 4409, 4410])),
            st.builds(Refuse, st.sampled_from([429, 500, 503]), st.sampled_from([None, "1", "x"])),
        ),
        max_size=10,
    ),
    st.integers(1, 30_000),
    st.sampled_from([3_000, 160_000]),
)
def test_any_faults_in_any_order(faults: list[Fault | None], samples: int, window: int) -> None:
    """Whatever happens on fewer than 15 connections, each word comes once, and no sample is missing."""
    heard, _ = transcribed(faults, samples, window=window)
    assert_all_heard(heard, samples)


def test_a_server_that_is_done_too_soon(tmp_path: Path) -> None:
    """Audio that comes after the server's end is not lost in silence."""
    ready = Ready("id", "token", 0, 60.0, 160_000, Limits(), "model", "provider", 0)
    done = Done(0, 0.0, 0.0, 0.0, 0.0, 1, id=1)
    heard, _ = transcribed([Say(encode(ready), encode(done))], options=ClientOptions(salvage_dir=tmp_path))
    assert "ended the session before the audio did; the audio from 0.0 to" in str(heard.error)
    assert list(tmp_path.glob("asrctl-unsent-*.wav"))
