"""A server that was told no limit tries what the machine can do, and lets no more in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from asrctl.errors import ProviderError
from asrctl.providers.base import ModelSpec
from asrctl.server import load
from asrctl.server import server as module
from asrctl.server.engine import Engine
from asrctl.server.options import NamedModel
from asrctl.transcript import Hypothesis
from asrctl.workers.options import PoolOptions
from asrctl.workers.switch import ModelSwitch

from .servers import HEALTH, PATIENCE_S, Running, Talker, options_for, running, spoken, until

Scripted = Callable[..., ModelSpec]


def limit(server: Running) -> int:
    return server.call(lambda: server.server.hub.admission.limit)


def test_a_slow_model_gets_fewer_sessions(scripted: Scripted) -> None:
    """3 s of speech take it half a second: four sessions, not ten. The log says so."""
    with running(options_for(scripted(delay_s=0.5), tries_pace=True)) as server:
        until(lambda: "event=pace" in server.log.getvalue())
        assert limit(server) == 4
        assert "sessions=4 max_sessions=10" in server.log.getvalue()
        with Talker(server.url, b""):
            assert limit(server) == 4


def test_a_quick_model_gets_all(scripted: Scripted) -> None:
    """It is not slowed down by caution."""
    with running(options_for(scripted(), tries_pace=True)) as server:
        until(lambda: "event=pace" in server.log.getvalue())
        assert limit(server) == 10


@pytest.mark.parametrize("told", [True, False])
def test_a_limit_that_was_set_holds(scripted: Scripted, told: bool) -> None:
    """Nothing is tried; nor where a smaller model has another pace."""
    options = options_for(scripted(delay_s=0.5), tries_pace=not told)
    if not told:
        options = replace(options, models=replace(options.models, small=NamedModel("small", scripted())))
    with running(options) as server:
        assert limit(server) == 10
        assert server.call(lambda: server.server.engine.decoder.files_s) == 0.0
        assert "event=pace" not in server.log.getvalue()


def test_nobody_comes_in_before(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who wait for a server to start would else all be let in. A try that takes too long is enough."""

    async def pace(_: Engine, enough: float) -> float:
        await asyncio.sleep(PATIENCE_S)
        return enough

    monkeypatch.setattr(Engine, "pace", pace)
    monkeypatch.setattr(module, "_LONGEST_TRY_S", 1.0)
    with running(options_for(scripted(), tries_pace=True), ready=False) as server:
        until(lambda: server.call(lambda: server.server.engine.ready))
        status, body, _ = server.get("/ready")
        assert (status, json.loads(body)["reason"]) == (503, "the model is loading")
        server.wait_ready()
        assert limit(server) == 1
        assert "decode_s=1.000 sessions=1 max_sessions=10" in server.log.getvalue()


def test_all_workers_decode_at_once(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one does while the others rest says nothing of them all, where they share cores."""
    decode, at_work, most = ModelSwitch.decode, [0], [0]

    async def counted(switch: ModelSwitch, *what: Any) -> Hypothesis:
        at_work[0] += 1
        most[0] = max(*most, *at_work)
        try:
            return await decode(switch, *what)
        finally:
            at_work[0] -= 1

    monkeypatch.setattr(ModelSwitch, "decode", counted)
    pool = PoolOptions(workers=2, health=HEALTH)
    with running(options_for(scripted(delay_s=0.1), tries_pace=True, pool=pool)) as server:
        assert most == [2]
        assert limit(server) == 10


def test_it_is_tried_again(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was busy at the start is not for ever: later, while nobody is there, the machine may be quicker.

    A try that fails says nothing.
    """
    paces = [0.4, ProviderError("not now"), 0.9, 0.2, 0.01]

    async def pace(_: Engine, enough: float) -> float:
        assert enough == pytest.approx(0.08)  # ten sessions in 0.8 of the time
        now = paces.pop(0)
        if isinstance(now, ProviderError):
            raise now
        return now

    monkeypatch.setattr(Engine, "pace", pace)
    monkeypatch.setattr(module, "_TRIED_AGAIN_S", 0.01)
    with running(options_for(scripted(), tries_pace=True)) as server:
        until(lambda: not paces)
        until(lambda: limit(server) == 10)
        said = [line.split("decode_s=")[1] for line in server.log.getvalue().splitlines() if "=pace" in line]
    assert said == [
        "0.400 sessions=2 max_sessions=10",
        "0.200 sessions=4 max_sessions=10",
        "0.010 sessions=10 max_sessions=10",
    ]


def test_it_is_not_tried_while_somebody_speaks(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their speech would be slower for it, and so would the machine seem. In a long pause it is."""
    busy = list[float]()

    async def pace(engine: Engine, enough: float) -> float:
        busy.append(engine.meter.load().share)
        return 0.4

    monkeypatch.setattr(Engine, "pace", pace)
    monkeypatch.setattr(module, "_TRIED_AGAIN_S", 0.01)
    monkeypatch.setattr(module, "_TRIED_AGAIN_MAX_S", 0.01)
    monkeypatch.setattr(load, "_WINDOW_S", 0.5)
    options = options_for(scripted(delay_s=0.2), tries_pace=True)
    with running(options) as server, Talker(server.url, spoken(1, 2)) as talker:
        talker.finish()
        assert server.call(lambda: server.server.engine.meter.load().share) > 0
        before = len(busy)
        until(lambda: len(busy) > before)
    assert not any(busy)


def test_memory_is_given_back_while_sessions_go_on(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only when connections have gone."""
    given_back = list[int]()
    monkeypatch.setattr(module, "return_what_is_free", lambda: given_back.append(1))
    monkeypatch.setattr(module, "_BEAT_S", 0.01)
    with running(options_for(scripted())) as server, Talker(server.url, spoken(1)):
        given_back.clear()
        until(lambda: len(given_back) > 1)
