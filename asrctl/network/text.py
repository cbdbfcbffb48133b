"""Text from elsewhere that people are to see: it may neither command their terminal nor mislead them."""

from __future__ import annotations

_BLANKS = dict.fromkeys(map(ord, "\t\n\v\f\r\x1c\x1d\x1e\x1f\x85\u2028\u2029"), " ")
_CONTROLS = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)], "\ufffd")
_DIRECTIONS = dict.fromkeys(
    map(ord, "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
)
"""Marks that turn the direction of writing; letters have theirs without them."""
_INVISIBLE = dict.fromkeys([*map(ord, "\u200b\u2060\ufeff\ufff9\ufffa\ufffb"), *range(0xE0000, 0xE0080)])
_SURROGATES = dict.fromkeys(range(0xD800, 0xE000), "\ufffd")
_TABLE = {**_CONTROLS, **_BLANKS, **_DIRECTIONS, **_INVISIBLE, **_SURROGATES}


def safe_text(text: str) -> str:
    """Foreign text as one line that is safe to print.

    Breaks become spaces; control characters, and with them escape sequences, become U+FFFD; marks that turn
    the direction of writing or are invisible go. What scripts need to be written stays, such as the joiners
    of Persian, Hindi and emoji.
    """
    return text.translate(_TABLE)
