"""The live view: what it draws, how often, and that finals leave no doubles behind."""

from __future__ import annotations

import io
import math
import sys

import pytest
from rich.console import Console

from asrctl.cli.live_view import LiveView, Status, picture, status_line

STATUS = Status(heard_s=65.4, level_db=-20.0, lag_s=1.25, note="")


class Terminal(io.StringIO):
    """Takes what is drawn."""

    def isatty(self) -> bool:
        return True

    def taken(self) -> str:
        """What was drawn since the last time."""
        text = self.getvalue()
        self.seek(0)
        self.truncate()
        return text


class Clock:
    """Stands still until it is set."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def attached(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal of 60 columns that is standard output and standard error from now on."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "60")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "stdout", terminal)
    return terminal


def drawn(stable: str, unstable: str, width: int = 40, status: Status = STATUS) -> list[str]:
    """The lines of a picture."""
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(picture(console, stable, unstable, status))
    return captured.get().splitlines()


def test_the_status_says_time_level_and_lag() -> None:
    """In one line, with the note at its end."""
    assert str(status_line(STATUS)) == "01:05 ━━━━━━━━────  -20 dB  lag  1.2 s"
    loading = Status(0.0, -math.inf, 0.0, "loading the model")
    assert str(status_line(loading)) == "00:00 ──────────── -inf dB  lag  0.0 s  loading the model"


def test_levels_beyond_the_meter_fill_or_empty_it() -> None:
    """From -60 dB to full scale."""
    assert str(status_line(Status(0, 3.0, 0, ""))).count("━") == 12
    assert str(status_line(Status(0, -90.0, 0, ""))).count("━") == 0
    assert "####" in str(status_line(STATUS, ascii_only=True))


def test_what_may_change_is_dim() -> None:
    """And what will not is not."""
    console = Console(file=io.StringIO(), width=40, force_terminal=True, color_system="standard")
    with console.capture() as captured:
        console.print(picture(console, "so it is", "done", STATUS))
    assert captured.get().splitlines()[0] == "so it is \x1b[2mdone\x1b[0m"


@pytest.mark.parametrize("width", [1, 3, 20, 40, 200])
def test_the_picture_stays_small(width: int) -> None:
    """The end of a long text, in a few lines that leave room for the echo of a Ctrl-C."""
    lines = drawn(" ".join(f"word{n}" for n in range(200)), "and the end", width)
    assert len(lines) <= 4
    assert all(len(line) <= max(1, width - 4) for line in lines)
    if width >= 20:
        assert lines[-2].endswith("the end") and lines[-1].startswith("01:05")


def test_no_text_is_no_line() -> None:
    """Only the status is there in silence."""
    assert len(drawn("", "")) == 1


def test_without_a_terminal_nothing_is_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    """Text goes to standard output, lines to standard error, and that is all."""
    with LiveView() as view:
        assert not view.shown and not view.shares_terminal
        view.partial(0, "so", "it")
        view.refresh(STATUS)
        view.write("so it is\n")
        view.say("warning")
    assert capsys.readouterr() == ("so it is\n", "warning\n")


def test_a_terminal_that_cannot_move_its_cursor_gets_no_view(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would fill with status lines."""
    terminal = attached(monkeypatch)
    monkeypatch.setenv("TERM", "dumb")
    with LiveView() as view:
        view.refresh(STATUS)
        assert not view.shown
    assert terminal.taken() == ""


def test_it_is_drawn_ten_times_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it is asked to."""
    terminal = attached(monkeypatch)
    clock = Clock()
    with LiveView(clock) as view:
        view.refresh(STATUS)
        assert "01:05" in terminal.taken()
        clock.now_s = 0.09
        view.refresh(STATUS)
        assert terminal.taken() == ""
        clock.now_s = 0.11
        view.refresh(STATUS)
        assert "01:05" in terminal.taken()


def test_a_final_takes_the_place_of_its_partial(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is printed above the view, in which its partial is not seen any more."""
    terminal = attached(monkeypatch)
    with LiveView(Clock()) as view:
        assert view.shares_terminal
        view.partial(0, "so it", "was")
        view.refresh(STATUS)
        assert "so it" in terminal.taken()
        view.ended(0)
        view.write("so it is\n")
        written = terminal.taken()
    assert written.count("so it") == 1 and "was" not in written
    assert written.index("so it is") < written.index("01:05")


def test_a_late_final_leaves_the_next_partial_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next utterance is open already when the one before becomes final."""
    terminal = attached(monkeypatch)
    with LiveView(Clock()) as view:
        view.partial(1, "next", "one")
        view.ended(0)
        view.write("so it is\n")
        assert "next" in terminal.taken()


def test_control_characters_do_not_reach_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recogniser may say anything."""
    terminal = attached(monkeypatch)
    with LiveView(Clock()) as view:
        terminal.taken()
        view.partial(0, "a\x1b[31mb\nc", "\x07d")
        view.refresh(STATUS)
        written = terminal.taken()
    assert "a [31mb c" in written and "\x07" not in written


def test_nothing_remains_of_the_view(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is erased at the end, and the cursor is back."""
    terminal = attached(monkeypatch)
    with LiveView(Clock()) as view:
        view.partial(0, "so", "it")
        view.refresh(STATUS)
        terminal.taken()
    written = terminal.taken()
    _, cursor, after = written.partition("\x1b[?25h")
    assert cursor and after.count("\x1b[2K") == 2 and "so" not in after
