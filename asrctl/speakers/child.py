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
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from asrctl.audio.heap import return_large_blocks
from asrctl.errors import AsrctlError, UsageError
from asrctl.speakers.options import SpeakerOptions
from asrctl.transcript import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from asrctl.speakers.diarizer import Diarizer, DiarizerOptions
    from asrctl.speakers.networks import Networks
    from asrctl.speakers.parts import Vector

STUCK_S = 600.0
"""No step takes so long; the one that does is a computation without end."""
MAX_SAMPLE_S = 60
"""More of a known speaker's sample is not heard: it would not be known better."""
SAME = 0.05
"""Nearer than this are two copies of a recording, and no two people."""
_LARGE_BYTES = 1 << 20
"""Of memory: with 256 KB, as while networks are loaded, it takes a sixth more of the processor, for 8 MB
less; with what glibc does by itself, 49 MB more (two minutes of five speakers)."""
_READ_BYTES = 4 * SAMPLE_RATE_HZ


def main() -> None:
    """Tells the speakers of one input apart."""
    sink = ready()
    request = json.loads(sys.argv[1])
    from asrctl.speakers.diarizer import DiarizerOptions

    try:
        networks = networks_in(request.pop("models_dir"))
        diarizer = diarizer_of(networks, SpeakerOptions(**request), DiarizerOptions())
    except AsrctlError as error:
        return say(sink, {"kind": type(error).__name__, "error": str(error)})
    say(sink, {})
    import numpy as np

    while data := _read():
        diarizer.feed(np.frombuffer(data[: len(data) // 4 * 4], np.float32))
    diarizer.catch_up()
    diarizer.recluster()
    say(sink, [[turn.start_s, turn.end_s, turn.speaker] for turn in diarizer.turns()])


def ready() -> BinaryIO:
    """Prepare a process that nobody else interrupts; returns what was its standard output."""
    with contextlib.suppress(OSError, ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: its threads spin longer than they help
    sink = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # a library that prints does not get between the lines
    watch()
    return sink


def networks_in(models_dir: str) -> Networks:
    """The networks, loaded. Raises ModelError or UsageError if they do not load, or something is missing."""
    from asrctl.models.speaker_weights import resolve_all
    from asrctl.models.store import ModelStore
    from asrctl.speakers.networks import Networks

    return_large_blocks()
    networks = Networks(*resolve_all(ModelStore(Path(models_dir) if models_dir else None).root))
    return_large_blocks(_LARGE_BYTES)
    return networks


def diarizer_of(networks: Networks, speakers: SpeakerOptions, options: DiarizerOptions) -> Diarizer:
    """What tells these speakers apart.

    Raises:
        AudioError: The sample of a known speaker cannot be read.
        UsageError: Nobody is heard in it, or the same voice as in another.
    """
    from asrctl.policy.clustering import ClusteringOptions
    from asrctl.speakers.diarizer import Diarizer

    known = {name: _known(Diarizer(networks), path) for name, path in speakers.samples.items()}
    for (one, voice), (other, another) in combinations(known.items(), 2):
        if 1.0 - float(voice @ another) < SAME:
            raise UsageError(
                f"{speakers.samples[other]}: the same voice as {one}'s: nobody could tell them apart"
            )
    return Diarizer(networks, replace(options, clustering=ClusteringOptions(speakers.most)), known)


def _known(diarizer: Diarizer, path: str) -> Vector:
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
    diarizer.catch_up()
    if (voice := diarizer.voice()) is None:
        raise UsageError(f"{path}: nobody speaks in it for a second")
    return voice


def _read() -> bytes:
    """The next samples; time that the parent takes is not the networks'."""
    faulthandler.cancel_dump_traceback_later()
    data = sys.stdin.buffer.read(_READ_BYTES)
    watch()
    return data


def watch() -> None:
    """End the process, also from within native code, unless it is called again in time."""
    faulthandler.dump_traceback_later(STUCK_S, exit=True, file=2)


def say(sink: BinaryIO, content: object) -> None:
    """Write a line of JSON; if nobody reads it any more, that is no matter."""
    with contextlib.suppress(BrokenPipeError):
        line = json.dumps(content).encode() + b"\n"
        while line:
            line = line[sink.write(line) :]


if __name__ == "__main__":
    main()
