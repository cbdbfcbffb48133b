"""One source through a transcriber, here or on a server: partials to the screen, finals to the output."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from asrctl.audio.live import LiveSource, Lost
from asrctl.cli.foreign import SOON_S
from asrctl.cli.interrupts import SILENCE_S, STOP_GRACE_S, TERMINATE_GRACE_S, Interrupts
from asrctl.cli.live_transcriber import LiveTranscriber
from asrctl.cli.live_view import REFRESH_S, LiveView, Status
from asrctl.cli.result_writer import ResultWriter
from asrctl.cli.tally import REPORT_S
from asrctl.cli.task import Task
from asrctl.errors import EXIT_INTERRUPTED, AsrctlError, ProviderError
from asrctl.events import (
    Dropped,
    Event,
    Final,
    Finished,
    Partial,
    ProviderChanged,
    SpeakerChanged,
    SpeakersLost,
)
from asrctl.languages import is_open
from asrctl.render.output import Output
from asrctl.render.text import name_before, one_line
from asrctl.streaming.live import Feeder
from asrctl.streaming.source import Reader
from asrctl.transcript import SAMPLE_RATE_HZ, AudioAccount, Segment, Transcript

_FEED_GRACE_S = 1.0
"""How long it may take to count what came too late."""
_CUT_GRACE_S = 0.3
"""The same, and for the source to end, where nobody waits any more; it was stopped before."""

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Live:
    """One run: a feeder hears, a transcriber understands, this writes and draws."""

    def __init__(
        self,
        transcriber: LiveTranscriber,
        source: LiveSource,
        task: Task,
        view: LiveView,
        output: Output,
    ):
        """Prepare; nothing is heard yet."""
        self._transcriber = transcriber
        self._source = source
        self._task = task
        self._view = view
        self._output = output
        to_terminal = task.outputs[0] is None and view.shares_terminal
        writer = task.writer(view if to_terminal else output)
        self._wants_words = task.settings.word_timestamps or writer.needs_words
        self._results = ResultWriter(source.name, view, writer)
        self._reader: Reader[NDArray[np.float32] | Lost] | None = None
        self._feeder: Feeder
        self._held: list[Segment] = []  # finals whose speakers may still change
        self._place_of: dict[int, int] = {}  # among them, by utterance
        self._at_work: dict[str, None] = {}  # whose words they are, in order
        self._account: AudioAccount | None = None
        self._events = 0
        self._reason = ""
        self._unread = False
        self._heard_all = False
        self._cut_short = False
        self._failed = False

    async def run(self) -> int:
        """Listen until the source ends or is interrupted; returns the exit code.

        The first interrupt stops the source and lets what was said be transcribed; the second stops that, as
        does SIGTERM soon, and a server that says nothing any more.

        Raises:
            AudioError: The source failed; what it had given is written.
            AsrctlError: The output cannot be written, or the transcriber cannot go on.
        """
        started_s = time.perf_counter()
        loop = asyncio.get_running_loop()
        with Interrupts(lambda: loop.call_soon_threadsafe(self._interrupted)) as self._interrupts:
            self._reader = Reader(self._source)
            self._feeder = Feeder(self._reader, self._transcriber)
            feeding = asyncio.create_task(self._feeder.run(), name="feeder")
            try:
                await self._listen()
            except BrokenPipeError:
                self._unread = True  # `| head` has seen enough
                raise
            finally:
                await self._wind_up(feeding, started_s)
        if self._feeder.failure is not None:
            raise self._feeder.failure
        if self._cut_short:
            return EXIT_INTERRUPTED
        if self._reason and not self._results.segments and self._account and not self._account.speech_samples:
            raise ProviderError(f"{self._source.name}: nothing could be transcribed: {self._reason}")
        if not self._task.names:
            return 0  # an interrupt is how to end a microphone
        return EXIT_INTERRUPTED if self._interrupts.count else 0

    @property
    def has_source(self) -> bool:
        """Whether the source is being read, and will be closed by whoever reads it."""
        return self._reader is not None

    # While it runs

    async def _listen(self) -> None:
        """Take events until there are no more, or a second interrupt."""
        drawing = asyncio.create_task(self._draw(), name="draw")
        self._hearing = asyncio.create_task(self._hear(), name="hear")
        try:
            await self._hearing
        except asyncio.CancelledError:
            if not self._cut_short:
                raise
        except AsrctlError:
            self._failed = True
            raise
        finally:
            self._hearing.cancel()
            drawing.cancel()
            await asyncio.gather(self._hearing, drawing, return_exceptions=True)

    async def _hear(self) -> None:
        async for event in self._transcriber:
            self._events += 1
            self._take(event)

    async def _draw(self) -> None:
        loop = asyncio.get_running_loop()
        started_s = reported_s = answered_s = loop.time()
        answers = self._answers()
        told = False
        while True:
            status = self._status()
            self._view.refresh(status)
            if not self._interrupts.count or self._answers() != answers:
                answers, answered_s = self._answers(), loop.time()
            elif self._transcriber.through_server and loop.time() - answered_s >= SILENCE_S:
                self._results.warn(f"the server said nothing for {SILENCE_S:g} s")
                self._cut()
            if not told and loop.time() - started_s >= SOON_S:
                told = True
                if awaited := self._transcriber.awaited:
                    self._view.report(f"waiting for {awaited}")
            if not self._task.is_live and loop.time() - reported_s >= REPORT_S:
                reported_s = loop.time()
                done_s = status.heard_s - status.lag_s
                note = f"; {status.note}" if status.note else ""
                self._view.report(f"{self._source.name}: {done_s:.1f} s transcribed{note}")
            await asyncio.sleep(REFRESH_S)

    def _answers(self) -> tuple[int, AudioAccount]:
        """Differs from what it was once something has come back."""
        return self._events, self._transcriber.account

    def _interrupted(self) -> None:
        if self._interrupts.count > 1:
            self._cut()
            return
        self._feeder.stop()
        loop = asyncio.get_running_loop()
        loop.call_later(STOP_GRACE_S, self._feeder.end)
        if self._interrupts.terminated or self._transcriber.awaited:
            loop.call_later(TERMINATE_GRACE_S, self._cut)
        elif self._transcriber.through_server or not self._task.is_live:  # it may take a while
            self._view.report("finishing what was read; another Ctrl-C stops now")

    def _cut(self) -> None:
        """Do not wait for what is still to be transcribed."""
        self._cut_short = not self._hearing.done()
        self._hearing.cancel()

    def _take(self, event: Event) -> None:
        if isinstance(event, Partial):
            self._view.partial(event.utterance, event.stable, event.unstable)
        elif isinstance(event, Final):
            self._view.ended(event.utterance)
            self._write(event)
        elif isinstance(event, Dropped):
            if event.utterance is not None:
                self._view.ended(event.utterance)
                self._reason = event.reason
            self._results.declare(event.start_sample, event.end_sample, event.reason)
        elif isinstance(event, ProviderChanged):
            self._view.say(
                f"asrctl: {self._source.name}: now transcribed by {event.provider}: {event.reason}"
            )
        elif isinstance(event, SpeakerChanged):
            if (place := self._place_of.get(event.utterance)) is not None:
                self._held[place] = self._held[place].labelled(event.speaker, event.words)
        elif isinstance(event, SpeakersLost):
            self._results.warn(f"speakers are not told apart any more: {event.reason}")
        elif isinstance(event, Finished):
            self._account = event.account

    def _write(self, final: Final) -> None:
        if not final.segment.text.strip():
            return
        self._at_work[final.provider] = None
        comes_later = self._task.outputs[0] is not None or self._task.reading.by_voice
        if comes_later and self._task.is_live and self._view.shown:
            for turn in final.segment.turns():
                self._view.say(name_before(turn.speaker) + one_line(turn.text))
        if self._task.reading.by_voice is None:
            return self._put_down(final.segment)
        self._place_of[final.utterance] = len(self._held)
        self._held.append(final.segment)

    def _put_down(self, segment: Segment) -> None:
        self._results.write(segment if self._wants_words else replace(segment, words=()))

    def _status(self) -> Status:
        note = self._transcriber.note()
        if self._interrupts.count:
            note = f"{note}; finishing, ^C: stop now".removeprefix("; ")
        heard_s = self._feeder.heard_samples / self._width / SAMPLE_RATE_HZ
        return Status(
            heard_s, self._feeder.level_db, self._transcriber.pending_samples / SAMPLE_RATE_HZ, note
        )

    @property
    def _width(self) -> int:
        """How many tracks there are: what is fed and the account are of all of them."""
        return len(self._transcriber.tracks) or 1

    # At the end, whatever ended it

    async def _wind_up(self, feeding: asyncio.Task[None], started_s: float) -> None:
        """Stop what still goes on, and write the end, unless nobody reads it."""
        self._view.close()
        self._heard_all = self._feeder.complete  # before the reader is closed, which ends the source
        self._feeder.end()
        assert self._reader is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CUT_GRACE_S if self._cut_short else None):
                await self._reader.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CUT_GRACE_S if self._cut_short else _FEED_GRACE_S):
                await feeding
        await self._transcriber.close()
        if self._interrupts.count and (self._task.is_repeatable or self._cut_short):
            self._output.leave_incomplete()
        if self._unread:
            return
        for event in self._transcriber.waiting():  # finals that nobody has written yet
            self._take(event)
        for turn in (turn for segment in self._held for turn in segment.turns()):
            self._put_down(turn)
        if self._failed and not self._results.segments:
            return  # nothing to show for it: the output goes too
        account = self._settled()
        transcribed_samples = account.received_samples - account.dropped_samples
        self._view.transcribed_s = transcribed_samples / self._width / SAMPLE_RATE_HZ
        if self._feeder.failure is not None and not account.received_samples:
            return
        heard = self._heard_all or account.received_samples > 0
        self._results.finish(self._transcript(account, started_s), self._source.warnings, heard=heard)
        if self._interrupts.count and not self._results.segments and self._output.keep_older():
            self._results.warn(f"{self._output.name} stays as it was")

    def _settled(self) -> AudioAccount:
        """The account of all that came; what nobody answered for is declared dropped."""
        feeder = self._feeder
        heard_samples = feeder.heard_samples + feeder.unheard_samples
        answered = self._account or self._transcriber.account
        lost_samples = heard_samples - (answered.received_samples - answered.pending_samples)
        account = self._results.balance(answered, heard_samples, lost_samples)
        complete = self._heard_all or feeder.failure is not None
        interrupts = max(self._interrupts.count, 2 * self._cut_short)
        self._transcriber.conclude(self._results, heard_samples, interrupts, complete)
        return account

    def _transcript(self, account: AudioAccount, started_s: float) -> Transcript:
        model, provider, language = self._transcriber.names(list(self._at_work))
        if is_open(language):
            language = next((each.language for each in self._results.segments if each.language), language)
        return Transcript(
            source=self._source.name,
            model=model,
            provider=provider,
            language=language,
            duration_s=account.received_samples / self._width / SAMPLE_RATE_HZ,
            segments=tuple(self._results.segments),
            audio=account,
            timing=self._transcriber.timing(time.perf_counter() - started_s),
            tracks=self._transcriber.tracks,
        )
