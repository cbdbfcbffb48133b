"""From a decoder's tokens to words, and to times that hold."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

from asrctl.policy.window import is_sayable, loop_free, word_without_loop
from asrctl.transcript import Hypothesis, Segment, Word

_UNSPACED = frozenset({"zh", "ja", "th", "lo", "my", "yue", "km", "bo"})
"""Languages written without spaces, where a token rather than a space begins a word."""
_UNSURE = math.exp(-1.0)
_SHORTEST_UNSURE_S = 1.0


class Token(NamedTuple):
    """A piece of text as its bytes in UTF-8, times in seconds, probability in [0, 1]."""

    raw: bytes
    start_s: float
    end_s: float
    probability: float


def geometric_mean(probabilities: list[float]) -> float:
    """What the logarithms' mean stands for; 0 for no probabilities."""
    logs = [math.log(max(p, 1e-10)) for p in probabilities]
    return math.exp(sum(logs) / len(logs)) if logs else 0.0


def words_of(tokens: list[Token], language: str) -> tuple[Word, ...]:
    """Join tokens into words; UTF-8 characters may be split between tokens."""
    groups: list[list[Token]] = []
    complete = True
    for token in tokens:
        begins = token.raw.startswith(b" ") or language in _UNSPACED
        if not groups or (begins and complete):
            groups.append([])
        groups[-1].append(token)
        complete = _is_utf8(b"".join(token.raw for token in groups[-1]))
    words = []
    for group in groups:
        text = b"".join(token.raw for token in group).decode("utf-8", "replace").strip()
        if text:
            confidence = geometric_mean([token.probability for token in group])
            words.append(Word(group[0].start_s, group[-1].end_s, text, confidence))
    return tuple(words)


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def confidence(hypothesis: Hypothesis) -> float:
    """That of the segment it is surest of; 1 where there is nothing to be unsure of."""
    return max((segment.confidence for segment in hypothesis.segments), default=1.0)


def is_unsure(hypothesis: Hypothesis, duration_s: float) -> bool:
    """Whether a window of some length should be decoded again with all of the encoder.

    Low confidence says little of a word or less. Cuts of English speech decoded again for it: under 1 s two
    came out better and six worse (a word lost, or "the world" turned into "Thank you."), from 1 s on three
    better and none worse; a second decode takes 3 to 5 times as long as the first.
    """
    return duration_s >= _SHORTEST_UNSURE_S and confidence(hypothesis) < _UNSURE


def tidy(segments: tuple[Segment, ...], duration_s: float) -> tuple[Segment, ...]:
    """Keep times inside the window and in order; cut repetition loops that nobody could have said.

    A decoder may end a segment too early: its words have until the next segment starts. Of a short window
    Whisper makes up a phrase, "Thank you. Thank you." in 0.1 s: nothing is taken that takes longer to say.
    """
    cleaned = in_order(segments, duration_s)
    ends_s = [segment.start_s for segment in cleaned[1:]] + [duration_s]
    tidied = tuple(
        _without_loops(segment, max(end_s, segment.end_s) - segment.start_s)
        for segment, end_s in zip(cleaned, ends_s, strict=False)
    )
    texts = [text for segment in tidied for text in segment.text.split()]
    return tidied if duration_s >= _SHORTEST_UNSURE_S or is_sayable(texts, duration_s) else ()


def in_order(segments: tuple[Segment, ...], duration_s: float) -> tuple[Segment, ...]:
    """The same segments, their times inside the window and in order."""
    cleaned: list[Segment] = []
    floor_s = 0.0
    for segment in segments:
        start_s, end_s = _inside(segment, floor_s, duration_s)
        floor_s = end_s
        words = _words_inside(segment.words, start_s, end_s)
        cleaned.append(replace(segment, start_s=start_s, end_s=end_s, words=words))
    return tuple(cleaned)


def _words_inside(words: tuple[Word, ...], start_s: float, end_s: float) -> tuple[Word, ...]:
    """Word times come from the decoder's guesses and may leave their segment or overlap."""
    placed: list[Word] = []
    for word in words:
        start_s, word_end_s = _inside(word, start_s, end_s)
        placed.append(replace(word, start_s=start_s, end_s=word_end_s))
        start_s = word_end_s
    return tuple(placed)


def _inside(span: Segment | Word, floor_s: float, ceiling_s: float) -> tuple[float, float]:
    start_s = min(max(span.start_s, floor_s), ceiling_s)
    return start_s, min(max(span.end_s, start_s), ceiling_s)


def _without_loops(segment: Segment, duration_s: float) -> Segment:
    texts = segment.text.split()
    kept = loop_free(texts, duration_s)
    said = [texts[at] for at in kept]
    if not is_sayable(said, duration_s):
        said = [word_without_loop(text) for text in said]
    if said == texts:
        return segment
    words = segment.words
    if len(words) == len(texts):
        words = tuple(replace(words[at], text=text) for at, text in zip(kept, said, strict=True))
    return replace(segment, text=" ".join(said), words=words)
