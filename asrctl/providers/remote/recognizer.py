"""The provider `remote` as a recogniser: any number of streams into one server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from asrctl.errors import DecodeError, ProviderError, StreamRefused
from asrctl.policy.backoff import BackoffOptions
from asrctl.protocol.codes import SUBPROTOCOL
from asrctl.providers.outbox import Outbox
from asrctl.providers.recognizer import Completed, Spoken, StreamRequest, WindowDecoder
from asrctl.providers.remote.backlog import Backlog
from asrctl.providers.remote.link import open_socket
from asrctl.providers.remote.peer import Peer
from asrctl.providers.remote.reachability import BACKOFF
from asrctl.providers.remote.realtime import Realtime, probe
from asrctl.providers.remote.service import RemoteService
from asrctl.providers.remote.settings import RemoteSettings
from asrctl.providers.remote.stream import RemoteStream

_LAST_TURNS = 3
"""Of the loop, in which asyncio closes the sockets that were dropped last."""


class RemoteRecognizer(RemoteService):
    """See `Recognizer`. Nothing is connected before the first `open`."""

    windows: WindowDecoder | None = None

    def __init__(
        self,
        settings: RemoteSettings,
        backoff: BackoffOptions = BACKOFF,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """See `RemoteService`; the server's dialect must not be "transcriptions"."""
        super().__init__(settings, backoff, clock)
        self._streams: set[RemoteStream] = set()

    def open(self, request: StreamRequest, say: Callable[[Spoken], None]) -> RemoteStream:
        """Start a stream; see `Recognizer.open`. It connects while it is fed.

        Raises:
            ProviderError: The server cannot do what is asked, or was given up a short while ago.
        """
        if request.decode.translate:
            raise ProviderError("a realtime server cannot translate")
        if self._closed:
            raise ProviderError("the provider was closed")
        self._refuse_while_it_rests()
        outbox = Outbox(request, say)

        def tell(spoken: Spoken) -> None:
            if isinstance(spoken, Completed):
                self._breaker.succeeded()
            outbox.say(spoken)

        backlog = Backlog(self._settings.buffer_s, request.decode.language, tell)
        wake = asyncio.Event()
        kind = Peer if self._address.dialect == "asrctl" else Realtime
        carrier = kind(self._settings, self._key, request.decode, backlog, wake, self._backoff)

        async def carry() -> None:
            await self._wait_for_first_answer()
            await carrier.run()

        stream = RemoteStream(outbox, backlog, carry, wake, self._lost, self._streams.discard)
        self._streams.add(stream)
        return stream

    def _lost(self, error: ProviderError) -> ProviderError:
        """A stream was lost: for a while there are no others, unless it was the audio's fault."""
        message = self._says(str(error))
        if isinstance(error, DecodeError):
            return DecodeError(message)
        self._why = message
        self._breaker.failed()
        return StreamRefused(message) if isinstance(error, StreamRefused) else ProviderError(message)

    async def _greet(self) -> None:
        if self._address.dialect == "asrctl":
            async with open_socket(self._settings, self._key, SUBPROTOCOL):
                return
        await probe(self._settings, self._key)

    async def close(self) -> None:
        """Close all streams."""
        self._closed = True
        streams = list(self._streams)
        for stream in streams:
            stream.close()
        for stream in streams:
            await stream.wait_gone()
        for _ in range(_LAST_TURNS):
            await asyncio.sleep(0)
