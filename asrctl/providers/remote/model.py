"""The provider `remote` as a streaming model: any number of streams into one server, in one thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

from asrctl.errors import DecodeError, ProviderError
from asrctl.policy.breaker import BreakerOptions, CircuitBreaker
from asrctl.providers.base import Completed, DecodeOptions, Spoken
from asrctl.providers.remote.backlog import Backlog
from asrctl.providers.remote.key import Redactor, find_key
from asrctl.providers.remote.loop import LoopThread
from asrctl.providers.remote.options import RemoteOptions
from asrctl.providers.remote.peer import Peer
from asrctl.providers.remote.realtime import Realtime
from asrctl.providers.remote.session import Carrier, RemoteSession, Voice


class RemoteModel:
    """See `StreamingModel`. Nothing is connected before the first `open`."""

    def __init__(self, options: RemoteOptions, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Prepare.

        Args:
            options: Which server; its dialect must not be "transcriptions".
            clock: Monotonic seconds.
        """
        assert not options.is_windowed
        self._options = options
        self._address = options.address
        self._key = find_key(options)
        self._redact = Redactor(self._key, self._address.url, self._address.place)
        self._breaker = CircuitBreaker(BreakerOptions(1, options.breaker.open_s), clock)
        self._lock = threading.Lock()
        self._loop: LoopThread | None = None
        self._sessions: set[RemoteSession] = set()
        self._why = ""
        self._closed = False

    def open(self, options: DecodeOptions, say: Callable[[Spoken], None]) -> RemoteSession:
        """Start a stream; see `StreamingModel.open`. It connects while it is fed.

        Raises:
            ProviderError: The server cannot do what is asked, or was given up a short while ago.
        """
        if options.translate:
            raise ProviderError("a realtime server cannot translate")
        with self._lock:
            loop = self._let_in()
            session = self._session(loop, options, say)
            self._sessions.add(session)
            return session

    def _let_in(self) -> LoopThread:
        if self._closed:
            raise ProviderError("the provider was closed")
        if not self._breaker.allow():
            raise ProviderError(f"{self._why}; tried again in {self._breaker.wait_s():.0f} s")
        if self._loop is None:
            self._loop = LoopThread("asrctl-remote")
        return self._loop

    def _session(
        self, loop: LoopThread, decode: DecodeOptions, say: Callable[[Spoken], None]
    ) -> RemoteSession:
        voice = Voice(say)
        backlog = Backlog(self._options.buffer_s, decode.language)

        def tell(spoken: Spoken) -> None:
            if isinstance(spoken, Completed):
                self._went_well()
            voice(spoken)

        def carrier(wake: asyncio.Event) -> Carrier:
            kind = Peer if self._address.dialect == "asrctl" else Realtime
            return kind(self._options, self._key, decode, backlog, wake, tell)

        return RemoteSession(loop, backlog, carrier, voice, self._lost, self._sessions.discard)

    def _went_well(self) -> None:
        with self._lock:
            self._breaker.succeeded()

    def _lost(self, error: ProviderError) -> ProviderError:
        """A stream was lost: for a while there are no others, unless it was the audio's fault."""
        message = f"{self._address.place}: {self._redact(str(error))}"
        if isinstance(error, DecodeError):
            return DecodeError(message)
        with self._lock:
            self._why = message
            self._breaker.failed()
        return ProviderError(message)

    def description(self) -> str:
        """Where it runs."""
        model = f", {self._options.model}" if self._options.model else ""
        return f"{self._address.place}{model}"

    def close(self) -> None:
        """Close all streams and end the thread."""
        with self._lock:
            self._closed = True
            sessions, loop = list(self._sessions), self._loop
        for session in sessions:
            session.close()
        if loop is not None:
            loop.close()
