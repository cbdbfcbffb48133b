"""A bound on the messages of strangers and on long ones, over all sockets: nobody has memory to take."""

from __future__ import annotations

_USUAL_BYTES = 1 << 20
_FIRST_BYTES = 16 * 1024
"""Usual for a socket that has no session yet, of which there can be many."""
_MAX_LONG_BYTES = 32 << 20
"""Held of messages that are longer than usual, by all sockets together: two of the longest at a time, whose
audio is decoded as it comes."""


class LongMessages:
    """What all sockets together hold of messages that are longer than usual."""

    def __init__(self, most_bytes: int = _MAX_LONG_BYTES) -> None:
        self._most_bytes = most_bytes
        self._held: dict[object, int] = {}

    def fits(self, owner: object, held_bytes: int, *, is_stranger: bool = False) -> bool:
        """Take note of how much a socket holds; False if that is too much with what the others hold.

        One of a stranger, who has no session, counts although it is of usual length.
        """
        self._held.pop(owner, None)
        if held_bytes <= (_FIRST_BYTES if is_stranger else _USUAL_BYTES):
            return True
        self._held[owner] = held_bytes
        return sum(self._held.values()) <= self._most_bytes

    def leave(self, owner: object) -> None:
        """A socket is gone."""
        self._held.pop(owner, None)
