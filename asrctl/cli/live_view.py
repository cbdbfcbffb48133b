"""What a person sees of live audio: text that settles, level, lag; on no terminal, nothing."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from asrctl.cli.view import View, stdout_is_terminal
from asrctl.render.text import one_line

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.text import Text

REFRESH_S = 0.1
"""The view is drawn at most this often."""

_TEXT_LINES = 3
_METER_CELLS = 12
_METER_FLOOR_DB = -60.0
_LOUD_DB = -3.0
_LATE_S = 10.0
"""Lag that is shown as trouble: an utterance of ordinary length is pending for less."""
_ECHO_CELLS = 4
"""Left free at the end of a line, where terminals echo a Ctrl-C."""


@dataclass(frozen=True, slots=True)
class Status:
    """What the last line of the view says.

    Attributes:
        heard_s: Audio received so far.
        level_db: Its level now, in dB of full scale; minus infinity for digital silence.
        lag_s: Audio received that is neither text nor judged silence yet.
        note: What is going on besides, such as "loading the model"; may be empty.
    """

    heard_s: float
    level_db: float
    lag_s: float
    note: str


class LiveView(View):
    """Draws on standard error if that is a terminal."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, quiet: bool = False) -> None:
        """Prepare; `quiet` draws nothing and gives no summary."""
        super().__init__(quiet=quiet)
        self.transcribed_s = 0.0
        """How much of the source became text or was judged silence; set when it has ended."""
        self._clock = clock
        self._status = Status(0.0, -math.inf, 0.0, "")
        self._utterance = 0
        self._stable = ""
        self._unstable = ""
        self._drawn_s = -math.inf

    @property
    def shown(self) -> bool:
        """Whether there is something to be seen; partials are for it alone."""
        return self._drawn is not None

    @property
    def shares_terminal(self) -> bool:
        """Whether standard output is a terminal that the view is drawn on too."""
        return self.shown and stdout_is_terminal()

    def start(self) -> None:
        """Begin to draw, if standard error is a terminal that can move its cursor."""
        if self._quiet or not sys.stderr.isatty():
            return
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True)
        if console.is_dumb_terminal:
            return
        live = Live(
            self,
            console=console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        live.start()
        self._drawn = live

    def partial(self, utterance: int, stable: str, unstable: str) -> None:
        """What an open utterance seems to say."""
        self._utterance = utterance
        self._stable, self._unstable = one_line(stable), one_line(unstable)

    def ended(self, utterance: int) -> None:
        """An utterance is final, or lost: its partial goes, unless that of a later one is shown."""
        if utterance >= self._utterance:
            self._stable = self._unstable = ""

    def refresh(self, status: Status) -> None:
        """Draw, unless that was done a moment ago."""
        self._status = status
        now_s = self._clock()
        if self._drawn is not None and now_s - self._drawn_s >= REFRESH_S:
            self._drawn_s = now_s
            self._drawn.refresh()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Called by rich whenever it draws, also below a line that is printed: always the newest state."""
        yield picture(console, self._stable, self._unstable, self._status)

    def __enter__(self) -> Self:
        self.start()
        return self


def picture(console: Console, stable: str, unstable: str, status: Status) -> RenderableType:
    """The end of the open utterance, what may change dim, above the status; never more than a few lines."""
    from rich.console import Group
    from rich.text import Text

    text = Text.assemble(stable, " " if stable and unstable else "", (unstable, "dim"))
    lines = list(text.wrap(console, max(1, console.width - _ECHO_CELLS)))[-_TEXT_LINES:] if text else []
    for line in lines:
        line.rstrip()
    line = status_line(status, ascii_only=console.options.ascii_only)
    line.truncate(max(1, console.width - _ECHO_CELLS))
    return Group(*lines, line)


def status_line(status: Status, *, ascii_only: bool = False) -> Text:
    """Elapsed time, level meter, level, lag, note."""
    from rich.text import Text

    minutes, seconds = divmod(int(status.heard_s), 60)
    share = min(1.0, max(0.0, 1 - status.level_db / _METER_FLOOR_DB))
    cells = round(_METER_CELLS * share)
    full, empty = ("#", "-") if ascii_only else ("━", "─")
    colour = "red" if status.level_db > _LOUD_DB else "green"
    late = "red" if status.lag_s > _LATE_S else "dim"
    return Text.assemble(
        (f"{minutes:02}:{seconds:02} ", "dim"),
        (full * cells, colour),
        (empty * (_METER_CELLS - cells), "dim"),
        (f" {status.level_db:4.0f} dB", "dim"),
        (f"  lag {status.lag_s:4.1f} s", late),
        (f"  {status.note}" if status.note else "", "yellow"),
    )
