"""The command `asrctl`: its sub-commands, and what each error becomes outside.

Exit codes are listed in help.py; a reader that goes away (`| head`) makes 1, quietly.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from asrctl import __version__
from asrctl.cli.help import EXIT_CODES, Commands
from asrctl.cli.interrupts import interrupt_at_signals
from asrctl.errors import AsrctlError

if TYPE_CHECKING:
    from asrctl.workers.standby import Standby

DEBUG_VARIABLE = "ASRCTL_DEBUG"
"""Set to anything, it has errors print their traceback too."""
EXIT_BUG = 70
"""EX_SOFTWARE of sysexits.h: not a failing input, but a mistake of ours."""

_HELP = """Local streaming speech recognition.

\b
Examples:
  asrctl transcribe meeting.mp3 --format srt
  asrctl transcribe recordings --recursive --output-dir transcripts
  asrctl transcribe --mic
  asrctl serve

`asrctl COMMAND --help` shows what a command can do.
"""

# Plain help: drawing it with rich takes 170 ms instead of 80 (2 cores, CPython 3.11, typer 0.29).
app = typer.Typer(
    name="asrctl",
    cls=Commands,
    help=_HELP,
    epilog=EXIT_CODES,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"asrctl {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main(args: Sequence[str] | None = None, standby: Standby | None = None) -> NoReturn:
    """Run a command line and exit; no exception but SystemExit leaves it.

    Args:
        args: `sys.argv` by default.
        standby: A worker process that was started already, for the command that needs one.
    """
    if sys.stderr is None:  # it was closed before we began (`2>&-`): what nobody takes is dropped
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    interrupt_at_signals()
    try:
        # It turns usage errors, interrupts and closed pipes into exits itself.
        app(args, prog_name="asrctl", obj=standby)
        code = 0
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else 0
    except Exception as error:
        code = _report(error)
    _settle_stdout()
    sys.exit(code)


def _report(error: Exception) -> int:
    """Say what went wrong in one line on stderr; give the exit code."""
    if os.environ.get(DEBUG_VARIABLE):
        import traceback

        traceback.print_exception(error)
    if isinstance(error, AsrctlError):
        message, code = str(error), error.exit_code
    elif isinstance(error, OSError):  # a fault of the machine, such as a full disk
        message, code = str(error), 1
    else:
        advice = f"this is a bug in asrctl: please report it with what {DEBUG_VARIABLE}=1 prints"
        message, code = f"{type(error).__name__}: {error}; {advice}", EXIT_BUG
    from asrctl.network.text import safe_text  # the message may quote a server, or a file's name

    print("asrctl: error:", " ".join(safe_text(message).split()), file=sys.stderr)
    return code


def _settle_stdout() -> None:
    """Write out what is left, or drop it where nobody takes it, so that Python's exit does not complain."""
    if sys.stdout is None:  # it was closed before we began
        return
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
