"""A voxtral process as its parent sees it: pipes that never block, and how much of its input it has taken."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import struct
import subprocess
import termios
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from asrctl.errors import ProviderError

_READ_BYTES = 1 << 16
_MOST_BYTES = 1 << 20
_EXIT_GRACE_S = 1.0
_BAD_ARCHITECTURE = {errno.ENOEXEC, getattr(errno, "EBADARCH", errno.ENOEXEC)}


class VoxtralProcess:
    """A child of its own process group, so that Ctrl-C is ours alone. One thread's; a context manager.

    If we are killed, its input ends, and with it the child.
    """

    def __init__(self, command: Sequence[str]) -> None:
        """Start it.

        Raises:
            ProviderError: It is missing, not executable, or built for another machine.
        """
        # The reading end is kept: macOS counts what was not read yet at that end only.
        self._reader, self.stdin = os.pipe()
        try:
            self._child = subprocess.Popen(
                command,
                stdin=self._reader,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                process_group=0,
            )
        except OSError as error:
            os.close(self._reader)
            os.close(self.stdin)
            raise ProviderError(f"cannot run {command[0]}: {_reason(error)}") from error
        assert self._child.stdout and self._child.stderr
        self.stdout, self.stderr = self._child.stdout.fileno(), self._child.stderr.fileno()
        for descriptor in (self.stdin, self.stdout, self.stderr):
            os.set_blocking(descriptor, False)

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._child.pid

    def write(self, data: memoryview) -> int:
        """Put as much into its input as fits; returns how many bytes did."""
        try:
            return os.write(self.stdin, data)
        except BlockingIOError:
            return 0

    def unread_bytes(self) -> int:
        """How much of its input it has not taken yet."""
        count: int = struct.unpack("i", fcntl.ioctl(self._reader, termios.FIONREAD, bytes(4)))[0]
        return count

    def read(self, descriptor: int) -> tuple[bytes, bool]:
        """What it has printed to `stdout` or `stderr`, and whether it has closed it."""
        data = bytearray()
        while len(data) < _MOST_BYTES:
            try:
                piece = os.read(descriptor, _READ_BYTES)
            except BlockingIOError:
                return bytes(data), False
            if not piece:
                return bytes(data), True
            data += piece
        return bytes(data), False

    def obituary(self) -> str:
        """How it ended, once it has closed its output."""
        try:
            code = self._child.wait(_EXIT_GRACE_S)
        except subprocess.TimeoutExpired:
            return "voxtral closed its output"
        return f"voxtral was killed by signal {-code}" if code < 0 else f"voxtral ended with exit code {code}"

    def close(self) -> None:
        """Kill it with all it has started, reap it, and close the pipes."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: none but a zombie is left
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        assert self._child.stdout and self._child.stderr
        self._child.stdout.close()
        self._child.stderr.close()
        os.close(self._reader)
        os.close(self.stdin)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _reason(error: OSError) -> str:
    if error.errno in _BAD_ARCHITECTURE:
        return "it was built for another kind of machine, or is not a program"
    if isinstance(error, PermissionError):
        return "it is not executable"
    if isinstance(error, FileNotFoundError):
        return "there is no such program"
    return error.strerror or str(error)
