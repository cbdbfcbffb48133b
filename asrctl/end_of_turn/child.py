"""The process that hears whether turns are over: native code, where a crash costs that and nothing else.

Run as `python -P -m asrctl.end_of_turn.child MODELS_DIR` (empty for the cache directory). It writes a line of
JSON when it is ready, or why it cannot be; then it reads audio, each piece after its number of samples
(uint32, little endian; float32 at 16 kHz), and answers each with the probability that this was all, in a line
of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import struct
import sys
from pathlib import Path
from typing import Any

from asrctl.errors import AsrctlError

LENGTH = struct.Struct("<I")


def main() -> None:
    """Answers until the end of standard input."""
    with contextlib.suppress(OSError, ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    sink = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # a library that prints does not get between the lines
    try:
        network = _network(sys.argv[1])
    except AsrctlError as error:
        return _say(sink, {"error": str(error)})
    _say(sink, {})
    import numpy as np

    while header := sys.stdin.buffer.read(LENGTH.size):
        data = sys.stdin.buffer.read(4 * LENGTH.unpack(header)[0])
        _say(sink, network.finished(np.frombuffer(data, np.float32)))


def _network(models_dir: str) -> Any:
    from asrctl.end_of_turn.network import SmartTurn
    from asrctl.models.store import ModelStore
    from asrctl.models.turn_weights import resolve_turn

    return SmartTurn(resolve_turn(ModelStore(Path(models_dir) if models_dir else None).root))


def _say(sink: Any, content: object) -> None:
    with contextlib.suppress(BrokenPipeError):
        sink.write(json.dumps(content).encode() + b"\n")


if __name__ == "__main__":
    main()
