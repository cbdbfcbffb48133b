"""Word lag: how long after a word's end in the audio it is first shown, in a partial or a final.

When a word ended is taken from the same talk decoded without a clock, as a file, with the times of its words;
the recogniser places them within one or two tenths of a second. Words that the live run heard otherwise have
no lag.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from asrctl.bench.paced import Heard
from asrctl.bench.wer import normalised
from asrctl.events import Final, Partial
from asrctl.transcript import SAMPLE_RATE_HZ, Word

_SLACK_S = 0.3
"""A word may be placed so far outside of its utterance."""

Shown = tuple[float, list[str]]
"""When a text came, and its words."""


def word_lags(spoken: Sequence[Word], heard: Heard) -> list[float]:
    """Seconds from the end of each word to its first appearance, in the order of the finals.

    Args:
        spoken: The words of the talk, with their times.
        heard: What the live session said, and when.
    """
    partials: dict[int, list[Shown]] = {}
    lags: list[float] = []
    for at_s, event in heard.events:
        if isinstance(event, Partial):
            shown = partials.setdefault(event.utterance, [])
            shown.append((at_s, normalised(f"{event.stable} {event.unstable}")))
        elif isinstance(event, Final):
            earlier = partials.pop(event.utterance, [])
            bounds_s = event.start_sample / SAMPLE_RATE_HZ, event.end_sample / SAMPLE_RATE_HZ
            lags += _utterance(list(_within(spoken, *bounds_s)), earlier, at_s, event)
    return lags


def _within(spoken: Sequence[Word], start_s: float, end_s: float) -> Iterator[tuple[str, float]]:
    """Words of an utterance as they are compared, each with its end."""
    for word in spoken:
        if start_s - _SLACK_S <= (word.start_s + word.end_s) / 2 <= end_s + _SLACK_S:
            for part in normalised(word.text):
                yield part, word.end_s


def _utterance(
    spoken: list[tuple[str, float]], earlier: Sequence[Shown], at_s: float, final: Final
) -> list[float]:
    words = normalised(final.segment.text)
    ends = {there: spoken[here][1] for here, there in _matches([word for word, _ in spoken], words)}
    shown_s = dict.fromkeys(ends, at_s)
    for partial_s, text in reversed(earlier):  # the first one comes last, and stays
        shown_s |= {there: partial_s for _, there in _matches(text, words) if there in ends}
    return [shown_s[index] - ends[index] for index in sorted(ends)]


def _matches(one: list[str], other: list[str]) -> Iterator[tuple[int, int]]:
    """Positions of equal words, in order."""
    for block in SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks():
        yield from ((block.a + index, block.b + index) for index in range(block.size))
