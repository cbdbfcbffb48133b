"""Lag: a live session that is not kept up with is told, and gives up its oldest speech; nobody else does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from asrctl.policy.priority import Ticket
from asrctl.protocol.messages import AudioFormat, Done, Dropped, Final, Finish, ServerMessage, Start, Status
from asrctl.protocol.server import Audio
from asrctl.protocol.session import ServerSession
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.server.session import Bounds, LiveSession, Surroundings
from asrctl.streaming.pooled import PooledRecognizer
from asrctl.streaming.stream import StreamOptions
from asrctl.transcript import Hypothesis

from ..policy.clock import Clock
from ..streaming.speech import LevelDetector, heard_in, silence, speak
from .servers import Talker, check_account, options_for, running, spoken, until
from .test_ladder import Counting

Scripted = Callable[..., ModelSpec]
RATE = 16_000


@dataclass
class Slow(Counting):
    """A decoder that takes so many seconds of a clock for each final, one after the other."""

    clock: Clock = field(default_factory=Clock)
    decode_s: float = 0.0
    worker: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def decode(
        self, samples: NDArray[np.float32], options: DecodeOptions, ticket: Ticket
    ) -> Hypothesis:
        async with self.worker:
            done_s = self.clock() + self.decode_s
            while self.clock() < done_s:
                await asyncio.sleep(0)
        return heard_in(samples)


class Played:
    """A session that hears audio by a clock of its own."""

    def __init__(self, decode_s: float, *, source: str = "mic", max_lag_s: float = 10.0) -> None:
        self.clock = Clock()
        self.said: list[ServerMessage] = []
        self.news: list[str] = []
        self.worst_s = 0.0
        state = ServerSession("s", "t", Start(AudioFormat(), source=source, partials=False), 10**9)
        recognizer = PooledRecognizer("slow", "m", Slow(clock=self.clock, decode_s=decode_s), lambda: "here")
        self.session = LiveSession(
            state,
            LevelDetector(),
            StreamOptions(max_backlog_s=600.0),
            recognizer,
            Bounds(max_lag_s=max_lag_s),
            Surroundings(self.clock, self.said.append),
        )

    def feed(self, samples: NDArray[np.float32]) -> None:
        data = np.round(samples * 32767).astype("<i2").tobytes()
        self.session.take(Audio(data, self.session.state.received))
        self.session.state.received += len(samples)

    async def beat(self, duration_s: float) -> None:
        """Let time go by, as the server does it."""
        for _ in range(round(duration_s / 0.1)):
            self.clock.advance(0.1)
            for _ in range(30):
                await asyncio.sleep(0)
            if news := self.session.bound_lag():
                self.news.append(news)
            self.session.report()
            self.worst_s = max(self.worst_s, self.session.lag_s)

    async def speak(self, count: int, *, at_once: bool = False) -> None:
        """Utterances of 1 s each, one in 1.8 s, as they are spoken or all at once."""
        for number in range(count):
            audio = np.concatenate((speak([number] * 5), silence(0.8)))
            for at in range(0, len(audio), RATE // 10):
                self.feed(audio[at : at + RATE // 10])
                if not at_once:
                    await self.beat(0.1)

    async def finish(self) -> Done:
        self.session.take(Finish(self.session.state.received))
        while not self.session.done:
            await self.beat(0.1)
        self.session.close()
        done = self.said[-1]
        assert isinstance(done, Done)
        check_account(done)
        return done

    def of(self, kind: type[ServerMessage]) -> list[ServerMessage]:
        return [each for each in self.said if isinstance(each, kind)]


async def test_lag_is_bounded() -> None:
    """At twice the load that can be borne finals stay within the bound, and what was given up is declared."""
    played = Played(decode_s=3.0)
    await played.speak(60)
    assert 9.0 < played.worst_s <= 10.6
    assert len(played.of(Final)) > 20
    done = await played.finish()
    dropped = played.of(Dropped)
    assert len(dropped) + len(played.of(Final)) == 60
    assert all("more than 10 s late" in each.reason for each in dropped if isinstance(each, Dropped))
    assert 15 < done.dropped_s < 60
    assert played.news[0].startswith("late: finals are 10 s behind")


async def test_it_says_when_it_is_over() -> None:
    """Once the load is gone the client is told, once."""
    played = Played(decode_s=3.0)
    await played.speak(30)
    assert len(played.news) == 1
    await played.beat(30.0)
    assert played.news[1:] == ["not late any more"]
    await played.speak(3)
    await played.finish()
    assert len(played.news) == 2


async def test_a_burst_loses_nothing() -> None:
    """Audio that comes faster than it was spoken, and is decoded as fast as one speaks, is not late."""
    played = Played(decode_s=1.4)
    await played.speak(60, at_once=True)
    await played.beat(115.0)
    assert (len(played.of(Final)), played.news) == (60, [])
    assert (await played.finish()).dropped_s == 0


async def test_audio_that_may_wait() -> None:
    """`system` audio is not given up: it has the disk."""
    played = Played(decode_s=3.0, source="system")
    await played.speak(30)
    assert (await played.finish()).dropped_s == 0
    assert not played.news


def test_a_server_says_late(scripted: Scripted) -> None:
    """The client gets a `status` that says so, then the drops; the metric has been above the bound."""
    options = options_for(scripted(delay_s=1.5), max_lag_s=1.0)
    with running(options) as server, Talker(server.url, spoken(*range(6), pause_s=0.6)) as talker:
        talker.send()
        until(lambda: server.metric("asrctl_lag_seconds") > 0)
        done = talker.finish()
        late = [each.reason for each in talker.of(Status) if each.provider is None]
        assert late[0].startswith("late: finals are ")
        assert done.dropped_s > 0 and talker.of(Dropped)
        check_account(done)
