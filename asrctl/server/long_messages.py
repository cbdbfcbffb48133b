"""A bound on messages that are longer than usual, over all sockets: strangers have no memory to take."""

from __future__ import annotations

_USUAL_BYTES = 1 << 20
_MAX_LONG_BYTES = 32 << 20
"""Held of messages that are longer than usual, by all sockets together: two of the longest at a time, whose
audio is decoded as it comes."""


class LongMessages:
    """What all sockets together hold of messages that are longer than usual."""

    def __init__(self, most_bytes: int = _MAX_LONG_BYTES) -> None:
        self._most_bytes = most_bytes
        self._held: dict[object, int] = {}

    def fits(self, owner: object, held_bytes: int) -> bool:
        """Take note of how much a socket holds; False if that is too much with what the others hold."""
        self._held.pop(owner, None)
        if held_bytes <= _USUAL_BYTES:
            return True
        self._held[owner] = held_bytes
        return sum(self._held.values()) <= self._most_bytes

    def leave(self, owner: object) -> None:
        """A socket is gone."""
        self._held.pop(owner, None)
