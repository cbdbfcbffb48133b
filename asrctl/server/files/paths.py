"""Which requests may have a body."""

from __future__ import annotations

_BODIES = (b"/v1/", b"/audio/", b"/inference", b"/asr", b"/detect-language", b"/render")
_NOT_HTTP = b"/v1/stream"


def takes_body(url: bytes) -> bool:
    """Whether a request with a body is looked at; others are refused by their headers."""
    return url.startswith(_BODIES) and not url.startswith(_NOT_HTTP)
