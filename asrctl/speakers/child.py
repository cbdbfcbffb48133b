"""The process that tells speakers apart: native code, where a crash costs the speakers and nothing else.

Run as `python -P -m asrctl.speakers.child REQUEST` (JSON: where weights lie, and `SpeakerOptions`). It writes
a line of JSON when it is ready, or why it cannot be; then it reads float32 at 16 kHz until the end of
standard input, and writes the turns in a second line.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from asrctl.errors import AsrctlError, UsageError
from asrctl.transcript import SAMPLE_RATE_HZ

STUCK_S = 600.0
"""No step takes so long; the one that does is a computation without end."""
MAX_SAMPLE_S = 60
"""More of a known speaker's sample is not heard: it would not be known better."""
_READ_BYTES = 4 * SAMPLE_RATE_HZ


def main() -> None:
    """Tells the speakers of one input apart."""
    with contextlib.suppress(OSError, ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    sink = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # a library that prints does not get between the lines
    request = json.loads(sys.argv[1])
    _watch()
    try:
        diarizer = _diarizer(**request)
    except AsrctlError as error:
        return _say(sink, {"kind": type(error).__name__, "error": str(error)})
    _say(sink, {})
    import numpy as np

    while data := _read():
        diarizer.feed(np.frombuffer(data[: len(data) // 4 * 4], np.float32))
    diarizer.finish()
    diarizer.recluster()
    _say(sink, [[turn.start_s, turn.end_s, turn.speaker] for turn in diarizer.turns()])


def _diarizer(models_dir: str, most: int | None, samples: dict[str, str]) -> Any:
    from asrctl.models.speaker_weights import resolve_all
    from asrctl.policy.clustering import ClusteringOptions
    from asrctl.speakers.diarizer import Diarizer, DiarizerOptions
    from asrctl.speakers.networks import Networks

    networks = Networks(*resolve_all(Path(models_dir)))
    known = {name: _known(Diarizer(networks), path) for name, path in samples.items()}
    return Diarizer(networks, DiarizerOptions(ClusteringOptions(most)), known)


def _known(diarizer: Any, path: str) -> Any:
    """The voice in a file that holds one.

    Raises:
        AudioError: It cannot be read.
        UsageError: Nobody is heard in it.
    """
    from asrctl.audio.files import open_audio

    left = MAX_SAMPLE_S * SAMPLE_RATE_HZ
    with open_audio(path) as audio:
        for chunk in audio:
            diarizer.feed(chunk[:left])
            left -= len(chunk[:left])
            if not left:
                break
    diarizer.finish()
    if (voice := diarizer.voice()) is None:
        raise UsageError(f"{path}: nobody speaks in it for a second")
    return voice


def _read() -> bytes:
    """The next samples; time that the parent takes is not the networks'."""
    faulthandler.cancel_dump_traceback_later()
    data = sys.stdin.buffer.read(_READ_BYTES)
    _watch()
    return data


def _watch() -> None:
    """Ends the process, also from within native code, unless it is called again in time."""
    faulthandler.dump_traceback_later(STUCK_S, exit=True, file=2)


def _say(sink: Any, content: object) -> None:
    with contextlib.suppress(BrokenPipeError):
        line = json.dumps(content).encode() + b"\n"
        while line:
            line = line[sink.write(line) :]


if __name__ == "__main__":
    main()
