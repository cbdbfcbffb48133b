"""The process that tells speakers apart in live audio, of all streams of its parent.

Run as `python -P -m asrctl.speakers.live_child MODELS_DIR` (empty for the cache directory). It writes a line
of JSON when it is ready, or why it cannot be; then it reads messages, each a `HEADER` and its content, and
answers `OPEN`, `TURNS` and `END` in the order in which they come, with a line of JSON each: `{stream, turns,
since_s, heard_s}`, or `{stream, kind, error}` where something is wrong with one stream, whose speakers are
then unknown.
"""

from __future__ import annotations

import faulthandler
import json
import os
import struct
import sys
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from asrctl.errors import AsrctlError
from asrctl.policy.labels import KEPT_S
from asrctl.speakers.child import diarizer_of, networks_in, ready, say, watch
from asrctl.speakers.options import SpeakerOptions
from asrctl.transcript import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from asrctl.speakers.diarizer import Diarizer
    from asrctl.speakers.networks import Networks

HEADER = struct.Struct("<BIQ")
"""What it is, whose, and how many bytes follow; of `LOST`, how many samples there are."""
ASKED = struct.Struct("<dd")
"""Since when, in seconds, and how many seconds must be new: with fewer, nothing is looked at."""
LEAST_NEW_S = 5.0
"""Where labels can be corrected later, it would cost too much to look at less."""
STEP_S = 8.0
"""A window is due after so long without a pause; those in pauses lie closer."""
_NICE = 10
"""Labels can wait, finals cannot."""
_LOST_SAMPLES = 5 * SAMPLE_RATE_HZ
"""Audio that was lost is passed over in pieces of this length."""


class Message(IntEnum):
    """What the parent says."""

    OPEN = 1
    """A stream begins; JSON of `SpeakerOptions`."""
    AUDIO = 2
    """Its next samples, float32 at 16 kHz."""
    LOST = 3
    """So many samples did not come."""
    TURNS = 4
    """Who spoke, as `ASKED`, as far as that is known."""
    END = 5
    """No more will come; who spoke, now that all audio can be looked at?"""
    CLOSE = 6
    """The stream is over."""


ANSWERED = {Message.OPEN, Message.TURNS, Message.END}
"""What the parent waits for an answer to."""


def main() -> None:
    """Serves until the end of standard input."""
    sink = ready()
    if hasattr(os, "nice"):
        os.nice(_NICE)
    try:
        streams = Streams(networks_in(sys.argv[1]))
    except AsrctlError as error:
        return say(sink, {"kind": type(error).__name__, "error": str(error)})
    say(sink, {})
    while True:
        faulthandler.cancel_dump_traceback_later()  # time that the parent takes is not the networks'
        header = sys.stdin.buffer.read(HEADER.size)
        watch()
        if len(header) < HEADER.size:
            return
        message, stream, count = HEADER.unpack(header)
        data = b"" if message == Message.LOST else sys.stdin.buffer.read(count)
        answer = streams.take(Message(message), stream, count, data)
        if message in ANSWERED:
            say(sink, {"stream": stream, **answer})


class Streams:
    """What is known of the speakers of each stream."""

    def __init__(self, networks: Networks) -> None:
        """No streams yet."""
        self._networks = networks
        self._diarizers: dict[int, Diarizer] = {}
        self._failures: dict[int, dict[str, Any]] = {}

    def take(self, message: Message, stream: int, count: int, data: bytes) -> dict[str, Any]:
        """Do what a message says; what goes wrong costs one stream its speakers, and is its answer then."""
        if message is Message.CLOSE:
            self._diarizers.pop(stream, None)
            self._failures.pop(stream, None)
        if stream in self._failures or (stream not in self._diarizers and message is not Message.OPEN):
            return self._failures.get(stream, {})
        try:
            return self._do(message, stream, count, data)
        except Exception as error:
            kind, why = type(error).__name__, str(error)
            if not isinstance(error, AsrctlError):
                kind, why = "AudioError", f"{kind}: {why}"
            self._diarizers.pop(stream, None)
            self._failures[stream] = {"kind": kind, "error": why}
            return self._failures[stream]

    def _do(self, message: Message, stream: int, count: int, data: bytes) -> dict[str, Any]:
        import numpy as np

        if message is Message.OPEN:
            from asrctl.speakers.diarizer import DiarizerOptions

            speakers = SpeakerOptions(**json.loads(data))
            options = DiarizerOptions(kept_s=KEPT_S, step_s=STEP_S, reuse=speakers.at_once)
            self._diarizers[stream] = diarizer_of(self._networks, speakers, options)
            return {}
        diarizer = self._diarizers[stream]
        if message is Message.AUDIO:
            diarizer.feed(np.frombuffer(data, np.float32))
        elif message is Message.LOST:
            for at in range(0, count, _LOST_SAMPLES):
                diarizer.feed(np.zeros(min(_LOST_SAMPLES, count - at), np.float32))
        else:
            since_s, least_new_s = (0.0, 0.0) if message is Message.END else ASKED.unpack(data)
            diarizer.catch_up(least_new_s)
            heard_s = diarizer.looked_samples / SAMPLE_RATE_HZ
            since_s = max(since_s, heard_s - KEPT_S)
            turns = [[turn.start_s, turn.end_s, turn.speaker] for turn in diarizer.turns(since_s)]
            return {"turns": turns, "since_s": since_s, "heard_s": heard_s}
        return {}


if __name__ == "__main__":
    main()
