"""One session by itself: what goes to the recogniser in which order, and what its client is told."""

from __future__ import annotations

import asyncio
import time

import numpy as np
from numpy.typing import NDArray

from asrctl.protocol import codes, messages
from asrctl.protocol import server as wire_server
from asrctl.protocol import session as wire
from asrctl.server.session import Bounds, LiveSession, Surroundings
from asrctl.streaming.pooled import PooledRecognizer
from asrctl.streaming.stream import StreamOptions

from ..streaming.speech import LevelDetector
from .servers import check_account, spoken
from .test_ladder import Counting


def instant() -> PooledRecognizer:
    """A recogniser that hears the scripted words at once."""
    return PooledRecognizer("instant", "words", Counting(), lambda: "here")


def session_of(said: list[messages.ServerMessage], **bounds: float) -> LiveSession:
    """A session over it, which says what it has to."""
    state = wire.ServerSession("s", "t", messages.Start(messages.AudioFormat()), 10**6)
    surroundings = Surroundings(time.monotonic, said.append)
    return LiveSession(state, LevelDetector(), StreamOptions(), instant(), Bounds(**bounds), surroundings)


async def test_finals_go_before_the_ack_that_commits_them() -> None:
    """A client is never told too early that it may forget audio."""
    said: list[messages.ServerMessage] = []
    session = session_of(said)
    audio = spoken(7)
    session.state.received = len(audio) // 2
    session.take(wire_server.Audio(audio, 0))
    while not any(isinstance(each, messages.AudioAck) and each.committed > 12_000 for each in said):
        await asyncio.sleep(0)
        session.report()
    session.close()
    kinds = [type(each).__name__ for each in said]
    last = max(at for at, each in enumerate(said) if isinstance(each, messages.AudioAck))
    assert kinds.index("Final") < last
    earlier = [each for each in said[: kinds.index("Final")] if isinstance(each, messages.AudioAck)]
    assert all(each.committed < 8_000 for each in earlier)


async def test_gathered_audio_is_handed_on_in_larger_pieces() -> None:
    """None is left behind by what ends it: a flush, the beat, the end."""
    said: list[messages.ServerMessage] = []
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
            session.take(wire_server.Audio(bytes(1600), session.state.received))
            session.state.received += 800

    take(4)
    assert session.pending_s >= 0.05
    session.take(messages.Flush())
    take(1)
    session.feed_gathered()
    session.feed_gathered()
    take(2)
    session.take(messages.Finish(session.state.received))
    while not session.done:
        session.report()
        await asyncio.sleep(0)
    session.close()
    assert handed_on == [2400, 800, 800, 1600]
    done = said[-1]
    assert isinstance(done, messages.Done)
    assert done.received_s == 0.35
    check_account(done)


async def test_what_the_converter_holds_goes_before_a_gap() -> None:
    """A resampler holds samples back: they are flushed before audio that was lost, and positions agree."""
    said: list[messages.ServerMessage] = []
    start = messages.Start(messages.AudioFormat("pcm_s16le", 48_000, 1))
    state = wire.ServerSession("s", "t", start, 10**7)
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
    session.take(wire_server.Audio(bytes(2 * 48_000), 0))
    state.received += 24_000
    session.take(messages.Skip(24_000, "no room"))
    session.take(messages.Finish(state.received))
    while not session.done:
        await asyncio.sleep(0)
    session.close()
    before = [step for step in steps[: steps.index(("lost", 8_000))] if isinstance(step, int)]
    assert sum(before) == 16_000
    done = said[-1]
    assert isinstance(done, messages.Done)
    assert (done.received_s, done.dropped_s) == (1.5, 0.5)


async def test_a_flush_takes_what_the_converter_holds() -> None:
    """It is about all that came, to the sample; the audio behind it goes on there."""
    said: list[messages.ServerMessage] = []
    session = _at_24_khz(said)
    fed: list[int] = []
    feed = session._session.feed
    session._session.feed = lambda samples: (fed.append(len(samples)), feed(samples))[1]  # type: ignore[method-assign]
    for _ in range(3):
        session.state.received += 24_001
        session.take(wire_server.Audio(bytes(2 * 24_001), 0))
        session.take(messages.Flush())
        assert sum(fed) == round(session.state.received * 2 / 3)
        assert session.pending_s == session._session.pending_samples / 16_000
    session.take(messages.Finish(session.state.received))
    while not session.done:
        await asyncio.sleep(0)
    session.close()
    done = said[-1]
    assert isinstance(done, messages.Done)
    assert done.received_s == 48_002 / 16_000
    check_account(done)


async def test_what_the_converter_holds_is_given_up() -> None:
    """Of a session that nobody waits for, all that came is accounted for."""
    session = _at_24_khz([])
    session.take(wire_server.Audio(bytes(2 * 24_000), 0))
    session.abandon()
    session.close()
    account = session.account
    assert account.received_samples == 16_000
    assert account.dropped_samples + account.speech_samples + account.silence_samples == 16_000


def _at_24_khz(said: list[messages.ServerMessage]) -> LiveSession:
    start = messages.Start(messages.AudioFormat("pcm_s16le", 24_000, 1))
    state = wire.ServerSession("s", "t", start, 10**7)
    surroundings = Surroundings(time.monotonic, said.append)
    return LiveSession(state, LevelDetector(), StreamOptions(), instant(), Bounds(), surroundings)


async def test_a_session_whose_task_dies_is_ended() -> None:
    """An exception nobody foresaw closes the session's socket with 1011; the reason is kept for the log."""

    class Broken(LevelDetector):
        def probabilities(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
            raise RuntimeError("no ears")

    class Socket:
        refused: codes.Violation | None = None

        def deliver(self, message: messages.ServerMessage) -> None:
            """It is said."""

        def refuse(self, violation: codes.Violation) -> None:
            self.refused = violation

        def close(self, code: codes.CloseCode, reason: str) -> None:
            raise AssertionError(code)

    state = wire.ServerSession("s", "t", messages.Start(messages.AudioFormat()), 10**6)
    session = LiveSession(state, Broken(), StreamOptions(), instant(), Bounds(), Surroundings(time.monotonic))
    session.listener = socket = Socket()
    session.take(wire_server.Audio(bytes(3200), 0))
    while not session.done:
        session.report()
        await asyncio.sleep(0)
    assert session.failure == "RuntimeError: no ears"
    assert socket.refused is not None
    assert socket.refused.close_code == codes.CloseCode.INTERNAL
    session.close()
