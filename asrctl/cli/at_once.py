"""Inputs that are transcribed one or several at once: which is next, Ctrl-C, and what became of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from asrctl.cli.interrupts import Interrupts
from asrctl.cli.tally import REPORT_S, Tally
from asrctl.cli.task import Task
from asrctl.cli.view import FileView
from asrctl.errors import EXIT_INTERRUPTED, AsrctlError, AudioError, NothingTranscribed, OutputError

Transcribe = Callable[[int, str, Path | None], Awaitable[None]]
"""Transcribes an input: its index, its name, and where its transcript goes."""

_LOOK_S = 5.0
"""How often it is looked whether more inputs may be under way."""


async def all_at_once(
    task: Task, tally: Tally, view: FileView, transcribe: Transcribe, jobs: Callable[[], int]
) -> int:
    """Transcribe all inputs; one that fails does not keep the others from it. Returns the exit code.

    An interrupt ends it; what was transcribed so far is written first, and it is said what was not.

    Args:
        task: What to transcribe.
        tally: Counts.
        view: Where progress is shown, and it is said what became of the inputs.
        transcribe: Transcribes one.
        jobs: How many may be under way; asked again now and then, and more are begun if it has grown.

    Raises:
        AsrctlError: What `transcribe` raised, other than of one input; the others are cancelled.
    """
    loop = asyncio.get_running_loop()
    run = _Run(task, tally, view, transcribe)
    work = asyncio.create_task(run.all(jobs), name="files")
    reporting = asyncio.create_task(_report(tally, view), name="report")

    def left() -> str:
        return f"{tally.interrupted()}{tally.how_to_go_on(task.outputs)}"

    with Interrupts(lambda: loop.call_soon_threadsafe(work.cancel)) as interrupts:
        try:
            await work
        except asyncio.CancelledError:
            if not interrupts.count:
                raise
            view.say(f"asrctl: interrupted: {left()}")
            return EXIT_INTERRUPTED
        except (AsrctlError, OSError):
            if tally.several:
                view.say(f"asrctl: stopped: {left()}")
            raise
        finally:
            reporting.cancel()
    if tally.several:
        view.inform(f"asrctl: {tally.summary()}")
    return 1 if tally.failed else 0


async def _report(tally: Tally, view: FileView) -> None:
    """Now and then say how far it is, where no bar shows it."""
    while True:
        await asyncio.sleep(REPORT_S)
        view.report(tally.progress())


class _Run:
    """The inputs of one task."""

    def __init__(self, task: Task, tally: Tally, view: FileView, transcribe: Transcribe) -> None:
        self._todo = enumerate(zip(task.names, task.outputs, strict=True))
        self._count = len(task.names)
        self._tally = tally
        self._view = view
        self._transcribe = transcribe

    async def all(self, jobs: Callable[[], int]) -> None:
        self._view.expect(self._count)
        runners: list[asyncio.Task[None]] = []
        under_way: set[asyncio.Task[None]] = set()
        try:
            while under_way or not runners:
                for number in range(len(runners), min(jobs(), self._count)):
                    runners.append(asyncio.create_task(self._some(), name=f"job {number + 1}"))
                done, under_way = await asyncio.wait(
                    runners, timeout=_LOOK_S, return_when=asyncio.FIRST_EXCEPTION
                )
                for runner in done:
                    runner.result()
        finally:
            for runner in runners:
                runner.cancel()
            await asyncio.gather(*runners, return_exceptions=True)

    async def _some(self) -> None:
        """Take inputs as long as there are some that nobody has taken."""
        for index, (name, output) in self._todo:
            self._tally.begin(index)
            failed = False
            try:
                await self._transcribe(index, name, output)
            except (AudioError, OutputError, NothingTranscribed) as error:
                if isinstance(error, NothingTranscribed) and self._count == 1:
                    raise  # for the exit code to tell why
                self._view.say(f"asrctl: error: {error}")
                failed = True
            self._tally.end(index, failed=failed)
            self._view.end(index)
