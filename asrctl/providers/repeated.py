"""Words that were said again and again, as often as the audio has them.

Of "no" twelve times, or of many fives in a number, a decoder writes more until its budget is used up, and
leaves out what comes behind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from asrctl.audio.repetition import Repetition, repetitions
from asrctl.policy.window import Loop, loops_in, word_without_loop
from asrctl.policy.words import syllables, word_key
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis, Samples, Segment

_MISCOUNTED = 1.5
"""The audio is counted right to about one round: a text that differs by less is as likely right."""
_SILENT_S = 1.0
"""So much before a loop may be a pause; more would hold words."""
_SYLLABLES_PER_S = 1.0
_LONG_DIGITS = "07"
"""Zero and seven have two syllables, other digits one."""
_HOP_SAMPLES = SAMPLE_RATE_HZ // 50
_NEAR_HOPS = 8
_LEAST_HOPS = 10
"""Less than 0.2 s behind a repetition is the end of its last word."""
_QUIETER = 10 ** (-20 / 10)


def as_spoken(
    hypothesis: Hypothesis, samples: Samples, decode: Callable[[Samples], Hypothesis]
) -> Hypothesis | None:
    """The text, its loops no longer than what is repeated in the audio.

    Where it ends in a loop, what the audio has behind that is decoded too. None where the audio repeats
    nothing, or more than the text has, or there is a loop within a word.

    Args:
        hypothesis: Made of these samples.
        samples: Shape (n,), mono float32 at 16 kHz.
        decode: Decodes a part of them.
    """
    texts = [text for segment in hypothesis.segments for text in segment.text.split()]
    loops = loops_in(texts)
    if any(word_without_loop(text) != text for text in texts):
        return None
    found = repetitions(samples) if loops else []
    if not found or len(found) != len(loops) or _lacks_words(texts, loops, found):
        return None
    times_s = dict[int, tuple[float, float]]()
    left_out = set[int]()
    for loop, there in zip(loops, found, strict=True):
        said = _rounds(texts[loop.start : loop.start + loop.length], there)
        rounds = loop.rounds if loop.rounds < said + _MISCOUNTED else round(said)
        count, word_s = rounds * loop.length, (there.end_s - there.start_s) / (rounds * loop.length)
        left_out.update(range(loop.start + count, loop.end))
        for at in range(count):
            times_s[loop.start + at] = there.start_s + at * word_s, there.start_s + (at + 1) * word_s
    ends = _ends_in(texts, loops[-1])
    if ends:
        left_out.update(range(loops[-1].end, len(texts)))
    segments, first = list[Segment](), 0
    for segment in hypothesis.segments:
        count = len(segment.text.split())
        kept = [at for at in range(count) if first + at not in left_out]
        if kept:
            segments.append(_with(segment, kept, {at - first: span for at, span in times_s.items()}))
        first += count
    if not ends:
        return replace(hypothesis, segments=tuple(segments))
    segments[-1] = replace(segments[-1], end_s=found[-1].end_s)
    rest, rest_s = _rest(samples, found[-1])
    behind = decode(rest) if len(rest) else Hypothesis((), hypothesis.language, 0.0)
    more = (segment.shifted(rest_s) for segment in behind.segments)
    return replace(hypothesis, segments=(*segments, *more), is_loop=behind.is_loop)


def _rounds(texts: list[str], there: Repetition) -> float:
    """How often some words were said: what is said in pairs comes half as often as each of its words."""
    said = sum(map(syllables, texts)) + sum(map("".join(texts).count, _LONG_DIGITS))
    return there.rounds * max(1, round(there.syllables / there.rounds / max(1, said)))


def _rest(samples: Samples, there: Repetition) -> tuple[Samples, float]:
    """What is behind a repetition, from the quietest moment near its end on, and when that begins; nothing if
    it is short, or much quieter."""
    import numpy as np

    levels = np.square(samples[: len(samples) // _HOP_SAMPLES * _HOP_SAMPLES].reshape(-1, _HOP_SAMPLES))
    powers = levels.mean(axis=1)
    start, end = (round(each * SAMPLE_RATE_HZ / _HOP_SAMPLES) for each in (there.start_s, there.end_s))
    near = range(max(start, end - _NEAR_HOPS), min(len(powers), end + _NEAR_HOPS))
    cut = min(near, key=powers.__getitem__, default=end)
    behind = powers[cut:]
    loud = np.count_nonzero(behind > _QUIETER * np.median(powers[start:end])) if end > start else 0
    if loud < _LEAST_HOPS:
        return samples[:0], there.end_s
    return samples[cut * _HOP_SAMPLES :], cut * _HOP_SAMPLES / SAMPLE_RATE_HZ


def _ends_in(texts: list[str], loop: Loop) -> bool:
    """Whether the text ends in a loop, perhaps in a round that is not complete."""
    rest = [word_key(text) for text in texts[loop.end :]]
    begun = [word_key(text) for text in texts[loop.start : loop.start + min(len(rest), loop.length - 1)]]
    return rest == begun


def _lacks_words(texts: list[str], loops: list[Loop], found: list[Repetition]) -> bool:
    """Whether there is time before the last loop for words that the text has not."""
    other_s = found[-1].start_s - sum(each.end_s - each.start_s for each in found[:-1])
    others = texts[: loops[-1].start]
    for loop in reversed(loops[:-1]):
        del others[loop.start : loop.end]
    return sum(map(syllables, others)) < _SYLLABLES_PER_S * (other_s - _SILENT_S)


def _with(segment: Segment, kept: list[int], times_s: dict[int, tuple[float, float]]) -> Segment:
    """Some words of a segment, those of loops at their times."""
    texts, words = segment.text.split(), segment.words
    if len(words) == len(texts):
        spans = [times_s.get(at, (words[at].start_s, words[at].end_s)) for at in kept]
        words = tuple(
            replace(words[at], start_s=start_s, end_s=end_s)
            for at, (start_s, end_s) in zip(kept, spans, strict=True)
        )
    return replace(segment, text=" ".join(texts[at] for at in kept), words=words)
