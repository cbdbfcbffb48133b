"""How much of the encoder a window needs, how many words it can hold, and what is a repetition loop."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from asrctl.policy.words import syllables, word_key

FULL_AUDIO_CTX = 1500
"""Encoder positions of Whisper's 30 s window; 50 positions are one second."""

_POSITIONS_PER_S = 50
_MAX_NGRAM = 16
_SUSPICIOUS_REPEATS = 3
_CERTAIN_REPEATS = 5
"""People do say "no, no, no": what comes back three times is decoded again, and cut only from five on."""
_SYLLABLES_PER_S = 7
"""Healthy adults asked to repeat a syllable as fast as they can say 5 to 7 a second (the diadochokinetic
rate of speech pathology). A loop that fills `token_budget` has 7 tokens a second and ten more."""
_SYLLABLES_MORE = 1
_SYLLABLES_IN_A_BREATH = 35
_SYLLABLES_BEYOND_PER_S = 4
"""Nobody goes on repeating so fast: for five seconds, and then at the pace of a chant."""
_PIECES = re.compile(r"[^\s,/\u2010-\u2015-]+")
"""A loop may be one word, "C-C-C-C"; letters with signs, as Hindi has them, are not parted."""
_LOOP_IN_A_WORD = re.compile(r"(.{1,16}?)\1{4,}")


class Loop(NamedTuple):
    """The same words again and again: index of the first, words of a round, rounds."""

    start: int
    length: int
    rounds: int

    @property
    def end(self) -> int:
        """Index behind its last word."""
        return self.start + self.length * self.rounds


class Effort(StrEnum):
    """How much work a window is worth."""

    DRAFT = "draft"
    """For partials: the least of the encoder without repetition loops on most speech, and one decode."""
    LIGHT = "light"
    """For finals of live speech: as little of the encoder. A repetition loop is told of, not decoded again,
    since somebody waits."""
    NORMAL = "normal"
    """The fitted part of the encoder; what looks wrong is decoded again with more of it."""
    AGAIN = "again"
    """For what was a repetition loop with less: more of the encoder at once, and smaller parts if that does
    not help."""
    THOROUGH = "thorough"
    """The whole encoder at once."""

    @property
    def is_checked(self) -> bool:
        """Whether repetition loops are noticed, and what was left over at the end is decoded too."""
        return self in (Effort.LIGHT, Effort.NORMAL, Effort.AGAIN)


_LEAST_AND_MARGIN = {
    Effort.DRAFT: (320, 128),
    Effort.LIGHT: (320, 128),
    Effort.NORMAL: (512, 128),
    Effort.AGAIN: (1250, 256),
}


def audio_context(duration_s: float, effort: Effort = Effort.NORMAL) -> int:
    """Encoder positions for a window of `duration_s` seconds.

    `max(512, 50 d + 128)` had the lowest error of the rules tried on 200 pieces of 1-28 s, many of them
    noisy: smaller contexts, and contexts that end close to the speech, make repetition loops.
    On 110 clean clips of 1-10 s a minimum of 320 cost a third less CPU at the same error (WER 4.2 against
    4.6 %, tiny.en q8_0); 256 already inserted 25 words that nobody said. 320 cost a fifth less than
    512 on live utterances of LONG A, at WER 4.75 against 4.51 %, and the same on another order of them.

    A second decode does not get all of it: attention takes memory by the square, and a worker keeps what it
    once took, 22 MB more at 1250 than at 1000, and 27 MB more still at 1500 (tiny.en q8_0, by hand).
    """
    if effort is Effort.THOROUGH:
        return FULL_AUDIO_CTX
    least, margin = _LEAST_AND_MARGIN[effort]
    return min(FULL_AUDIO_CTX, max(least, math.ceil(_POSITIONS_PER_S * duration_s) + margin))


def token_budget(duration_s: float) -> int:
    """Most tokens that `duration_s` seconds of speech can hold, timestamps included; more is a loop.

    Of 293 confident decodes without loops, 0.3-11 s long, in five languages, the densest used 21 of 24
    (Japanese) and 17 of 21 (English); three loops filled everything.
    """
    return 10 + math.ceil(7 * duration_s)


def second_token_budget(duration_s: float) -> int:
    """Most tokens for another decode of what filled its budget: speech may be denser, and whisper.cpp sees a
    loop only past 32 tokens."""
    return 2 * token_budget(duration_s) + 40


def loop_free(words: Sequence[str], duration_s: float) -> list[int]:
    """Which words to keep: all, or one round of each repetition loop where nobody could have said so much.

    People do repeat themselves: a number with six fives, "go, go, go, go, go", a chorus. A decoder that
    loops gives more words than the time can hold.

    Args:
        words: A text, word by word.
        duration_s: The time in which they would have been spoken, pauses included; too long is harmless.

    Returns:
        Indices, rising. Of one to sixteen words that come five times in a row, one round is kept.
    """
    if is_sayable(words, duration_s):
        return list(range(len(words)))
    left_out = {at for loop in loops_in(words) for at in range(loop.start + loop.length, loop.end)}
    return [at for at in range(len(words)) if at not in left_out]


def loops_in(words: Sequence[str]) -> list[Loop]:
    """Where one to sixteen words come five times in a row, said or not, in order."""
    keys, at, found = [word_key(word) for word in words], 0, list[Loop]()
    while at < len(keys):
        length, rounds = _loop_at(keys, at, _CERTAIN_REPEATS)
        if rounds > 1:
            found.append(Loop(at, length, rounds))
        at += length * rounds
    return found


def word_without_loop(word: str) -> str:
    """A word with one round of what comes five times in a row within it, "C-C-C-C-C"."""
    return _LOOP_IN_A_WORD.sub(r"\1", word)


def has_loop(text: str) -> bool:
    """Whether the same one to sixteen words come at least three times in a row, said or not."""
    keys = [word_key(piece) for piece in _PIECES.findall(text)]
    return any(_loop_at(keys, at, _SUSPICIOUS_REPEATS)[1] > 1 for at in range(len(keys)))


def is_sayable(words: Sequence[str], duration_s: float) -> bool:
    """Whether somebody could say these words in this time, repeating one after the other."""
    pieces = [piece for word in words for piece in _PIECES.findall(word)]
    if sum(map(syllables, pieces)) > _SYLLABLES_PER_S * duration_s + _SYLLABLES_MORE:
        return False
    loops = [sum(map(syllables, pieces[loop.start : loop.end])) for loop in loops_in(pieces)]
    return max(loops, default=0) <= max(_SYLLABLES_IN_A_BREATH, _SYLLABLES_BEYOND_PER_S * duration_s)


def _loop_at(keys: list[str], at: int, least_repeats: int) -> tuple[int, int]:
    """Length and count of the loop that starts at word `at`; (1, 1) if there is none."""
    for length in range(1, _MAX_NGRAM + 1):
        unit = keys[at : at + length]
        repeats = 1
        while keys[at + repeats * length : at + (repeats + 1) * length] == unit:
            repeats += 1
        if repeats >= least_repeats and any(unit):
            return length, repeats
    return 1, 1
