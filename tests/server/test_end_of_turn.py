"""A server that hears whether pauses end turns: for whom, on which rung, and what if it cannot any more."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from asrctl.end_of_turn import process
from asrctl.policy.end_of_turn import TurnOptions
from asrctl.policy.ladder import MEASURES, Level
from asrctl.protocol.endpointing import Endpointing
from asrctl.protocol.messages import Final, ServerMessage, Start
from asrctl.protocol.server import Audio
from asrctl.protocol.session import ServerSession
from asrctl.server.session import Bounds, LiveSession, Surroundings
from asrctl.streaming.pooled import PooledRecognizer
from asrctl.streaming.stream import StreamOptions
from tests.end_of_turn import children
from tests.streaming.speech import LevelDetector
from tests.streaming.test_pauses import Ear

from .servers import PCM, Running, Talker, options_for, running, script, spoken, until
from .test_ladder import Counting

TURN = StreamOptions(turn=TurnOptions())
UNFINISHED_PAUSE = spoken(1, pause_s=0.4)
"""Shorter than what ends an utterance by itself."""


@pytest.fixture
def hearing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """A server for which everything sounds finished."""
    monkeypatch.setattr(process, "COMMAND", children.saying(1.0))
    monkeypatch.setattr(process, "_PATIENCE_S", 30.0)
    options = options_for(script(tmp_path / "script.json"), stream=TURN, turns_from=tmp_path)
    with running(options) as server:
        yield server


def test_what_sounds_finished_is_final_at_once(hearing: Running) -> None:
    """Also where a client wishes nothing; `/capabilities` says that it is heard."""
    assert json.loads(hearing.get("/capabilities")[1])["end_of_turn"] is True
    for wish in (None, Endpointing(end_of_turn=True)):
        with Talker(hearing.url, UNFINISHED_PAUSE, endpointing=wish) as talker:
            talker.send()
            assert talker.receive_until(Final).text == "w1"


def test_a_client_that_does_not_want_it(hearing: Running) -> None:
    """Its pauses are all alike: it ends the utterance itself."""
    wish = Endpointing(end_of_turn=False)
    with Talker(hearing.url, spoken(1, 2, pause_s=0.4), endpointing=wish) as talker:
        talker.finish()
    (final,) = talker.of(Final)
    assert final.text == "w1 w2"


def test_a_process_that_dies_is_told_of_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions go on with pauses that are all alike, and the process is not started again."""
    monkeypatch.setattr(process, "COMMAND", children.crashing())
    options = options_for(script(tmp_path / "script.json"), stream=TURN, turns_from=tmp_path)
    with running(options) as server:
        for _ in range(2):
            with Talker(server.url, spoken(1, 2)) as talker:
                talker.finish()
            assert talker.words == ["w1", "w2"]
        until(lambda: "event=turns.lost" in server.log.getvalue())
    assert server.log.getvalue().count("event=turns.lost") == 1
    assert "its process crashed" in server.log.getvalue()


@pytest.mark.parametrize("level", list(Level))
def test_under_load_pauses_are_not_heard(level: Level) -> None:
    """From the first rung on: that costs as much as a partial."""

    async def finals() -> tuple[int, int]:
        said: list[ServerMessage] = []
        ear, state = Ear(1.0, after_s=0.0), ServerSession("s", "t", Start(PCM), 10**9)
        recognizer = PooledRecognizer("counting", "words", Counting(), lambda: "here")
        surroundings = Surroundings(time.monotonic, said.append)
        session = LiveSession(state, LevelDetector(), TURN, recognizer, Bounds(), surroundings, ear)
        session.obey(MEASURES[level])
        for at in range(0, len(UNFINISHED_PAUSE), 1600):
            session.take(Audio(UNFINISHED_PAUSE[at : at + 1600], state.received))
            for _ in range(20):
                await asyncio.sleep(0)
        session.close()
        return ear.asked, sum(isinstance(each, Final) for each in said)

    assert asyncio.run(finals()) == ((1, 1) if level is Level.NORMAL else (0, 0))


def test_by_default_nobody_hears_them(tmp_path: Path) -> None:
    """No process, and no difference."""
    options = options_for(script(tmp_path / "script.json"))
    assert options.turns_from is None and options.stream.turn is None
    with running(options) as server:
        assert server.server.hub.turns is None
        assert json.loads(server.get("/capabilities")[1])["end_of_turn"] is False
