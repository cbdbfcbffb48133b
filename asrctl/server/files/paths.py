"""What a request is for, by its target: before it is looked at any further."""

from __future__ import annotations

import re

_BODIES = (b"/v1/", b"/audio/", b"/realtime/", b"/inference", b"/asr", b"/detect-language", b"/render")
_NOT_HTTP = b"/v1/stream"
_AUTHORITY = re.compile(rb"https?://[^/?]*", re.IGNORECASE)
_SLASHES = re.compile(rb"/{2,}")


def plain_target(target: bytes) -> bytes:
    """A target without the server's name, which it may have, and with single slashes in its path: clients
    join a path to an address that ends with one."""
    path, mark, query = target.partition(b"?")
    if name := _AUTHORITY.match(path):
        path = path[name.end() :] or b"/"
    return _SLASHES.sub(b"/", path) + mark + query


def takes_body(target: bytes) -> bool:
    """Whether a request with a body is looked at; others are refused by their headers."""
    return target.startswith(_BODIES) and not target.startswith(_NOT_HTTP)
