"""Voxtral processes that do not start, or die when they have: tried again, or given up, with the reason."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asrctl.errors import ProviderError
from asrctl.policy.backoff import BackoffOptions

from .ears import Ear, Stream, in_loop, request, until
from .voxtrals import closing, open_stream, pid_of, standin


async def lost(stream: Stream) -> str:
    """Why a stream broke."""
    return str((await stream.ear.wait_lost()).error)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ({"load_error": "vox_load: failed to load decoder"}, "exit code 1: vox_load: failed to load decoder"),
        ({"load_s": 60.0}, "taken no audio for 0.6 s"),
    ],
)
@in_loop
async def test_starts_that_fail_again_and_again_are_given_up(
    script: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    """As often as may be, with waits between; then it says so, at once and for good."""
    async with closing(standin(tmp_path, {"load_timeout_s": 0.6}, **script)) as voxtral:
        await until(lambda: voxtral.state.name == "GAVE_UP")
        with pytest.raises(ProviderError, match="given up after 3 failures in a row") as caught:
            await voxtral.wait_ready()
        assert reason in str(caught.value)
        assert (voxtral.starts, voxtral.pids()) == (3, [])
        with pytest.raises(ProviderError, match="given up"):
            voxtral.open(request(), Ear())


@in_loop
async def test_waiting_for_a_process_has_an_end(tmp_path: Path) -> None:
    """As long as loading may take; then the reason is what is known."""
    async with closing(standin(tmp_path, {"load_timeout_s": 0.2}, load_s=60.0)) as voxtral:
        with pytest.raises(ProviderError, match=r"still loading|taken no audio for 0\.2 s"):
            await voxtral.wait_ready()


@in_loop
async def test_between_failures_it_says_why_it_waits(tmp_path: Path) -> None:
    """While a start is being waited for, the last failure is the reason."""
    slow = BackoffOptions(first_s=60.0, max_s=60.0, max_attempts=3)
    async with closing(standin(tmp_path, restarts=slow, load_error="no memory")) as voxtral:
        await until(lambda: voxtral.state.name == "WAITING")
        with pytest.raises(ProviderError, match=r"starting again after it failed: .*no memory"):
            voxtral.open(request(), Ear())


@in_loop
async def test_a_process_that_dies_of_what_it_hears_is_given_up(tmp_path: Path) -> None:
    """Loading is no success: three deaths with nothing completed are three failures in a row."""
    async with closing(standin(tmp_path, faults={"w1": "exit"})) as voxtral:
        for _ in range(3):
            stream = await open_stream(voxtral)
            stream.utter(1)
            assert "exit code 3" in await lost(stream)
        await until(lambda: voxtral.state.name == "GAVE_UP")


@in_loop
async def test_an_utterance_done_forgives_earlier_deaths(tmp_path: Path) -> None:
    """Streams that work between the deaths keep it going, however many there are."""
    async with closing(standin(tmp_path)) as voxtral:
        for number in range(6):
            stream = await open_stream(voxtral)
            stream.utter(number)
            assert await stream.ear.wait_completed(1) == [f"w{number}"]
            os.kill(pid_of(stream), signal.SIGKILL)
            assert "signal 9" in await lost(stream)
            assert voxtral.state.name != "GAVE_UP"


@in_loop
async def test_processes_that_die_together_are_one_failure(tmp_path: Path) -> None:
    """As when the machine runs out of memory: more of them than failures in a row are allowed."""
    async with closing(standin(tmp_path, {"spares": 6})) as voxtral:
        await until(lambda: len(voxtral.pids()) == 6 and voxtral.state.name == "READY")
        first, *others = voxtral.pids()
        os.kill(first, signal.SIGKILL)
        await until(lambda: voxtral.starts > 6)
        for pid in others:  # some are noticed only after the next was started
            os.kill(pid, signal.SIGKILL)
            await until(lambda gone=pid: gone not in voxtral.pids())
        stream = await open_stream(voxtral)
        stream.utter(1)
        assert await stream.ear.wait_completed(1) == ["w1"]


def _cut_tensors(directory: Path) -> None:
    os.truncate(directory / "voxtral-model" / "consolidated.safetensors", 2_000_000_000)


def _cut_tokens(directory: Path) -> None:
    os.truncate(directory / "voxtral-model" / "tekken.json", 1000)


def _no_tokens(directory: Path) -> None:
    (directory / "voxtral-model" / "tekken.json").unlink()


def _other_machine(directory: Path) -> None:
    (directory / "voxtral").write_bytes(b"\x7fELF\xff\xff\xff\xff")


def _true(directory: Path) -> None:
    (directory / "voxtral").write_text("#!/bin/sh\nexit 0\n")


def _usage(directory: Path) -> None:
    usage = "an explanation of an option that is not one of ours; " * 20
    (directory / "voxtral").write_text(f"#!/bin/sh\necho 'Usage: other' '{usage}' >&2\nexit 2\n")


def _gone(directory: Path) -> None:
    (directory / "voxtral").unlink()


@pytest.mark.parametrize(
    ("harm", "starts", "reason"),
    [
        (_cut_tensors, 1, r"Failed to load .*cut off: it has 2,000,000,000 of at least 8,860"),
        (_cut_tokens, 1, r"Failed to load .*tekken\.json is cut off: it has 1,000"),
        (_no_tokens, 1, r"Failed to load .*tekken\.json is missing"),
        (_other_machine, 1, "built for another kind of machine"),
        (_true, 1, "ended with exit code 0"),
        (_usage, 2, "exit code 2"),  # the second without --monitor
        (_gone, 1, "there is no such program"),
    ],
)
@in_loop
async def test_what_would_fail_again_is_not_tried_again(
    harm: Callable[[Path], None], starts: int, reason: str, tmp_path: Path
) -> None:
    """Weights that are not whole and programs that are not voxtral are given up at once, with the reason."""
    voxtral = standin(tmp_path, load_error="" if harm is _cut_tensors else "cannot load")
    harm(tmp_path)
    async with closing(voxtral):
        with pytest.raises(ProviderError, match=reason):
            await voxtral.wait_ready()
        assert (voxtral.starts, voxtral.state.name) == (starts, "GAVE_UP")


@pytest.mark.parametrize("usage_lines", [1, 100])
@in_loop
async def test_a_program_from_before_monitor_is_used_without(usage_lines: int, tmp_path: Path) -> None:
    """However long its usage is, after which the refusal is far from the end of what it said."""
    async with closing(standin(tmp_path, no_monitor=True, usage_lines=usage_lines)) as voxtral:
        stream = await open_stream(voxtral)
        stream.utter(1)
        assert await stream.ear.wait_completed(1) == ["w1"]
        assert voxtral.starts == 3


@in_loop
async def test_a_program_that_cannot_be_started_for_the_moment_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fork that fails once, for want of processes or descriptors, does not end the provider."""
    spawn, failures = asyncio.create_subprocess_exec, [BlockingIOError(11, "try again"), OSError(24, "many")]

    async def failing(*arguments: Any, **keywords: Any) -> Any:
        if failures:
            raise failures.pop()
        return await spawn(*arguments, **keywords)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", failing)
    async with closing(standin(tmp_path)) as voxtral:
        await voxtral.wait_ready()
        assert voxtral.starts == 3
