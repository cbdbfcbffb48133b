"""A live session: a `Stream`, a recogniser's stream, and the one task that runs the two."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Protocol, Self

from asrctl.events import Event, Finished
from asrctl.policy.priority import Source
from asrctl.providers.recognizer import Recognizer, Spoken, StreamRequest
from asrctl.streaming.commands import AskTurn, Drop, End, Feed, Pause
from asrctl.streaming.diarization import Diarization
from asrctl.streaming.pauses import hearing_turns
from asrctl.streaming.stream import Output, Stream, StreamOptions
from asrctl.transcript import SAMPLE_RATE_HZ, AudioAccount, Samples

if TYPE_CHECKING:
    from asrctl.speakers.live_process import StreamSpeakers
    from asrctl.streaming.stream import SpeechDetector

_Step = Callable[[], list[Output]]

_SLICE_SAMPLES = SAMPLE_RATE_HZ // 2
"""Longer audio is looked at in pieces of this length, between which others of the loop have their turn."""


class TurnListener(Protocol):
    """Hears whether somebody has finished speaking, such as `TurnProcess`."""

    def start(self) -> None:
        """Get ready."""
        ...

    async def finished(self, samples: Samples) -> float | None:
        """The probability that these samples were all that was to be said; None if that is not known."""
        ...


class Session:
    """Feed it audio, get events. `feed`, `flush`, `skip` and `finish` never wait.

    Events are handed to `emit` one after the other, from the session's task.
    """

    def __init__(
        self,
        detector: SpeechDetector,
        options: StreamOptions,
        recognizer: Recognizer,
        emit: Callable[[Event], None],
        *,
        name: str = "",
        source: Source = Source.MIC,
        turns: TurnListener | None = None,
        speakers: StreamSpeakers | None = None,
    ) -> None:
        """Start the session, in a running event loop.

        Args:
            detector: Finds speech; fresh, for this session alone.
            options: How the audio is cut and decoded.
            recognizer: Shared by any number of sessions.
            emit: Takes the events.
            name: Tells sessions apart in the workers' queue.
            source: Whose audio it is; "mic" goes first.
            turns: Hears the ends of turns, if the options say how; shared by any number of sessions.
            speakers: Tells speakers apart, for this session alone, which closes it.
        """
        if turns is None or options.turn is None:
            options = replace(options, turn=None)
        else:
            turns.start()
            options = hearing_turns(options)
        self._stream = Stream(detector, options)
        self._emit = emit
        self._inbox: deque[_Step] = deque()
        self._wake = asyncio.Event()
        self._changed = asyncio.Event()
        self._queued_samples = 0
        self._closed = False
        self._turns = turns
        self._asking: asyncio.Task[None] | None = None
        self.failure: BaseException | None = None
        """What ended the session before `Finished`; None while all is well."""
        request = StreamRequest(options.decode, name, source, options.pacing)
        self._recognizer = recognizer.open(request, self._heard)
        self._diarization = Diarization(speakers, self._put) if speakers else None
        self._task = asyncio.create_task(self._run(), name=f"session {name}")
        self._task.add_done_callback(lambda _: self._notify())

    @property
    def account(self) -> AudioAccount:
        """Where every sample went that was looked at so far."""
        return self._stream.account

    @property
    def committed_sample(self) -> int:
        """All samples before it are answered for by events that were emitted already, or are silence."""
        return self._stream.committed_sample

    @property
    def awaits_finals(self) -> bool:
        """Whether an utterance has ended, or may have in what was not looked at yet, and its final was not
        emitted."""
        return bool(self._inbox) or self._stream.awaits_finals

    @property
    def waiting_sample(self) -> int | None:
        """The end of the utterance that has waited longest for its final; None if none waits."""
        return self._stream.waiting_sample

    @property
    def language(self) -> str:
        """What the last final was in; what was asked for until there is one."""
        return self._stream.language

    @property
    def pending_samples(self) -> int:
        """Samples fed that are not finalised, judged silence or declared dropped yet."""
        return self._queued_samples + self._stream.account.pending_samples

    @property
    def ended(self) -> bool:
        """Whether nothing more will be emitted: it has finished, failed, or was closed."""
        return self._task.done()

    def feed(self, samples: Samples) -> None:
        """Take the next samples, shape (n,), mono float32 at 16 kHz; they must not change afterwards."""
        if self.ended:
            return
        self._queued_samples += len(samples)
        for at in range(0, len(samples), _SLICE_SAMPLES):
            self._put(partial(self._look_at, samples[at : at + _SLICE_SAMPLES]))

    def _look_at(self, samples: Samples) -> list[Output]:
        self._queued_samples -= len(samples)
        if self._diarization is not None:
            self._diarization.feed(samples)
        return self._stream.feed(samples)

    def skip(self, count: int, reason: str) -> None:
        """Declare that `count` samples were lost on their way here."""
        self._put(partial(self._pass_over, count, reason))

    def _pass_over(self, count: int, reason: str) -> list[Output]:
        if self._diarization is not None:
            self._diarization.skip(count)
        return self._stream.skip(count, reason)

    def shed(self, before_sample: int, reason: str) -> None:
        """Give up the utterances that ended by then and still wait for their finals."""
        self._put(lambda: self._stream.shed(before_sample, reason))

    def discard(self, reason: str, *, open_only: bool) -> None:
        """Drop what was fed since the last flush and is not final, or only the utterance that is open."""
        self._put(lambda: self._stream.discard(reason, open_only=open_only))

    def flush(self) -> None:
        """Finalise now what was fed so far."""
        self._put(self._stream.flush)

    def finish(self) -> None:
        """No more audio; `Finished` comes after the last final."""
        self._put(self._stream.finish)

    def show_partials(self, interval_factor: float | None) -> None:
        """Make partials so many times rarer than the options say; None for not at all, infinity where nothing
        may be decoded in vain either. Finals always come."""
        self._stream.show_partials(interval_factor)
        self._recognizer.want_partials(interval_factor)

    def cut_from(self, overlong_s: float) -> None:
        """Cut the next utterances from this length on where it is quiet, or sooner if the options say so."""
        self._stream.overlong_s = overlong_s

    def hear_turns(self, wanted: bool) -> None:
        """Hear in pauses whether they end a turn, if the options say how; or take all pauses alike."""
        self._stream.pauses.are_heard = wanted

    async def wait_pending_below(self, samples: int) -> None:
        """Wait until less than so much is pending: for audio that comes faster than real time.

        It must be more than the longest utterance: one that is open needs more audio to come to its end.
        """
        while self.pending_samples >= samples and not self.ended:
            await self._changed.wait()
        if self._diarization is not None:
            await self._diarization.wait_behind_below(samples)

    async def wait_ended(self) -> None:
        """Wait until nothing more will be emitted.

        Raises:
            Exception: What ended the session before `Finished`; a mistake of ours.
        """
        await asyncio.wait([self._task])
        if self.failure is not None:
            raise self.failure

    def stop(self) -> None:
        """End at once; what is pending is neither decoded nor declared."""
        self._closed = True
        self._recognizer.close()
        self._stop_asking()
        if self._diarization is not None:
            self._diarization.close()
        self._task.cancel()

    async def close(self) -> None:
        """End at once, and wait until the task is gone."""
        self.stop()
        await asyncio.gather(self._task, return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # The task

    def _put(self, step: _Step) -> None:
        if not self.ended:
            self._inbox.append(step)
            self._wake.set()

    def _heard(self, spoken: Spoken) -> None:
        self._put(lambda: self._stream.hear(spoken))

    async def _run(self) -> None:
        try:
            finished: Finished | None = None
            while finished is None:
                await self._wake.wait()
                self._wake.clear()
                while self._inbox and finished is None:
                    if (finished := self._act(self._inbox.popleft()())) is not None:
                        await self._conclude(finished)
                    self._notify()
                    await asyncio.sleep(0)
        except Exception as error:
            self.failure = error
        finally:
            self._stop_asking()
            self._recognizer.close()
            if self._diarization is not None:
                self._diarization.close()

    async def _conclude(self, finished: Finished) -> None:
        """Say what is known of the speakers only now, and that this was all."""
        if self._diarization is not None:
            self._act(await self._diarization.conclude())
        if not self._closed:
            self._emit(finished)

    def _ask(self, question: AskTurn) -> None:
        """Ask whether a turn is over; whoever was asked before need not answer any more."""
        self._stop_asking()
        self._asking = asyncio.create_task(self._hear_turn(question), name="turn")

    async def _hear_turn(self, question: AskTurn) -> None:
        assert self._turns is not None
        probability = await self._turns.finished(question.samples)
        if probability is not None:
            self._put(lambda: self._stream.hear_turn(question.pause_sample, probability))

    def _stop_asking(self) -> None:
        if self._asking is not None:
            self._asking.cancel()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _act(self, outputs: list[Output]) -> Finished | None:
        """Do what follows; returns the end, which is still to be said, if that was all."""
        for output in outputs:
            if self._closed:  # by whoever took the event before
                break
            if isinstance(output, Finished):
                return output
            if self._diarization is not None:
                output = self._diarization.see(output)
            if isinstance(output, Feed):
                self._recognizer.feed(output.samples)
            elif isinstance(output, Pause):
                self._recognizer.pause(output.silence_s)
            elif isinstance(output, End):
                self._recognizer.end()
            elif isinstance(output, Drop):
                self._recognizer.drop(output.utterance)
            elif isinstance(output, AskTurn):
                self._ask(output)
            else:
                self._emit(output)
        return None
