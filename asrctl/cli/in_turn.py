"""Inputs that are listened to one after the other, here or by a server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from asrctl.audio.live import LiveSource
from asrctl.cli.live_view import LiveView
from asrctl.cli.sources import MICROPHONE
from asrctl.cli.tally import Tally
from asrctl.errors import EXIT_INTERRUPTED, AsrctlError, AudioError, OutputError


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is listened to, in this order.

    Attributes:
        names: What they are called.
        sources: What opens each.
        outputs: A file for each; None is standard output.
        skipped: Further inputs that were left out, since their transcripts exist; see `Tally`.
    """

    names: Sequence[str]
    sources: Sequence[Callable[[], LiveSource]]
    outputs: Sequence[Path | None]
    skipped: int | None = None


async def in_turn(
    inputs: Inputs, listen: Callable[[Callable[[], LiveSource], Path | None], Awaitable[int]], view: LiveView
) -> int:
    """Listen to each; one that fails does not keep the others from it. Returns the exit code.

    Args:
        inputs: What to listen to.
        listen: Transcribes one, and gives its exit code; any but 0 ends it.
        view: Where that is shown, and it is said what became of the inputs, if they are several.
    """
    tally = Tally(inputs.names, inputs.skipped)

    def left() -> str:
        go_on = "" if MICROPHONE in inputs.names else tally.how_to_go_on(inputs.outputs)
        return f"{tally.interrupted()}{go_on}"

    for index, (open_source, output) in enumerate(zip(inputs.sources, inputs.outputs, strict=True)):
        tally.begin(index)
        view.transcribed_s = 0.0
        failed, code = False, 0
        try:
            code = await listen(open_source, output)
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
