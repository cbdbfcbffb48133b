"""How long a pause may be, by whether what was said before it sounds finished.

A network that hears the audio up to the pause is asked once for each, soon after speech stopped. While it
does not answer, the pause that ends an utterance is as long as without it.
"""

from __future__ import annotations

from dataclasses import dataclass

from asrctl.errors import UsageError
from asrctl.policy.endpointing import FRAME_SAMPLES
from asrctl.transcript import SAMPLE_RATE_HZ

WINDOW_SAMPLES = 8 * SAMPLE_RATE_HZ
"""What such a network hears at most."""


@dataclass(frozen=True, slots=True)
class TurnOptions:
    """When it is asked, and what follows. Times in seconds of silence.

    Attributes:
        ask_s: It is asked when a pause has lasted so long.
        finished: From this probability on, the utterance ends at once.
        unfinished: Up to this probability, the pause may last `unfinished_silence_s`.
        unfinished_silence_s: A longer pause ends an utterance that sounds unfinished, too.

    Chosen on one half of the corpus (`python -m benchmarks.turns --choose`): of 107 pauses within 138 clips a
    wait of 0.5 s takes 8 for ends, one of 0.31 s takes 22, and Smart Turn with these options 8, where its
    median wait after a clip is 0.31 s if an answer takes 0.15 s. With `finished` at 0.9 it takes 10.

    Raises:
        UsageError: The values make no sense together.
    """

    ask_s: float = 0.16
    finished: float = 0.95
    unfinished: float = 0.1
    unfinished_silence_s: float = 1.5

    def __post_init__(self) -> None:
        """Validate once, at the edge."""
        if not 0 <= self.unfinished < self.finished:
            raise UsageError("end of turn: finished must be above unfinished, and neither negative")
        if not FRAME_SAMPLES / SAMPLE_RATE_HZ <= self.ask_s <= self.unfinished_silence_s:
            raise UsageError("end of turn: ask_s must be at least one frame, and within unfinished_silence_s")

    def silence_s(self, probability: float) -> float | None:
        """How long the pause may be after what is finished with this probability; None for no opinion."""
        if probability >= self.finished:
            return 0.0
        return self.unfinished_silence_s if probability <= self.unfinished else None
