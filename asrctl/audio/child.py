"""The decoding process: native code that parses foreign bytes, where a crash costs one file and nothing else.

Run as `python -P -m asrctl.audio.child REQUEST` (a `Request` in JSON). It writes messages to standard output
and nothing else; it reads nothing but the file, so it ends when its parent no longer reads. numpy is not
imported: the parent has it already, and the process is there sooner without.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import BinaryIO

from asrctl.audio import wire
from asrctl.audio.stream import DecodeFailed, OpenStream, Pieces, Request

STUCK_S = 60.0
"""A library that gives nothing for so long is in a loop without end."""

MAX_MEMORY_BYTES = 4 << 30  # of addresses; a header can ask for any size
MAX_WRITTEN_BYTES = 1 << 20  # standard error is a file: a library's complaints are bounded
BATCH_S = 0.5  # a piece may be 20 ms, and the parent's work is by the message


def main() -> None:
    """Decodes one file."""
    with contextlib.suppress(OSError, ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints does not get between the messages
    _limit()
    request = Request(**json.loads(sys.argv[1]))
    try:
        _watch()
        _Decoding(request, sink).run()
    except (BrokenPipeError, KeyboardInterrupt):
        pass
    os._exit(0)  # the parent has all; what libraries do at their end is not waited for


class _Decoding:
    """One request: the parts one after the other, and what is to be said at the end."""

    def __init__(self, request: Request, sink: BinaryIO) -> None:
        self._request = request
        self._sink = sink
        self._notes: list[str] = []
        self._promised_s = 0.0
        self._tolerance = 0.0
        self._is_open = False

    def run(self) -> None:
        """Sends all there is; the last message says how it ended."""
        reason = None
        try:
            reasons = [self._try_part(number) for number in range(len(self._request.parts))]
            reason = None if self._is_open and len(reasons) > 1 else reasons[0]
        except MemoryError:
            reason = "it asks for more memory than any recording needs"
        end = {"notes": list(dict.fromkeys(self._notes)), "promised_s": self._promised_s}
        message = wire.FAILED if reason else wire.END
        body = {**end, "tolerance": self._tolerance, "reason": reason}
        _send(self._sink, wire.Message(message, json.dumps(body).encode()))

    def _try_part(self, number: int) -> str | None:
        """Decodes a part; why not all of it, which is only a note where other parts are decoded."""
        try:
            self._part(number)
        except DecodeFailed as error:
            if len(self._request.parts) > 1:
                where = f"part {number + 1} of {len(self._request.parts)} joined files"
                self._notes.append(f"not all read: {where}: {error}")
            return str(error)
        return None

    def _part(self, number: int) -> None:
        start, end, stated_s = self._request.parts[number]
        got_s = 0.0
        with ExitStack() as resources:
            stream = _opened(self._request, start, end, resources)
            try:
                for batch in _batched(stream.pieces()):
                    if not self._is_open:  # what opens and gives no audio is left to another library
                        self._send_opened(stream)
                    got_s += batch.n_frames / batch.rate_hz
                    _send(self._sink, wire.Message(wire.BLOCK, batch.data, *batch[:3]))
                if not got_s and stream.notes:
                    raise DecodeFailed("; ".join(stream.notes))
                if not self._is_open:
                    self._send_opened(stream)
            finally:
                self._promised_s += stated_s or stream.promised_s or got_s
                self._tolerance = max(self._tolerance, stream.tolerance)
                self._notes += stream.notes

    def _send_opened(self, stream: OpenStream) -> None:
        """Says what the file is; parts that state no length are thought to be like the first, by bytes."""
        self._is_open = True
        parts = self._request.parts
        stated = [seconds for _, _, seconds in parts if seconds is not None]
        if len(stated) == len(parts):
            expected_s: float | None = sum(stated)
        elif stream.expected_s is not None:
            expected_s = stream.expected_s * parts[-1][1] / max(1, parts[0][1])
        else:
            expected_s = None
        opened = {"expected_s": expected_s, "n_tracks": stream.n_tracks, "track": stream.track}
        _send(self._sink, wire.Message(wire.OPENED, json.dumps(opened).encode()))


def _opened(request: Request, start: int, end: int, resources: ExitStack) -> OpenStream:
    whole = len(request.parts) == 1 and start == 0
    if request.library == "libsndfile":
        from asrctl.audio.sndfile import open_sndfile

        return open_sndfile(request.path, start, end, resources)
    from asrctl.audio.libav import open_libav

    return open_libav(request.path, start, end, whole, request.track, resources)


def _batched(pieces: Iterator[Pieces]) -> Iterator[Pieces]:
    """Joins pieces of one format to half a second; what came before an error is still given."""
    held: list[bytes] = []
    key, n_frames = (0, 0, 0), 0
    try:
        for piece in pieces:
            if piece[:3] != key or n_frames >= key[0] * BATCH_S:
                if held:
                    yield Pieces(*key, b"".join(held))
                held, key, n_frames = [], piece[:3], 0
            held.append(piece.data)
            n_frames += piece.n_frames
    except DecodeFailed:
        if held:
            yield Pieces(*key, b"".join(held))
        raise
    if held:
        yield Pieces(*key, b"".join(held))


def _send(sink: BinaryIO, message: wire.Message) -> None:
    """Writes a message; time that the parent takes to read it is not the library's."""
    faulthandler.cancel_dump_traceback_later()
    wire.write_message(sink, message)
    sink.flush()
    _watch()


def _watch() -> None:
    """Ends the process, also from within native code, unless it is called again in time."""
    faulthandler.dump_traceback_later(STUCK_S, exit=True, file=2)


def _limit() -> None:
    """Bounds what a hostile file can make a library take; where the system has no such limits, none."""
    try:
        import resource
    except ImportError:
        return
    for name, limit in (
        ("RLIMIT_CORE", 0),
        ("RLIMIT_FSIZE", MAX_WRITTEN_BYTES),
        ("RLIMIT_AS", MAX_MEMORY_BYTES),
    ):
        with contextlib.suppress(AttributeError, ValueError, OSError):
            resource.setrlimit(getattr(resource, name), (limit, limit))


if __name__ == "__main__":
    main()
