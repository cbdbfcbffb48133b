"""The process that hears the ends of turns, played by others, and the real one where its weights are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import psutil
import pytest

from asrctl.audio.files import open_audio
from asrctl.end_of_turn import process
from asrctl.end_of_turn.process import TurnProcess
from asrctl.models.store import ModelStore

from . import children

ASSETS = Path(process.__file__).parents[1] / "assets"
SECOND = np.zeros(16_000, np.float32)


@asynccontextmanager
async def listener(told: list[str], root: Path | None = None) -> AsyncIterator[TurnProcess]:
    """One that is closed at the end, and leaves no process behind."""
    found = TurnProcess(root, told.append)
    try:
        yield found
    finally:
        pids = found.pids()
        await found.close()
        assert not any(psutil.pid_exists(pid) for pid in pids) and not found.pids()


async def _asked_until_ended(found: TurnProcess) -> None:
    """Ask until nothing is known any more."""
    async with asyncio.timeout(30):
        while found._running is None or not found._running.done():
            assert await found.finished(SECOND) is None
            await asyncio.sleep(0.01)
    assert await found.finished(SECOND) is None


async def test_it_answers_each_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, also of several streams at once."""
    monkeypatch.setattr(process, "COMMAND", children.counting())
    monkeypatch.setattr(process, "_PATIENCE_S", 30.0)
    told: list[str] = []
    async with listener(told) as found:
        questions = (found.finished(np.resize(SECOND, count)) for count in (1000, 3000, 2000))
        assert await asyncio.gather(*questions) == [1.0, 3.0, 2.0]
    assert not told


async def test_a_late_answer_is_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asked goes on without, and the next question has its own answer."""
    monkeypatch.setattr(process, "COMMAND", children.slow())
    async with listener([]) as found:
        for patience_s, count, answer in ((30.0, 1000, 1.0), (0.05, 3000, None), (30.0, 2000, 2.0)):
            monkeypatch.setattr(process, "_PATIENCE_S", patience_s)
            assert await found.finished(np.resize(SECOND, count)) == answer


async def test_it_takes_few_questions_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One too many is answered at once: it is not known. So are all when it is closed."""
    monkeypatch.setattr(process, "COMMAND", children.loading_for_ever())
    monkeypatch.setattr(process, "_PATIENCE_S", 30.0)
    async with listener([]) as found:
        asked = [asyncio.create_task(found.finished(SECOND)) for _ in range(process._MOST_WAITING)]
        await asyncio.sleep(0)
        assert await found.finished(SECOND) is None
        assert not any(task.done() for task in asked)
    async with asyncio.timeout(10):
        assert await asyncio.gather(*asked) == [None] * len(asked)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (children.crashing(), "its process crashed (abort"),
        (children.failing(), "its process failed (exit code 1): out of order"),
        (children.refusing(), "no weights"),
        (children.babbling(), "its process sent nonsense"),
        (children.stuck(), "its process does not answer"),
        (("/nowhere/python",), "No such file"),
    ],
)
async def test_its_failure_is_said_once(
    command: tuple[str, ...], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From then on nothing is known; it is not started again."""
    monkeypatch.setattr(process, "COMMAND", command)
    monkeypatch.setattr(process, "_ANSWER_S", 0.5)
    told: list[str] = []
    async with listener(told) as found:
        await _asked_until_ended(found)
    (line,) = told
    assert line.startswith("the ends of turns are not heard: ") and reason in line


async def test_without_weights_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The real process, which finds no package, and no hub."""
    code = "import asrctl.models.package_weights as it; it.find_in_package = lambda *_: None; "
    code += "from asrctl.end_of_turn.child import main; main()"
    monkeypatch.setattr(process, "COMMAND", (process.sys.executable, "-c", code))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    told: list[str] = []
    async with listener(told, tmp_path) as found:
        await _asked_until_ended(found)
    assert "pip install 'asrctl[turn]' && pip install --no-deps pipecat-ai" in told[0]


if find_spec("pipecat"):  # else there is nothing to skip: it is no package of an extra

    @pytest.mark.integration
    async def test_the_real_network(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
        """What it says of a sentence, however loud, is what it said before; to it a synthetic voice
        sounds finished anywhere, so that no more can be tested with one."""
        monkeypatch.setattr(process, "_PATIENCE_S", 100.0)
        with open_audio(str(ASSETS / "monday.wav")) as audio:
            monday = np.concatenate([*audio])
        told: list[str] = []
        async with listener(told, store.root) as found:
            assert await found.finished(monday) == pytest.approx(0.987, abs=0.02)
            assert await found.finished(0.01 * monday) == pytest.approx(0.987, abs=0.02)
        assert not told
