"""The server's parts by themselves: the log, the meter, positions, the door."""

from __future__ import annotations

import asyncio
import io
import random
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from asrctl import protocol
from asrctl.engine.stream import Stream
from asrctl.policy.pacing import Pacer, PacingOptions
from asrctl.policy.priority import Kind
from asrctl.providers.base import ModelSpec
from asrctl.providers.scripted import listen
from asrctl.server import connection
from asrctl.server.gate import Gate
from asrctl.server.journal import Journal
from asrctl.server.load import LoadMeter, SessionCost
from asrctl.server.session import LiveSession
from asrctl.server.translate import Positions
from asrctl.stream.events import Dropped, Final
from asrctl.transcript import Hypothesis, Segment

from ..protocol.sides import Clock
from .servers import Running, Talker, check_account, spoken, until
from .speech import LevelDetector, rig, silence, speak

Scripted = Callable[..., ModelSpec]


def test_the_journal() -> None:
    """A line is an event; what is not one word is quoted, whatever a client put into it."""
    stream = io.StringIO()
    journal = Journal(stream, lambda: datetime(2026, 1, 31, 12, tzinfo=UTC))
    journal.note("session.start", session="x", took_s=0.5, reason=None, detail='a "b"\nevent=forged')
    assert stream.getvalue() == (
        "time=2026-01-31T12:00:00.000Z event=session.start session=x took_s=0.500 "
        'detail="a \\"b\\"\\nevent=forged"\n'
    )


@given(
    st.sampled_from([8000, 11_025, 16_000, 44_100, 48_000, 192_000]),
    st.integers(0, 10**9),
    st.integers(0, 10**7),
)
def test_positions(rate_hz: int, offset: int, sample: int) -> None:
    """A position in frames never lies after its sample, and less than one step before it."""
    positions = Positions(offset, rate_hz)
    frame = positions.frames(sample)
    assert frame >= offset
    assert (frame - offset) * 16_000 <= sample * rate_hz < (frame - offset + 1) * 16_000
    assert positions.frames(positions.samples(frame)) <= frame + rate_hz // 16_000 + 1


def test_the_meter() -> None:
    """Shares are of the workers' time, waits of finals only; old decodes are forgotten."""
    clock = Clock()
    meter = LoadMeter(2, clock)
    assert meter.load().share == meter.stalled_s == 0
    first, second = meter.submitted(Kind.FINAL), meter.submitted(Kind.PARTIAL)
    clock.now_s = 3.0
    assert meter.stalled_s == 3.0
    assert (meter.load().delay_s, meter.load().finals, meter.load().partials) == (3.0, 1, 1)
    done = meter.decoded(first, 1.0)
    assert (done.wait_s, done.inference_s) == (2.0, 1.0)
    assert meter.stalled_s == 0
    meter.decoded(second, 2.0)
    load = meter.load()
    assert (load.share, load.finals_share, load.delay_s) == (0.3, 0.1, 2.0)
    clock.now_s = 9.0
    assert meter.load().share == 0


def test_what_a_session_costs() -> None:
    """Ten sessions at 5 % each: they cost no more when some have ended, or when a backlog is worked off."""
    cost = SessionCost(workers=1)
    assert cost.observe(0.0, 0.0, 0.0) == (0.0, 0.0)
    for second in range(1, 60):
        share, sessions = cost.observe(second, 0.5 * second, 10.0 * second)
        assert (share, sessions) == (pytest.approx(0.5), pytest.approx(10.0))
    for second in range(1, 31):  # nobody speaks any more, and what waits is decoded as fast as it goes
        share, sessions = cost.observe(59.0 + second, 29.5 + second, 590.0 + 20.0 * second)
        assert share / sessions == pytest.approx(0.05)
    assert (share, sessions) == (pytest.approx(1.0), pytest.approx(20.0))
    for second in range(1, 31):
        share, sessions = cost.observe(89.0 + second, 59.5, 1190.0)
    assert (share, sessions) == (0.0, 0.0)


def test_the_meter_counts_failures() -> None:
    """Failures in a row are counted, cancelled decodes are nothing, and a success forgives."""
    meter = LoadMeter(1, Clock())
    meter.failed(meter.submitted(Kind.FINAL))
    meter.cancelled(meter.submitted(Kind.FINAL))
    meter.failed(meter.submitted(Kind.FINAL))
    assert meter.failures == 2
    meter.decoded(meter.submitted(Kind.FINAL), 0.1)
    assert meter.failures == 0


@given(st.text(max_size=20), st.text(max_size=20))
def test_only_the_key_opens(key: str, offered: str) -> None:
    """Any text may be offered as a key, and only the right one fits."""
    gate = Gate(f"k{key}", frozenset())
    denial = gate.check_key({"authorization": f"Bearer {offered}"})
    assert (denial is None) == (offered.strip() == f"k{key}")


def test_allowed_origins() -> None:
    """An origin is let in by its whole name only."""
    gate = Gate("", frozenset({"https://example.org"}))
    offered = ["asrctl.v1"]
    assert gate.check({"origin": "https://example.org"}, offered) is None
    for origin in ("http://example.org", "https://example.org.evil.net", "https://example.org:444", ""):
        denial = gate.check({"origin": origin}, offered)
        assert denial is not None
        assert denial.status == 403


def test_a_pacer_slows_down() -> None:
    """A factor makes partials rarer, up to the maximum, and stops decoding on suspicion."""
    pacer = Pacer(PacingOptions(first_s=0.7, interval_s=1.0, max_interval_s=8.0))
    assert (pacer.interval_s, pacer.may_speculate(0.3)) == (1.0, True)
    pacer.factor = 4.0
    assert (pacer.interval_s, pacer.may_speculate(0.3)) == (4.0, False)
    assert not pacer.is_due(2.0, 2.0)
    assert pacer.is_due(2.8, 2.8)
    pacer.factor = 20.0
    assert pacer.interval_s == 8.0


@given(st.integers(0, 2**32))
def test_what_is_committed_stays_so(seed: int) -> None:
    """No event that comes later is about audio that was committed before; at the end all is."""
    dice, run = random.Random(seed), rig()
    before = seen = 0
    for _ in range(6):
        run.play_at_random(np.concatenate((speak(range(dice.randrange(4))), silence(dice.random()))), dice)
        if dice.random() < 0.3:
            run.take(run.stream.skip(dice.randrange(2000), "lost"))
        committed = run.stream.committed_sample
        assert before <= committed <= run.stream.account.received_samples
        assert all(e.start_sample >= before for e in run.events[seen:] if isinstance(e, Final | Dropped))
        before, seen = committed, len(run.events)
    run.finish()
    assert run.stream.committed_sample == run.stream.account.received_samples


def test_a_full_disk(shared: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that cannot go on is ended; its client begins anew and loses nothing."""
    with Talker(shared.url, spoken(1, 2, 3)) as talker:
        talker.send(1.3)
        talker.receive_until(protocol.Final)
        with monkeypatch.context() as patch:
            patch.setattr(LiveSession, "take", full)
            talker.send(0.5)
            while talker.receive():
                pass
        assert talker.close_code == 1011
        until(lambda: not shared.server.hub.sessions)
        talker.connect()
        while talker.receive():
            pass
        assert talker.close_code == 4410
        talker.connect()
        talker.finish()
        assert talker.words == ["w1", "w2", "w3"]


def full(*_: object) -> None:
    """What a full disk does."""
    raise OSError("no space left on device")


class Stalled:
    """A WebSocket whose client never reads, and says nothing."""

    async def receive(self) -> object:
        return await asyncio.Event().wait()

    async def send_text(self, text: str) -> None:
        await asyncio.Event().wait()


def test_a_reader_that_never_reads(shared: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits to be sent is bounded: partials are left out first, then the socket is closed."""
    monkeypatch.setattr(connection, "_CLOSE_TIMEOUT_S", 0.01)
    status, partial = protocol.Status(1, 0, "load", "m"), protocol.Partial(0, 0, 0, "x" * 10_000, "")

    async def stall() -> tuple[int, int]:
        socket = connection.Connection(Stalled(), shared.server.hub, None)  # type: ignore[arg-type]
        run = asyncio.create_task(socket.run())
        for _ in range(20):
            socket.deliver(status)
        held = socket._unsent_bytes
        for _ in range(1000):
            socket.deliver(partial)
        assert socket._unsent_bytes == held
        while socket._close is None:
            socket.deliver(status)
        await run
        return socket._close.code, socket._unsent_bytes

    assert asyncio.run(stall()) == (1008, 0)


class Instant:
    """A recogniser that hears the scripted words at once."""

    def submit(self, samples: NDArray[np.float32], *_: object) -> Future[Hypothesis]:
        future: Future[Hypothesis] = Future()
        words = tuple(listen(samples))
        text = " ".join(word.text for word in words)
        future.set_result(Hypothesis((Segment(0.0, 1.0, text, 1.0, words),), "en", 0.0))
        return future

    def abort(self, future: Future[Hypothesis]) -> None:
        """Nothing runs."""


def test_finals_go_before_the_ack_that_commits_them() -> None:
    """However the engine's thread and the loop's fall in step, a client is never told too early."""

    async def order() -> list[str]:
        said: list[protocol.ServerMessage] = []
        start = protocol.Start(protocol.AudioFormat())
        books = protocol.ServerSession("s", "t", start, 10**6)
        session = LiveSession(
            books, Stream(LevelDetector()), Instant(), hold_s=60, spool_s=0, said=said.append
        )
        audio = spoken(7)
        books.received = len(audio) // 2
        session.take(protocol.Audio(audio, 0))
        until(lambda: session._session.committed_sample > 12_000)  # the loop stands still meanwhile
        session.report()
        session.close()
        return [type(each).__name__ for each in said if not isinstance(each, protocol.Partial)]

    assert asyncio.run(order()) == ["SpeechStarted", "Final", "AudioAck"]


def test_gathered_audio_is_handed_on_in_larger_pieces() -> None:
    """None is left behind by what ends it: a flush, the beat, the end."""

    async def pending() -> tuple[list[int], float, protocol.ServerMessage]:
        said: list[protocol.ServerMessage] = []
        books = protocol.ServerSession("s", "t", protocol.Start(protocol.AudioFormat()), 10**6)
        session = LiveSession(
            books, Stream(LevelDetector()), Instant(), hold_s=60, spool_s=0, said=said.append
        )
        session.gather_s = 0.15
        handed_on: list[int] = []
        feed = session._session.feed

        def watched(samples: NDArray[np.float32]) -> None:
            handed_on.append(len(samples))
            feed(samples)

        session._session.feed = watched  # type: ignore[method-assign]

        def take(pieces: int) -> None:
            for _ in range(pieces):
                session.take(protocol.Audio(bytes(1600), books.received))
                books.received += 800

        take(4)
        held_s = session.pending_s
        session.take(protocol.Flush())
        take(1)
        session.feed_gathered()
        session.feed_gathered()
        take(2)
        session.take(protocol.Finish(books.received))
        while not session.done:
            session.report()
            await asyncio.sleep(0.001)
        session.close()
        return handed_on, held_s, said[-1]

    handed_on, held_s, done = asyncio.run(pending())
    assert handed_on == [2400, 800, 800, 1600]
    assert held_s >= 0.05
    assert isinstance(done, protocol.Done)
    assert done.received_s == 0.35
    check_account(done)
