"""What a refusal says, found and made fit to be shown."""

from __future__ import annotations

import pytest

from asrctl.network.answers import presentable, said_by


@pytest.mark.parametrize(
    ("headers", "body", "said"),
    [
        ({"Content-Type": "text/plain; charset=utf-8"}, b"10 sessions\nare open\n", "10 sessions are open"),
        ({"Content-Type": "application/json"}, b'{"error": {"message": "no place"}}', "no place"),
        ({"Content-Type": "text/html"}, b"<h1>Sorry</h1>", ""),
        ({}, b"anything", ""),
        ({"Content-Type": "text/plain"}, b"service unavailable", ""),
        ({"dg-error": "no credits"}, b"", "no credits"),
        ({"Content-Type": "text/plain"}, b"\xff\x1b[31mred", "\ufffd\ufffd[31mred"),
    ],
)
def test_a_refusal(headers: dict[str, str], body: bytes, said: str) -> None:
    """One safe line; a page for browsers, and the status in words, say nothing."""
    assert said_by("Service Unavailable", headers, body) == said


def test_what_is_shown() -> None:
    """One line of a bounded length, in which no key is."""
    assert presentable("a\nb  secret", "secret") == "a b [key]"
    assert len(presentable("x" * 10_000)) == 300
