"""The library's results as hypotheses."""

from __future__ import annotations

from typing import Any

from asrctl.providers.tokens import geometric_mean, in_order
from asrctl.transcript import Hypothesis, Segment, Word

_DOUBTFUL = 0.5
"""Confidence of a text that is not complete."""


def hypothesis_of(
    result: Any, duration_s: float, language: str, inference_s: float, *, words: bool, complete: bool = True
) -> Hypothesis:
    """Read a `transcribe_cpp.Result`.

    Args:
        result: What the library gave.
        duration_s: Length of the audio; times are held within it.
        language: What was asked for, where the model does not say what it heard.
        inference_s: How long it took.
        words: Fill in the words of each segment; a model that gives no times for words has them spread over
            the segment by their lengths.
        complete: Whether the model came to the end of its text.
    """
    segments = [
        _segment(result, index, duration_s, words=words, surest=1.0 if complete else _DOUBTFUL)
        for index in range(len(result.segments))
    ]
    spoken = tuple(segment for segment in segments if segment.text)
    heard = (result.language or language).partition("-")[0].lower()
    return Hypothesis(in_order(spoken, duration_s), heard, inference_s)


def hypothesis_of_text(text: str, duration_s: float, language: str, inference_s: float) -> Hypothesis:
    """A text of which no times are known: its words share the time by their lengths."""
    words = tuple(_spread(text, 0.0, duration_s, 1.0))
    segments = (Segment(0.0, duration_s, text.strip(), 1.0, words),) if words else ()
    return Hypothesis(in_order(segments, duration_s), language, inference_s)


def _segment(result: Any, index: int, duration_s: float, *, words: bool, surest: float) -> Segment:
    raw = result.segments[index]
    start_s, end_s = raw.t0_ms / 1000, raw.t1_ms / 1000
    if end_s <= start_s:  # the model knows no times
        start_s, end_s = 0.0, duration_s
    text = raw.text.strip()
    tokens = [token.p for token in result.tokens if token.seg_index == index and 0 < token.p <= 1]
    confidence = min(surest, geometric_mean(tokens)) if tokens else surest
    found = [
        Word(word.t0_ms / 1000, word.t1_ms / 1000, word.text.strip(), confidence)
        for word in result.words
        if word.seg_index == index and word.text.strip()
    ]
    placed = found or _spread(text, start_s, end_s, confidence)
    return Segment(start_s, end_s, text, confidence, tuple(placed) if words else ())


def _spread(text: str, start_s: float, end_s: float, confidence: float) -> list[Word]:
    """The words of a text, each with a share of the time by its length."""
    texts = text.split()
    per_character_s = (end_s - start_s) / max(1, sum(map(len, texts)))
    words, at_s = [], start_s
    for each in texts:
        ends_s = at_s + len(each) * per_character_s
        words.append(Word(at_s, ends_s, each, confidence))
        at_s = ends_s
    return words
