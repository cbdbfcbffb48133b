"""The utterances of a window, each of which may be in another language."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from operator import itemgetter
from typing import NamedTuple

from asrctl.policy.endpointing import Span
from asrctl.policy.language import PIECE_S
from asrctl.policy.packing import Window
from asrctl.transcript import SAMPLE_RATE_HZ

_LEAST_SAMPLES = SAMPLE_RATE_HZ
"""What is shorter is not parted from what it is close to: a second is often taken for another language."""
_MOST_SAMPLES = round(PIECE_S * SAMPLE_RATE_HZ)


class Utterance(NamedTuple):
    """Where an utterance is in the source, and where in the window, (start, end), in samples."""

    span: Span
    place: tuple[int, int]

    def speech_samples(self, voiced: Iterable[Span]) -> int:
        """How many of its samples are within these spans of the source."""
        start, end = self.span
        return sum(max(0, min(end, each.end_sample) - max(start, each.start_sample)) for each in voiced)


def utterances_in(
    window: Window, voiced: Sequence[Span], weakest: Callable[[Span], int]
) -> tuple[Utterance, ...]:
    """A window's spans, parted in the middle of the pauses within them, so that no part is short; what is
    long all the same is two.

    Args:
        window: What is to be decoded.
        voiced: Where speech was heard in the source, in order.
        weakest: The sample in the middle third of a span that is least like speech.
    """
    found, at = list[Utterance](), 0
    for span in window.spans:
        offset = at - span.start_sample
        cuts = [span.start_sample, *_cuts(span, voiced), span.end_sample]
        for start, end in pairwise(cuts):
            part = Span(start, end)
            halves = [start, weakest(part), end] if part.length_samples > _MOST_SAMPLES else [start, end]
            for each in map(Span, halves, halves[1:]):
                found.append(Utterance(each, (offset + each.start_sample, offset + each.end_sample)))
        at += span.length_samples + window.pause_samples
    return tuple(found)


def _cuts(span: Span, voiced: Sequence[Span]) -> Iterator[int]:
    last = span.start_sample
    for one, other in pairwise(voiced):
        cut = (one.end_sample + other.start_sample) // 2
        if last + _LEAST_SAMPLES <= cut <= span.end_sample - _LEAST_SAMPLES:
            yield cut
            last = cut


def runs(
    window: Window, utterances: Sequence[Utterance], languages: Sequence[str]
) -> Iterator[tuple[Window, tuple[int, int], str]]:
    """Utterances that follow each other in one language: as a window, where that is in the whole, and the
    language.

    Args:
        window: The whole.
        utterances: All of it.
        languages: That of each; if none is known there are no runs.
    """
    for language, group in groupby(zip(utterances, languages, strict=False), key=itemgetter(1)):
        run = [utterance for utterance, _ in group]
        spans = list[Span]()
        for span, _ in run:
            joined = bool(spans) and spans[-1].end_sample == span.start_sample
            start_sample = spans.pop().start_sample if joined else span.start_sample
            spans.append(Span(start_sample, span.end_sample))
        place = run[0].place[0], run[-1].place[1]
        yield Window(tuple(spans), window.pause_samples), place, language
