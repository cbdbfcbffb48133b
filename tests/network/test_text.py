"""Foreign text: what would command a terminal or mislead its reader goes, what people write stays."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.network.failures import LinkFailure
from asrctl.network.text import safe_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x1b]0;title\x07", "\ufffd[2J\ufffd]0;title\ufffd"),
        ("\x9b31mred", "\ufffd31mred"),
        ("a\r\nb\tc\u2028d", "a  b c d"),
        ("file\u202egpj.exe", "filegpj.exe"),
        ("\u2066a\u2069\u200f\ufeff\U000e0041", "a"),
        ("\ud800", "\ufffd"),
        ("\x00\x7f", "\ufffd\ufffd"),
    ],
)
def test_what_goes(text: str, shown: str) -> None:
    """Escapes and controls are made visible, line breaks are blanks, direction marks are gone."""
    assert safe_text(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "Grüße, Ærø!",
        "क्\u200dष",
        "می\u200cخوا\u0647م",  # noqa: RUF001
        "שלום",
        "\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea",
        "日本語。",
        "Zoe\u0308 € “x”",
    ],
)
def test_what_stays(text: str) -> None:
    """Every script is left as it is, with the joiners that it needs."""
    assert safe_text(text) == text


@given(st.text(st.characters()))
def test_any_text(text: str) -> None:
    """It is one line without controls, twice makes no difference, and it can be encoded."""
    shown = safe_text(text)
    assert safe_text(shown) == shown
    assert not any(unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp") for each in shown)
    assert len(shown.splitlines()) <= 1
    shown.encode()


def test_reasons_of_failures() -> None:
    """Whatever a server says of itself reaches people only so."""
    assert LinkFailure("no\x1b[8m").reason == "no\ufffd[8m"
