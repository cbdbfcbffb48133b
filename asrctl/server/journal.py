"""The server's log: one line an event on stderr, `key=value`, no audio and no text."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO


class Journal:
    """Writes lines such as `time=2026-01-31T12:00:00.000Z event=session.start session=x source=mic`."""

    def __init__(
        self,
        stream: TextIO | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        node: str = "",
    ) -> None:
        """Write to `stream`, standard error by default; each line names the `node`, if it has a name."""
        self._stream = stream or sys.stderr
        self._now = now
        self._node = node or None

    def note(self, event: str, **details: object) -> None:
        """Write one line; details that are None are left out."""
        time = self._now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        pairs = {"time": time, "event": event, "node": self._node, **details}
        line = " ".join(f"{key}={_value(value)}" for key, value in pairs.items() if value is not None)
        print(line, file=self._stream, flush=True)


def _value(value: object) -> str:
    """A value as one word; quoted as in JSON where it is none."""
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    plain = text and all(character.isprintable() and character not in ' "=' for character in text)
    return text if plain else json.dumps(text)
