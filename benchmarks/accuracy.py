"""Word error rate, with a normaliser that treats all contestants alike.

What is made equal before words are compared, in this order:

1. lower case; anything in square, round or angle brackets goes (`[BLANK_AUDIO]`, `(music)`);
2. signs that are spoken become words (`#` pound, `*` star, `%` percent, `&` and, `$5` five dollars);
3. numbers become words (`500` five hundred, `3rd` third), and so do `Mr.`, `Mrs.`, `Dr.`, `a.m.`, `p.m.`;
4. hyphens and slashes part words, apostrophes vanish (`it's` its), all other punctuation vanishes
   (`asrctl.policy.words.words_of`, which is right for all scripts);
5. hesitations vanish (`uh`, `um`, `hmm` and the like), as Whisper was trained to leave them out;
6. a few pairs of spellings of the same sounds become one (`log in` login, `okay` ok).

Rules were made from the references, before any contestant's output was compared.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import jiwer

from asrctl.policy.words import words_of

_ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["_", "_", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
_SIGNS = {"#": " pound ", "*": " star ", "%": " percent ", "&": " and ", "@": " at "}
_ABBREVIATIONS = {
    r"\bmr\b\.?": "mister",
    r"\bmrs\b\.?": "missus",
    r"\bdr\b\.?": "doctor",
    r"\ba\.m\.?": "am",
    r"\bp\.m\.?": "pm",
}
_HESITATIONS = frozenset(["uh", "um", "uhm", "umm", "er", "erm", "hm", "hmm", "mm", "mmm", "mhm", "ah"])
_SAME = {
    "log in": "login",
    "log on": "logon",
    "log off": "logoff",
    "voice mail": "voicemail",
    "touch tone": "touchtone",
    "okay": "ok",
    "all right": "alright",
    "thy self": "thyself",
    "some one": "someone",
    "web site": "website",
    "key pad": "keypad",
    "mail box": "mailbox",
    "play back": "playback",
    "ill disposed": "illdisposed",
    "cold hearted": "coldhearted",
}


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How an output differs from the reference.

    Attributes:
        wer_percent: (substitutions + deletions + insertions) / words of the reference, in percent.
        substitutions: Words that became others.
        deletions: Words that are missing.
        insertions: Words that nobody said.
        words: Words of the reference.
    """

    wer_percent: float
    substitutions: int
    deletions: int
    insertions: int
    words: int


def accuracy(reference: str, output: str) -> Accuracy:
    """Compare an output with the reference, both normalised."""
    expected, heard = normalise(reference), normalise(output)
    if not heard:
        count = len(expected.split())
        return Accuracy(100.0, 0, count, 0, count)
    found = jiwer.process_words(expected, heard)
    words = found.hits + found.substitutions + found.deletions
    return Accuracy(round(100 * found.wer, 3), found.substitutions, found.deletions, found.insertions, words)


def normalise(text: str) -> str:
    """Reduce a text to the words that were said, as the module says."""
    text = text.lower().replace("\u2019", "'").replace("\u2018", "'")
    text = re.sub(r"\[.*?\]|\(.*?\)|<.*?>", " ", text, flags=re.DOTALL)
    for pattern, word in _ABBREVIATIONS.items():
        text = re.sub(pattern, word, text)
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    text = re.sub(r"\$(\d+)", r"\1 dollars", text)
    for sign, word in _SIGNS.items():
        text = text.replace(sign, word)
    text = re.sub(r"(\d+)(st|nd|rd|th)\b", lambda found: _ordinal(int(found[1])), text)
    text = re.sub(r"\d+", lambda found: f" {_spoken(found[0])} ", text)
    kept = " ".join(word for word in words_of(text) if word not in _HESITATIONS)
    for pair, one in _SAME.items():
        kept = re.sub(rf"\b{pair}\b", one, kept)
    return kept


def _spoken(digits: str) -> str:
    """A number as it is most often said; what starts with zero or is very long is said digit by digit."""
    if len(digits) > 9 or (len(digits) > 1 and digits.startswith("0")):
        return " ".join(_ONES[int(digit)] for digit in digits)
    return _cardinal(int(digits))


def _cardinal(number: int) -> str:
    for size, name in ((1_000_000, "million"), (1_000, "thousand"), (100, "hundred")):
        if number >= size:
            rest = f" {_cardinal(number % size)}" if number % size else ""
            return f"{_cardinal(number // size)} {name}{rest}"
    if number < 20:
        return _ONES[number]
    return _TENS[number // 10] + (f" {_ONES[number % 10]}" if number % 10 else "")


def _ordinal(number: int) -> str:
    *head, last = _cardinal(number).split()
    ending = _ORDINALS.get(last) or (f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th")
    return " ".join([*head, ending])
