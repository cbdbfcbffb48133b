"""The pauses of a stream: each is asked about once, and the answer says how long it may last."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from asrctl.policy.end_of_turn import WINDOW_SAMPLES, TurnOptions
from asrctl.policy.endpointing import Endpointer, Event, Span
from asrctl.streaming.buffer import SampleBuffer
from asrctl.streaming.commands import AskTurn
from asrctl.transcript import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from asrctl.streaming.stream import StreamOptions


def hearing_turns(options: StreamOptions) -> StreamOptions:
    """The same options, so that the final is decoded when its pause is asked about, of all the audio that the
    utterance has if it is over; and that what sounds unfinished is never waited for less than the rest."""
    endpointing, pacing, turn = options.endpointing, options.pacing, options.turn
    assert turn is not None
    endpointing = replace(endpointing, pad_after_s=min(endpointing.pad_after_s, turn.ask_s))
    if pacing is not None:
        pacing = replace(pacing, speculate_s=min(pacing.speculate_s, turn.ask_s))
    longest_s = max(turn.unfinished_silence_s, endpointing.trailing_silence_s)
    turn = replace(turn, unfinished_silence_s=longest_s)
    return replace(options, endpointing=endpointing, pacing=pacing, turn=turn)


class Pauses:
    """Those of one stream."""

    def __init__(self, options: TurnOptions | None, endpointer: Endpointer, buffer: SampleBuffer) -> None:
        """Watch the pauses that `endpointer` finds in the audio of `buffer`; with None, ask about none."""
        self.are_heard = True
        """Whether somebody is there to be asked."""
        self._options = options
        self._endpointer = endpointer
        self._buffer = buffer
        self._asked_sample: int | None = None

    @property
    def needed_sample(self) -> int:
        """Audio before it will not be asked about."""
        received_sample = self._endpointer.account.received_samples
        return received_sample - WINDOW_SAMPLES if self._options else received_sample

    @property
    def _pause_sample(self) -> int:
        """Where the present pause began."""
        endpointer = self._endpointer
        return endpointer.account.received_samples - endpointer.trailing_silence_samples

    def ask(self, start_sample: int) -> list[AskTurn]:
        """What to ask in the pause of an utterance that began there; nothing if it is too short, or known."""
        silence_s = self._endpointer.trailing_silence_samples / SAMPLE_RATE_HZ
        if not (self._options and self.are_heard):
            return []
        if silence_s < self._options.ask_s or self._pause_sample == self._asked_sample:
            return []
        self._asked_sample = self._pause_sample
        received_sample = self._endpointer.account.received_samples
        span = Span(max(start_sample, self.needed_sample), received_sample)
        return [AskTurn(self._asked_sample, self._buffer.read(span))]

    def hear(self, pause_sample: int, probability: float) -> list[Event]:
        """What follows from an answer; nothing if the pause is over."""
        silence_s = self._options.silence_s(probability) if self._options else None
        if silence_s is None or pause_sample != self._pause_sample:
            return []
        return self._endpointer.wait(silence_s)
