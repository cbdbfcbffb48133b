"""Who speaks in a live session: its audio goes to whoever tells speakers apart, its finals get labels."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from asrctl.errors import AsrctlError
from asrctl.events import Final, SpeakerChanged, SpeakersLost, SpeechEnded
from asrctl.policy.labels import TAIL_S, KnownTurns, SpeakerLabels
from asrctl.streaming.commands import Pause
from asrctl.transcript import SAMPLE_RATE_HZ, Samples

if TYPE_CHECKING:
    from asrctl.speakers.live_process import StreamSpeakers
    from asrctl.streaming.stream import Output

_ASK_AFTER_S = 0.2
"""So early in a pause it is asked who spoke, so that it is known when the final is."""
_ASK_AGAIN_S = 2.0
"""Whoever tells speakers apart waits for more audio if it has looked just before: it is asked again then."""
_CONCLUDE_S = 30.0
"""Longer the end of a stream does not wait for labels that are better."""


class Diarization:
    """The labels of one session. No final waits for its labels: what is known later is another event."""

    def __init__(self, speakers: StreamSpeakers, put: Callable[[Callable[[], list[Output]]], None]) -> None:
        """Begin, in a running event loop; `put` has the session take what follows from an answer."""
        self._speakers = speakers
        self._labels = SpeakerLabels(speakers.known)
        self._received_samples = 0
        self._asked_s = 0.0
        self._wanted = asyncio.Event()
        self._is_lost = False
        self._asking = asyncio.create_task(self._ask(put), name="who speaks")
        self.wait_behind_below = speakers.wait_behind_below

    def feed(self, samples: Samples) -> None:
        """Take the session's next samples."""
        self._received_samples += len(samples)
        self._speakers.feed(samples)
        self._want_unheard()

    def skip(self, count: int) -> None:
        """So many samples did not come."""
        self._received_samples += count
        self._speakers.skip(count)
        self._want_unheard()

    def _want_unheard(self) -> None:
        """Ask again about finals that were said before their speakers were known."""
        received_s = self._received_samples / SAMPLE_RATE_HZ
        if self._labels.has_unheard and received_s >= self._asked_s + _ASK_AGAIN_S:
            self._want(received_s)

    def see(self, output: Output) -> Output:
        """Take what the session is about to do: finals get labels; what has ended is asked about."""
        received_s = self._received_samples / SAMPLE_RATE_HZ
        if self._is_lost:
            return output
        if isinstance(output, Pause):
            if output.silence_s >= _ASK_AFTER_S and self._asked_s <= received_s - output.silence_s:
                self._want(received_s)
        elif isinstance(output, SpeechEnded):
            if self._asked_s < output.end_s - TAIL_S:
                self._want(received_s)
        elif isinstance(output, Final) and output.segment.text:
            output = replace(output, segment=self._labels.final(output.utterance, output.segment))
            if self._labels.has_unheard:
                self._want(received_s)
        return output

    def _want(self, received_s: float) -> None:
        self._asked_s = received_s
        self._wanted.set()

    async def _ask(self, put: Callable[[Callable[[], list[Output]]], None]) -> None:
        try:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                put(partial(self._take, await self._speakers.turns(self._labels.since_s)))
        except AsrctlError as error:
            put(partial(self._lose, str(error)))

    def _take(self, turns: KnownTurns) -> list[Output]:
        return [
            SpeakerChanged(utterance, segment.speaker, tuple(word.speaker for word in segment.words))
            for utterance, segment in self._labels.take(turns)
        ]

    def _lose(self, reason: str) -> list[Output]:
        """Nothing more will be known; said once."""
        was_lost, self._is_lost = self._is_lost, True
        return [] if was_lost else [SpeakersLost(reason)]

    async def conclude(self) -> list[Output]:
        """What changes now that all was heard and every final was given."""
        self._asking.cancel()
        if self._is_lost:
            return []
        try:
            async with asyncio.timeout(_CONCLUDE_S):
                return self._take(await self._speakers.conclude())
        except AsrctlError as error:
            return self._lose(str(error))
        except TimeoutError:
            return self._lose(f"labels are as they were first said: no better ones within {_CONCLUDE_S:g} s")

    def close(self) -> None:
        """The session is over."""
        self._asking.cancel()
        self._speakers.close()
