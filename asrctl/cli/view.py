"""What a person sees on the terminal while something long goes on; on no terminal, nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.live import Live
    from rich.progress import Progress, TaskID

    from asrctl.models.files import Progress as BytesProgress


def stdout_is_terminal() -> bool:
    """Whether standard output is one; it may have been closed before we began (`>&-`)."""
    return sys.stdout is not None and sys.stdout.isatty()


@contextmanager
def bytes_progress() -> Iterator[BytesProgress | None]:
    """A bar for bytes (a model that is fetched or made), drawn once there is some; None if no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    bars: dict[str, TaskID] = {}
    drawn: list[Progress] = []

    def progress(what: str, done_bytes: int, total_bytes: int | None) -> None:
        if not drawn:
            drawn.append(_bytes_bar())
        if what not in bars:
            bars[what] = drawn[0].add_task(what, total=total_bytes)
        drawn[0].update(bars[what], completed=done_bytes)

    try:
        yield progress
    finally:
        for bar in drawn:
            bar.stop()


class View:
    """Lines that a person is told on standard error, above what is drawn there.

    Where the transcript goes to the same terminal, give it to `write`, so that it scrolls by above that too.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        """Prepare; `quiet` draws nothing and gives no summary."""
        self._quiet = quiet
        self._drawn: Progress | Live | None = None

    def write(self, text: str) -> None:
        """Print text above what is drawn."""
        if self._drawn is None:
            sys.stdout.write(text)
            sys.stdout.flush()
        else:
            self._drawn.console.print(text, end="", markup=False, highlight=False, soft_wrap=True)

    def say(self, line: str) -> None:
        """Print a line on standard error."""
        if self._drawn is None:
            print(line, file=sys.stderr)
        else:
            self._drawn.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def report(self, line: str) -> None:
        """Say how far it is, where nothing that is drawn shows it."""
        if self._drawn is None:
            self.inform(f"asrctl: {line}")

    def inform(self, line: str) -> None:
        """Say what nobody needs to act on."""
        if not self._quiet:
            self.say(line)

    def close(self) -> None:
        """Remove what is drawn."""
        if self._drawn is not None:
            self._drawn.stop()
            self._drawn = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class FileView(View):
    """The progress of inputs: how much of each is done, how fast, how many there are."""

    def __init__(self, *, quiet: bool = False) -> None:
        """Prepare; `quiet` shows no progress and no summary."""
        super().__init__(quiet=quiet)
        self._bar: Progress | None = None
        self._tasks: dict[int, TaskID] = {}
        self._all: TaskID | None = None
        self._expected = 1

    @property
    def shares_terminal(self) -> bool:
        """Whether standard output is a terminal that the bars are drawn on too."""
        return stdout_is_terminal() and sys.stderr.isatty()

    def expect(self, inputs: int) -> None:
        """So many will be started; a bar over all of them is shown if they are several."""
        self._expected = inputs

    def start(self, index: int, name: str, duration_s: float | None) -> None:
        """Show a bar for an input; `duration_s` is None if unknown."""
        if self._quiet or not sys.stderr.isatty():
            return
        if self._bar is None:
            self._drawn = self._bar = _audio_bar()
            if self._expected > 1:
                self._all = self._bar.add_task("all inputs", total=self._expected, counted=True)
        self._tasks[index] = self._bar.add_task(name, total=duration_s, counted=False)

    def advance(self, index: int, done_s: float) -> None:
        """So many seconds of the input are transcribed."""
        if self._bar is not None and index in self._tasks:
            self._bar.update(self._tasks[index], completed=done_s)

    def end(self, index: int) -> None:
        """The input is finished with."""
        if self._bar is None:
            return
        if index in self._tasks:
            self._bar.remove_task(self._tasks.pop(index))
        if self._all is not None:
            self._bar.advance(self._all)


def _bytes_bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    # Lines written to a redirected standard output must go there, and not to the bar's terminal.
    redirect = stdout_is_terminal()
    bar = Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=redirect)
    bar.start()
    return bar


def _audio_bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class SpeedColumn(ProgressColumn):
        """Seconds of audio transcribed per second: "x real time"."""

        def render(self, task: Task) -> Text:
            if task.fields["counted"]:
                return Text(f"{task.completed:.0f} of {task.total:.0f}")
            if not task.completed or not task.elapsed:
                return Text("loading", style="dim")
            return Text(f"{task.completed / task.elapsed:.1f} x real time")

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        SpeedColumn(),
        TimeRemainingColumn(compact=True),
    )
    console = Console(stderr=True)
    # Lines written to a redirected standard output must go there, and not to the bar's terminal.
    bar = Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=True)
    bar.start()
    return bar
