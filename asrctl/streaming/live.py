"""Live audio in, events out: a session with its events as an asynchronous iterator, and what feeds it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, Any, Protocol, Self

from asrctl.audio.live import Lost
from asrctl.audio.live_tracks import Step, length_of
from asrctl.events import Event, Finished
from asrctl.streaming.session import Session, TurnListener
from asrctl.streaming.source import Reader
from asrctl.transcript import SAMPLE_RATE_HZ, AudioAccount, Samples, Track

if TYPE_CHECKING:
    from asrctl.providers.recognizer import Recognizer
    from asrctl.speakers.live_process import StreamSpeakers
    from asrctl.streaming.stream import SpeechDetector, StreamOptions

LIVE_AHEAD_S = 180.0
"""More that is pending waits in its source; over what the stream itself sheds speech at."""
FILE_AHEAD_S = 45.0
"""The same for a source that can wait: less than that, and more than the longest utterance."""


class Transcriber(Protocol):
    """Turns audio into events, here or on a server."""

    def feed(self, samples: Any) -> None:
        """Take the next samples, shape (n,), mono float32 at 16 kHz, not to be changed afterwards; of tracks,
        a `Step`."""
        ...

    def skip(self, count: int, reason: str) -> None:
        """Declare that `count` samples were lost on their way here."""
        ...

    def finish(self) -> None:
        """No more audio."""
        ...

    async def wait_for_room(self) -> None:
        """Wait until more audio may be fed."""
        ...


class LiveStream:
    """Feed it audio and iterate over its events, the last of which is `Finished`; a context manager."""

    tracks: tuple[Track, ...] = ()
    """None: this is one."""

    def __init__(
        self,
        detector: SpeechDetector,
        options: StreamOptions,
        recognizer: Recognizer,
        *,
        name: str = "live",
        ahead_s: float = LIVE_AHEAD_S,
        turns: TurnListener | None = None,
        speakers: StreamSpeakers | None = None,
    ) -> None:
        """Start, in a running event loop; see `Session`. `ahead_s` is how much may be pending."""
        self._events: asyncio.Queue[Event | BaseException | None] = asyncio.Queue()
        emit = self._events.put_nowait
        self.session = Session(detector, options, recognizer, emit, name=name, turns=turns, speakers=speakers)
        self.feed = self.session.feed
        self.skip = self.session.skip
        self.flush = self.session.flush
        self.finish = self.session.finish
        self._ahead_samples = round(ahead_s * SAMPLE_RATE_HZ)
        self._ending = asyncio.create_task(self._tell_of_the_end(), name="end")
        self._loading = asyncio.create_task(recognizer.wait_ready(), name="ready")
        self._loading.add_done_callback(self._tell_of_a_failed_load)

    async def wait_for_room(self) -> None:
        """Wait until so little is pending that more audio may be fed."""
        await self.session.wait_pending_below(self._ahead_samples)

    @property
    def account(self) -> AudioAccount:
        """Where every sample went that was looked at so far."""
        return self.session.account

    @property
    def pending_samples(self) -> int:
        """Samples fed that nothing was said of yet."""
        return self.session.pending_samples

    @property
    def is_loading(self) -> bool:
        """Whether no provider is ready yet."""
        return not self._loading.done()

    async def wait_loaded(self) -> None:
        """Wait until a provider is ready, or none will be."""
        await asyncio.wait({self._loading})

    @property
    def language(self) -> str:
        """What the last final was in; what was asked for until there is one."""
        return self.session.language

    @property
    def has_events(self) -> bool:
        """Whether there are events that were not iterated over yet."""
        return not self._events.empty()

    def waiting(self) -> list[Event]:
        """Events that were not iterated over yet; for whoever leaves early."""
        found = []
        while not self._events.empty():
            event = self._events.get_nowait()
            if event is not None and not isinstance(event, BaseException):
                found.append(event)
        return found

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Events in order.

        Raises:
            ModelError: The weights do not load, and nobody stands in.
            ProviderError: No provider can run.
            Exception: The session failed, by a mistake of ours.
        """
        while (event := await self._events.get()) is not None:
            if isinstance(event, BaseException):
                raise event
            yield event
            if isinstance(event, Finished):
                return
        await self.session.wait_ended()

    def _tell_of_a_failed_load(self, loading: asyncio.Task[None]) -> None:
        if not loading.cancelled() and (error := loading.exception()) is not None:
            self._events.put_nowait(error)

    async def _tell_of_the_end(self) -> None:
        """Wake who iterates when the session ends without `Finished`."""
        await asyncio.gather(self.session.wait_ended(), return_exceptions=True)
        self._events.put_nowait(None)

    async def close(self) -> None:
        """Stop at once; what is pending is neither decoded nor declared."""
        self._loading.cancel()
        await self.session.close()
        await asyncio.gather(self._ending, self._loading, return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class Feeder:
    """Carries audio from a source to a transcriber until the source ends or is stopped, then finishes that.

    Attributes:
        level_db: Level of the last chunk, in dB of full scale.
        heard_samples: What was fed so far, losses included, of all tracks.
        unheard_samples: What came after the end, losses included; it is in nobody's account.
        failure: Why the source failed, if it did.
        complete: Whether the source has given all it had.
    """

    def __init__(self, reader: Reader[Any], transcriber: Transcriber) -> None:
        """Prepare; `run` does it. A source of tracks gives steps, which its transcriber knows."""
        self.level_db = -math.inf
        self.heard_samples = 0
        self.unheard_samples = 0
        self.failure: BaseException | None = None
        self.complete = False
        self._reader = reader
        self._transcriber = transcriber
        self._ended = False

    def stop(self) -> None:
        """End the source after what was heard up to now."""
        self._reader.stop()

    def end(self) -> None:
        """Tell the transcriber that this was all, once; what the source still gives is counted, not heard."""
        if not self._ended:
            self._ended = True
            self._transcriber.finish()

    async def run(self) -> None:
        """Feed until the source has ended; its failure is kept in `failure`."""
        try:
            async for item in self._reader:
                await self._take(item)
            self.complete = True
        except Exception as error:
            self.failure = error
        finally:
            self.end()

    async def _take(self, item: Any) -> None:
        count = length_of(item)
        if not self._ended:
            await self._transcriber.wait_for_room()
        if self._ended:
            self.unheard_samples += count
            return
        self.heard_samples += count
        if isinstance(item, Lost):
            self._transcriber.skip(count, item.reason)
        else:
            audible = item.samples() if isinstance(item, Step) else [item]
            self.level_db = max(map(level_db, audible))
            self._transcriber.feed(item)


async def events_while_fed(live: LiveStream, reader: Any) -> AsyncGenerator[Event]:
    """Events of a stream that is fed from a source, until that has ended; its failure is raised then."""
    feeder = Feeder(reader, live)
    feeding = asyncio.create_task(feeder.run(), name="feeder")
    try:
        async for event in live:
            yield event
    finally:
        if isinstance(reader, Reader):
            await reader.close()
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
    if feeder.failure is not None:
        raise feeder.failure


def level_db(samples: Samples) -> float:
    """Root mean square in dB of full scale; minus infinity for digital silence."""
    import numpy as np

    power = float(np.dot(samples, samples)) / max(1, len(samples))
    return 10 * math.log10(power) if power else -math.inf
