"""One stream into another asrctl: its client keeps the link, and utterances are ended by `flush`.

The server has endpointing of its own, so that an utterance may come back as several finals, or as none. The
next utterance is sent when the server has answered for all of this one; so its finals are those that come
meanwhile, whatever sockets and sessions were lost.
"""

from __future__ import annotations

import asyncio

from asrctl.client.client import Client
from asrctl.client.inbox import Event
from asrctl.client.options import ClientOptions
from asrctl.client.replay import BLOCK_BYTES, BufferOptions
from asrctl.client.state import Phase, State
from asrctl.errors import DecodeError, ProviderError, ServerError
from asrctl.policy.backoff import BackoffOptions
from asrctl.policy.breaker import BreakerOptions
from asrctl.protocol.messages import Dropped, Final, Partial
from asrctl.providers.base import DecodeOptions
from asrctl.providers.remote.backlog import Backlog
from asrctl.providers.remote.link import allow, until_one_fails
from asrctl.providers.remote.pcm import SAMPLE_BYTES
from asrctl.providers.remote.reachability import NOBODY_THERE
from asrctl.providers.remote.settings import RemoteSettings
from asrctl.transcript import SAMPLE_RATE_HZ, Segment, Word, join_text

_PIECE_BYTES = SAMPLE_RATE_HZ * SAMPLE_BYTES


class Peer:
    """Carries a stream over one `Client`."""

    def __init__(
        self,
        settings: RemoteSettings,
        key: str,
        decode: DecodeOptions,
        backlog: Backlog,
        wake: asyncio.Event,
        backoff: BackoffOptions,
    ) -> None:
        """Prepare; see `Realtime`."""
        self._settings = settings
        self._backlog = backlog
        self._wake = wake
        self._client = Client(settings.address.url, _client_options(settings, key, decode, backoff))
        self._number = 0
        self._start_s = 0.0
        self._sent_bytes = 0
        self._finals: list[Final] = []
        self._dropped: list[Dropped] = []
        self._limit: asyncio.Timeout | None = None
        self._reached = False
        self._reason = ""

    async def run(self) -> None:
        """Carry the stream until the server is given up, which is raised as a ProviderError."""
        async with self._client as client:
            await until_one_fails(self._listen(client), self._talk(client))

    # What goes out

    async def _talk(self, client: Client) -> None:
        while True:
            await self._next()
            while self._backlog.holds(self._number):
                await self._utter(client)
                if self._dropped:
                    self._backlog.refused(self._number, self._dropped[0].reason)
                else:
                    self._backlog.completed(self._number, self._segments())

    async def _next(self) -> None:
        """Wait until there is audio of an utterance."""
        while not self._backlog.get(number := self._backlog.next_to_send(0)).pcm:
            self._wake.clear()
            await self._wake.wait()
        self._number = number

    async def _utter(self, client: Client) -> None:
        """Send an utterance while it grows, have it finalised, and wait for that."""
        self._start_s, self._finals, self._dropped = client.fed_samples / SAMPLE_RATE_HZ, [], []
        utterance, self._sent_bytes = self._backlog.get(self._number), 0
        while self._sent_bytes < len(utterance.pcm) or not utterance.ended:
            self._wake.clear()
            while piece := bytes(utterance.pcm[self._sent_bytes : self._sent_bytes + _PIECE_BYTES]):
                client.feed(piece)
                self._sent_bytes += len(piece)
            if not utterance.ended:
                await self._wake.wait()
        try:
            async with asyncio.timeout(self._settings.completion_timeout_s) as self._limit:
                await client.settle()
        except TimeoutError:
            raise ProviderError("the server did not answer in time") from None
        finally:
            self._limit = None
        if client.state.phase in (Phase.DONE, Phase.GAVE_UP):
            await asyncio.Event().wait()  # the listener is about to say why nothing was answered

    # What comes back

    async def _listen(self, client: Client) -> None:
        try:
            async with asyncio.timeout(None) as outage:
                async for event in client:
                    self._take(event)
                    if isinstance(event, State):
                        self._watch(outage, event)
        except TimeoutError:
            raise ProviderError(f"no answer; gave up: {self._reason or 'the link was lost'}") from None
        except ServerError as error:
            reason = str(error).removeprefix(f"{self._settings.address.url}: ")
            raise ProviderError(reason) from None
        raise ProviderError("the server ended the session")

    def _take(self, event: Event) -> None:
        if isinstance(event, Final):
            self._finals.append(event)
        elif isinstance(event, Dropped):
            self._dropped.append(event)
        if isinstance(event, Final | Partial):
            stable = event.stable if isinstance(event, Partial) else ""
            self._heard(join_text([*(final.text for final in self._finals), stable]))
        # The server lives: it has as much time again.
        allow(self._limit, self._settings.completion_timeout_s)

    def _heard(self, text: str) -> None:
        if text and self._backlog.holds(self._number):
            try:
                self._backlog.heard(self._number, f"{text} ", self._sent_bytes // SAMPLE_BYTES)
            except DecodeError as error:
                raise ProviderError(str(error)) from None

    def _watch(self, outage: asyncio.Timeout, event: State) -> None:
        """An outage begins with a lost link, and ends when there is another."""
        self._reason = event.reason
        if event.phase in (Phase.LIVE, Phase.BUFFERING):
            self._reached = True
            allow(outage, None)
        elif event.reason in NOBODY_THERE and not self._reached:
            raise ProviderError(event.reason)
        else:
            self._shorten(outage, self._settings.outage_s)
            if event.reason in NOBODY_THERE:
                self._shorten(outage, self._settings.restart_s)

    def _shorten(self, outage: asyncio.Timeout, limit_s: float) -> None:
        """The outage may last so long from now, if it does not end before."""
        end_s = outage.when()
        if end_s is None or asyncio.get_running_loop().time() + limit_s < end_s:
            allow(outage, limit_s)

    def _segments(self) -> tuple[Segment, ...]:
        """The finals of the utterance, in seconds since its first sample."""
        return tuple(
            Segment(final.start_s, final.end_s, final.text, final.confidence, _words(final)).shifted(
                -self._start_s
            )
            for final in self._finals
            if final.text
        )


def _words(final: Final) -> tuple[Word, ...]:
    return tuple(Word(word.start_s, word.end_s, word.text, word.confidence) for word in final.words or ())


def _client_options(
    settings: RemoteSettings, key: str, decode: DecodeOptions, backoff: BackoffOptions
) -> ClientOptions:
    memory_bytes = round(settings.buffer_s * SAMPLE_RATE_HZ) * SAMPLE_BYTES + 2 * BLOCK_BYTES
    return ClientOptions(
        language=decode.language,
        model=settings.model or None,
        prompt=decode.prompt[:2000],
        vocabulary=decode.vocabulary,
        words=decode.word_timestamps,
        api_key=key or None,
        backoff=backoff,
        breaker=BreakerOptions(backoff.max_attempts + 1),  # the attempts end it before
        buffer=BufferOptions(memory_bytes, 0),
        wait_for_server_s=0.0,  # an outage is bounded here, in `_watch`
        connect_timeout_s=settings.connect_timeout_s,
        keepalive_s=settings.keepalive_s,
        salvage=False,
    )
