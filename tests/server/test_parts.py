"""The server's parts by themselves: the log, the meter, positions, the door."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from datetime import UTC, datetime
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.policy.pacing import Pacer, PacingOptions
from asrctl.policy.priority import Kind, Ticket
from asrctl.protocol import messages
from asrctl.providers.base import ModelSpec
from asrctl.server import connection, shell
from asrctl.server.gate import Gate
from asrctl.server.journal import Journal
from asrctl.server.load import WORK, LoadMeter, SessionCost, work_of
from asrctl.server.session import LiveSession
from asrctl.server.translate import Positions
from asrctl.transcript import Hypothesis, Part

from ..protocol.sides import Clock
from .servers import Running, Talker, spoken, until

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
    """A session that cannot go on is ended; its client starts a new one and loses nothing."""
    with Talker(shared.url, spoken(1, 2, 3)) as talker:
        talker.send(1.3)
        talker.receive_until(messages.Final)
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
    monkeypatch.setattr(shell, "_CLOSE_TIMEOUT_S", 0.01)
    status, partial = messages.Status(1, 0, "load", "m"), messages.Partial(0, 0, 0, "x" * 10_000, "")

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


def test_work_by_sort() -> None:
    """A partial and a guess are one sort each; a final is its parts, and what no part claims is its first
    decode. They add up to its time."""
    heard = Hypothesis((), "en", 2.0, parts_s={Part.FIRST: 0.7, Part.AGAIN: 0.5, Part.REST: 0.2})
    assert work_of(Ticket("a", Kind.PARTIAL), heard) == {"partial": 2.0}
    assert work_of(Ticket("a", Kind.FINAL, is_guess=True), heard) == {"guess": 2.0}
    final = work_of(Ticket("a", Kind.FINAL), heard)
    assert final == pytest.approx({"first": 1.3, "again": 0.5, "rest": 0.2})
    assert work_of(Ticket("a", Kind.FINAL), Hypothesis((), "en", 1.0)) == {"first": 1.0}
    assert set(final) <= set(WORK)
