"""Files and pipes through a recogniser of windows on this machine."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing, closing
from pathlib import Path
from typing import TYPE_CHECKING

from asrctl.api import AsyncEngine
from asrctl.cli.at_once import all_at_once
from asrctl.cli.result_writer import ResultWriter
from asrctl.cli.sources import open_tracks
from asrctl.cli.tally import Tally
from asrctl.cli.task import Task
from asrctl.cli.view import FileView
from asrctl.errors import AudioError
from asrctl.languages import is_open
from asrctl.streaming.source import in_thread
from asrctl.streaming.transcriptions import refuse_nothing
from asrctl.transcript import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from asrctl.audio.files import OpenAudio
    from asrctl.audio.tracks import Tracks
    from asrctl.render.writer import Sink, Writer
    from asrctl.streaming.tracks import Transcription

_FOLLOW_S = 0.5


async def transcribe_files(engine: AsyncEngine, task: Task, view: FileView) -> int:
    """Transcribe all inputs; the model loads while the first one is opened. Returns the exit code.

    Raises:
        ModelError: The weights do not load.
        ProviderError: No provider can run.
        AsrctlError: Standard output cannot be written.
    """
    tally = Tally(task.names, task.skipped)
    run = _Run(engine, task, view, tally)
    return await all_at_once(task, tally, view, run.transcribe, lambda: task.jobs)


class _Run:
    """The inputs of one task."""

    def __init__(self, engine: AsyncEngine, task: Task, view: FileView, tally: Tally) -> None:
        self._engine = engine
        self._task = task
        self._view = view
        self._tally = tally

    async def transcribe(self, index: int, name: str, path: Path | None) -> None:
        from asrctl.render.output import Output

        task = self._task
        opened = await in_thread(lambda: open_tracks(name, task.reading))
        with closing(opened) as audio, Output(path, whole=True) as output:
            to_terminal = path is None and self._view.shares_terminal
            sink: Sink = self._view if to_terminal else output
            if len(task.names) > 1 and to_terminal:
                self._view.say(f"==> {audio.name} <==")
            if audio.hint:
                self._view.inform(f"asrctl: {audio.name}: {audio.hint}")
            self._view.start(index, Path(audio.name).name, audio.duration_s)
            work = await self._write(index, audio, task.writer(sink))
        if work.unlabelled is not None:  # the transcript is whole all the same
            raise work.unlabelled

    async def _write(self, index: int, audio: OpenAudio | Tracks, writer: Writer) -> Transcription:
        """Write segments as they come, and the end of the format whatever stops them."""
        started_s = time.perf_counter()
        work = self._engine.file(audio, vad=self._task.vad, by_voice=self._task.reading.by_voice)
        results = ResultWriter(audio.name, self._view, writer)
        following = asyncio.create_task(self._follow(index, work), name="follow")
        told = {self._engine.recognizer.name}
        failure: BaseException | None = None
        try:
            async with aclosing(work.segments()) as segments:
                async for segment in segments:
                    self._tell_of_reserves(audio.name, work, told)
                    results.write(segment)
                    self._advance(index, work.done_samples)
            following.cancel()
            self._advance(index, work.length_samples)
            refuse_nothing(audio.name, work.account, work.lost, words=bool(results.segments))
        except BaseException as error:
            failure = error
            raise
        finally:
            following.cancel()
            something = results.segments or not isinstance(failure, Exception)
            if something and not isinstance(failure, BrokenPipeError):  # `| head` has seen enough
                length_s = None if failure is None or isinstance(failure, AudioError) else audio.duration_s
                self._finish(audio, work, results, time.perf_counter() - started_s, length_s)
        return work

    async def _follow(self, index: int, work: Transcription) -> None:
        """Show how far it is also while segments are held until the end."""
        while True:
            await asyncio.sleep(_FOLLOW_S)
            self._advance(index, work.done_samples)

    def _advance(self, index: int, done_samples: int) -> None:
        self._tally.at_s[index] = done_samples / SAMPLE_RATE_HZ
        self._view.advance(index, done_samples / SAMPLE_RATE_HZ)

    def _finish(
        self,
        audio: OpenAudio | Tracks,
        work: Transcription,
        results: ResultWriter,
        wall_s: float,
        length_s: float | None,
    ) -> None:
        """Write the end of the format, and what was lost; `length_s` is of an input that was left early."""
        for segment in work.waiting():
            results.write(segment)
        for line in [*work.lost, *(work.doubts if self._task.vad else ())]:
            results.warn(line)
        account = work.account
        done_s, lost_s = work.done_samples / SAMPLE_RATE_HZ, account.pending_samples / SAMPLE_RATE_HZ
        where = (
            f"not transcribed from {done_s:.2f} s on, where {lost_s:.2f} s may be speech" if lost_s else ""
        )
        if length_s is not None and length_s > done_s:
            where = f"not transcribed from {done_s:.2f} s of {length_s:.1f} s on"
        results.balance(account, account.received_samples, account.pending_samples, where)
        transcript = self._engine.transcript(audio.name, work, results.segments, wall_s)
        mixed_channels: int = getattr(audio, "mixed_channels", 0)  # tracks have none
        results.finish(transcript, audio.warnings, mixed_channels=mixed_channels)
        plan = self._engine.plan
        if not plan.multilingual and not set(work.providers) - {plan.provider}:
            results.doubt_language(plan.model)
        elif not is_open(plan.decode.language):
            results.doubt_choice(plan.decode.language, work.evidence)

    def _tell_of_reserves(self, name: str, work: Transcription, told: set[str]) -> None:
        """Say who stands in for whom, once for each that does."""
        for provider in work.providers:
            if provider not in told:
                told.add(provider)
                failures = self._engine.recognizer.failures.items()
                why = "; ".join(f"{failed}: {reason}" for failed, reason in failures if failed != provider)
                self._view.say(f"asrctl: warning: {name}: now transcribed by {provider}: {why}")
