"""The engine for programs without an event loop; see `asrctl.api` for the asynchronous one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from asrctl.api import AsyncEngine

if TYPE_CHECKING:
    from asrctl.events import Event
    from asrctl.protocol.endpointing import Endpointing
    from asrctl.recordings import Channels, LiveAudio, Recordings
    from asrctl.settings import Settings
    from asrctl.transcript import Segment, Transcript


class Engine:
    """The synchronous twin of `AsyncEngine`; a context manager, for one thread at a time."""

    def __init__(self, model: str | None = None, *, settings: Settings | None = None, **options: Any) -> None:
        """Prepare; arguments as for `AsyncEngine`."""
        self._engine = AsyncEngine(model, settings=settings, **options)
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        """Start the workers; raises as `AsyncEngine.__aenter__`."""
        try:
            self._runner.run(self._engine.__aenter__())
        except BaseException:
            self._runner.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._runner.run(self._engine.__aexit__())
        finally:
            self._runner.close()

    def wait_ready(self) -> None:
        """Block until the model is loaded; see `AsyncEngine.wait_ready`."""
        self._runner.run(self._engine.wait_ready())

    def transcribe(
        self,
        source: Recordings,
        *,
        vad: bool = True,
        channels: Channels = "mix",
        speakers: Mapping[str, str] | None = None,
        diarize: bool | int = False,
        vocabulary: Sequence[str] | None = None,
    ) -> Transcript:
        """Transcribe a recording; see `AsyncEngine.transcribe`."""
        return self._runner.run(
            self._engine.transcribe(
                source, vad=vad, channels=channels, speakers=speakers, diarize=diarize, vocabulary=vocabulary
            )
        )

    def segments(
        self,
        source: Recordings,
        *,
        vad: bool = True,
        channels: Channels = "mix",
        speakers: Mapping[str, str] | None = None,
        diarize: bool | int = False,
        vocabulary: Sequence[str] | None = None,
    ) -> Iterator[Segment]:
        """The same, a segment at a time, as they become known."""
        return self._each(
            self._engine.segments(
                source, vad=vad, channels=channels, speakers=speakers, diarize=diarize, vocabulary=vocabulary
            )
        )

    def stream(
        self,
        source: LiveAudio,
        *,
        vad: bool = True,
        partials: bool = True,
        vocabulary: Sequence[str] | None = None,
        endpointing: Endpointing | None = None,
        diarize: bool | int = False,
    ) -> Iterator[Event]:
        """Events of live audio; see `AsyncEngine.stream`. While you do not iterate, nothing is decoded."""
        events = self._engine.stream(
            source,
            vad=vad,
            partials=partials,
            vocabulary=vocabulary,
            endpointing=endpointing,
            diarize=diarize,
        )
        return self._each(events)

    def _each(self, items: AsyncGenerator[Any]) -> Iterator[Any]:
        end = object()

        async def following() -> Any:
            return await anext(items, end)

        try:
            while (item := self._runner.run(following())) is not end:
                yield item
        finally:
            self._runner.run(items.aclose())


def transcribe(
    source: Recordings,
    model: str | None = None,
    *,
    vad: bool = True,
    channels: Channels = "mix",
    speakers: Mapping[str, str] | None = None,
    diarize: bool | int = False,
    **options: Any,
) -> Transcript:
    """Transcribe one recording; for several, keep an `Engine`. Arguments as for `AsyncEngine`."""
    with Engine(model, **options) as engine:
        return engine.transcribe(source, vad=vad, channels=channels, speakers=speakers, diarize=diarize)
