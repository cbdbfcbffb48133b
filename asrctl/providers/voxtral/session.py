"""One stream into voxtral."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asrctl.providers.voxtral.resident import Resident

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FULL_SCALE = 32_768
_LARGEST = 32_767


class VoxtralSession:
    """A `StreamingSession` that has a process to itself."""

    def __init__(self, resident: Resident) -> None:
        """Use a process that is attached already."""
        self._resident = resident

    @property
    def pid(self) -> int:
        """Process id of the stream's process."""
        return self._resident.pid

    def feed(self, samples: NDArray[np.float32]) -> None:
        """Take the next samples of the current utterance, shape (n,), mono float32 at 16 kHz."""
        import numpy as np

        if len(samples):
            scaled = np.rint(samples * _FULL_SCALE).clip(-_FULL_SCALE, _LARGEST)
            self._resident.feed(scaled.astype("<i2").tobytes())

    def complete(self) -> None:
        """The utterance has ended; its last words come, then `Completed`."""
        self._resident.feed(None)

    def close(self) -> None:
        """Stop at once; the process is killed, for it serves one stream."""
        self._resident.close()
