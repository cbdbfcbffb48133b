"""A transport that waits for whoever looks at what it read."""

from __future__ import annotations

import asyncio
from typing import Any


class PacedTransport:
    """A transport that is read again only when what was read has been looked at."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._wanted = True
        self.held = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def pause_reading(self) -> None:
        self._wanted = False
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._wanted = True
        if not self.held:
            self._transport.resume_reading()

    def hold(self, held: bool) -> None:
        """Do not read, whoever wants to; or read again if somebody does."""
        self.held = held
        if held or not self._wanted:
            self._transport.pause_reading()
        elif not self._transport.is_closing():
            self._transport.resume_reading()
