"""Streams under test: a detector that hears levels, and a recogniser that answers when the test says so."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from asrctl.engine.stream import Stream, StreamOptions
from asrctl.engine.utterance import Abort, Decode, Output
from asrctl.policy.endpointing import FRAME_SAMPLES
from asrctl.providers.scripted import listen, speak
from asrctl.stream.events import Dropped, Event, Final, Finished, Partial, SpeechStarted
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis, Segment


class LevelDetector:
    """Speech is whatever is not silent."""

    def __init__(self) -> None:
        self._rest = np.zeros(0, np.float32)

    def probabilities(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        joined = np.concatenate((self._rest, samples))
        whole = len(joined) - len(joined) % FRAME_SAMPLES
        self._rest = joined[whole:]
        return (np.abs(joined[:whole].reshape(-1, FRAME_SAMPLES)).max(axis=1) > 0.01).astype(np.float32)

    def flush(self) -> NDArray[np.float32]:
        return self.probabilities(np.zeros(-len(self._rest) % FRAME_SAMPLES, np.float32))


def silence(duration_s: float) -> NDArray[np.float32]:
    """Digital silence at 16 kHz."""
    return np.zeros(round(duration_s * SAMPLE_RATE_HZ), np.float32)


def heard(decode: Decode) -> Hypothesis:
    """What the scripted recogniser makes of a window."""
    return heard_in(decode.samples)


def heard_in(samples: NDArray[np.float32]) -> Hypothesis:
    """What it makes of these samples."""
    words = tuple(listen(samples))
    if not words:
        return Hypothesis((), "en", 0.0)
    text = " ".join(word.text for word in words)
    return Hypothesis((Segment(words[0].start_s, words[-1].end_s, text, 1.0, words),), "en", 0.0)


@dataclass
class Rig:
    """Runs a stream, checks what must always hold, and keeps what it said.

    Attributes:
        stream: Under test.
        waiting: Decodes that were asked for and not answered yet.
        events: All that was said.
    """

    stream: Stream
    waiting: dict[int, Decode] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    aborted: list[int] = field(default_factory=list)
    _stable: dict[int, str] = field(default_factory=dict)
    _end_sample: int = 0

    def take(self, outputs: Iterable[Output]) -> None:
        """Note what a call returned."""
        for output in outputs:
            if isinstance(output, Decode):
                self.waiting[output.job] = output
            elif isinstance(output, Abort):
                self.aborted.append(output.job)
                del self.waiting[output.job]
            else:
                self._check(output)
                self.events.append(output)
        account = self.stream.account
        assert min(account.pending_samples, account.silence_samples, account.speech_samples) >= 0

    def _check(self, event: Event) -> None:
        if isinstance(event, Partial):
            before = self._stable.get(event.utterance, "")
            assert event.stable.startswith(before)
            self._stable[event.utterance] = event.stable
        elif isinstance(event, Final | Dropped):
            assert self._end_sample <= event.start_sample < event.end_sample
            self._end_sample = event.end_sample

    def answer(self, job: int, outcome: Exception | None = None) -> None:
        """Answer one decode, with what is in it or with an error."""
        decode = self.waiting.pop(job)
        self.take(self.stream.resolve(job, outcome or heard(decode)))

    def answer_all(self) -> None:
        """Answer until nothing waits."""
        while self.waiting:
            self.answer(next(iter(self.waiting)))

    def play(self, samples: NDArray[np.float32], chunk_samples: int = 800, *, answering: bool = True) -> None:
        """Feed samples in chunks, answering at once or not at all."""
        for at in range(0, len(samples), chunk_samples):
            self.take(self.stream.feed(samples[at : at + chunk_samples]))
            if answering:
                self.answer_all()

    def play_at_random(self, samples: NDArray[np.float32], dice: random.Random) -> None:
        """Feed samples in chunks of any size, answering some decodes in any order."""
        at = 0
        while at < len(samples):
            size = dice.choice((1, 160, 512, 800, 5000, 40_000))
            self.take(self.stream.feed(samples[at : at + size]))
            at += size
            while self.waiting and dice.random() < 0.6:
                self.answer(dice.choice(list(self.waiting)))

    def finish(self) -> None:
        """End the stream and answer everything."""
        self.take(self.stream.finish())
        self.answer_all()
        assert isinstance(self.events[-1], Finished)

    def of(self, kind: type[Event]) -> list[Event]:
        """The events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def words(self) -> list[str]:
        """All words of all finals, in order."""
        return " ".join(e.segment.text for e in self.events if isinstance(e, Final)).split()


def rig(options: StreamOptions | None = None) -> Rig:
    """A fresh stream under test."""
    return Rig(Stream(LevelDetector(), options))


__all__ = ["LevelDetector", "Rig", "SpeechStarted", "heard", "rig", "silence", "speak"]
