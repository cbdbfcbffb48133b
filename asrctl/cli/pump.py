"""The thread that carries live audio from its source to the session."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from asrctl.audio.live import LiveSource, Lost
from asrctl.engine.session import Session
from asrctl.transcript import SAMPLE_RATE_HZ

LIVE_AHEAD_S = 180.0
"""More that is pending waits in its source; over what the stream itself sheds speech at."""
FILE_AHEAD_S = 45.0
"""The same for a source that can wait: less than that, and more than the longest utterance."""
_CLOSE_GRACE_S = 1.0
"""How long a source may take to end before it is left to the end of the process."""


class Pump:
    """Feeds a session until the source ends or is stopped, then finishes the session.

    Attributes:
        level_db: Level of the last chunk, in dB of full scale.
        heard_samples: What came so far, losses included.
        unheard_samples: What came after the end, losses included; it is in nobody's account.
    """

    def __init__(
        self,
        source: LiveSource,
        session: Session,
        failed: Callable[[BaseException], None],
        ahead_s: float = LIVE_AHEAD_S,
    ) -> None:
        """Prepare.

        Args:
            source: Iterated over in the pump's own thread, and closed by it.
            session: Fresh.
            failed: Told when the source fails, before the session is finished.
            ahead_s: Most audio that may be pending in the session.
        """
        self.level_db = -math.inf
        self.heard_samples = 0
        self.unheard_samples = 0
        self._source = source
        self._session = session
        self._failed = failed
        self._ahead_samples = round(ahead_s * SAMPLE_RATE_HZ)
        self._lock = threading.Lock()
        self._ended = False
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="pump", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def end(self) -> None:
        """Finish the session, once; whatever the source still gives is counted and not heard."""
        with self._lock:
            if not self._ended:
                self._ended = True
                self._session.finish()

    def close(self) -> None:
        """End, stop the source, and wait until it is closed, unless that takes too long; once."""
        if self._closed:
            return
        self._closed = True
        if self._thread.ident is None:
            self._source.close()
            return
        self.end()
        self._source.stop()
        self._thread.join(_CLOSE_GRACE_S)

    def _run(self) -> None:
        try:
            for item in self._source:
                self._take(item)
        except BaseException as error:  # the listener's thread would wait for ever
            self._failed(error)
        finally:
            self.end()
            self._source.close()

    def _take(self, item: NDArray[np.float32] | Lost) -> None:
        count = item.count if isinstance(item, Lost) else len(item)
        self._session.wait_pending_below(self._ahead_samples)
        with self._lock:
            if self._ended:
                self.unheard_samples += count
                return
            self.heard_samples += count
            if isinstance(item, Lost):
                self._session.skip(count, item.reason)
            else:
                self.level_db = level_db(item)
                self._session.feed(item)


def level_db(samples: NDArray[np.float32]) -> float:
    """Root mean square in dB of full scale; minus infinity for digital silence."""
    power = float(np.dot(samples, samples)) / max(1, len(samples))
    return 10 * math.log10(power) if power else -math.inf
