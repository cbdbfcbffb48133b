"""An input whose speakers are told apart by voice: when all was heard, each word is given to one."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from dataclasses import replace

from asrctl.errors import AsrctlError, AudioError
from asrctl.policy.turns import Turn, labelled, numbered_names
from asrctl.providers.recognizer import WindowDecoder
from asrctl.speakers.process import SpeakersProcess
from asrctl.streaming.files import FileOptions, FileTranscription
from asrctl.streaming.source import Reader
from asrctl.streaming.stream import SpeechDetector
from asrctl.transcript import Samples, Segment


class SpeakersTranscription(FileTranscription):
    """One input; its segments are given at its end, parted where the speaker changes."""

    def __init__(
        self,
        chunks: Reader[Samples],
        process: SpeakersProcess,
        decoder: WindowDecoder,
        detector: SpeechDetector,
        options: FileOptions,
        name: str = "",
    ) -> None:
        """Prepare; see `FileTranscription`.

        Args:
            chunks: Mono float32 at 16 kHz.
            process: Tells speakers apart; not started.
            decoder: Where windows are decoded.
            detector: Finds speech; fresh, for this input alone.
            options: How to cut and decode.
            name: Keeps inputs apart in the workers' queue, where live audio goes first.
        """
        decode = replace(options.decode, word_timestamps=True)
        super().__init__(
            self._shared(chunks, process), decoder, detector, replace(options, decode=decode), name
        )
        self._reader = chunks
        self._process = process
        self._words = options.decode.word_timestamps
        self._held: deque[Segment] = deque()

    def waiting(self) -> list[Segment]:
        """Segments that are known and were not given; for whoever leaves early."""
        return [self._kept(segment) for segment in self._held]

    async def segments(self) -> AsyncGenerator[Segment]:
        """Segments with speakers, all at the end; without, if `unlabelled` says why.

        Raises:
            AudioError: The input cannot be read; what was heard before is given first.
            ModelError: Weights do not load.
            ProviderError: No provider can run.
            UsageError: In the sample of a known speaker nobody speaks.
        """
        failure: AsrctlError | None = None
        turns: list[Turn] = []
        try:
            async with self._process:
                try:
                    async with aclosing(super().segments()) as segments:
                        async for segment in segments:
                            self._held.append(segment)
                except AsrctlError as error:
                    failure = error
                try:
                    turns = await self._process.turns()
                except AudioError as error:
                    self.unlabelled = error
        finally:
            await self._reader.close()
        self._held = deque(_with_speakers(self._held, turns, self._process.known))
        while self._held:
            yield self._kept(self._held.popleft())
        if failure is not None:
            raise failure

    def _kept(self, segment: Segment) -> Segment:
        return segment if self._words else replace(segment, words=())

    @staticmethod
    async def _shared(chunks: Reader[Samples], process: SpeakersProcess) -> AsyncGenerator[Samples]:
        async for chunk in chunks:
            await process.feed(chunk)
            yield chunk


def _with_speakers(segments: Collection[Segment], turns: list[Turn], known: Collection[str]) -> list[Segment]:
    """Segments of one speaker each; those not known are numbered in the order of their first words."""
    parts = [part for segment in segments for part in labelled(segment, turns).turns()]
    others = dict.fromkeys(part.speaker for part in parts if part.speaker and part.speaker not in known)
    names = dict(zip(others, numbered_names(known), strict=False))
    return [part.said_by(names.get(part.speaker, part.speaker)) for part in parts]
