"""What a server says of speakers that are told apart by voice, after the finals that they are about."""

from __future__ import annotations

from dataclasses import dataclass

from asrctl.protocol.fields import Checked, label, optional, text, texts, whole

MAX_SPEAKERS = 100
LACKING = (
    "this server lacks asrctl's extra speakers, to tell them apart "
    "(pip install 'asrctl[speakers]', and the weights that its README names)"
)
"""Where speakers are asked for, and cannot be told apart."""
_MAX_WORDS = 10_000
"""In one final."""


@dataclass(frozen=True, slots=True)
class Speaker(Checked):
    """Who said the final of an utterance, known only now, or better than before; its words stay as they are.

    `words` is who said each of them, if they were asked for; "" is unknown, as is None for `speaker`.
    """

    utterance: int = whole()
    speaker: str | None = optional(label())
    words: tuple[str, ...] | None = optional(texts(_MAX_WORDS, 100, 0))
    id: int = whole(default=0)


@dataclass(frozen=True, slots=True)
class SpeakersLost(Checked):
    """Speakers are not told apart from here on, and why; what was said of them before stands."""

    reason: str = text(500)
    id: int = whole(default=0)
