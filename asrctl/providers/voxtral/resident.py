"""A voxtral process with the thread that talks to it: first as a spare, then for one stream."""

from __future__ import annotations

import contextlib
import os
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from asrctl.errors import ProviderError, WorkerCrashed
from asrctl.providers.base import Lost, Spoken
from asrctl.providers.voxtral.blocks import duration_s
from asrctl.providers.voxtral.dialogue import Dialogue
from asrctl.providers.voxtral.options import VoxtralOptions
from asrctl.providers.voxtral.process import VoxtralProcess


class Owner(Protocol):
    """Who is told of a resident's fate, from its thread."""

    def became_ready(self, resident: Resident) -> None: ...
    def ended(self, resident: Resident, error: ProviderError | None) -> None: ...


class Resident:
    """Started when made. Its methods are thread-safe, and none of them waits for the process."""

    def __init__(self, options: VoxtralOptions, owner: Owner, *, monitored: bool) -> None:
        """Start the thread, which starts the process."""
        self.monitored = monitored
        self.never_ran = False
        """Whether there was nothing that could be run."""
        self.complaint = ""
        """What it wrote to stderr before it ended."""
        self.pid = 0
        """Process id, once there is one."""
        self.ready_s: float | None = None
        """When it became ready, on the monotonic clock."""
        self._options = options
        self._owner = owner
        self._dialogue = Dialogue(options, time.monotonic)
        self._lock = threading.Lock()
        self._inbox: deque[bytes | None] = deque()
        self._waiting_bytes = 0
        self._behind = False
        self._closing = False
        self._over = False
        self._speaking = threading.RLock()
        self._say: Callable[[Spoken], None] | None = None
        self._alarm, self._bell = os.pipe()
        os.set_blocking(self._alarm, False)
        os.set_blocking(self._bell, False)
        self._thread = threading.Thread(target=self._run, name="voxtral", daemon=True)
        self._thread.start()

    @property
    def served(self) -> bool:
        """Whether it has completed an utterance."""
        return self._dialogue.completed > 0

    @property
    def is_closing(self) -> bool:
        """Whether its stream is closed; the process may live on for a moment."""
        return self._closing

    def attach(self, language: str, say: Callable[[Spoken], None]) -> bool:
        """Begin the stream; False if the process has ended meanwhile."""
        with self._lock:
            if self._over:
                return False
            self._say = say
            self._dialogue.listen(language)
            return True

    def feed(self, data: bytes | None) -> None:
        """Take s16le audio at 16 kHz, or None for the end of the utterance."""
        with self._lock:
            if self._over or self._closing or self._behind:
                return
            self._waiting_bytes += len(data or b"")
            self._behind = duration_s(self._waiting_bytes) > self._options.max_waiting_s
            if not self._behind:
                self._inbox.append(data)
            self._ring()

    def close(self) -> None:
        """Have the process killed; once this returns, nothing is said any more."""
        with self._lock:
            self._closing = True
            if not self._over:
                self._ring()
        with self._speaking:
            self._say = None

    def join(self) -> None:
        """Wait until the process is gone."""
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _ring(self) -> None:
        try:
            os.write(self._bell, b"\0")
        except BlockingIOError:  # it rings already
            return

    # The thread.

    def _run(self) -> None:
        error: ProviderError | None = None
        try:
            self._converse()
        except ProviderError as caught:
            error = caught
        except OSError as caught:
            error = ProviderError(f"voxtral: {caught.strerror or caught}")
        with self._lock:
            self._over = True
            os.close(self._alarm)
            os.close(self._bell)
            closed = self._closing
        if error is not None and not closed:
            self._speak(Lost(error))
        self._owner.ended(self, None if closed else error)

    def _speak(self, spoken: Spoken) -> None:
        with self._speaking:
            if self._say is not None:
                self._say(spoken)

    def _converse(self) -> None:
        try:
            process = VoxtralProcess(self._options.command(monitored=self.monitored))
        except ProviderError:
            self.never_ran = True
            raise
        with process, selectors.DefaultSelector() as selector:
            self.pid = process.pid
            for descriptor in (self._alarm, process.stdout, process.stderr):
                selector.register(descriptor, selectors.EVENT_READ)
            try:
                while self._take_inbox():
                    self._turn(process, selector)
            except ProviderError as error:
                raise self._explained(error) from None

    def _turn(self, process: VoxtralProcess, selector: selectors.BaseSelector) -> None:
        """Write what fits, read what is there, go on, and wait for more."""
        dialogue = self._dialogue
        while (data := dialogue.outgoing()) is not None and (count := process.write(data)):
            dialogue.wrote(count)
        unread_bytes = process.unread_bytes()
        output, ended = process.read(process.stdout)
        errors, silenced = process.read(process.stderr)
        for spoken in dialogue.advance(unread_bytes, output, errors):
            self._speak(spoken)
        if dialogue.ready and self.ready_s is None:
            self.ready_s = time.monotonic()
            self._owner.became_ready(self)
        if ended:
            raise self._dead(process)
        if silenced and process.stderr in selector.get_map():
            selector.unregister(process.stderr)
        self._wait(process, selector)

    def _wait(self, process: VoxtralProcess, selector: selectors.BaseSelector) -> None:
        wants_to_write = self._dialogue.outgoing() is not None
        if wants_to_write:
            selector.register(process.stdin, selectors.EVENT_WRITE)
        selector.select(self._dialogue.patience_s())
        if wants_to_write:
            selector.unregister(process.stdin)

    def _take_inbox(self) -> bool:
        """Move what was fed to the dialogue; False once the stream is closed."""
        with self._lock:
            if self._closing:
                return False
            with contextlib.suppress(BlockingIOError):
                os.read(self._alarm, 4096)
            while self._inbox:
                self._dialogue.feed(self._inbox.popleft())
            self._waiting_bytes = self._dialogue.waiting_bytes
            if self._behind:
                limit_s = self._options.max_waiting_s
                raise ProviderError(f"voxtral is more than {limit_s:.0f} s behind: it is too slow here")
        return True

    def _dead(self, process: VoxtralProcess) -> ProviderError:
        how = process.obituary()
        self._dialogue.status.take(process.read(process.stderr)[0])
        return WorkerCrashed(how)

    def _explained(self, error: ProviderError) -> ProviderError:
        """With what the process said about it."""
        self.complaint = self._dialogue.status.quote()
        return type(error)(f"{error}: {self.complaint}" if self.complaint else str(error))
