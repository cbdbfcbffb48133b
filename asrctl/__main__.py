"""`python -m asrctl`, and the console script."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asrctl.workers.standby import Standby

_NEEDS_NO_WORKER = frozenset({"-h", "--help", "--list-devices", "--server"})


def main() -> None:
    """Run the command line.

    A transcription needs a worker, and so does a server; it takes a fifth of a second to start, and does so
    while this process imports the command line and reads its arguments.
    """
    standby = _standby(sys.argv[1:])
    try:
        from asrctl.cli.main import main

        main(standby=standby)
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
