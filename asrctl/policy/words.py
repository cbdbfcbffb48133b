"""What makes two spellings the same word, in any script: one rule for loops, agreement and error rates.

A word is its letters, marks and digits (Unicode's categories L, M and N), compatibility forms resolved
(NFKC), in one case. Marks belong to it: the vowel signs of Devanagari, Bengali, Tamil, Thai, Khmer and their
kin are marks, and words differ by nothing else. Left out are the marks that a writer may leave out: Arabic
and Hebrew points, the Arabic letter stretcher, and characters without a shape, such as joiners.
"""

from __future__ import annotations

import re
import unicodedata

_OPTIONAL = re.compile(
    "[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"  # Hebrew accents and points
    "\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed]"  # Arabic ones
)
_APOSTROPHES = frozenset("'\u2019\u2018\u02bc\u055a\uff07")

_UNSPACED = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Tibetan, Myanmar, Khmer
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
"""Scripts written without spaces between words. Korean has spaces."""

_VOWELS = "aeiouyæœøıαεηιουωаеёиоуыэюяєіїў"  # noqa: RUF001 (Greek and Cyrillic)

_NOT_UNSPACED = f"[^{_UNSPACED}\\s]"


def word_key(word: str) -> str:
    """What two spellings of a word have in common: letters, marks and digits of any script, in one case."""
    kept = "".join(char for char in _folded(word) if unicodedata.category(char)[0] in "LMN")
    return unicodedata.normalize("NFC", kept)


def words_of(text: str) -> list[str]:
    """The words of a text, each as its key: parted at spaces, hyphens and all other punctuation.

    An apostrophe does not part a word (`it's` is `its`). Where a script has no spaces between words, each
    letter with its marks counts as one, as error rates of such languages are given in characters.
    """
    spoken = "".join(_word_character(char) for char in _folded(text))
    composed = unicodedata.normalize("NFC", spoken)
    return [word for run in composed.split() for word in _split_unspaced(run)]


def syllables(word: str) -> int:
    """About how many syllables a word has, rather too few than too many; 0 for punctuation.

    Groups of vowels where there are vowel letters, a digit one each (most have one in most languages), a
    character of Chinese, Japanese or Korean one each, and one for two letters of any other script.
    """
    key = word_key(word)
    if not key:
        return 0
    plain = unicodedata.normalize("NFD", key)
    plain = re.sub(f"(?<=[^{_VOWELS}])e$", "", plain)  # often silent
    groups = len(re.findall(f"[{_VOWELS}]+", plain))
    alone = sum(char.isdigit() or _is_syllabic(char) for char in key)
    others = sum(char.isalpha() and not _has_vowel_letters(char) and not _is_syllabic(char) for char in key)
    return max(1, groups + alone + others // 2)


def _has_vowel_letters(char: str) -> bool:
    return unicodedata.name(char, "").startswith(("LATIN", "GREEK", "CYRILLIC"))


def _is_syllabic(char: str) -> bool:
    return unicodedata.name(char, "").startswith(("CJK", "HANGUL", "HIRAGANA", "KATAKANA"))


def _folded(text: str) -> str:
    """One form for what looks alike; casefolding may decompose a letter, so it is composed again."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _OPTIONAL.sub("", unicodedata.normalize("NFKC", folded))


def _word_character(char: str) -> str:
    """The character if it belongs to a word, nothing if it may stand inside of one, else a space."""
    category = unicodedata.category(char)
    if char in _APOSTROPHES or category == "Cf":
        return ""
    return char if category[0] in "LMN" else " "


def _split_unspaced(run: str) -> list[str]:
    words: list[str] = []
    for piece in re.findall(f"{_NOT_UNSPACED}+|[{_UNSPACED}]", run):
        # A mark continues the letter before it.
        if words and unicodedata.category(piece[0])[0] == "M":
            words[-1] += piece
        else:
            words.append(piece)
    return words
