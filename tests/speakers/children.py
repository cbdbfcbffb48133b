"""Processes that play the one that tells speakers apart."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

_READ_ALL = "import json, os, sys; print('{}', flush=True); sys.stdin.buffer.read()\n"


def saying(turns: Sequence[tuple[float, float, str]]) -> tuple[str, ...]:
    """One that hears all, and then says these turns."""
    return _python(f"{_READ_ALL}print({json.dumps(json.dumps(turns))})")


def live_saying(
    turns: Sequence[tuple[float, float, str]], at_the_end: Sequence[tuple[float, float, str]]
) -> tuple[str, ...]:
    """One for live streams, that knows these turns all the time, and others at the end."""
    return _python(f"""
import json, sys
from asrctl.speakers.live_child import ANSWERED, HEADER, Message
print("{{}}", flush=True)
heard_s = 0.0
while header := sys.stdin.buffer.read(HEADER.size):
    message, stream, count = HEADER.unpack(header)
    if message == Message.LOST:
        heard_s += count / 16_000
    else:
        sys.stdin.buffer.read(count)
        heard_s += count / 64_000 if message == Message.AUDIO else 0.0
    turns = {[*at_the_end]!r} if message == Message.END else {[*turns]!r}
    answer = dict(stream=stream, turns=turns, since_s=0.0, heard_s=heard_s)
    if message in ANSWERED:
        print(json.dumps(answer), flush=True)
""")


def naming() -> tuple[str, ...]:
    """One that takes the first half second for a stranger, and the rest for the first known speaker."""
    turns = "[[0, 0.9, 'someone'], [0.9, 99, next(iter(json.loads(sys.argv[1])['samples']))]]"
    return _python(f"{_READ_ALL}print(json.dumps({turns}))")


def waiting_for(path: Path) -> tuple[str, ...]:
    """One that hears all, and says that nobody spoke when a file is there."""
    wait = f"import time; [time.sleep(0.01) for _ in range(3000) if not os.path.exists({str(path)!r})]; "
    return _python(f"{_READ_ALL}{wait}os.path.exists({str(path)!r}) and print('[]')")


def crashing() -> tuple[str, ...]:
    """One that dies when it has heard a little."""
    return _python(
        "import os, sys; print('{}', flush=True); sys.stdin.buffer.read(4000); sys.stdin.close(); os.abort()"
    )


def idling() -> tuple[str, ...]:
    """One that is ready, and does nothing."""
    return _python("import time; print('{}', flush=True); time.sleep(60)")


def refusing(kind: str, error: str) -> tuple[str, ...]:
    """One that cannot begin."""
    return _python(f"print({json.dumps(json.dumps({'kind': kind, 'error': error}))})")


def failing() -> tuple[str, ...]:
    """One that ends at once, with a complaint."""
    return _python("import sys; sys.exit('out of order')")


def babbling() -> tuple[str, ...]:
    """One that says something else, and stays."""
    return _python("import time; print('hello', flush=True); time.sleep(60)")


def _python(code: str) -> tuple[str, ...]:
    return sys.executable, "-c", code
