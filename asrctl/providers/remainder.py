"""Decoders stop early now and then: what they left over is decoded as a window of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from asrctl.policy.agreement import prefix_distances
from asrctl.policy.words import syllables, word_key
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis, Segment, join_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_UNHEARD_S = 2.0
"""Windows end with speech, so that no hypothesis should end this long before its window does."""

_UNHEARD_LOUD_S = 1.0
"""Nor even this long, if there is a pause about there, and behind it something as loud as what was heard."""

_SPARSE_S = 3.0
_SYLLABLES_PER_S = 1.0
"""A last segment that takes longer and says less stands for words that were not heard: windows are speech."""

_MAX_REMAINDERS = 4

_HOP_SAMPLES = SAMPLE_RATE_HZ // 50
_NEAR_S = 0.5
_LOUD_S = 0.6
_QUIETER = 10 ** (-20 / 20)


def decode_whole(
    decode: Callable[[NDArray[np.float32]], Hypothesis], samples: NDArray[np.float32]
) -> Hypothesis:
    """Decode a window to its end.

    Whisper may end its text after the first of several utterances and say that there is no more: on 14
    minutes of joined recordings, 20 words of 1685 were lost in one such window, with all of the encoder too.
    It may as well give the last words a time that is too early; then the rest repeats words that are there
    already, and these are left out. Or it gives a syllable all the time that is left, and more.

    Args:
        decode: Decodes one window.
        samples: Shape (n,), mono float32 at 16 kHz, that ends with speech.

    Returns:
        What `decode` made of the window, and of what it left over at the end; a loop as it is.
    """
    hypothesis = decode(samples)
    if hypothesis.is_loop:
        return hypothesis
    hypothesis = _with_dense_end(decode, samples, hypothesis)
    for _ in range(_MAX_REMAINDERS):
        heard_s = _unheard_from(samples, hypothesis)
        if heard_s is None:
            break
        heard_sample = round(heard_s * SAMPLE_RATE_HZ)
        rest = decode(samples[heard_sample:])
        again = _overlap(_keys(hypothesis), _keys(rest))
        if again and len(_keys(decode(samples[:heard_sample]))) > len(_keys(hypothesis)) - again / 2:
            again = 0  # all the text is in the first part alone: these words were said twice
        more = tuple(segment.shifted(heard_s) for segment in _without_first_words(rest.segments, again))
        if again:
            hypothesis = _ended_later(hypothesis, heard_s, rest, again)
        hypothesis = replace(hypothesis, segments=hypothesis.segments + more)
        if not more:
            break
    return hypothesis


def _with_dense_end(
    decode: Callable[[NDArray[np.float32]], Hypothesis], samples: NDArray[np.float32], hypothesis: Hypothesis
) -> Hypothesis:
    """With the last segment decoded by itself, if it says too little for its time and says more then."""
    *others, last = hypothesis.segments or (None,)
    if not others or last is None:
        return hypothesis
    length_s = min(last.end_s, len(samples) / SAMPLE_RATE_HZ) - last.start_s
    said = sum(syllables(word) for word in last.text.split())
    if length_s < _SPARSE_S or said > _SYLLABLES_PER_S * length_s:
        return hypothesis
    start_s = _pause_before_speech(samples, last.start_s) or last.start_s
    rest = decode(samples[round(start_s * SAMPLE_RATE_HZ) :])
    if len(_keys(rest)) <= len(_keys(Hypothesis((last,), "", 0.0))):
        return hypothesis
    heard = tuple(segment.shifted(start_s) for segment in rest.segments)
    return replace(hypothesis, segments=(*hypothesis.segments[:-1], *heard))


def _unheard_from(samples: NDArray[np.float32], hypothesis: Hypothesis) -> float | None:
    """Where the samples begin that may well hold words which the text has not, in seconds; None: nowhere."""
    if not hypothesis.segments:
        return None
    heard_s = hypothesis.segments[-1].end_s
    left_s = len(samples) / SAMPLE_RATE_HZ - heard_s
    if left_s >= _UNHEARD_S:
        return heard_s
    return _pause_before_speech(samples, heard_s) if left_s >= _UNHEARD_LOUD_S else None


def _pause_before_speech(samples: NDArray[np.float32], about_s: float) -> float | None:
    """The end of the pause nearest to a time, if what comes after it is about as loud as all the samples."""
    import numpy as np

    whole = len(samples) - len(samples) % _HOP_SAMPLES
    rms = np.sqrt(np.mean(samples[:whole].reshape(-1, _HOP_SAMPLES) ** 2, axis=1))
    loud = rms > _QUIETER * np.percentile(rms, 95)
    hop_s = _HOP_SAMPLES / SAMPLE_RATE_HZ
    ends = np.flatnonzero(~loud[:-1] & loud[1:]) + 1
    near = [end for end in ends if abs(end * hop_s - about_s) <= _NEAR_S]
    if not near:
        return None
    nearest = min(near, key=lambda end: abs(end * hop_s - about_s))
    return float(nearest * hop_s) if loud[nearest:].sum() * hop_s >= _LOUD_S else None


def _keys(hypothesis: Hypothesis) -> list[str]:
    return [key for text in hypothesis.text.split() if (key := word_key(text))]


def _overlap(heard: Sequence[str], rest: Sequence[str]) -> int:
    """How many words at the start of `rest` are the last words of `heard`, one in four misheard at most."""
    for count in range(len(rest), 0, -1):
        distances = (
            prefix_distances(rest[:count], heard[-length:])[-1]
            for length in range(max(1, count - 1), min(len(heard), count + 1) + 1)
        )
        if heard and rest[count - 1] == heard[-1] and min(distances, default=count) * 4 <= count:
            return count
    return 0


def _without_first_words(segments: tuple[Segment, ...], count: int) -> tuple[Segment, ...]:
    """The segments without their first `count` words; punctuation that stands alone is no word."""
    kept: list[Segment] = []
    for segment in segments:
        texts = segment.text.split()
        cut = 0
        while count and cut < len(texts):
            count -= bool(word_key(texts[cut]))
            cut += 1
        if cut == 0:
            kept.append(segment)
        elif cut < len(texts):
            words = segment.words[cut:] if len(segment.words) == len(texts) else ()
            share = cut / len(texts)
            start_s = words[0].start_s if words else segment.start_s + share * _length_s(segment)
            kept.append(replace(segment, start_s=start_s, text=join_text(texts[cut:]), words=words))
    return tuple(kept)


def _ended_later(hypothesis: Hypothesis, heard_s: float, rest: Hypothesis, count: int) -> Hypothesis:
    """With the last segment's end, and its last word's, where the rest says that these words end."""
    end_s = heard_s
    for segment in rest.segments:
        texts = segment.text.split()
        said = sum(bool(word_key(text)) for text in texts)
        share = min(1.0, count / said) if said else 0.0
        end_s = max(end_s, heard_s + segment.start_s + share * _length_s(segment))
        count -= said
        if count <= 0:
            break
    last = hypothesis.segments[-1]
    words = (*last.words[:-1], replace(last.words[-1], end_s=end_s)) if last.words else ()
    return replace(hypothesis, segments=(*hypothesis.segments[:-1], replace(last, end_s=end_s, words=words)))


def _length_s(segment: Segment) -> float:
    return segment.end_s - segment.start_s
