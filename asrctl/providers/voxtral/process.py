"""A voxtral process as its parent sees it: pipes that never block, and how much of its input it has taken."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import signal
import struct
import termios
from collections.abc import Callable, Sequence
from typing import Self

from asrctl.errors import ProviderError

_READ_BYTES = 1 << 16
_MOST_BYTES = 1 << 20
_EXIT_GRACE_S = 1.0
_REAP_S = 5.0
_BAD_ARCHITECTURE = {errno.ENOEXEC, getattr(errno, "EBADARCH", errno.ENOEXEC)}


class VoxtralProcess:
    """A child of its own process group, so that Ctrl-C is ours alone; made by `start`.

    If we are killed, its input ends, and with it the child. The pipes are read and written directly, not by
    asyncio's streams: what it has printed must be read after it was seen how much input it has taken.
    """

    def __init__(self, child: asyncio.subprocess.Process, reader: int, ours: tuple[int, int, int]) -> None:
        self._child = child
        # The reading end of its input is kept: macOS counts what was not read yet at that end only.
        self._reader = reader
        self.stdin, self.stdout, self.stderr = ours
        self._loop = asyncio.get_running_loop()
        for descriptor in ours:
            os.set_blocking(descriptor, False)

    @classmethod
    async def start(cls, command: Sequence[str]) -> Self:
        """Start it.

        Raises:
            ProviderError: It is missing, not executable, or built for another machine.
            OSError: It cannot be started now, such as for want of processes or descriptors.
        """
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            reader, stdin = _pipe(ours, ours)
            stdout, out = _pipe(ours, theirs)
            stderr, err = _pipe(ours, theirs)
            try:
                child = await asyncio.create_subprocess_exec(
                    *command, stdin=reader, stdout=out, stderr=err, process_group=0
                )
            except OSError as error:
                if reason := _why_never(error):
                    raise ProviderError(f"cannot run {command[0]}: {reason}") from error
                raise
            ours.pop_all()
        return cls(child, reader, (stdin, stdout, stderr))

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        """Its exit code, or minus the signal; None while it runs."""
        return self._child.returncode

    def watch(self, wake: Callable[[], object]) -> None:
        """Call `wake` whenever it has printed something."""
        self._loop.add_reader(self.stdout, wake)
        self._loop.add_reader(self.stderr, wake)

    def write(self, data: memoryview) -> int:
        """Put as much into its input as fits; returns how many bytes did."""
        try:
            return os.write(self.stdin, data)
        except BlockingIOError:
            return 0

    def when_writable(self, wake: Callable[[], object] | None) -> None:
        """Call `wake` when its input has room; None to call nothing."""
        if wake is None:
            self._loop.remove_writer(self.stdin)
        else:
            self._loop.add_writer(self.stdin, wake)

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
                self._loop.remove_reader(descriptor)  # or it would be called for ever
                return bytes(data), True
            data += piece
        return bytes(data), False

    async def exit_reason(self) -> str:
        """How it ended, once it has closed its output."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_EXIT_GRACE_S):
                await self._child.wait()
        code = self._child.returncode
        if code is None:
            return "voxtral closed its output"
        return f"voxtral was killed by signal {-code}" if code < 0 else f"voxtral ended with exit code {code}"

    def kill(self) -> None:
        """Kill it with all it has started."""
        if self._child.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: only a zombie is left
                os.killpg(self._child.pid, signal.SIGKILL)

    async def close(self) -> None:
        """Kill it, close the pipes, and reap it."""
        self.kill()
        for descriptor in (self.stdout, self.stderr):
            self._loop.remove_reader(descriptor)
        self._loop.remove_writer(self.stdin)
        for descriptor in (self._reader, self.stdin, self.stdout, self.stderr):
            os.close(descriptor)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_REAP_S):
                await self._child.wait()


def _pipe(reading: contextlib.ExitStack, writing: contextlib.ExitStack) -> tuple[int, int]:
    """A pipe, and who closes its ends."""
    reader, writer = os.pipe()
    reading.callback(os.close, reader)
    writing.callback(os.close, writer)
    return reader, writer


def _why_never(error: OSError) -> str:
    """Why the program can never be run; empty if another try may go well."""
    if error.errno in _BAD_ARCHITECTURE:
        return "it was built for another kind of machine, or is not a program"
    if isinstance(error, PermissionError):
        return "it is not executable"
    return "there is no such program" if isinstance(error, FileNotFoundError) else ""
