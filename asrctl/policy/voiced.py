"""Where a stream was speech, from its detector's probabilities: finer than utterances, which hold pauses."""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from operator import itemgetter

from asrctl.policy.endpointing import FRAME_SAMPLES, Span
from asrctl.transcript import SAMPLE_RATE_HZ

_SPEECH = 0.35
"""At or above it a frame is speech, as for the endpointer's offset: ends of words are heard weakly."""
_RANKS_ONLY = 0.5
"""A detector that never goes below calls everything speech, and only says what is louder."""
_LEAST_RANGE = 0.1
"""Such a detector has found pauses if its probabilities differ by so much: 16 dB for `Loudness`."""
_PAUSE_LEVEL = 0.4
"""What is a pause then lies below this part of the range."""
_SHORTEST_PAUSE_S = 0.25
"""A stop consonant is silent for up to 0.15 s; less than this is no pause."""
_WEAK = 0.8
_WEAK_S = 0.5
_ALONE_S = 2.0
"""Speech shorter than `_WEAK_S`, never surer than `_WEAK`, and alone for `_ALONE_S`, is music or noise."""


class VoicedFrames:
    """The detector's newest probabilities, a frame each."""

    def __init__(self) -> None:
        self._frames: deque[tuple[int, float]] = deque()
        self._end_sample = 0

    def push(self, probability: float, frame_samples: int = FRAME_SAMPLES) -> None:
        """Take the next frame's probability of speech."""
        self._frames.append((self._end_sample, probability))
        self._end_sample += frame_samples

    def forget(self, before_sample: int) -> None:
        """Let go of all frames that end before a sample."""
        while self._frames and self._frames[0][0] + FRAME_SAMPLES <= before_sample:
            self._frames.popleft()

    def weakest(self, span: Span) -> int:
        """The middle of the frame that is least like speech in the middle third of a span; of several, the
        first. The frames must not be forgotten."""
        third = span.length_samples // 3
        first, last = span.start_sample + third, span.end_sample - third
        frames = [each for each in self._frames if first <= each[0] < last]
        start, _ = min(frames, key=itemgetter(1), default=(first, 0.0))
        return start + FRAME_SAMPLES // 2

    def between(self, start_sample: int, end_sample: int) -> tuple[Span, ...]:
        """The stretches of speech within these samples, in order, pauses of a quarter second between them."""
        frames = [each for each in self._frames if start_sample <= each[0] < end_sample]
        threshold = _threshold([probability for _, probability in frames])
        runs: list[tuple[Span, float]] = []
        for start, probability in frames:
            if probability < threshold:
                continue
            end = min(start + FRAME_SAMPLES, end_sample)
            if runs and start - runs[-1][0].end_sample < _samples(_SHORTEST_PAUSE_S):
                last, surest = runs.pop()
                runs.append((Span(last.start_sample, end), max(surest, probability)))
            else:
                runs.append((Span(start, end), probability))
        return tuple(span for span, _ in _without_blips(runs))


def _threshold(probabilities: list[float]) -> float:
    """From which probability on a frame is speech."""
    ordered = sorted(probabilities)
    if not ordered or ordered[0] < _RANKS_ONLY:
        return _SPEECH
    lowest, highest = ordered[len(ordered) // 20], ordered[len(ordered) * 49 // 50]
    if highest - lowest < _LEAST_RANGE:
        return 0.0
    return lowest + _PAUSE_LEVEL * (highest - lowest)


def _without_blips(runs: list[tuple[Span, float]]) -> list[tuple[Span, float]]:
    """Without what is short, weak and alone; as it is if nothing else is left."""
    far = 2 * _samples(_ALONE_S)
    between = [later.start_sample - one.end_sample for (one, _), (later, _) in pairwise(runs)]
    before, after = [far, *between], [*between, far]
    kept = [
        (span, surest)
        for (span, surest), left, right in zip(runs, before, after, strict=False)
        if surest >= _WEAK
        or span.length_samples >= _samples(_WEAK_S)
        or min(left, right) < _samples(_ALONE_S)
    ]
    return kept or runs


def _samples(time_s: float) -> int:
    return round(time_s * SAMPLE_RATE_HZ)
