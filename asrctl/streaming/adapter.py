"""Makes a decoder of windows a stream of utterances: partials while they are spoken, a final at their end.

An utterance is decoded whole when it has ended, and again if that made a repetition loop and no other final
waits. While it is spoken, what there is of it is decoded now and then for a partial; in a pause the final is
decoded before the end is certain, and kept if no speech follows.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from asrctl.errors import AsrctlError, ProviderError
from asrctl.policy.agreement import StablePrefix
from asrctl.policy.language import LanguageBelief
from asrctl.policy.pacing import Pacer
from asrctl.policy.priority import Kind, Ticket
from asrctl.policy.window import Effort
from asrctl.providers.recognizer import Completed, Failed, Heard, Spoken, StreamRequest, WindowDecoder
from asrctl.streaming.in_language import corrected
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis, Samples

_TELLING_SAMPLES = 2 * SAMPLE_RATE_HZ
"""Partials of an utterance that is as long tell its language, once: that costs as much as a partial."""


@dataclass(slots=True, eq=False)
class _Utterance:
    """An utterance, and what is being decoded of it."""

    number: int
    pieces: list[Samples] = field(default_factory=list)
    length_samples: int = 0
    asked_samples: int = 0
    """How much of it the last partial was asked for."""
    shown_samples: int = 0
    """How much of it the last partial that came had heard."""
    prefix: StablePrefix = field(default_factory=StablePrefix)
    paused: bool = False
    """Whether the speaker has paused after what was fed last."""
    partial: asyncio.Task[None] | None = None
    final: asyncio.Task[None] | None = None
    final_samples: int = -1
    """How much of it the final, or the guess at it, was asked for."""
    guess: Hypothesis | None = None
    language: str = ""
    """What its partials have shown it to be in; "" until they have."""
    ended: bool = False

    def audio(self) -> Samples:
        if len(self.pieces) > 1:
            self.pieces = [np.concatenate(self.pieces)]
        return self.pieces[0] if self.pieces else np.zeros(0, np.float32)


class WindowedStream:
    """An `UtteranceStream` over a `WindowDecoder`."""

    def __init__(
        self,
        decoder: WindowDecoder,
        request: StreamRequest,
        say: Callable[[Spoken], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open a stream; arguments as for `Recognizer.open`. `clock` gives monotonic seconds."""
        self._decoder = decoder
        self._request = request
        self._decode = replace(request.decode, word_timestamps=True)
        self._say = say
        self._clock = clock
        self._pacer = Pacer(request.pacing)
        self._partials = request.pacing is not None
        self._belief = LanguageBelief(request.decode.language)
        self._open = _Utterance(0)
        self._ended: dict[int, _Utterance] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def feed(self, samples: Samples) -> None:
        """Take audio; see `UtteranceStream`."""
        utterance = self._open
        utterance.pieces.append(samples)
        utterance.length_samples += len(samples)
        utterance.paused = False
        if not self._partials or _is_under_way(utterance.partial) or _is_under_way(utterance.final):
            return
        new_samples = utterance.length_samples - utterance.asked_samples
        spoken_s, new_s = utterance.length_samples / SAMPLE_RATE_HZ, new_samples / SAMPLE_RATE_HZ
        if self._pacer.is_due(spoken_s, new_s):
            utterance.asked_samples = utterance.length_samples
            utterance.partial = self._start(self._decode_partial(utterance, utterance.audio()))

    def pause(self, silence_s: float) -> None:
        """Guess at the final; see `UtteranceStream`."""
        utterance = self._open
        utterance.paused = True
        if self._request.pacing is None or not self._pacer.may_speculate(silence_s):
            return
        if utterance.length_samples not in (0, utterance.final_samples):
            utterance.asked_samples = utterance.length_samples
            self._stop(utterance.partial)
            self._ask_final(utterance)

    def end(self) -> None:
        """Decode the utterance, if that was not guessed; see `UtteranceStream`."""
        utterance, self._open = self._open, _Utterance(self._open.number + 1)
        utterance.ended = True
        self._ended[utterance.number] = utterance
        self._stop(utterance.partial)
        if utterance.final_samples == utterance.length_samples:
            if utterance.guess is not None:
                asyncio.get_running_loop().call_soon(self._complete, utterance, utterance.guess)
                return
            if _is_under_way(utterance.final):
                return
        self._ask_final(utterance)

    def drop(self, utterance: int) -> None:
        """Forget an utterance; see `UtteranceStream`."""
        if (dropped := self._ended.pop(utterance, None)) is not None:
            self._stop(dropped.final)

    def want_partials(self, interval_factor: float | None) -> None:
        """Decode for partials more or less often; see `UtteranceStream`."""
        self._partials = interval_factor not in (None, math.inf) and self._request.pacing is not None
        if interval_factor is not None:  # without partials, a load that was told of still forbids guesses
            self._pacer.factor = interval_factor

    def close(self) -> None:
        """Abort all decodes; see `UtteranceStream`."""
        self._say = lambda _: None
        for task in self._tasks:
            task.cancel()

    # Decodes

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _stop(self, task: asyncio.Task[None] | None) -> None:
        if task is not None:
            task.cancel()

    def _ask_final(self, utterance: _Utterance) -> None:
        self._stop(utterance.final)
        utterance.final_samples, utterance.guess = utterance.length_samples, None
        utterance.final = self._start(self._decode_final(utterance, utterance.audio()))

    def _ticket(self, kind: Kind, utterance: _Utterance) -> Ticket:
        is_guess = kind is Kind.FINAL and not utterance.ended
        return Ticket(self._request.session, kind, self._request.source, utterance.number, is_guess)

    async def _decode_final(self, utterance: _Utterance, samples: Samples) -> None:
        """Decode all there is; complete the utterance if it has ended by then, or show it as a partial."""
        try:
            hypothesis = await self._in_its_language(utterance, samples)
            if hypothesis.is_loop:
                hypothesis = await self._without_loop(utterance, samples, hypothesis)
        except asyncio.CancelledError:
            if utterance.final is asyncio.current_task():  # not by `_ask_final`: nobody else would answer
                self._fail(utterance, ProviderError("the decode was cancelled"))
            raise
        except Exception as error:  # also what nobody foresaw: whoever waits for the utterance gets an answer
            utterance.asked_samples = utterance.shown_samples
            self._fail(utterance, error)
            return
        if utterance.ended:
            self._complete(utterance, hypothesis)
        else:
            utterance.guess = hypothesis
            self._show(utterance, hypothesis, len(samples))

    async def _in_its_language(self, utterance: _Utterance, samples: Samples) -> Hypothesis:
        """Decode in the language that is likeliest; again, if another one turns out to be."""
        belief, options = self._belief, replace(self._decode, effort=Effort.LIGHT)

        async def decode(language: str, *, tell_language: bool = False) -> Hypothesis:
            wanted = replace(options, language=language, tell_language=tell_language)
            return await self._decoder.decode(samples, wanted, self._ticket(Kind.FINAL, utterance))

        likeliest = utterance.language or belief.language
        return await corrected(await decode(likeliest, tell_language=belief.is_open), belief, decode)

    async def _without_loop(self, utterance: _Utterance, samples: Samples, first: Hypothesis) -> Hypothesis:
        """Decode again where no other final needs the time; else what there is will do."""
        options = replace(self._decode, language=first.language, effort=Effort.AGAIN)
        try:
            return await self._decoder.decode(samples, options, self._ticket(Kind.AGAIN, utterance))
        except AsrctlError:
            return first

    async def _decode_partial(self, utterance: _Utterance, samples: Samples) -> None:
        """Decode what there is of an open utterance; one that made way, or failed, is asked for again."""
        if utterance.paused:  # which was said just after the last of `samples`: the guess will do
            utterance.asked_samples = utterance.shown_samples
            return
        asked_s = self._clock()
        language = utterance.language or self._belief.language
        told = self._belief.is_open and not utterance.language and len(samples) >= _TELLING_SAMPLES
        options = replace(
            self._decode, language=language, tell_language=told, beam_size=1, effort=Effort.DRAFT
        )
        try:
            hypothesis = await self._decoder.decode(samples, options, self._ticket(Kind.PARTIAL, utterance))
        except Exception:  # the final will say what is wrong, if that lasts
            utterance.asked_samples = utterance.shown_samples
            self._observe(asked_s, 0.0)
        else:
            self._observe(asked_s, hypothesis.inference_s)
            if told and hypothesis.evidence:
                utterance.language = self._belief.after(hypothesis.evidence).language
            self._show(utterance, hypothesis, len(samples))

    def _observe(self, asked_s: float, inference_s: float) -> None:
        turnaround_s = self._clock() - asked_s
        self._pacer.observe(turnaround_s, turnaround_s - inference_s)

    # What is said

    def _show(self, utterance: _Utterance, hypothesis: Hypothesis, heard_samples: int) -> None:
        utterance.shown_samples = heard_samples
        words = [word for segment in hypothesis.segments for word in segment.words]
        stable, unstable = utterance.prefix.update(words)
        texts = tuple(word.text for word in stable), tuple(word.text for word in unstable)
        if self._partials:
            self._say(Heard(utterance.number, *texts, heard_samples))

    def _complete(self, utterance: _Utterance, hypothesis: Hypothesis) -> None:
        if self._ended.pop(utterance.number, None) is None:
            return
        if hypothesis.segments:
            self._belief = self._belief.after(hypothesis.evidence)
        self._say(Completed(utterance.number, hypothesis))

    def _fail(self, utterance: _Utterance, error: Exception) -> None:
        """Say that an utterance cannot be decoded; one that is still open is tried again when it ends."""
        if self._ended.pop(utterance.number, None) is not None:
            self._say(Failed(utterance.number, error))


def _is_under_way(task: asyncio.Task[None] | None) -> bool:
    return task is not None and not task.done()
