"""A file, or a pipe, at the pace of real time: live audio without a microphone."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator

from asrctl.audio.files import OpenAudio
from asrctl.audio.live import Lost
from asrctl.transcript import SAMPLE_RATE_HZ, Samples

CHUNK_SAMPLES = SAMPLE_RATE_HZ // 20
"""50 ms, as a microphone would give."""


class Replay:
    """A `LiveSource` that gives each chunk of an input once it would have been spoken.

    The pace is that of the beginning: after a wait, for a slow pipe or a slow listener, it catches up.
    """

    def __init__(
        self,
        audio: OpenAudio,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], bool] | None = None,
    ) -> None:
        """Prepare; nothing is read before the iteration starts.

        Args:
            audio: The input; closed with this.
            clock: Monotonic seconds.
            wait: Waits so many seconds, or less if `stop` is called, and says whether it was.
        """
        self.name = audio.name
        self.warnings = audio.warnings
        self._audio = audio
        self._clock = clock
        self._wait = wait or self._wait_for_stop
        self._stops: queue.SimpleQueue[None] = queue.SimpleQueue()  # its `put` may be called in a signal
        self._stopped = False

    def __iter__(self) -> Iterator[Samples | Lost]:
        """Chunks of 50 ms or less; see `LiveSource`."""
        started_s, given = self._clock(), 0
        for block in self._audio:
            for at in range(0, len(block), CHUNK_SAMPLES):
                chunk = block[at : at + CHUNK_SAMPLES]
                due_s = started_s + (given + len(chunk)) / SAMPLE_RATE_HZ
                if self._stopped or self._wait(max(0.0, due_s - self._clock())):
                    return
                given += len(chunk)
                yield chunk

    def stop(self) -> None:
        """End the iteration now; see `LiveSource`."""
        self._stopped = True
        self._stops.put(None)

    def close(self) -> None:
        """Close the input."""
        self._audio.close()

    def _wait_for_stop(self, duration_s: float) -> bool:
        try:
            self._stops.get(timeout=duration_s)
        except queue.Empty:
            return False
        return True
