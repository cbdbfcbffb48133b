"""Words that were said again and again, as often as the audio has them.

Of "no" twelve times, or of many fives in a number, a decoder writes more until its budget is used up, and
leaves out what comes behind.
"""

from __future__ import annotations

from dataclasses import replace

from asrctl.audio.repetition import Repetition, repetitions
from asrctl.policy.window import Loop, loops_in, word_without_loop
from asrctl.policy.words import syllables, word_key
from asrctl.transcript import Hypothesis, Samples, Segment

_MISCOUNTED = 1.5
"""The audio is counted right to about one round: a text that differs by less is as likely right."""
_SILENT_S = 1.0
"""So much before a loop may be a pause; more would hold words."""
_SYLLABLES_PER_S = 1.0


def as_spoken(hypothesis: Hypothesis, samples: Samples) -> Hypothesis | None:
    """The text, its loops no longer than what is repeated in the audio, and ending there if it ends in one.

    None where the audio repeats nothing, or more than the text has, or there is a loop within a word.

    Args:
        hypothesis: Made of these samples.
        samples: Shape (n,), mono float32 at 16 kHz.
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
        rounds = loop.rounds if loop.rounds < there.rounds + _MISCOUNTED else round(there.rounds)
        count, word_s = rounds * loop.length, (there.end_s - there.start_s) / (rounds * loop.length)
        left_out.update(range(loop.start + count, loop.end))
        for at in range(count):
            times_s[loop.start + at] = there.start_s + at * word_s, there.start_s + (at + 1) * word_s
    if ends := _ends_in(texts, loops[-1]):
        left_out.update(range(loops[-1].end, len(texts)))
    segments, first = list[Segment](), 0
    for segment in hypothesis.segments:
        count = len(segment.text.split())
        kept = [at for at in range(count) if first + at not in left_out]
        if kept:
            segments.append(_with(segment, kept, {at - first: span for at, span in times_s.items()}))
        first += count
    if ends:
        segments[-1] = replace(segments[-1], end_s=found[-1].end_s)
    return replace(hypothesis, segments=tuple(segments))


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
