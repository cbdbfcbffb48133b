"""Changing the model at work: no job is lost, and a model that does not load changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from asrctl.errors import ModelError, ProviderError
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.workers.switch import ModelSwitch
from asrctl_tests.scripted import speak

from .conftest import Script

PATIENCE_S = 30.0
SwitchOf = Callable[[ModelSpec], ModelSwitch]


@pytest.fixture
async def switch_of() -> AsyncIterator[SwitchOf]:
    """Makes switches that are closed at the end of the test."""
    made: list[ModelSwitch] = []

    def make(spec: ModelSpec) -> ModelSwitch:
        made.append(ModelSwitch(spec))
        return made[-1]

    yield make
    for switch in made:
        await switch.close()


async def word(switch: ModelSwitch, number: int) -> str:
    async with asyncio.timeout(PATIENCE_S):
        return (await switch.decode(speak([number]), DecodeOptions())).text


async def test_switching_loses_nothing(script: Script, switch_of: SwitchOf) -> None:
    """What is asked before, during and after the switch is decoded; the old model's worker is gone."""
    first, second = script(delay_s=0.02), script()
    switch = switch_of(first)
    await switch.wait_ready()
    (old_pid,) = switch.pids()
    asked = [asyncio.create_task(word(switch, 0))]
    await asyncio.sleep(0)
    switching = asyncio.create_task(switch.switch(second))
    while not switching.done():
        asked.append(asyncio.create_task(word(switch, len(asked))))
        await asyncio.wait([asked[-1]])
    await switching
    asked.append(asyncio.create_task(word(switch, len(asked))))
    assert [await each for each in asked] == [f"w{number}" for number in range(len(asked))]
    assert switch.spec == second and old_pid not in switch.pids() and switch.width == 1
    assert switch.inference_s > 0 and switch.load_s > 0


async def test_a_switch_forgets_no_lost_worker(script: Script, switch_of: SwitchOf) -> None:
    """What was counted of a model that is gone stays counted, and more comes on top."""
    first, second = (script(crash_on=["w7"], crashes=1) for _ in range(2))
    switch = switch_of(first)
    assert await word(switch, 7) == "w7"
    assert switch.restarts == 1
    await switch.switch(second)
    assert switch.restarts == 1
    assert await word(switch, 7) == "w7"
    assert switch.restarts == 2


async def test_a_switch_that_fails_changes_nothing(script: Script, switch_of: SwitchOf) -> None:
    """The error is told, the old model goes on, and nothing is left of the new one."""
    first = script()
    switch = switch_of(first)
    await switch.wait_ready()
    with pytest.raises(ModelError, match="broken"):
        await switch.switch(script(fail_load="broken"))
    assert switch.spec == first and len(switch.pids()) == 1
    assert await word(switch, 3) == "w3"


async def test_a_switch_that_is_cancelled_changes_nothing(script: Script, switch_of: SwitchOf) -> None:
    """While the new model loads."""
    first = script()
    switch = switch_of(first)
    await switch.wait_ready()
    switching = asyncio.create_task(switch.switch(script()))
    await asyncio.sleep(0)
    switching.cancel()
    await asyncio.gather(switching, return_exceptions=True)
    assert switch.spec == first and len(switch.pids()) == 1
    assert await word(switch, 3) == "w3"


async def test_switching_to_the_same_model_does_nothing(script: Script, switch_of: SwitchOf) -> None:
    """Nor does switching what is closed."""
    first = script()
    switch = switch_of(first)
    await switch.wait_ready()
    pids = switch.pids()
    await switch.switch(first)
    assert switch.pids() == pids
    await switch.close()
    await switch.switch(script())
    assert switch.spec == first and not switch.pids()


async def test_closing_while_a_model_loads_ends_both(script: Script) -> None:
    """The switch is told so, and no process is left."""
    async with ModelSwitch(script()) as switch:
        await switch.wait_ready()
        switching = asyncio.create_task(switch.switch(script()))
        await asyncio.sleep(0)
    with pytest.raises(ProviderError, match="closed"):
        await switching
    assert not switch.pids()
