"""Voxtral when something is wrong with it: it is noticed, said with the reason, and cleaned up."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asrctl.errors import ProviderError
from asrctl.providers.recognizer import Spoken
from asrctl.providers.voxtral.dialogue import Dialogue
from asrctl.transcript import SAMPLE_RATE_HZ
from asrctl_tests.scripted import speak

from .ears import Stream, in_loop, request, until, words
from .voxtral_standin import install, make_weights
from .voxtrals import closing, is_gone, is_over, open_stream, pid_of, standin


async def lost(stream: Stream) -> str:
    """Why a stream broke."""
    return str((await stream.ear.wait_lost()).error)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("kill", "killed by signal 9: about to kill"),
        ("exit", "exit code 3: about to exit"),
        ("hang", "taken no audio for 0.3 s: about to hang"),
        ("rubbish", "not text: about to rubbish"),
        ("flood", "more than the audio can hold: about to flood"),
    ],
)
@in_loop
async def test_a_process_that_goes_wrong_is_lost_with_its_last_words(
    fault: str, reason: str, tmp_path: Path
) -> None:
    """Reason, end of stderr and the utterance to blame are said; the process is killed and reaped."""
    async with closing(standin(tmp_path, {"stall_timeout_s": 0.3}, faults={"w5": fault})) as voxtral:
        stream = await open_stream(voxtral)
        pid = pid_of(stream)
        stream.utter(1, 2, 3)
        assert await stream.ear.wait_completed(1) == ["w1 w2 w3"]
        stream.feed(np.concatenate([speak([4, 5]), np.zeros(8 * SAMPLE_RATE_HZ, np.float32)]))
        stream.end()
        assert reason in await lost(stream)
        assert stream.ear.lost and stream.ear.lost.utterance == 1
        await until(lambda: is_gone(pid))
        stream.utter(6)
        stream.close()


@in_loop
async def test_a_killed_process_costs_its_own_stream_only(tmp_path: Path) -> None:
    """The other stream goes on, and a new one finds a process again; no utterance is to blame."""
    async with closing(standin(tmp_path, {"spares": 2})) as voxtral:
        streams = [await open_stream(voxtral), await open_stream(voxtral)]
        os.kill(pid_of(streams[0]), signal.SIGKILL)
        assert "signal 9" in await lost(streams[0])
        assert streams[0].ear.lost and streams[0].ear.lost.utterance is None
        streams[1].utter(1)
        assert await streams[1].ear.wait_completed(1) == ["w1"]
        third = await open_stream(voxtral)
        third.utter(2)
        assert await third.ear.wait_completed(1) == ["w2"]


@in_loop
async def test_a_spare_that_dies_is_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody is given a dead one, and it is logged."""
    async with closing(standin(tmp_path)) as voxtral:
        await voxtral.wait_ready()
        (pid,) = voxtral.pids()
        os.kill(pid, signal.SIGKILL)
        await until(lambda: voxtral.starts == 2)
        stream = await open_stream(voxtral)
        assert pid_of(stream) != pid
        stream.utter(1)
        assert await stream.ear.wait_completed(1) == ["w1"]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "voxtral was killed by signal 9; another process is started" in record.message


@in_loop
async def test_feeding_never_waits_for_a_process_that_does_not_read(tmp_path: Path) -> None:
    """Half a minute of audio, far more than a pipe holds, is taken while the process is stopped."""
    async with closing(standin(tmp_path, {"stall_timeout_s": 60.0})) as voxtral:
        stream = await open_stream(voxtral)
        os.kill(pid_of(stream), signal.SIGSTOP)
        stream.utter(*range(150))
        await asyncio.sleep(0)
        assert not stream.ear.spoken
        os.kill(pid_of(stream), signal.SIGCONT)
        assert await stream.ear.wait_completed(1) == [words(range(150))]


@in_loop
async def test_a_process_that_cannot_keep_up_is_lost_before_memory_is(tmp_path: Path) -> None:
    """What waits for it is bounded."""
    async with closing(standin(tmp_path, {"max_waiting_s": 5.0, "stall_timeout_s": 60.0})) as voxtral:
        stream = await open_stream(voxtral)
        pid = pid_of(stream)
        os.kill(pid, signal.SIGSTOP)
        for _ in range(3):
            stream.utter(*range(20))
            await asyncio.sleep(0.01)
        assert "more than 5 s behind" in await lost(stream)
        await until(lambda: is_gone(pid))


@in_loop
async def test_nothing_is_said_after_close(tmp_path: Path) -> None:
    """Not what was under way, and not that the process is gone."""
    async with closing(standin(tmp_path, step_s=0.01)) as voxtral:
        stream = await open_stream(voxtral)
        pid = pid_of(stream)
        stream.utter(*range(50))
        await stream.ear.wait(lambda: stream.ear.spoken)
        stream.close()
        said = len(stream.ear.spoken)
        await until(lambda: is_gone(pid))
        assert len(stream.ear.spoken) == said
        stream.close()
        stream.utter(1)


@in_loop
async def test_a_stream_can_be_closed_by_what_it_says(tmp_path: Path) -> None:
    """`close` from within `say` neither waits for itself nor lets more be said."""
    async with closing(standin(tmp_path)) as voxtral:
        await voxtral.wait_ready()
        said = list[Spoken]()

        def say(spoken: Spoken) -> None:
            said.append(spoken)
            stream.close()

        stream = voxtral.open(request(), say)
        stream.feed(speak(range(20)))
        stream.end()
        pid = stream.pid
        await until(lambda: said and is_gone(pid))
        assert len(said) == 1


@in_loop
async def test_closing_leaves_no_process(tmp_path: Path) -> None:
    """Neither streams nor spares nor those that still load are left, nor threads, tasks or pipes."""
    before, threads = len(os.listdir("/dev/fd")), threading.active_count()
    voxtral = standin(tmp_path, {"spares": 3}, load_s=0.1)
    stream = await open_stream(voxtral)
    stream.feed(speak(range(10)))
    pids = voxtral.pids()
    await voxtral.close()
    assert pids
    assert all(is_gone(pid) for pid in pids)
    await until(lambda: threading.active_count() <= threads)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert len(os.listdir("/dev/fd")) <= before + 1  # asyncio's own for child processes
    with pytest.raises(ProviderError, match="closed"):
        await voxtral.wait_ready()


@in_loop
async def test_whoever_waits_is_told_that_it_is_closed(tmp_path: Path) -> None:
    """`close` ends `wait_ready`."""
    voxtral = standin(tmp_path, load_s=60.0)
    waiting = asyncio.create_task(voxtral.wait_ready())
    await asyncio.sleep(0)
    await voxtral.close()
    with pytest.raises(ProviderError, match="closed"):
        await waiting


def test_processes_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    """kill -9 of the parent: their input ends, and so do they, the busy one and the spare."""
    program, weights = install(tmp_path), make_weights(tmp_path / "voxtral-model")
    code = (
        "import asyncio\nfrom pathlib import Path\nimport numpy as np\n"
        "from asrctl.providers.base import DecodeOptions\n"
        "from asrctl.providers.recognizer import StreamRequest\n"
        "from asrctl.providers.voxtral.recognizer import Voxtral\n"
        "async def main():\n"
        f"    voxtral = Voxtral(Path({str(program)!r}), Path({str(weights)!r}))\n"
        "    await voxtral.wait_ready()\n"
        "    stream = voxtral.open(StreamRequest(DecodeOptions()), print)\n"
        "    stream.feed(np.full(16000, 0.2, np.float32))\n    await voxtral.wait_ready()\n"
        "    print(*voxtral.pids(), flush=True)\n    await asyncio.sleep(60)\n"
        "asyncio.run(main())"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        parent.kill()
    assert len(pids) == 2

    async def wait() -> None:
        await until(lambda: all(is_over(pid) for pid in pids))

    asyncio.run(wait())


@in_loop
async def test_a_mistake_of_ours_is_no_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong in the task that talks to the process, the stream is told that it is lost."""
    async with closing(standin(tmp_path)) as voxtral:
        stream = await open_stream(voxtral)
        pid = pid_of(stream)

        def broken(*_: Any) -> list[Spoken]:
            raise ZeroDivisionError("a mistake")

        monkeypatch.setattr(Dialogue, "advance", broken)
        stream.utter(1)
        assert "voxtral failed: ZeroDivisionError: a mistake" in await lost(stream)
        monkeypatch.undo()
        await until(lambda: is_gone(pid))


@in_loop
async def test_lost_is_said_once_and_last(tmp_path: Path) -> None:
    """Utterances that were waiting are not completed after it; the one it died of is named."""
    async with closing(standin(tmp_path, faults={"w3": "kill"})) as voxtral:
        stream = await open_stream(voxtral)
        for number in range(1, 6):
            stream.utter(number)
        end = await stream.ear.wait_lost()
        assert stream.ear.texts == ["w1", "w2"] and end.utterance == 2
        said = len(stream.ear.spoken)
        await voxtral.wait_ready()
        assert len(stream.ear.spoken) == said
