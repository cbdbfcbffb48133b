"""`python -m asrctl`, and the console script."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asrctl.workers.standby import Standby

_NEEDS_NO_WORKER = frozenset({"-h", "--help", "--list-devices", "--server"})


def main() -> None:
    """Run the command line.

    A transcription needs a worker, and so does a server; it takes a fifth of a second to start, and does so
    while this process imports the command line and reads its arguments. Ctrl-C is heeded once both are there,
    so that no half-started process is left behind.
    """
    early: list[int] = []
    heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # ignored in the background
    if heeded:
        signal.signal(signal.SIGINT, lambda number, _frame: early.append(number))
    standby = _standby(sys.argv[1:])
    try:
        from asrctl.cli.main import main
        from asrctl.errors import EXIT_INTERRUPTED, INTERRUPTED

        try:
            if heeded:
                signal.signal(signal.SIGINT, signal.default_int_handler)
            if early:
                raise KeyboardInterrupt
            main(standby=standby)
        except KeyboardInterrupt:
            print(INTERRUPTED, file=sys.stderr)
            sys.exit(EXIT_INTERRUPTED)
    finally:
        if standby is not None:
            standby.close()


def _standby(arguments: Sequence[str]) -> Standby | None:
    if arguments[:1] not in (["transcribe"], ["serve"]) or _NEEDS_NO_WORKER.intersection(arguments):
        return None
    from asrctl.workers.standby import Standby

    return Standby()


if __name__ == "__main__":
    main()
