"""What one session may wish of how its speech is cut, and what becomes of the values of all."""

from __future__ import annotations

from dataclasses import dataclass, replace

from asrctl.policy.end_of_turn import TurnOptions
from asrctl.policy.endpointing import EndpointerOptions
from asrctl.protocol.fields import Checked, Misfit, flag, number, optional

_CUT_FROM = 0.75
"""Speech is cut where it is quiet from this share of the longest utterance on."""


@dataclass(frozen=True, slots=True)
class Endpointing(Checked):
    """How a session's speech is cut into utterances; what is None is as for all.

    Attributes:
        trailing_silence_s: A pause this long ends the utterance.
        min_speech_s: Less speech than this is judged silence.
        onset: Speech starts at this probability or above.
        offset: Speech pauses below this probability; no more than `onset`.
        max_utterance_s: No utterance is longer.
        pad_before_s: Audio that is kept before speech starts.
        end_of_turn: Whether pauses are heard, where there is a model for it: one after a finished sentence
            ends the utterance sooner, another later.
        unfinished_silence_s: With that, a pause this long ends an utterance that sounds unfinished.
    """

    trailing_silence_s: float | None = optional(number(0.05, 10.0))
    min_speech_s: float | None = optional(number(0.0, 2.0))
    onset: float | None = optional(number(0.01, 0.99))
    offset: float | None = optional(number(0.01, 0.99))
    max_utterance_s: float | None = optional(number(2.0, 29.0))
    pad_before_s: float | None = optional(number(0.0, 1.0))
    end_of_turn: bool | None = optional(flag())
    unfinished_silence_s: float | None = optional(number(0.2, 10.0))

    def __post_init__(self) -> None:
        """Check every field, and that the thresholds are in order."""
        Checked.__post_init__(self)  # super() is not for classes with slots
        if self.onset is not None and self.offset is not None and self.offset > self.onset:
            raise Misfit("offset must not be above onset")

    def applied(self, options: EndpointerOptions) -> EndpointerOptions:
        """The values of all, with these in their places."""
        changes = {
            "trailing_silence_s": self.trailing_silence_s,
            "min_speech_s": self.min_speech_s,
            "onset_threshold": self.onset,
            "offset_threshold": self.offset,
            "max_utterance_s": self.max_utterance_s,
            "pad_before_s": self.pad_before_s,
        }
        given = {name: value for name, value in changes.items() if value is not None}
        if self.onset is not None and self.offset is None:
            given["offset_threshold"] = min(options.offset_threshold, self.onset)
        elif self.offset is not None and self.onset is None:
            given["onset_threshold"] = max(options.onset_threshold, self.offset)
        if self.trailing_silence_s is not None:
            given["pad_after_s"] = min(options.pad_after_s, self.trailing_silence_s)
        if self.max_utterance_s is not None:
            given["overlong_s"] = min(options.overlong_s, _CUT_FROM * self.max_utterance_s)
        return replace(options, **given)

    def turn(self, options: TurnOptions | None) -> TurnOptions | None:
        """The same for how pauses are heard; None where they are not."""
        if options is None or self.end_of_turn is False:
            return None
        silence_s = self.unfinished_silence_s
        return options if silence_s is None else replace(options, unfinished_silence_s=silence_s)
