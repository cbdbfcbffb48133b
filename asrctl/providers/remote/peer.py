"""One stream into another asrctl: its client keeps the link, and utterances are ended by `flush`.

The server has endpointing of its own, so that an utterance may come back as several finals, or as none. The
next utterance is sent when the server has answered for all of this one; so its finals are those that come
meanwhile, whatever sockets and sessions were lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from asrctl.client.client import Client
from asrctl.client.inbox import Event
from asrctl.client.options import ClientOptions
from asrctl.client.replay import BLOCK_BYTES, BufferOptions
from asrctl.client.state import Phase, State
from asrctl.errors import ProviderError, ServerError
from asrctl.protocol import Dropped, Final, Partial
from asrctl.providers.base import DecodeOptions, Spoken
from asrctl.providers.remote.backlog import Backlog
from asrctl.providers.remote.loop import allow
from asrctl.providers.remote.options import RemoteOptions
from asrctl.providers.remote.pcm import SAMPLE_BYTES, samples_of
from asrctl.transcript import SAMPLE_RATE_HZ, Segment, Word, join_text

_PIECE_BYTES = SAMPLE_RATE_HZ * SAMPLE_BYTES


class Peer:
    """Carries a stream over one `Client`."""

    def __init__(
        self,
        options: RemoteOptions,
        key: str,
        decode: DecodeOptions,
        backlog: Backlog,
        wake: asyncio.Event,
        tell: Callable[[Spoken], None],
    ) -> None:
        """Prepare; see `Realtime`."""
        self._options = options
        self._decode = decode
        self._backlog = backlog
        self._wake = wake
        self._tell = tell
        self._client = Client(options.address.url, _client_options(options, key, decode))
        self._start_s = 0.0
        self._finals: list[Final] = []
        self._dropped: list[Dropped] = []
        self._limit: asyncio.Timeout | None = None
        self._waiting = False

    async def run(self) -> None:
        """Carry the stream for ever.

        Raises:
            ProviderError: The server was given up, and why.
        """
        async with self._client as client:
            tasks = [asyncio.create_task(self._listen(client)), asyncio.create_task(self._talk(client))]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    if task.done():
                        task.result()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    # What goes out

    async def _talk(self, client: Client) -> None:
        while True:
            number = await self._next()
            while True:
                await self._utter(client, number)
                if not self._dropped:
                    break
                self._backlog.refused(number, self._dropped[0].reason)
            self._say(self._backlog.completed(number, self._segments(), self._language()))

    async def _next(self) -> int:
        """Wait until there is audio; the number of its utterance."""
        while not self._backlog.get(self._backlog.first).pcm:
            self._wake.clear()
            await self._wake.wait()
        return self._backlog.first

    async def _utter(self, client: Client, number: int) -> None:
        """Send an utterance while it grows, have it finalised, and wait for that."""
        self._start_s, self._finals, self._dropped = client.fed_samples / SAMPLE_RATE_HZ, [], []
        utterance, sent_bytes = self._backlog.get(number), 0
        while sent_bytes < len(utterance.pcm) or not utterance.ended:
            self._wake.clear()
            while piece := bytes(utterance.pcm[sent_bytes : sent_bytes + _PIECE_BYTES]):
                client.feed(samples_of(piece))
                sent_bytes += len(piece)
            if not utterance.ended:
                await self._wake.wait()
        self._waiting = True
        try:
            async with asyncio.timeout(self._options.completion_timeout_s) as self._limit:
                await client.settle()
        except TimeoutError:
            raise ProviderError("the server did not answer in time") from None
        finally:
            self._waiting = False
        if client.state.phase in (Phase.DONE, Phase.GAVE_UP):
            await asyncio.Event().wait()  # the listener is about to say why nothing was answered

    # What comes back

    async def _listen(self, client: Client) -> None:
        try:
            async with asyncio.timeout(None) as outage:
                async for event in client:
                    self._take(event)
                    _watch(outage, event, self._options.outage_s)
        except TimeoutError:
            raise ProviderError(f"no answer; gave up after {self._options.outage_s:g} s") from None
        except ServerError as error:
            reason = str(error).removeprefix(f"{self._options.address.url}: ")
            raise ProviderError(reason) from None
        raise ProviderError("the server ended the session")

    def _take(self, event: Event) -> None:
        if isinstance(event, Final):
            self._finals.append(event)
        elif isinstance(event, Dropped):
            self._dropped.append(event)
        if isinstance(event, Final | Partial):
            stable = event.stable if isinstance(event, Partial) else ""
            said = join_text([*(final.text for final in self._finals), stable])
            if self._backlog.get(self._backlog.first).pcm:
                self._say(self._backlog.heard(self._backlog.first, said))
        self._expect()

    def _expect(self) -> None:
        """The server lives: it has as much time again."""
        if self._waiting:
            allow(self._limit, self._options.completion_timeout_s)

    def _say(self, spoken: list[Spoken]) -> None:
        for each in spoken:
            self._tell(each)

    def _segments(self) -> tuple[Segment, ...]:
        """The finals of the utterance, in seconds since its first sample."""
        return tuple(
            Segment(final.start_s, final.end_s, final.text, final.confidence, _words(final)).shifted(
                -self._start_s
            )
            for final in self._finals
            if final.text
        )

    def _language(self) -> str:
        """What was asked for; the server does not say what it heard."""
        return self._decode.language


def _words(final: Final) -> tuple[Word, ...]:
    return tuple(Word(word.start_s, word.end_s, word.text, word.confidence) for word in final.words or ())


def _watch(outage: asyncio.Timeout, event: Event, outage_s: float) -> None:
    """An outage begins with a lost link, and ends when there is another."""
    if not isinstance(event, State):
        return
    if event.phase in (Phase.LIVE, Phase.BUFFERING):
        allow(outage, None)
    elif outage.when() is None:
        allow(outage, outage_s)


def _client_options(options: RemoteOptions, key: str, decode: DecodeOptions) -> ClientOptions:
    memory_bytes = round(options.buffer_s * SAMPLE_RATE_HZ) * SAMPLE_BYTES + 2 * BLOCK_BYTES
    return ClientOptions(
        language=decode.language,
        model=options.model or None,
        prompt=decode.prompt[:2000],
        words=decode.word_timestamps,
        api_key=key or None,
        backoff=options.backoff,
        breaker=options.breaker,
        buffer=BufferOptions(memory_bytes, 0),
        wait_for_server_s=0.0,  # an outage is bounded here, in `_watch`
        connect_timeout_s=options.connect_timeout_s,
        keepalive_s=options.keepalive_s,
        salvage=False,
    )
