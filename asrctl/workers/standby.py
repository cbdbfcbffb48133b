"""Starting a worker process, without asyncio: it begins to import while its parent still does."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence

COMMAND = [sys.executable, "-P", "-m", "asrctl.workers.child"]
"""A worker; -P, so that nothing in the working directory is imported."""

_ENVIRONMENT = {
    # OpenMP's threads wait for each other after every small step. If they spin for long, they starve each
    # other as soon as anything else runs; if they sleep at once, waking takes long even when nothing does.
    "GOMP_SPINCOUNT": "1000",
    "OPENBLAS_NUM_THREADS": "1",  # numpy only carries the samples there
    "PYTHONUNBUFFERED": "",
}


def environment() -> dict[str, str]:
    """What a worker gets: all but the keys to servers, which it has no use for."""
    inherited = {name: value for name, value in os.environ.items() if not name.endswith("API_KEY")}
    return {**_ENVIRONMENT, **inherited}


class Standby:
    """A worker process that is started before it is known what it is to load.

    Where pipes cannot be handed to an event loop later (Windows) there is none.
    """

    def __init__(self, command: Sequence[str] = COMMAND, **variables: str) -> None:
        """Start the process.

        Args:
            command: Something that talks as a worker does.
            **variables: Added to its environment.
        """
        self._process: subprocess.Popen[bytes] | None = None
        if os.name == "posix":
            with contextlib.suppress(OSError):  # who starts the next one will see it
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    bufsize=0,
                    env={**environment(), **variables},
                )

    def take(self) -> subprocess.Popen[bytes] | None:
        """The process, for the first who asks; None for all others."""
        process, self._process = self._process, None
        return process

    def close(self) -> None:
        """End the process if nobody took it."""
        if (process := self.take()) is not None:
            process.kill()
            process.communicate()
