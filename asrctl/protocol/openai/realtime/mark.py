"""What a client waits for at a place in its audio."""

from __future__ import annotations

from dataclasses import dataclass

from asrctl.protocol.openai.realtime.items import Item


@dataclass(frozen=True, slots=True)
class Mark:
    """What the next `Flushed` answers.

    Attributes:
        item: What it completes; None for a cleared buffer, or for a commit among turns.
        commits: How many items had been committed by then; None where none is asked for.
        span_s: Of a commit among turns: from where to where its buffer reached.
        is_last: Whether the socket is closed then.
    """

    item: Item | None = None
    commits: int | None = None
    span_s: tuple[float, float] = (0.0, 0.0)
    is_last: bool = False
