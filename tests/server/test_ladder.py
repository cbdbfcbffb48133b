"""The degrade ladder: each rung does less work, `system` audio is caught up, clients are told."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from asrctl.policy.ladder import MEASURES, LadderOptions, Level
from asrctl.policy.priority import Kind, Ticket
from asrctl.protocol.messages import AudioFormat, Done, Final, Finish, Partial, ServerMessage, Start, Status
from asrctl.protocol.server import Audio
from asrctl.protocol.session import ServerSession
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.providers.recognizer import Recognizer
from asrctl.server.engine import Engine
from asrctl.server.options import Models, NamedModel
from asrctl.server.session import Bounds, LiveSession, Surroundings
from asrctl.streaming.pooled import PooledRecognizer
from asrctl.streaming.stream import StreamOptions
from asrctl.transcript import Hypothesis
from asrctl.workers.options import PoolOptions
from asrctl_tests.scripted import speak
from asrctl_tests.scripted_stream import ScriptedStream

from ..streaming.speech import LevelDetector, heard_in, silence
from .servers import HEALTH, Talker, check_account, options_for, pcm, running, spoken, until

Scripted = Callable[..., ModelSpec]

SPEECH = np.concatenate([*[np.concatenate((speak(range(n, n + 30)), silence(0.8))) for n in (0, 30)]])
"""Two utterances of 6 s."""


@dataclass
class Counting:
    """A decoder that answers at once, and counts the samples it was given."""

    samples: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(Kind, 0))
    width: int = 1
    load_s: float = 0.0
    inference_s: float = 0.0

    async def decode(
        self, samples: NDArray[np.float32], options: DecodeOptions, ticket: Ticket
    ) -> Hypothesis:
        self.samples[ticket.kind] += len(samples)
        return heard_in(samples)

    async def wait_ready(self) -> None:
        """It is."""

    async def close(self) -> None:
        """Nothing is open."""

    def pids(self) -> list[int]:
        return []

    @property
    def total(self) -> int:
        return sum(self.samples.values())


async def played(
    level: Level, source: str, recognizer: Recognizer, *, catch_up: bool = True
) -> list[ServerMessage]:
    """What a session says to SPEECH on a rung, in pieces of 50 ms."""
    said: list[ServerMessage] = []
    state = ServerSession("s", "t", Start(AudioFormat("pcm_f32le", 16_000, 1), source=source), 10**9)
    session = LiveSession(
        state,
        LevelDetector(),
        StreamOptions(),
        recognizer,
        Bounds(),
        Surroundings(time.monotonic, said.append),
    )
    session.obey(MEASURES[level])
    for at in range(0, len(SPEECH), 800):
        piece = SPEECH[at : at + 800]
        session.take(Audio(piece.astype("<f4").tobytes(), state.received))
        state.received += len(piece)
        for _ in range(20):  # it hears all of it, and all that is said to it
            await asyncio.sleep(0)
    session.take(Finish(state.received))
    spooled = session.spooled_samples
    if catch_up:
        assert (spooled > 0) == (level >= Level.FINALS_ONLY and source == "system")
        session.obey(MEASURES[Level.NORMAL])
        while not session.done:
            session.catch_up()
            session.report()
            await asyncio.sleep(0.001)
    session.close()
    return said


def pooled(decoder: Counting) -> PooledRecognizer:
    """A recogniser over it."""
    return PooledRecognizer("counting", "words", decoder, lambda: "here")


@pytest.mark.parametrize("source", ["mic", "system"])
def test_each_rung_does_less_work(source: str) -> None:
    """The same speech costs less on each rung; every word is final on all of them."""
    work = []
    for level in Level:
        counting = Counting()
        said = asyncio.run(played(level, source, pooled(counting)))
        words = [word for each in said if isinstance(each, Final) for word in each.text.split()]
        assert words == [f"w{n}" for n in range(60)]
        check_account(next(each for each in said if isinstance(each, Done)))
        work.append(counting.samples[Kind.PARTIAL])
    if source == "mic":
        assert work[0] > work[1] > work[2] > work[3] == work[4] == 0
    else:
        assert work[0] > work[1] > work[2] == 0  # beyond, it is held back, and counted when it is caught up


@pytest.mark.parametrize("source", ["mic", "system"])
def test_each_rung_says_less_of_what_is_streamed(source: str) -> None:
    """Streamed partials come with each word, then 2 s and 4 s apart, then not at all; finals always."""
    partials = []
    for level in Level:
        said = asyncio.run(played(level, source, ScriptedStream()))
        words = [word for each in said if isinstance(each, Final) for word in each.text.split()]
        assert words == [f"w{n}" for n in range(60)]
        check_account(next(each for each in said if isinstance(each, Done)))
        partials.append([each for each in said if isinstance(each, Partial)])
    count = [len(each) for each in partials]
    assert count[0] > 40
    if source == "mic":
        assert count[1:] == [6, 2, 0, 0]  # at 1.4, 3.4 and 5.4 s of each utterance; at 2.8 s
    else:
        assert count[1:3] == [6, 0]  # beyond, it is held back, and shown when it is caught up


def test_held_back() -> None:
    """On the third rung nothing of `system` is decoded at all, until there is time again."""
    counting = Counting()
    asyncio.run(played(Level.FINALS_ONLY, "system", pooled(counting), catch_up=False))
    assert counting.total == 0


def test_overload_and_recovery(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under load the level rises, `system` waits on disk, finals come; afterwards the level falls to 0.

    The server looks at the load four times as often as it would, and at a quarter of the time.
    """
    monkeypatch.setattr("asrctl.server.server._BEATS_PER_S", 1)
    monkeypatch.setattr("asrctl.server.load._WINDOW_S", 1.25)
    main, small = scripted("main", delay_s=0.2), scripted("small", delay_s=0.01)
    models = Models(NamedModel("main", main, True), small=NamedModel("small", small, True))
    ladder = LadderOptions(calm_s=0.3, min_stay_s=0.3, max_queue_delay_s=0.25)
    with running(options_for(main, models=models, ladder=ladder)) as server:
        talkers = [Talker(server.url, spoken(*range(10 * n, 10 * n + 8), pause_s=0.6)) for n in range(4)]
        talkers += [Talker(server.url, spoken(*range(90, 98), pause_s=0.6), source="system")]
        for talker in talkers:
            talker.connect()
        for _ in range(8):
            for talker in talkers:
                talker.send(0.8)
        until(lambda: server.server.engine.model.name == "small")
        for talker in talkers:
            done = talker.finish()
            check_account(done)
            assert done.dropped_s == 0
            assert len(talker.words) == 8
            talker.__exit__(None, None, None)
        statuses = talkers[0].of(Status)
        assert max(status.level for status in statuses) >= 2
        assert all(status.reason.startswith("load ") for status in statuses)
        until(lambda: server.metric("asrctl_level") == 0)
        until(lambda: server.server.engine.model.name == "main")


def test_fail_over(scripted: Scripted) -> None:
    """When the model dies for good the fallback takes over, says so, and the model comes back when it can."""
    main, spare = scripted("main"), scripted("spare")
    models = Models(NamedModel("main", main, True), fallback=NamedModel("spare", spare, True))
    options = options_for(main, models=models, retry_s=2.0, ladder=LadderOptions(calm_s=0.5, min_stay_s=0.5))
    with running(options) as server, Talker(server.url, spoken(*range(6), pause_s=0.6)) as talker:
        talker.send(1.5)
        main.path.write_text('{"fail_load": "no luck"}')
        for pid in server.server.engine.pids():
            os.kill(pid, signal.SIGKILL)
        talker.send(1.0)
        status = talker.receive_until(Status)
        assert (status.level, status.from_level, status.reason) == (4, 0, "the provider failed")
        until(lambda: server.server.engine.model.name == "spare")
        talker.send(1.0)
        main.path.write_text("{}")
        until(lambda: server.server.engine.model.name == "main")
        until(lambda: server.metric("asrctl_level") == 0)
        done = talker.finish()
        assert talker.words == [f"w{n}" for n in range(6)]
        assert done.dropped_s == 0
        assert [status.level for status in talker.of(Status)][:2] == [4, 3]


def test_partials_of_the_mic_only(scripted: Scripted) -> None:
    """On the second rung the microphone still has partials, the system's audio none."""
    speech = pcm(np.concatenate((speak(range(25)), silence(0.8))))
    pool = PoolOptions(health=HEALTH)
    with running(options_for(scripted(), pool=pool)) as server:
        for source, some in (("mic", True), ("system", False)):
            with Talker(server.url, speech, source=source) as talker:
                less = replace(MEASURES[Level.SMALL_MODEL], interval_factor=1.0)
                server.call(partial(server.session.obey, less))
                talker.send(2.0)
                if some:
                    talker.receive_until(Partial)
                talker.send(2.0)
                talker.finish()
            assert bool(talker.of(Partial)) is some


async def test_the_load_counts_windows_at_a_time(tmp_path: Path) -> None:
    """A worker that decodes two at a time is half as busy with one."""
    spec = ModelSpec("scripted", tmp_path / "script", parallel=2)
    assert options_for(spec, pool=PoolOptions(workers=3)).width == 6
    shares = []
    for parallel in (1, 2):
        clock = [0.0]
        engine = Engine(options_for(replace(spec, parallel=parallel)), lambda clock=clock: clock[0])
        engine.meter.begin(Kind.FINAL)
        clock[0] = 1.0
        shares.append(engine.meter.load().share)
        await engine.close()
    assert shares[0] == 2 * shares[1] > 0
