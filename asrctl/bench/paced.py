"""Live sessions paced as audio comes from microphones, and how late what they say is.

Latencies are wall time from the moment that a microphone would have delivered a sample to the moment that the
event is there.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from asrctl.bench.setup import Samples
from asrctl.events import Dropped, Event, Final, Finished, Partial, SpeechStarted
from asrctl.policy.endpointing import EndpointerOptions
from asrctl.transcript import SAMPLE_RATE_HZ, Segment, Word, join_text

CHUNK_SAMPLES = 800
"""50 ms, as devices deliver."""
ONSET_DBFS = -45.0


@dataclass(frozen=True, slots=True)
class Talk:
    """What one session hears.

    Attributes:
        samples: Shape (n,), float32 at 16 kHz.
        text: Its reference transcript; None if unknown.
        starts_s: How much later than the first session's it begins.
    """

    samples: Samples
    text: str | None
    starts_s: float = 0.0

    @property
    def offset_s(self) -> float:
        """`starts_s` in whole chunks."""
        return round(self.starts_s * SAMPLE_RATE_HZ) // CHUNK_SAMPLES * CHUNK_SAMPLES / SAMPLE_RATE_HZ


@dataclass(frozen=True, slots=True)
class Unpaced:
    """What is heard of a talk that is given as a file, as fast as it goes."""

    text: str
    words: Sequence[Word]


@dataclass(slots=True)
class Heard:
    """The events of one session, each with when it came, in seconds of the session.

    Attributes:
        started_s: When its first sample was, by `time.monotonic()`.
        events: Seconds of the session, and what came then.
        failure: Why there is no session: a server would not have it, or gave it up.
    """

    started_s: float = 0.0
    events: list[tuple[float, Event]] = field(default_factory=list)
    failure: str = ""

    def __call__(self, event: Event) -> None:
        """Keep an event."""
        self.events.append((time.monotonic() - self.started_s, event))

    @property
    def text(self) -> str:
        """All finals."""
        return join_text(segment.text for segment in self.segments)

    @property
    def segments(self) -> list[Segment]:
        """Those of all finals."""
        return [event.segment for _, event in self.events if isinstance(event, Final)]

    @property
    def dropped_samples(self) -> int:
        """What was declared dropped."""
        drops = [event for _, event in self.events if isinstance(event, Dropped)]
        return sum(drop.end_sample - drop.start_sample for drop in drops)

    def unaccounted_samples(self, sent_samples: int) -> int:
        """Samples that were neither transcribed, nor judged silent, nor declared dropped at the end."""
        accounts = [event.account for _, event in self.events if isinstance(event, Finished)]
        if not accounts:
            return sent_samples
        return abs(sent_samples - accounts[0].received_samples) + abs(accounts[0].pending_samples)


@dataclass(slots=True)
class Latencies:
    """Seconds, one value for each utterance.

    Attributes:
        first_partial_s: From the onset of speech to the first partial.
        final_s: From the end of speech to the final.
        cut_s: From where speech that went on for too long was cut to the final.
        partials: How many there were.
    """

    first_partial_s: list[float] = field(default_factory=list)
    final_s: list[float] = field(default_factory=list)
    cut_s: list[float] = field(default_factory=list)
    partials: int = 0

    @property
    def utterances(self) -> int:
        """How many came to a final."""
        return len(self.final_s) + len(self.cut_s)


@dataclass(frozen=True, slots=True)
class Piece:
    """What microphones deliver at one moment.

    Attributes:
        due_s: When, in seconds since the beginning.
        chunks: The number of each talk that has something, its samples, and whether they are its last.
        share: Of all that is played.
    """

    due_s: float
    chunks: Sequence[tuple[int, Samples, bool]]
    share: float


def pieces(talks: Sequence[Talk]) -> Iterator[Piece]:
    """All talks at once, at the pace of speech."""
    offsets = [round(talk.offset_s * SAMPLE_RATE_HZ) for talk in talks]
    longest = max(offset + len(talk.samples) for offset, talk in zip(offsets, talks, strict=True))
    for at in range(0, longest, CHUNK_SAMPLES):
        chunks = []
        for index, (talk, offset) in enumerate(zip(talks, offsets, strict=True)):
            end = at - offset + CHUNK_SAMPLES
            if at >= offset and len(chunk := talk.samples[at - offset : end]):
                chunks.append((index, chunk, end >= len(talk.samples)))
        yield Piece((at + CHUNK_SAMPLES) / SAMPLE_RATE_HZ, chunks, at / longest)


def latencies(talks: Sequence[Talk], heard: Sequence[Heard], endpointing: EndpointerOptions) -> Latencies:
    """How late the events of all sessions were."""
    found = Latencies()
    for talk, listener in zip(talks, heard, strict=True):
        _add_session(found, talk, listener, endpointing)
    return found


def _add_session(found: Latencies, talk: Talk, heard: Heard, endpointing: EndpointerOptions) -> None:
    onsets, shown, cuts = dict[int, float](), set[int](), dict[int, float]()
    ends = {_ms(event.end_sample / SAMPLE_RATE_HZ) for _, event in heard.events if isinstance(event, Final)}
    for at_s, event in heard.events:
        if isinstance(event, SpeechStarted):
            if _ms(event.start_s) not in ends:  # else it began long ago, and was only cut off now
                onsets[event.utterance] = onset_s(talk.samples, event.start_s)
            cuts[_ms(event.start_s)] = at_s  # where one utterance ends as the next begins, it was cut now
        elif isinstance(event, Partial):
            found.partials += 1
            if event.utterance in onsets and event.utterance not in shown:
                found.first_partial_s.append(at_s - onsets[event.utterance])
                shown.add(event.utterance)
        elif isinstance(event, Final):
            end_s = event.end_sample / SAMPLE_RATE_HZ
            if _ms(end_s) in cuts:
                found.cut_s.append(at_s - cuts[_ms(end_s)])
            else:
                found.final_s.append(at_s - (end_s - endpointing.pad_after_s))


def _ms(time_s: float) -> int:
    """A time as servers tell it, for comparison: in whole milliseconds."""
    return round(time_s * 1000)


def onset_s(samples: Samples, start_s: float) -> float:
    """When it gets loud, at or after the start of an utterance, padding included."""
    at = round(start_s * SAMPLE_RATE_HZ)
    frames = samples[at : at + SAMPLE_RATE_HZ]
    frames = frames[: len(frames) // 160 * 160].reshape(-1, 160)
    loud = np.flatnonzero(20 * np.log10(np.sqrt((frames**2).mean(axis=1)) + 1e-9) > ONSET_DBFS)
    return start_s + (float(loud[0]) / 100 if len(loud) else 0.0)
