"""Inputs that are listened to one after the other, here or by a server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from asrctl.audio.live import LiveSource
from asrctl.cli.live_view import LiveView
from asrctl.cli.sources import MICROPHONE, whole_files
from asrctl.cli.tally import Tally
from asrctl.cli.task import Task
from asrctl.errors import EXIT_INTERRUPTED, AsrctlError, AudioError, OutputError


async def in_turn(
    task: Task, listen: Callable[[Callable[[], LiveSource], Task], Awaitable[int]], view: LiveView
) -> int:
    """Listen to the live source of a task, or to each of its inputs as fast as it gives audio.

    One that fails does not keep the others from it. Returns the exit code.

    Args:
        task: What to listen to.
        listen: Transcribes one, as a task with its output alone, and gives its exit code; any but 0 ends it.
        view: Where that is shown, and it is said what became of the inputs, if they are several.
    """
    files = whole_files(task.names, task.reading, view.inform)
    sources = [task.open_source] if task.open_source else files
    tally = Tally(task.names or [MICROPHONE], task.skipped)

    def left() -> str:
        go_on = tally.how_to_go_on(task.outputs) if task.names else tally.partial_text(task.outputs)
        return f"{tally.interrupted()}{go_on}"

    for index, (open_source, output) in enumerate(zip(sources, task.outputs, strict=True)):
        tally.begin(index)
        view.transcribed_s = 0.0
        failed, code = False, 0
        try:
            code = await listen(open_source, replace(task, outputs=[output]))
        except (AudioError, OutputError) as error:
            view.say(f"asrctl: error: {error}")
            failed = True
        except (AsrctlError, OSError):
            tally.at_s[index] = view.transcribed_s
            if tally.several:
                view.say(f"asrctl: stopped: {left()}")
            raise
        tally.at_s[index] = view.transcribed_s
        if code:
            if code == EXIT_INTERRUPTED:
                view.say(f"asrctl: interrupted: {left()}")
            return code
        tally.end(index, failed=failed)
    if tally.several:
        view.inform(f"asrctl: {tally.summary()}")
    return 1 if tally.failed else 0
