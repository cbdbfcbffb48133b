"""A decoding process as its parent sees it: started, read from, and outlived."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict
from typing import IO, TYPE_CHECKING, Any

from asrctl.audio import wire
from asrctl.audio.stream import Request
from asrctl.errors import AudioError

if TYPE_CHECKING:
    from asrctl.audio.pcm import Block

OWN_GROUP: dict[str, Any] = (
    {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
    if sys.platform == "win32"
    else {"process_group": 0}
)
"""Arguments of Popen: Ctrl-C in a terminal goes to the parent alone, which still reads what was decoded."""

EXIT_STUCK = 1  # faulthandler's, when STUCK_S has passed
_REASON_CHARS = 200
_MAX_SAID_BYTES = 1 << 20


class DecoderCrashed(AudioError):
    """The process that decoded died of the file; another decoder may read it."""


class IsolatedDecoder:
    """Decodes in a process of its own; see `Decoder` for the attributes.

    The process is started by the constructor, and works while the parent imports what it needs.
    """

    promised_s: float | None = None
    tolerance = 0.0
    is_whole = False

    def __init__(self, request: Request, resources: ExitStack) -> None:
        """Starts the process.

        Args:
            request: What to decode.
            resources: Ends the process when it closes.

        Raises:
            AudioError: no process can be started.
        """
        self.library = {"pyav": "PyAV"}.get(request.library, request.library)
        self.expected_s: float | None = None
        self.n_tracks = self.track = 1
        self.notes: list[str] = []
        # not a pipe: that could fill up and block the process
        self._complaints = resources.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        self._process = start_process(
            [sys.executable, "-P", "-m", "asrctl.audio.child", json.dumps(asdict(request))],
            self._complaints,
            resources,
        )

    def wait_open(self) -> None:
        """Waits until the file is open, and takes what it says of itself.

        Raises:
            DecoderCrashed: the process died of it.
            AudioError: the library cannot read it; the message is the reason.
        """
        message = self._next()
        if message.kind != wire.OPENED:
            raise self._crashed()
        opened = json.loads(message.payload)
        self.expected_s = opened["expected_s"]
        self.n_tracks, self.track = opened["n_tracks"], opened["track"]

    def blocks(self) -> Iterator[Block]:
        """As Decoder.blocks.

        Raises:
            DecoderCrashed: the process died; what was yielded before is good.
            AudioError: nothing more can be read; what was yielded before is good.
        """
        while (message := self._next()).kind == wire.BLOCK:
            yield _block(message)

    def _next(self) -> wire.Message:
        """The next message; the last one's figures are taken."""
        assert self._process.stdout
        try:
            message = wire.read_message(self._process.stdout)  # type: ignore[arg-type]  # IO[bytes]
            if message.kind in (wire.END, wire.FAILED):
                self._end(json.loads(message.payload))
        except (wire.WireError, ValueError, KeyError):
            raise self._crashed() from None
        return message

    def _end(self, end: dict[str, Any]) -> None:
        self.notes += end["notes"]
        self.promised_s, self.tolerance = end["promised_s"], end["tolerance"]
        if end["reason"]:
            raise AudioError(end["reason"])

    def _crashed(self) -> DecoderCrashed:
        """How the process ended, in words; one that sent nonsense is ended first."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        if (code := self._process.poll()) is None:
            self._process.kill()
            return DecoderCrashed(f"its decoder ({self.library}) sent nonsense")
        if code < 0:
            return DecoderCrashed(f"its decoder ({self.library}) crashed ({signal_name(-code)})")
        said = said_in(self._complaints)
        if code == EXIT_STUCK and "Timeout (" in said:
            return DecoderCrashed(f"its decoder ({self.library}) got stuck and was ended")
        last = "".join(filter(str.isprintable, said.strip().rpartition("\n")[2]))[:_REASON_CHARS]
        return DecoderCrashed(
            f"its decoder ({self.library}) failed (exit code {code})" + (last and f": {last}")
        )


def _block(message: wire.Message) -> Block:
    import numpy as np

    from asrctl.audio.pcm import Block

    pieces = np.frombuffer(message.payload, np.float32).reshape(-1, message.channels, message.piece_frames)
    return Block(pieces.transpose(0, 2, 1).reshape(-1, message.channels), message.rate_hz)


def start_process(command: list[str], complaints: IO[bytes], resources: ExitStack) -> subprocess.Popen[bytes]:
    """Starts a decoding program that writes to a pipe and is ended with the resources.

    Raises:
        AudioError: the system does not start it.
    """
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints, **OWN_GROUP
        )
    except OSError as error:
        raise AudioError(f"its decoder cannot be started: {error.strerror}") from error
    resources.enter_context(process)  # closes the pipe and waits
    resources.callback(process.kill)
    return process


def said_in(complaints: IO[bytes]) -> str:
    """What a process wrote to its standard error so far; it may still be writing."""
    if hasattr(os, "pread"):  # the position is the process's too
        said = os.pread(complaints.fileno(), _MAX_SAID_BYTES, 0)
    else:
        complaints.seek(0)
        said = complaints.read(_MAX_SAID_BYTES)
    return said.decode("utf-8", "replace")


def how_ended(code: int, complaints: IO[bytes]) -> str:
    """How a process ended, in words, with the last line that it wrote to its standard error."""
    how = f"crashed ({signal_name(-code)})" if code < 0 else f"failed (exit code {code})"
    last = said_in(complaints).strip().rpartition("\n")[2]
    last = "".join(filter(str.isprintable, last))[:_REASON_CHARS]
    return how + (last and f": {last}")


def signal_name(number: int) -> str:
    try:
        return (signal.strsignal(number) or f"signal {number}").lower()
    except ValueError:
        return f"signal {number}"
