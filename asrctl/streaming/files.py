"""A file, or any stream without a clock, through a decoder of windows: samples in, segments out in order.

At most a few windows are in memory at once, however long the input is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from asrctl.errors import AudioError, DecodeError, ProviderError, UsageError, WorkerCrashed, WorkerTimeout
from asrctl.languages import is_open, known_language
from asrctl.policy.endpointing import EndpointerOptions, Span
from asrctl.policy.language import LanguageBelief, of_each
from asrctl.policy.left_out import is_there, sparse
from asrctl.policy.packing import PackingOptions, Window
from asrctl.policy.placing import place
from asrctl.policy.priority import Kind, Source, Ticket
from asrctl.policy.utterances import Utterance, runs
from asrctl.policy.words import words_of
from asrctl.providers.base import DecodeOptions
from asrctl.providers.recognizer import WindowDecoder
from asrctl.streaming.source import Reader
from asrctl.streaming.stream import SpeechDetector
from asrctl.streaming.windowing import Windowing
from asrctl.transcript import SAMPLE_RATE_HZ, AudioAccount, Hypothesis, LanguageEvidence, Segment, Track

_AHEAD = 2
"""So many times what is decoded at a time is submitted, so that no worker waits for the reader."""
_AT_FIRST = 2
"""Windows that are submitted before the first is done: its text is awaited, and others would delay it."""
_TELLING_WINDOWS = 3
"""So many tell which language is spoken, so that a wrong choice is noticed; each costs a detection."""
_SURE = 0.45
"""Least confidence in each segment of a window where no detector heard speech: decoders that make up words of
music or applause are unsure of some."""
_WORDLESS_S = 10.0
"""So much speech without a word is said; less is laughter, singing, or somebody far away."""
_ABOUT_ONE_WINDOW = (DecodeError, WorkerCrashed, WorkerTimeout)
"""Errors after which the other windows may still be decoded."""


@dataclass(frozen=True, slots=True)
class FileOptions:
    """How an input is cut and decoded.

    Raises:
        UsageError: An utterance may be longer than a window.
    """

    decode: DecodeOptions = field(default_factory=DecodeOptions)
    endpointing: EndpointerOptions = field(
        default_factory=lambda: EndpointerOptions(overlong_s=12.0, max_utterance_s=12.0)
    )
    packing: PackingOptions = field(default_factory=PackingOptions)

    def __post_init__(self) -> None:
        """Validate once, at the edge."""
        if self.endpointing.max_utterance_s > self.packing.max_window_s:
            raise UsageError("endpointing: max_utterance_s must not exceed packing's max_window_s")


@dataclass(frozen=True, slots=True, eq=False)
class _Submitted:
    """A window that is being decoded; `voiced` is where speech was heard in it."""

    window: Window
    samples: NDArray[np.float32]
    voiced: tuple[Span, ...]
    utterances: tuple[Utterance, ...]
    task: asyncio.Task[Hypothesis]


class FileTranscription:
    """One input; iterate over `segments` once.

    Attributes:
        language: The language of the first window; "" before.
        evidence: What was heard of the language in the first windows, although one was asked for.
        inference_s: Time spent in recognisers, summed over workers.
        providers: Whose words were taken, in the order of their first; empty where the decoder names nobody.
        done_samples: How far the input is transcribed.
        lost: What could not be decoded, one line each; such audio is in `account.dropped_samples`.
        unlabelled: Why segments have no speakers though they should.
    """

    def __init__(
        self,
        chunks: AsyncIterable[NDArray[np.float32]],
        decoder: WindowDecoder,
        detector: SpeechDetector,
        options: FileOptions,
        name: str = "",
    ) -> None:
        """Prepare; nothing is read before the iteration starts.

        Args:
            chunks: Mono float32 at 16 kHz, each of shape (n,).
            decoder: Where windows are decoded.
            detector: Finds speech; fresh, for this input alone.
            options: How to cut and decode.
            name: Keeps inputs apart in the workers' queue, where live audio goes first.
        """
        self._chunks = chunks
        self._decoder = decoder
        self._windowing = Windowing(detector, options.endpointing, options.packing)
        self._decode = options.decode
        self._belief = LanguageBelief(options.decode.language)
        self._likely = options.decode.language
        """The language in which the next window is decoded first."""
        self._knows_nothing = self._belief.is_open
        self._windows = 0
        self._ticket = Ticket(session=name, kind=Kind.FINAL, source=Source.FILE)
        self._results: asyncio.Queue[_Submitted | Exception | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(_AT_FIRST)
        self._more_room = max(0, _AHEAD * decoder.width - _AT_FIRST)
        self._under_way: set[asyncio.Task[Hypothesis]] = set()
        self._speech_samples = 0
        self._doubtful_samples = 0
        """What no detector took for speech, and is in another part of the account than silence."""
        self._dropped_samples = 0
        self.language = ""
        self.evidence: tuple[LanguageEvidence, ...] = ()
        self.inference_s = 0.0
        self.providers: list[str] = []
        self.done_samples = 0
        self.lost: list[str] = []
        self._wordless: list[Window] = []
        self._unsure: list[Window] = []
        self.unlabelled: AudioError | None = None

    @property
    def account(self) -> AudioAccount:
        """Where every sample read so far went; speech that is not transcribed yet is pending."""
        return AudioAccount(
            received_samples=self._windowing.end_sample,
            speech_samples=self._speech_samples,
            silence_samples=self._windowing.account.silence_samples - self._doubtful_samples,
            dropped_samples=self._dropped_samples,
        )

    @property
    def length_samples(self) -> int:
        """How much was read so far."""
        return self._windowing.end_sample

    @property
    def settled_sample(self) -> int:
        """No segment that is still to come starts before this sample."""
        return self._windowing.settled_sample

    @property
    def doubts(self) -> list[str]:
        """What the words may lack although nothing failed, one line each; holds if speech was looked for."""
        wordless = _told(self._wordless, "no words were recognised in {:.1f} s that sound like speech")
        unsure = _told(
            self._unsure, "left out words that are unsure, in {:.1f} s as loud as speech (--no-vad has them)"
        )
        return [*wordless, *unsure]

    @property
    def tracks(self) -> tuple[Track, ...]:
        """None: this is one."""
        return ()

    def waiting(self) -> list[Segment]:
        """Segments that are known and were not given; none, ever."""
        return []

    async def segments(self) -> AsyncGenerator[Segment]:
        """Segments as they become known, in order, times in seconds of the input.

        Raises:
            AudioError: The input cannot be read.
            ModelError: The weights do not load.
            ProviderError: No provider can run.
        """
        feeding = asyncio.create_task(self._feed(), name="feed")
        try:
            while (item := await self._results.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                for segment in await self._collect(item):
                    yield segment
                for _ in range(1 + self._more_room):
                    self._room.release()
                self._more_room = 0
        finally:
            tasks = [feeding, *self._under_way]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if isinstance(self._chunks, Reader):
                await self._chunks.close()
            elif isinstance(self._chunks, AsyncGenerator):
                await self._chunks.aclose()

    async def _collect(self, submitted: _Submitted) -> list[Segment]:
        """One window's segments; a window that cannot be decoded is declared dropped."""
        window, task = submitted.window, submitted.task
        await asyncio.wait([task])
        if task.cancelled():  # by whoever decodes: raised here, it would pass for a wish of the caller's
            raise ProviderError("a decode was cancelled")
        try:
            parts = await self._in_their_languages(submitted, task.result())
        except _ABOUT_ONE_WINDOW as error:
            self._dropped_samples += self._settle(window)
            start_s, end_s = window.start_sample / SAMPLE_RATE_HZ, window.end_sample / SAMPLE_RATE_HZ
            self.lost.append(f"dropped {start_s:.1f}-{end_s:.1f} s: {error}")
            return []
        self.done_samples = window.end_sample
        if not any(words_of(segment.text) for _, hypothesis in parts for segment in hypothesis.segments):
            if window.doubtful:
                self._windowing.settle(window)
                self._unsure += [window] * bool(words_of(task.result().text))
                return []
            self._wordless.append(window)
        self._speech_samples += self._settle(window)
        return [segment for part, hypothesis in parts for segment in self._take(part, hypothesis, submitted)]

    def _take(self, window: Window, hypothesis: Hypothesis, submitted: _Submitted) -> Iterator[Segment]:
        """The segments of a window, or of a part of it, in the source."""
        if not self.language or is_open(self.language):  # too short a window cannot tell
            self.language = hypothesis.language
        if hypothesis.provider and hypothesis.provider not in self.providers:
            self.providers.append(hypothesis.provider)
        voiced = [
            span
            for span in submitted.voiced
            if span.end_sample > window.start_sample and span.start_sample < window.end_sample
        ]
        for segment in place(hypothesis.segments, window, voiced):
            if words_of(segment.text):
                yield replace(segment, language=known_language(hypothesis.language))

    async def _in_their_languages(
        self, submitted: _Submitted, first: Hypothesis
    ) -> list[tuple[Window, Hypothesis]]:
        """What a window says; if its language changes within, each of its parts by itself."""
        window, belief = submitted.window, self._belief
        if window.doubtful:
            is_sure = all(each.confidence >= _SURE for each in first.segments)
            return [(window, first if is_sure else replace(first, segments=()))]
        if not belief.is_open:
            self.evidence += first.evidence
        self._belief = belief.after(first.evidence)
        self._likely = self._belief.language
        parts = list[tuple[Window, Hypothesis]]()
        places = [utterance.place for utterance in submitted.utterances]
        languages = of_each(places, first.evidence, belief)
        for part, (start, end), language in runs(window, submitted.utterances, languages):
            is_right = part == window and language == first.language
            heard = first if is_right else await self._decode_in(submitted.samples[start:end], language)
            parts.append((part, await self._completed(submitted, heard, start, end)))
        whole = 0, len(submitted.samples)
        return parts or [(window, await self._completed(submitted, first, *whole))]

    async def _completed(self, submitted: _Submitted, heard: Hypothesis, start: int, end: int) -> Hypothesis:
        """With the words of utterances that were left out of these samples of the window."""
        inside = [one for one in submitted.utterances if start <= one.place[0] < end]
        if len(inside) < 2:
            return heard
        rate = SAMPLE_RATE_HZ
        places_s = [((one.place[0] - start) / rate, (one.place[1] - start) / rate) for one in inside]
        speech_s = [one.speech_samples(submitted.voiced) / rate for one in inside]
        segments = list(heard.segments)
        for (first, last), (begin, upto) in reversed([*sparse(segments, places_s, speech_s)]):
            again = list[Segment]()
            with suppress(*_ABOUT_ONE_WINDOW):  # there is a text already
                for one, (start_s, _) in zip(inside[first:last], places_s[first:last], strict=True):
                    alone = await self._decode_in(submitted.samples[slice(*one.place)], heard.language)
                    again += [each.shifted(start_s) for each in alone.segments]
            found, others = _words(again), _words([*segments[:begin], *segments[upto:]])
            if len(found) > len(_words(segments[begin:upto])) and not is_there(found, others):
                segments[begin:upto] = again
        return replace(heard, segments=tuple(segments))

    async def _decode_in(
        self, samples: NDArray[np.float32], language: str, tell_of: tuple[tuple[int, int], ...] = ()
    ) -> Hypothesis:
        """A decode; of the utterances `tell_of` with the language of each."""
        options = replace(self._decode, language=language, tell_language=bool(tell_of), utterances=tell_of)
        hypothesis = await self._decoder.decode(samples, options, self._ticket)
        self.inference_s += hypothesis.inference_s
        return hypothesis

    def _settle(self, window: Window) -> int:
        """Samples of the utterances in a window, which are pending no more, and no silence."""
        settled = self._windowing.settle(window)
        self._doubtful_samples += settled * window.doubtful
        return settled

    # Reading

    async def _feed(self) -> None:
        """Submit windows as they fill; whatever goes wrong is handed to whoever takes the segments."""
        try:
            async for chunk in self._chunks:
                for window in self._windowing.push(chunk):
                    await self._submit(window)
            for window in self._windowing.flush():
                await self._submit(window)
            self._results.put_nowait(None)
        except Exception as error:
            self._results.put_nowait(error)

    async def _submit(self, window: Window) -> None:
        await self._room.acquire()
        samples = self._windowing.samples_of(window)
        tell_language = self._belief.is_open or self._windows < _TELLING_WINDOWS
        self._windows += not window.doubtful
        voiced = self._windowing.voiced_in(window)
        utterances = self._windowing.utterances_in(window, voiced)
        tell_of = tuple(utterance.place for utterance in utterances) if tell_language else ()
        decode = self._decode_in(samples, self._likely, tell_of)
        task = asyncio.create_task(decode, name="window")
        self._under_way.add(task)
        task.add_done_callback(self._done)
        self._results.put_nowait(_Submitted(window, samples, voiced, utterances, task))
        if (
            self._knows_nothing and not window.doubtful
        ):  # later windows are most likely in the language of the first
            await asyncio.wait([task])
            if not task.cancelled() and task.exception() is None:
                self._knows_nothing = False
                self._likely = self._belief.after(task.result().evidence).language

    def _done(self, task: asyncio.Task[Hypothesis]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # which nobody else may ask for, if an earlier window ends the iteration


def _words(segments: Sequence[Segment]) -> list[str]:
    return [word for segment in segments for word in words_of(segment.text)]


def _told(windows: list[Window], line: str) -> list[str]:
    """The line with the seconds of the windows and where the first begins, unless they are few."""
    length_s = sum(window.length_samples for window in windows) / SAMPLE_RATE_HZ
    if length_s < _WORDLESS_S:
        return []
    return [f"{line.format(length_s)}, first at {windows[0].start_sample / SAMPLE_RATE_HZ:.1f} s"]
