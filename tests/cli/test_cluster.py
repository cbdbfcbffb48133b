"""`--cluster`: what is refused, and what becomes of files that are transcribed elsewhere."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from asrctl.cli.batch import transcribe_on, work_of
from asrctl.cli.sources import InputOptions
from asrctl.cli.task import Task
from asrctl.cli.view import FileView
from asrctl.cluster.batch import Batch
from asrctl.cluster.work import Done, Failed, TaskLost, Work
from asrctl.errors import EXIT_INTERRUPTED, AsrctlError, AudioError, NothingTranscribed
from asrctl.settings import Settings
from asrctl.transcript import AudioAccount, Segment, Timing, Transcript
from tests.cluster.executors import Answer, Scripted

from .commands import run

WORK = Work(Settings(), open=lambda path: pytest.fail(path), version="0")


def done(path: str) -> Done:
    """A transcript that says which path it is of."""
    segment = Segment(0.0, 1.0, f"this is {Path(path).name}", 1.0)
    account = AudioAccount(32_000, 16_000, 8_000, 8_000)
    transcript = Transcript(path, "m", "p", "en", 2.0, (segment,), account, Timing(0, 0, 0))
    hint = "it has 2 audio tracks"
    return Done(transcript, warnings=("it is clipped",), lost=("dropped 0.5-1.0 s: refused",), hint=hint)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where transcripts go."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def request(folder: Path, *names: str) -> Task:
    """Inputs and their outputs."""
    return Task([*names], [folder / f"{name}.txt" for name in names], "txt", Settings())


async def transcribed(wanted: Task, slots: int = 1, **answers: Answer) -> tuple[int, Scripted]:
    """Run it; gives the exit code, and what was submitted."""
    executor = Scripted(slots, **answers)
    with FileView() as view:
        return await transcribe_on(Batch(WORK, executor), wanted, view), executor


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["a.wav", "--server", "ws://127.0.0.1:1"], "--cluster"),
        (["a.wav", "--jobs", "2"], "--jobs is of this machine"),
        (["a.wav", "--speakers", "auto"], "--speakers tells voices apart on this machine"),
        (["-"], "--cluster takes files"),
        (["a.wav", "--live"], "--cluster takes files"),
        (["a.wav", "b.wav"], "--cluster would mix the texts of several inputs"),
    ],
)
def test_what_does_not_go_together(
    arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A user's mistake is one line and exit code 2."""
    assert run("transcribe", *arguments, "--cluster", "local") == 2
    said = capsys.readouterr().err
    assert why in said and said.count("\n") == 1


def test_without_ray_it_is_said_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line."""
    monkeypatch.setattr("asrctl.cli.batch.find_spec", lambda name: None)
    assert run("transcribe", "a.wav", "--cluster", "local") == 2
    assert capsys.readouterr().err == "asrctl: error: --cluster needs Ray: pip install 'asrctl[ray]'\n"


async def test_each_result_is_written_once_and_whole(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also if its task was lost; the summary counts, and warnings are those of one machine."""
    losses = {"b": [TaskLost("gone")]}

    def answer(path: str) -> Done | TaskLost:
        lost = losses.get(Path(path).name)
        return lost.pop() if lost else done(path)

    code, executor = await transcribed(request(out, "a", "b", "c"), transcribe=answer)
    assert code == 0
    assert {path.name: path.read_text() for path in out.iterdir()} == {
        f"{name}.txt": f"this is {name}\n" for name in ("a", "b", "c")
    }
    assert [path for _, path in executor.submitted].count(os.path.abspath("b")) == 2
    said = capsys.readouterr().err
    assert "warning: a: it is clipped" in said and "warning: a: dropped 0.5-1.0 s: refused" in said
    assert "asrctl: a: it has 2 audio tracks\n" in said
    assert "3 of 3 inputs transcribed; 6.0 s of audio" in said
    assert "tasks lost with their process, and done again: 1" in said


async def test_a_result_that_is_half_written_has_not_its_name(out: Path) -> None:
    """So that --skip-existing does it again."""

    class Torn(FileView):
        def say(self, line: str) -> None:
            raise AsrctlError("no room")

    batch = Batch(WORK, Scripted(transcribe=done))
    with pytest.raises(AsrctlError, match="no room"):
        await transcribe_on(batch, request(out, "a"), Torn())
    assert [path.name for path in out.iterdir()] == ["a.txt.part"]


async def test_an_input_of_which_all_was_lost_gets_no_file(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told why, and the others go on; alone, it ends the run as elsewhere."""

    def answer(path: str) -> Done:
        if Path(path).name != "b":
            return done(path)
        account = AudioAccount(32_000, 0, 8_000, 24_000)
        transcript = Transcript(path, "m", "p", "en", 2.0, (), account, Timing(0, 0, 0))
        return Done(transcript, lost=("dropped 0.5-2.0 s: refused",))

    code, _ = await transcribed(request(out, "a", "b"), transcribe=answer)
    assert code == 1 and [path.name for path in out.iterdir()] == ["a.txt"]
    assert "asrctl: error: b: nothing could be transcribed: refused\n" in capsys.readouterr().err
    with pytest.raises(NothingTranscribed, match="refused"):
        await transcribed(request(out, "b"), transcribe=answer)


async def test_inputs_go_ahead_of_the_cluster_and_no_further(out: Path) -> None:
    """Two for each slot are under way, so that those who come later find work as well."""
    most, under_way = 0, 0

    async def slow(path: str) -> Done:
        nonlocal most, under_way
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.001)
        under_way -= 1
        return done(path)

    names = [str(n) for n in range(20)]
    code, executor = await transcribed(request(out, *names), slots=3, transcribe=slow)
    assert code == 0 and most == 6
    assert [Path(path).name for _, path in executor.submitted] == names


async def test_one_that_cannot_be_read_leaves_the_others(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1; nothing is written for it."""
    code, _ = await transcribed(
        request(out, "a", "b"),
        transcribe=lambda path: Failed(AudioError("host: b: no audio")) if path.endswith("b") else done(path),
    )
    assert code == 1
    assert [path.name for path in out.iterdir()] == ["a.txt"]
    said = capsys.readouterr().err
    assert "asrctl: error: host: b: no audio" in said and "1 of 2 inputs transcribed, 1 failed" in said


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one process")
async def test_an_interrupt_says_what_is_done(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is complete stays, nothing is half written, and the command with --skip-existing does the rest."""

    async def answer(path: str) -> Done:
        if path.endswith("b"):
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.Event().wait()
        return done(path)

    code, _ = await transcribed(request(out, "a", "b", "c", "d"), transcribe=answer)
    assert code == EXIT_INTERRUPTED
    assert "a.txt" in {path.name for path in out.iterdir()}
    assert not {"b.txt", "b.txt.part"} & {path.name for path in out.iterdir()}
    said = capsys.readouterr().err
    assert "interrupted: " in said and " of 4 inputs done" in said
    assert "; the same command with --skip-existing " in said


def test_machines_are_told_where_everything_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They run elsewhere: paths are absolute; one thread a task, and subtitles need the times of words."""
    monkeypatch.chdir(tmp_path)
    Path("model.bin").touch()
    reading = InputOptions(files={"left.wav": "Anna"})
    settings = Settings(model="model.bin", workers=4)
    ask: Callable[..., Task] = lambda **changes: Task(  # noqa: E731
        ["a.wav"], [None], "srt", settings.overridden(**changes), reading
    )
    work = work_of(ask())
    assert work.settings.model == str(tmp_path / "model.bin")
    assert (work.settings.workers, work.settings.threads, work.settings.word_timestamps) == (1, 1, True)
    assert work.open.keywords["options"].files == {str(tmp_path / "left.wav"): "Anna"}  # type: ignore[attr-defined]
    assert work_of(ask(model="base", threads=3)).settings.threads == 3
