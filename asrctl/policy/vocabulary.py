"""Terms that audio is likely to hold: which are taken, and as what text recognisers read them."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

from asrctl.errors import UsageError
from asrctl.policy.words import words_of

MAX_TERMS = 100
MAX_TERM_CHARACTERS = 100
_READ_TOKENS = 223
"""Of a prompt by Whisper."""
_TERMS_TOKENS = 200
"""What terms take is estimated, and a tenth is left for that."""
_LETTERS_A_TOKEN = 3
_TOKENS_A_BYTE = 0.75
"""Of other alphabets. 48 names and medicines took 213 tokens, by these figures 280."""
_NO_TEXT = ("Cc", "Cs")
"""Categories of Unicode: control characters, and halves of characters, which UTF-8 cannot spell."""


class Fit(NamedTuple):
    """Terms that a recogniser is told, and those that there is no room for; each in the order given."""

    kept: tuple[str, ...]
    left_out: tuple[str, ...]


def checked_terms(terms: Iterable[str]) -> tuple[str, ...]:
    """Terms without surplus spaces, each once; of several spellings, the first.

    Raises:
        UsageError: There are too many, or one is too long or no text.
    """
    if isinstance(terms, str):
        raise UsageError(f"vocabulary: a list of terms, not a text: {terms[:40]!r}")
    found = _tidy(terms)
    if len(found) > MAX_TERMS:
        raise UsageError(f"vocabulary: {len(found)} terms are too many: {MAX_TERMS} at most")
    for term in found:
        if problem := _problem(term):
            raise UsageError(f"vocabulary: {term[:40]!r} {problem}")
    return found


def usable_terms(terms: Iterable[str]) -> tuple[str, ...]:
    """The same, leaving out what does not do; for clients of protocols that have other bounds."""
    return tuple(term for term in _tidy(terms) if not _problem(term))[:MAX_TERMS]


def fit(terms: Iterable[str]) -> Fit:
    """As many terms, the first before the last, as a prompt has room for."""
    kept, left_out, tokens = list[str](), list[str](), 0.0
    for term in terms:
        tokens += _tokens(term)
        (left_out if left_out or tokens > _TERMS_TOKENS else kept).append(term)
    return Fit(tuple(kept), tuple(left_out))


def context(prompt: str, terms: Iterable[str]) -> str:
    """Prompt and terms for a recogniser that reads only text that came before; empty for neither.

    With terms, only as much of the prompt's end as there is room for besides them.
    """
    terms = tuple(terms)
    if terms:
        room = math.floor((_READ_TOKENS - sum(map(_tokens, terms))) * _LETTERS_A_TOKEN)
        prompt = prompt[max(0, len(prompt) - max(0, room)) :].strip()
    return " ".join(part for part in (prompt, ", ".join(terms)) if part)


def holds_term(text: str, terms: Iterable[str]) -> bool:
    """Whether a term is in a text, as whole words, whatever their case and the punctuation around them."""
    said = _spaced(text)
    return any(_spaced(term) in said for term in terms)


def _spaced(text: str) -> str:
    return f" {' '.join(words_of(text))} "


def _tidy(terms: Iterable[str]) -> tuple[str, ...]:
    by_key: dict[str, str] = {}
    for term in terms:
        plain = " ".join(term.split())
        by_key.setdefault(plain.casefold(), plain)
    by_key.pop("", None)
    return tuple(by_key.values())


def _problem(term: str) -> str:
    """What is wrong with a term; empty if nothing is."""
    if len(term) > MAX_TERM_CHARACTERS:
        return f"has more than {MAX_TERM_CHARACTERS} characters"
    is_text = all(unicodedata.category(character) not in _NO_TEXT for character in term)
    return "" if is_text else "holds characters that are no text"


def _tokens(term: str) -> float:
    """About how many tokens of Whisper's a term takes, with the comma behind it."""
    plain = [character for character in term if character.isascii()]
    letters = sum(character.islower() for character in plain)
    signs = sum(not (character.islower() or character == " ") for character in plain[1:])
    return (
        1 + math.ceil(letters / _LETTERS_A_TOKEN) + signs + _TOKENS_A_BYTE * (len(term.encode()) - len(plain))
    )
