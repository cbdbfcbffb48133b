"""How a client may wish its speech to be cut into utterances."""

from __future__ import annotations

from dataclasses import dataclass

from asrctl.protocol.fields import Checked, Misfit, number, optional


@dataclass(frozen=True, slots=True)
class Endpointing(Checked):
    """How a session's speech is cut into utterances; what is None is the server's to choose.

    Attributes:
        trailing_silence_s: A pause this long ends the utterance.
        min_speech_s: Less speech than this is judged silence.
        onset: Speech starts at this probability or above.
        offset: Speech pauses below this probability; no more than `onset`.
        max_utterance_s: No utterance is longer.
    """

    trailing_silence_s: float | None = optional(number(0.05, 10.0))
    min_speech_s: float | None = optional(number(0.0, 2.0))
    onset: float | None = optional(number(0.01, 0.99))
    offset: float | None = optional(number(0.01, 0.99))
    max_utterance_s: float | None = optional(number(2.0, 29.0))

    def __post_init__(self) -> None:
        """Check every field, and that the thresholds are in order."""
        Checked.__post_init__(self)  # super() is not for classes with slots
        if self.onset is not None and self.offset is not None and self.offset > self.onset:
            raise Misfit("offset must not be above onset")
