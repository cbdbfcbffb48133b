"""Windows of a stream that are being decoded, and what for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from asrctl.engine.utterance import Abort, Decode, Output, Utterance
from asrctl.policy.endpointing import Span
from asrctl.policy.priority import Kind
from asrctl.policy.window import Effort
from asrctl.providers.base import DecodeOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Windows:
    """The decodes a stream waits for: of an utterance at most one for a partial and one for a final."""

    def __init__(self) -> None:
        self._jobs: dict[int, Utterance] = {}
        self._next = 0

    def ask_partial(
        self, utterance: Utterance, samples: NDArray[np.float32], end_sample: int, options: DecodeOptions
    ) -> list[Output]:
        """Decode an open utterance as far as it goes."""
        options = replace(options, word_timestamps=True, beam_size=1, effort=Effort.DRAFT)
        decode = self._request(utterance, Kind.PARTIAL, samples, options)
        utterance.partial = (decode.job, end_sample)
        utterance.heard_sample = end_sample
        return [decode]

    def ask_final(
        self, utterance: Utterance, samples: NDArray[np.float32], span: Span, options: DecodeOptions
    ) -> list[Output]:
        """Decode an utterance that has ended, or may have."""
        outputs = self.stop_final(utterance)
        options = replace(options, word_timestamps=True, effort=Effort.LIGHT)
        decode = self._request(utterance, Kind.FINAL, samples, options)
        utterance.final, utterance.outcome = (decode.job, span), None
        return [*outputs, decode]

    def _request(
        self, utterance: Utterance, kind: Kind, samples: NDArray[np.float32], options: DecodeOptions
    ) -> Decode:
        assert utterance.place is not None
        self._next += 1
        self._jobs[self._next] = utterance
        return Decode(self._next, kind, utterance.number, samples, options, utterance.place.provider)

    def stop_partial(self, utterance: Utterance) -> list[Output]:
        """Its partial is not needed any more."""
        job, utterance.partial = utterance.partial, None
        return self._stop(job[0]) if job else []

    def stop_final(self, utterance: Utterance) -> list[Output]:
        """Its final, or the guess at it, is not needed any more."""
        job, utterance.final = utterance.final, None
        return self._stop(job[0]) if job else []

    def _stop(self, job: int) -> list[Output]:
        return [Abort(job)] if self._jobs.pop(job, None) else []

    def is_guessing(self, utterance: Utterance) -> bool:
        """Whether a final is being decoded for it."""
        return utterance.final is not None and utterance.final[0] in self._jobs

    def take(self, job: int) -> Utterance | None:
        """The utterance that a decode was for; None for one that was stopped, or unknown."""
        return self._jobs.pop(job, None)
