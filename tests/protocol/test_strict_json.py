"""JSON of others, by the letter."""

from __future__ import annotations

import pytest

from asrctl.protocol.strict_json import parsed


@pytest.mark.parametrize("text", ['{"a": [1, 0.5, 1e3, "é\\u00e9\\ud83d\\ude00"]}', b'{"a": "\\u00e9"}'])
def test_what_is_json(text: str | bytes) -> None:
    """It is read, also as bytes, with characters beyond the first plane in two halves."""
    assert parsed(text)["a"]


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", b"\xff", "NaN", "[Infinity]", "-Infinity", '{"a": 1e999}', "9" * 5_000),
        *("[" * 10_000, "[" * 10_000 + "]" * 10_000),
    ],
)
def test_what_is_none(text: str | bytes) -> None:
    """It is refused, whatever Python makes of it: it could not be written again."""
    with pytest.raises(ValueError):
        parsed(text)
