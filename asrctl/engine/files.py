"""A file, or any stream without a clock, through the pool: samples in, segments out in order.

One thread reads, finds speech, packs it into windows and submits them; the caller's thread takes the
results in order. At most a few windows are in memory at once, however long the input is.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from asrctl.engine.buffer import SampleBuffer
from asrctl.engine.lineup import Recognizer
from asrctl.errors import AsrctlError, DecodeError, UsageError, WorkerCrashed, WorkerTimeout
from asrctl.policy.endpointing import FRAME_SAMPLES, Endpointer, EndpointerOptions, Event, Span, SpeechEnded
from asrctl.policy.packing import Packer, PackingOptions, Window
from asrctl.policy.placing import place
from asrctl.policy.priority import Kind, Ticket
from asrctl.policy.voiced import VoicedFrames
from asrctl.providers.base import DecodeOptions
from asrctl.transcript import SAMPLE_RATE_HZ, AudioAccount, Hypothesis, Segment

_AHEAD = 2
"""Windows submitted ahead for each worker, so that none waits for the reader."""


_FEEDER_GRACE_S = 0.5

_SURE = 0.6
_LONGEST_SECOND_LOOK_S = 28.0
"""A window with a segment less sure than this, from which pauses were cut, is decoded again as it was
recorded: the detector may have taken quiet speech for a pause. In LONG A (tiny.en, 16 s windows) 3 of 59 are,
and WER goes from 3.86 to 3.32 % (whisper_cpp) and from 4.04 to 3.74 % (faster_whisper). Below 0.7 it is 9 to
17 windows, and not one word better. A second decode that is not surer is not taken.
"""


class _Submitted(NamedTuple):
    """A window that is being decoded.

    `recorded` is its audio with all pauses, if any were cut out; `voiced` is where speech was heard in it.
    """

    window: Window
    future: Future[Hypothesis]
    recorded: NDArray[np.float32] | None
    voiced: tuple[Span, ...]


class SpeechDetector(Protocol):
    """Probabilities of speech, a frame at a time: `SileroVad`, or `Loudness` where all is decoded."""

    def probabilities(self, samples: NDArray[np.float32]) -> NDArray[np.float32]: ...
    def flush(self) -> NDArray[np.float32]: ...


class WideRecognizer(Recognizer, Protocol):
    """A `Recognizer` that says how many windows it decodes at a time: a `WorkerPool`, or a `Relay`."""

    @property
    def width(self) -> int: ...


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


class FileTranscription:
    """Iterate over it once to get the segments, in order, times in seconds of the input.

    Attributes:
        account: Where the samples went; complete when the iteration ends.
        language: The language of the first window; "" before.
        inference_s: Time spent in recognisers, summed over workers.
        providers: Whose words were taken, in the order of their first; empty where the pool names nobody.
        done_samples: How far the input is transcribed.
        lost: What could not be decoded, one line each; such audio is in `account.dropped_samples`.
    """

    def __init__(
        self,
        chunks: Iterable[NDArray[np.float32]],
        pool: WideRecognizer,
        detector: SpeechDetector,
        options: FileOptions,
        name: str = "",
    ) -> None:
        """Prepare; nothing is read before the iteration starts.

        Args:
            chunks: Mono float32 at 16 kHz, each of shape (n,).
            pool: Where windows are decoded.
            detector: Finds speech; fresh, for this input alone.
            options: How to cut and decode.
            name: Keeps inputs apart in the pool's queue.
        """
        self._chunks = chunks
        self._pool = pool
        self._detector = detector
        self._options = options
        self._ticket = Ticket(session=name, kind=Kind.FINAL)
        self._buffer = SampleBuffer()
        self._packer = Packer(options.packing)
        self._endpointer = Endpointer(options.endpointing)
        self._voiced = VoicedFrames()
        self._results: queue.SimpleQueue[_Submitted | BaseException | None]
        self._results = queue.SimpleQueue()
        self._room = threading.Semaphore(_AHEAD * pool.width)
        self._stopped = threading.Event()
        self._reading = threading.Lock()
        self._uncollected: deque[Span] = deque()
        self._speech_samples = 0
        self._dropped_samples = 0
        self.language = ""
        self.inference_s = 0.0
        self.providers: list[str] = []
        self.done_samples = 0
        self.lost: list[str] = []

    @property
    def account(self) -> AudioAccount:
        """Where every sample read so far went; speech that is not transcribed yet is pending."""
        with self._reading:
            account = self._endpointer.account
        return replace(account, speech_samples=self._speech_samples, dropped_samples=self._dropped_samples)

    def __iter__(self) -> Generator[Segment]:
        """Segments as they become known.

        Raises:
            AudioError: The input cannot be read.
            ModelError: The weights do not load.
            ProviderError: No worker can run.
        """
        feeder = threading.Thread(target=self._feed, name="feeder", daemon=True)
        feeder.start()
        try:
            while (item := self._results.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield from self._collect(item)
                self._room.release()
        finally:
            self._stopped.set()
            self._room.release()
            self._abandon()
            # It may be in the middle of a block, which must not be closed under it, or wait for a pipe.
            feeder.join(_FEEDER_GRACE_S)

    def _collect(self, submitted: _Submitted) -> Iterator[Segment]:
        """One window's segments; a window that cannot be decoded is declared dropped."""
        window = submitted.window
        start_s, end_s = (edge / SAMPLE_RATE_HZ for edge in _edges(window))
        try:
            hypothesis = submitted.future.result()
        except (DecodeError, WorkerCrashed, WorkerTimeout) as error:
            self._dropped_samples += self._settle(window)
            self.lost.append(f"dropped {start_s:.1f}-{end_s:.1f} s: {error}")
            return
        if self.language in ("", "auto"):  # too short a window cannot tell
            self.language = hypothesis.language
        self._speech_samples += self._settle(window)
        self.inference_s += hypothesis.inference_s
        window, hypothesis = self._look_again(submitted, hypothesis)
        if hypothesis.provider and hypothesis.provider not in self.providers:
            self.providers.append(hypothesis.provider)
        self.done_samples = window.spans[-1].end_sample
        yield from place(hypothesis.segments, window, submitted.voiced)

    def _look_again(self, submitted: _Submitted, hypothesis: Hypothesis) -> tuple[Window, Hypothesis]:
        """What is surer of a doubtful window: what it says without its pauses, or as it was recorded."""
        first = (submitted.window, hypothesis)
        doubtful = any(segment.confidence < _SURE for segment in hypothesis.segments)
        if submitted.recorded is None or not doubtful:
            return first
        options = replace(self._options.decode, language=self.language or self._options.decode.language)
        future = self._pool.submit(submitted.recorded, options, self._ticket)
        try:
            again = future.result()
        except (DecodeError, WorkerCrashed, WorkerTimeout):
            return first
        finally:
            self._pool.abort(future)
        self.inference_s += again.inference_s
        return (submitted.window.as_recorded(), again) if again.confidence > hypothesis.confidence else first

    def _settle(self, window: Window) -> int:
        """Samples of the utterances in a window, which are pending no more."""
        _, end_sample = _edges(window)
        settled = 0
        while self._uncollected and self._uncollected[0].end_sample <= end_sample:
            settled += self._uncollected.popleft().length_samples
        return settled

    def _abandon(self) -> None:
        """Take back what nobody will collect, so that it does not keep the workers busy."""
        with contextlib.suppress(queue.Empty):
            while True:
                if isinstance(item := self._results.get_nowait(), _Submitted):
                    self._pool.abort(item.future)

    def _feed(self) -> None:
        """The reading thread: whatever goes wrong is handed to the caller's thread."""
        options = self._options.decode
        try:
            for window in self._windows():
                self._room.acquire()
                if self._stopped.is_set():
                    return
                future = self._pool.submit(self._samples_of(window), options, self._ticket)
                voiced = self._voiced.between(*_edges(window))
                self._results.put(_Submitted(window, future, self._recorded(window), voiced))
                if self._stopped.is_set():
                    return self._abandon()
                if options.language == "auto":
                    options = replace(options, language=_language_of(future))
            self._results.put(None)
        except (AsrctlError, OSError, CancelledError) as error:
            self._results.put(error)
        except BaseException as error:  # a bug, but a silent one would hang the caller
            self._results.put(error)
            raise

    def _windows(self) -> Iterator[Window]:
        for chunk in self._chunks:
            if self._stopped.is_set():
                return
            self._buffer.append(chunk)
            for probability in self._detector.probabilities(chunk):
                yield from self._packed(self._push(float(probability), FRAME_SAMPLES))
            self._forget()
        for probability in self._detector.flush():
            rest = self._buffer.end_sample % FRAME_SAMPLES
            yield from self._packed(self._push(float(probability), rest))
        with self._reading:
            ended = self._endpointer.flush()
        yield from self._packed(ended)
        yield from self._packer.flush()

    def _push(self, probability: float, frame_samples: int) -> list[Event]:
        self._voiced.push(probability, frame_samples)
        with self._reading:
            return self._endpointer.push(probability, frame_samples)

    def _packed(self, events: Iterable[Event]) -> Iterator[Window]:
        for event in events:
            if isinstance(event, SpeechEnded):
                self._uncollected.append(event.span)
                yield from self._packer.push(event.span)
        yield from self._packer.settle(self._endpointer.settled_sample)

    def _forget(self) -> None:
        """Let go of all audio but that of the window being packed and of the utterance being heard."""
        waiting = self._packer.start_sample
        needed = self._endpointer.settled_sample if waiting is None else waiting
        self._buffer.forget(needed)
        self._voiced.forget(needed)

    def _samples_of(self, window: Window) -> NDArray[np.float32]:
        pause = np.zeros(window.pause_samples, np.float32)
        pieces = [piece for span in window.spans for piece in (self._buffer.read(span), pause)]
        return np.concatenate(pieces[:-1])

    def _recorded(self, window: Window) -> NDArray[np.float32] | None:
        whole = window.as_recorded()
        was_cut = len(window.spans) > 1
        fits = whole.length_samples <= _LONGEST_SECOND_LOOK_S * SAMPLE_RATE_HZ
        return self._samples_of(whole) if was_cut and fits else None


def _edges(window: Window) -> tuple[int, int]:
    return window.spans[0].start_sample, window.spans[-1].end_sample


def _language_of(future: Future[Hypothesis]) -> str:
    """What the first window was found to be in; all later ones are decoded in it."""
    try:
        return future.result().language
    except (DecodeError, WorkerCrashed, WorkerTimeout):
        return "auto"
