"""The thread that carries audio from its source to a client of a server."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from asrctl.audio.live import LiveSource, Lost
from asrctl.cli.pump import level_db
from asrctl.client import Client
from asrctl.transcript import SAMPLE_RATE_HZ

_AHEAD_SAMPLES = 5 * SAMPLE_RATE_HZ
"""A source that can wait is read so far ahead of what the server takes."""
_LOOK_S = 0.02
"""How often a source that waits looks whether it may go on."""
_CLOSE_GRACE_S = 1.0


class Feeder:
    """Feeds a client until the source ends or is stopped, then says that it was all.

    Attributes:
        level_db: Level of the last chunk, in dB of full scale.
        unheard_samples: What came after the end, losses included; it is in nobody's account.
        failure: Why the source failed, if it did.
        complete: Whether the source has given all it had.
    """

    def __init__(self, source: LiveSource, client: Client, *, paced: bool) -> None:
        """Prepare.

        Args:
            source: Iterated over in a thread of its own, and closed by it.
            client: In an event loop, of which the thread only calls what is safe.
            paced: Whether the source cannot wait for the server.
        """
        self.level_db = -math.inf
        self.unheard_samples = 0
        self.failure: BaseException | None = None
        self.complete = False
        self._source = source
        self._client = client
        self._paced = paced
        self._loop: asyncio.AbstractEventLoop | None = None
        self._offered = 0
        self._ended = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feeder", daemon=True)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to listen, on behalf of this loop."""
        self._loop = loop
        self._thread.start()

    def stop(self) -> None:
        """End the source after what was heard up to now."""
        self._source.stop()

    def end(self) -> None:
        """Tell the client that this was all, once; what the source still gives is counted and not heard."""
        if not self._ended:
            self._ended = True
            self._client.finish()

    def close(self) -> None:
        """Stop the source, and wait until it is closed, unless that takes too long."""
        self._ended = True
        self._over.set()
        self._source.stop()
        if self._thread.ident is None:
            self._source.close()
        else:
            self._thread.join(_CLOSE_GRACE_S)

    # In the thread

    def _run(self) -> None:
        try:
            for item in self._source:
                if self._over.is_set():
                    return
                count = item.count if isinstance(item, Lost) else len(item)
                self._offered += count
                self._call(functools.partial(self._take, item))
                if not self._paced:
                    self._wait()
            self.complete = True
        except BaseException as error:  # the listener would wait for ever
            self.failure = error
        finally:
            self._call(self.end)
            self._source.close()

    def _wait(self) -> None:
        """Until the server has taken enough."""
        while self._offered - self._taken_samples >= _AHEAD_SAMPLES and not self._over.wait(_LOOK_S):
            pass

    @property
    def _taken_samples(self) -> int:
        return self._client.fed_samples - self._client.unsent_samples

    def _call(self, function: Callable[[], None]) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(function)

    # In the loop

    def _take(self, item: NDArray[np.float32] | Lost) -> None:
        count = item.count if isinstance(item, Lost) else len(item)
        if self._ended:
            self.unheard_samples += count
        elif isinstance(item, Lost):
            self._client.skip(count, item.reason)
        else:
            self.level_db = level_db(item)
            self._client.feed(item)
