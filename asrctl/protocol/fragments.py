"""Long frames of a WebSocket client, cut into fragments before a library sees them.

A library that hands out whole frames holds a long one twice: as it came, and unmasked. A frame may be cut
anywhere (RFC 6455, section 5.4); behind a multiple of four bytes the mask goes on as it began.
"""

from __future__ import annotations

import struct

FRAGMENT_BYTES = 1 << 15
"""A multiple of four."""
_FIN = _MASKED = 0x80
_CONTROL = 0x08
_LENGTH = 0x7F
_MASK_BYTES = 4


class Fragments:
    """All that a client sends goes through `cut`, in pieces of any size.

    Attributes:
        most_bytes: The longest frame that is cut; longer ones are left for the library to refuse.
    """

    def __init__(self, request_bytes: int) -> None:
        """Begin with the request for the upgrade, which has so many bytes."""
        self.most_bytes = 0
        self._header = b""
        """The beginning of one."""
        self._room = request_bytes
        """So many bytes pass before the next header comes, or has to be written."""
        self._left = 0
        """Bytes of the frame that is cut, behind those."""
        self._first = 0
        """The first byte of its header."""
        self._mask = b""

    def cut(self, data: bytes) -> bytes:
        """The same bytes, with the headers of fragments among them."""
        given, out = memoryview(self._header + data), bytearray()
        self._header = b""
        while given:
            if not self._room and self._left:
                out += self._next_header()
            elif not self._room:
                size = _header_bytes(given)
                if len(given) < size:
                    self._header = bytes(given)
                    break
                out += self._begin(bytes(given[:size]))
                given = given[size:]
            piece = given[: self._room]
            out += piece
            given = given[len(piece) :]
            self._room -= len(piece)
        return bytes(out)

    @property
    def unread_bytes(self) -> int:
        """What is kept of a header that is not complete."""
        return len(self._header)

    def _begin(self, header: bytes) -> bytes:
        """A frame begins: its header, or the one of its first fragment."""
        form = header[1] & _LENGTH
        size = form if form < 126 else int.from_bytes(header[2 : 4 if form == 126 else 10], "big")
        if header[0] & _CONTROL or not header[1] & _MASKED or not FRAGMENT_BYTES < size <= self.most_bytes:
            self._room = size
            return header
        self._first, self._mask, self._left = header[0], header[-_MASK_BYTES:], size
        return self._next_header()

    def _next_header(self) -> bytes:
        self._room = min(self._left, FRAGMENT_BYTES)
        self._left -= self._room
        first = self._first if not self._left else self._first & ~_FIN
        self._first &= _FIN  # what follows is a continuation
        if self._room < 126:
            return bytes((first, _MASKED | self._room)) + self._mask
        return struct.pack("!BBH", first, _MASKED | 126, self._room) + self._mask


def _header_bytes(given: memoryview) -> int:
    """How long a header is, as far as its beginning says it."""
    if len(given) < 2:
        return 2
    more = {126: 2, 127: 8}.get(given[1] & _LENGTH, 0)
    return 2 + more + (_MASK_BYTES if given[1] & _MASKED else 0)
