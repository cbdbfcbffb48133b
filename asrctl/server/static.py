"""The files of the browser page, read once, and the headers that they go out with."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from starlette.responses import Response

INDEX = "index.html"
_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)
HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": _POLICY,
    "Permissions-Policy": "microphone=(self), display-capture=(self), camera=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Nothing from other hosts, no text that becomes code; a browser asks each time whether a file changed."""


@dataclass(frozen=True, slots=True)
class PageFile:
    """A file as it is sent."""

    content: bytes
    media_type: str
    etag: str


class Page:
    """All files of the page, by name."""

    def __init__(self) -> None:
        """Read them."""
        self.files = {
            entry.name: _read(entry.name, entry.read_bytes())
            for entry in files("asrctl.server").joinpath("page").iterdir()
            if entry.name.rpartition(".")[2] in _TYPES
        }

    def answer(self, name: str, known_etags: str) -> Response:
        """A file, or 304 where the browser has it; `known_etags` is its `If-None-Match`."""
        found = self.files.get(name)
        if found is None:
            return Response("there is no such file\n", 404, media_type="text/plain")
        headers = {**HEADERS, "ETag": found.etag}
        if known_etags == "*" or found.etag in _etags(known_etags):
            return Response(status_code=304, headers=headers)
        return Response(found.content, headers=headers, media_type=found.media_type)


def _etags(header: str) -> set[str]:
    """A proxy that compresses marks an ETag as weak; it is the same file."""
    return {each.strip().removeprefix("W/") for each in header.split(",")}


def _read(name: str, content: bytes) -> PageFile:
    digest = hashlib.sha256(content).hexdigest()[:32]
    return PageFile(content, _TYPES[name.rpartition(".")[2]], f'"{digest}"')
