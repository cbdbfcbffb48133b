"""From samples to the windows that a recogniser is to decode, and the audio of each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np

from asrctl.audio.levelled import levelled
from asrctl.policy.endpointing import FRAME_SAMPLES, Endpointer, EndpointerOptions, Event, Span, SpeechEnded
from asrctl.policy.packing import Packer, PackingOptions, Window
from asrctl.policy.utterances import Utterance, utterances_in
from asrctl.policy.voiced import VoicedFrames
from asrctl.streaming.buffer import SampleBuffer
from asrctl.streaming.loud_gaps import LoudGaps
from asrctl.streaming.stream import SpeechDetector
from asrctl.transcript import AudioAccount, Samples


class Windowing:
    """Cuts one input; keeps only the audio of the window being filled and of what may still become one.

    Utterances share windows. A stretch that is no utterance and may hold words all the same is a window of
    its own, `doubtful`: see `LoudGaps`.
    """

    def __init__(
        self, detector: SpeechDetector, endpointing: EndpointerOptions, packing: PackingOptions
    ) -> None:
        """Begin; the detector is fresh, for this input alone."""
        self._detector = detector
        self._buffer = SampleBuffer()
        self._voiced = VoicedFrames()
        self._gaps = LoudGaps(self._buffer.read)
        self._packer = Packer(packing)
        self._endpointer = Endpointer(endpointing)
        self._waiting: deque[Span] = deque()

    @property
    def account(self) -> AudioAccount:
        """Of all that was read, what is an utterance and what is not."""
        return self._endpointer.account

    @property
    def end_sample(self) -> int:
        """How much was read so far."""
        return self._buffer.end_sample

    @property
    def settled_sample(self) -> int:
        """No window that is not settled yet starts before this sample."""
        if self._waiting:
            return self._waiting[0].start_sample
        return min(self._gaps.start_sample, self._endpointer.settled_sample)

    def push(self, chunk: Samples) -> Iterator[Window]:
        """Take samples, shape (n,); gives the windows that are full now.

        The audio of a window is there until the next one is asked for.
        """
        self._buffer.append(chunk)
        for probability in self._detector.probabilities(chunk):
            yield from self._packed(self._judge(float(probability), FRAME_SAMPLES))
        if self._endpointer.open_span is None:
            yield from self._doubtful(self._gaps.until(self._endpointer.settled_sample))
        self._forget()

    def flush(self) -> Iterator[Window]:
        """The end has come: the windows that are left."""
        for probability in self._detector.flush():
            rest = self._buffer.end_sample % FRAME_SAMPLES
            yield from self._packed(self._judge(float(probability), rest))
        yield from self._packed(self._endpointer.flush())
        yield from self._packer.flush()
        yield from self._doubtful(self._gaps.flush(self._buffer.end_sample))

    def samples_of(self, window: Window) -> Samples:
        """What is to be decoded, shape (n,): utterances at levels that are heard beside each other."""
        pause = np.zeros(window.pause_samples, np.float32)
        utterances = levelled([self._buffer.read(span) for span in window.spans])
        return np.concatenate([piece for each in utterances for piece in (each, pause)][:-1])

    def voiced_in(self, window: Window) -> tuple[Span, ...]:
        """Where speech was heard in the source, from the window's beginning to its end."""
        return self._voiced.between(window.start_sample, window.end_sample)

    def utterances_in(self, window: Window, voiced: tuple[Span, ...]) -> tuple[Utterance, ...]:
        """What may each be in another language; `voiced` is where speech was heard in the window."""
        return utterances_in(window, voiced, self._voiced.weakest)

    def settle(self, window: Window) -> int:
        """Say that a window is done with; returns the samples of what was cut for it."""
        settled = 0
        while self._waiting and self._waiting[0].end_sample <= window.end_sample:
            settled += self._waiting.popleft().length_samples
        return settled

    def _judge(self, probability: float, frame_samples: int) -> list[Event]:
        self._voiced.push(probability, frame_samples)
        return self._endpointer.push(probability, frame_samples)

    def _packed(self, events: Iterable[Event]) -> Iterator[Window]:
        for event in events:
            if isinstance(event, SpeechEnded):
                yield from self._doubtful(self._gaps.before(event.span))
                self._waiting.append(event.span)
                yield from self._packer.push(event.span)
        yield from self._packer.settle(self._endpointer.settled_sample)

    def _doubtful(self, pieces: list[Span]) -> Iterator[Window]:
        """Each as a window; what was spoken before them goes first."""
        for piece in pieces:
            yield from self._packer.flush()
            self._waiting.append(piece)
            yield Window((piece,), 0, doubtful=True)

    def _forget(self) -> None:
        waiting = self._packer.start_sample
        needed = self._endpointer.settled_sample if waiting is None else waiting
        self._voiced.forget(needed)
        self._buffer.forget(min(needed, self._gaps.start_sample))
