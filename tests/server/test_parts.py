"""The server's parts by themselves: the log, the meter, positions, the door."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from asrctl import protocol
from asrctl.policy.pacing import Pacer, PacingOptions
from asrctl.policy.priority import Kind
from asrctl.providers.base import ModelSpec
from asrctl.server import connection
from asrctl.server.gate import Gate
from asrctl.server.journal import Journal
from asrctl.server.load import LoadMeter, SessionCost
from asrctl.server.session import Bounds, LiveSession, Surroundings
from asrctl.server.translate import Positions
from asrctl.stream.pooled import PooledRecognizer
from asrctl.stream.stream import StreamOptions

from ..protocol.sides import Clock
from .servers import Running, Talker, check_account, spoken, until
from .speech import LevelDetector
from .test_ladder import Counting

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
    first, second = meter.begin(Kind.FINAL), meter.begin(Kind.PARTIAL)
    clock.now_s = 3.0
    assert meter.stalled_s == 3.0
    assert (meter.load().delay_s, meter.load().finals, meter.load().partials) == (3.0, 1, 1)
    done = meter.decoded(first, 1.0)
    assert (done.wait_s, done.inference_s) == (2.0, 1.0)
    assert meter.stalled_s == 0
    meter.decoded(second, 2.0)
    load = meter.load()
    assert (load.share, load.delay_s) == (0.3, 2.0)
    clock.now_s = 9.0
    assert meter.load().share == 0


def test_a_long_decode_is_work() -> None:
    """A decode that takes longer than what the meter looks back over shows while it runs."""
    clock = Clock()
    meter = LoadMeter(2, clock)
    meter.begin(Kind.FINAL)
    clock.now_s = 2.5
    assert meter.load().share == pytest.approx(0.25)
    clock.now_s = 60.0
    assert meter.load().share == pytest.approx(0.5)
    for _ in range(3):
        meter.begin(Kind.FINAL)
    clock.now_s = 70.0
    assert meter.load().share == pytest.approx(1.0)


def test_no_worker_is_no_stall() -> None:
    """While all workers load nothing can be decoded, and that is nobody's fault."""
    clock = Clock()
    meter = LoadMeter(1, clock)
    meter.begin(Kind.FINAL)
    clock.now_s = 100.0
    meter.excuse()
    clock.now_s = 101.0
    assert meter.stalled_s == 1.0


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
    meter.failed(meter.begin(Kind.FINAL))
    meter.cancelled(meter.begin(Kind.FINAL))
    meter.failed(meter.begin(Kind.FINAL))
    assert meter.failures == 2
    meter.decoded(meter.begin(Kind.FINAL), 0.1)
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

    scope: ClassVar[dict[str, object]] = {}

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


def instant() -> PooledRecognizer:
    """A recogniser that hears the scripted words at once."""
    return PooledRecognizer("instant", "words", Counting(), lambda: "here")


def session_of(said: list[protocol.ServerMessage], **bounds: float) -> LiveSession:
    """A session over it, which says what it has to."""
    state = protocol.ServerSession("s", "t", protocol.Start(protocol.AudioFormat()), 10**6)
    surroundings = Surroundings(time.monotonic, said.append)
    return LiveSession(state, LevelDetector(), StreamOptions(), instant(), Bounds(**bounds), surroundings)


async def test_finals_go_before_the_ack_that_commits_them() -> None:
    """A client is never told too early that it may forget audio."""
    said: list[protocol.ServerMessage] = []
    session = session_of(said)
    audio = spoken(7)
    session.state.received = len(audio) // 2
    session.take(protocol.Audio(audio, 0))
    while not any(isinstance(each, protocol.AudioAck) and each.committed > 12_000 for each in said):
        await asyncio.sleep(0)
        session.report()
    session.close()
    kinds = [type(each).__name__ for each in said]
    last = max(at for at, each in enumerate(said) if isinstance(each, protocol.AudioAck))
    assert kinds.index("Final") < last
    earlier = [each for each in said[: kinds.index("Final")] if isinstance(each, protocol.AudioAck)]
    assert all(each.committed < 8_000 for each in earlier)


async def test_gathered_audio_is_handed_on_in_larger_pieces() -> None:
    """None is left behind by what ends it: a flush, the beat, the end."""
    said: list[protocol.ServerMessage] = []
    session = session_of(said)
    session.gather_s = 0.15
    handed_on: list[int] = []
    feed = session._session.feed

    def watched(samples: NDArray[np.float32]) -> None:
        handed_on.append(len(samples))
        feed(samples)

    session._session.feed = watched  # type: ignore[method-assign]

    def take(pieces: int) -> None:
        for _ in range(pieces):
            session.take(protocol.Audio(bytes(1600), session.state.received))
            session.state.received += 800

    take(4)
    assert session.pending_s >= 0.05
    session.take(protocol.Flush())
    take(1)
    session.feed_gathered()
    session.feed_gathered()
    take(2)
    session.take(protocol.Finish(session.state.received))
    while not session.done:
        session.report()
        await asyncio.sleep(0)
    session.close()
    assert handed_on == [2400, 800, 800, 1600]
    done = said[-1]
    assert isinstance(done, protocol.Done)
    assert done.received_s == 0.35
    check_account(done)


async def test_what_the_converter_holds_goes_before_a_gap() -> None:
    """A resampler holds samples back: they are flushed before audio that was lost, and positions agree."""
    said: list[protocol.ServerMessage] = []
    start = protocol.Start(protocol.AudioFormat("pcm_s16le", 48_000, 1))
    state = protocol.ServerSession("s", "t", start, 10**7)
    surroundings = Surroundings(time.monotonic, said.append)
    session = LiveSession(state, LevelDetector(), StreamOptions(), instant(), Bounds(), surroundings)
    steps: list[object] = []
    feed, skip = session._session.feed, session._session.skip

    def fed(samples: NDArray[np.float32]) -> None:
        steps.append(len(samples))
        feed(samples)

    def skipped(count: int, reason: str) -> None:
        steps.append(("lost", count))
        skip(count, reason)

    session._session.feed, session._session.skip = fed, skipped  # type: ignore[method-assign]
    state.received += 48_000
    session.take(protocol.Audio(bytes(2 * 48_000), 0))
    state.received += 24_000
    session.take(protocol.Skip(24_000, "no room"))
    session.take(protocol.Finish(state.received))
    while not session.done:
        await asyncio.sleep(0)
    session.close()
    before = [step for step in steps[: steps.index(("lost", 8_000))] if isinstance(step, int)]
    assert sum(before) == 16_000
    done = said[-1]
    assert isinstance(done, protocol.Done)
    assert (done.received_s, done.dropped_s) == (1.5, 0.5)


async def test_a_session_whose_task_dies_is_ended() -> None:
    """An exception nobody foresaw closes the session's socket with 1011; the reason is kept for the log."""

    class Broken(LevelDetector):
        def probabilities(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
            raise RuntimeError("no ears")

    class Socket:
        refused: protocol.Violation | None = None

        def deliver(self, message: protocol.ServerMessage) -> None:
            """It is said."""

        def refuse(self, violation: protocol.Violation) -> None:
            self.refused = violation

        def close(self, code: protocol.CloseCode, reason: str) -> None:
            raise AssertionError(code)

    state = protocol.ServerSession("s", "t", protocol.Start(protocol.AudioFormat()), 10**6)
    session = LiveSession(state, Broken(), StreamOptions(), instant(), Bounds(), Surroundings(time.monotonic))
    session.listener = socket = Socket()
    session.take(protocol.Audio(bytes(3200), 0))
    while not session.done:
        session.report()
        await asyncio.sleep(0)
    assert session.failure == "RuntimeError: no ears"
    assert socket.refused is not None
    assert socket.refused.close_code == protocol.CloseCode.INTERNAL
    session.close()
