"""Files and pipes through a recogniser of windows, one or several at once, each with an output of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import aclosing, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from asrctl.api import AsyncEngine
from asrctl.cli.interrupts import Interrupts
from asrctl.cli.scribe import Scribe
from asrctl.cli.sources import InputOptions, open_tracks
from asrctl.cli.tally import REPORT_S, Tally
from asrctl.cli.view import FileView
from asrctl.errors import EXIT_INTERRUPTED, AudioError
from asrctl.languages import is_open
from asrctl.render import Format
from asrctl.render.options import RenderOptions
from asrctl.streaming.source import in_thread
from asrctl.transcript import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from asrctl.audio.files import AudioReader
    from asrctl.audio.tracks import Tracks
    from asrctl.render.writer import Sink, Writer
    from asrctl.streaming.tracks import Transcription

_FOLLOW_S = 0.5


@dataclass(frozen=True, slots=True)
class FilesRequest:
    """What to transcribe and where to.

    Files get their names only once they are complete, so that a later run can tell which are missing.

    Attributes:
        inputs: Paths, or "-".
        outputs: A file for each input; None is standard output.
        format: What is written.
        reading: How inputs are read.
        render: How the format looks.
        vad: Whether speech is looked for; False decodes everything.
        jobs: Inputs that are under way at once.
        skipped: Further inputs that were left out, since their transcripts exist.
    """

    inputs: Sequence[str]
    outputs: Sequence[Path | None]
    format: Format
    reading: InputOptions = field(default_factory=InputOptions)
    render: RenderOptions = field(default_factory=RenderOptions)
    vad: bool = True
    jobs: int = 1
    skipped: int = 0


async def transcribe_files(engine: AsyncEngine, request: FilesRequest, view: FileView) -> int:
    """Transcribe all inputs; the model loads while the first one is opened. Returns the exit code.

    An interrupt ends it; what was transcribed so far is written first, and it is said what was not.

    Raises:
        ModelError: The weights do not load.
        ProviderError: No provider can run.
        AsrctlError: An output cannot be written.
    """
    run = _Run(engine, request, view)
    tally = run.tally
    loop = asyncio.get_running_loop()
    work = asyncio.create_task(run.all(), name="files")
    reporting = asyncio.create_task(_report(tally, view), name="report")
    with Interrupts(lambda: loop.call_soon_threadsafe(work.cancel)) as interrupts:
        try:
            await work
        except asyncio.CancelledError:
            if not interrupts.count:
                raise
            go_on = "; to go on from there: the same command with --skip-existing"
            go_on = go_on if all(request.outputs) else ""
            view.say(f"asrctl: interrupted: {tally.interrupted()}{go_on}")
            return EXIT_INTERRUPTED
        finally:
            reporting.cancel()
    if len(request.inputs) + request.skipped > 1:
        view.inform(f"asrctl: {tally.summary()}")
    return 1 if tally.failed else 0


async def _report(tally: Tally, view: FileView) -> None:
    """Now and then say how far it is, where no bar shows it."""
    while True:
        await asyncio.sleep(REPORT_S)
        view.report(tally.progress())


class _Run:
    """The inputs of one request."""

    def __init__(self, engine: AsyncEngine, request: FilesRequest, view: FileView) -> None:
        self.tally = Tally(request.inputs, request.skipped)
        self._engine = engine
        self._request = request
        self._view = view

    async def all(self) -> None:
        """Transcribe all; an input that cannot be read does not keep the others from it."""
        request = self._request
        todo = enumerate(zip(request.inputs, request.outputs, strict=True))
        self._view.expect(len(request.inputs))
        runners = [
            asyncio.create_task(self._some(todo), name=f"job {n + 1}")
            for n in range(min(request.jobs, len(request.inputs)))
        ]
        try:
            await asyncio.gather(*runners)
        finally:
            for runner in runners:
                runner.cancel()
            await asyncio.gather(*runners, return_exceptions=True)

    async def _some(self, todo: Iterator[tuple[int, tuple[str, Path | None]]]) -> None:
        """Take inputs as long as there are some that nobody has taken."""
        for index, (name, output) in todo:
            self.tally.begin(index)
            failed = False
            try:
                await self._transcribe(index, name, output)
            except AudioError as error:
                self._view.say(f"asrctl: error: {error}")
                failed = True
            self.tally.end(index, failed=failed)
            self._view.end(index)

    async def _transcribe(self, index: int, name: str, path: Path | None) -> None:
        from asrctl.render.formats import WRITERS
        from asrctl.render.output import Output

        request = self._request
        opened = await in_thread(lambda: open_tracks(name, request.reading))
        with closing(opened) as audio, Output(path, whole=True) as output:
            to_terminal = path is None and self._view.shares_terminal
            sink: Sink = self._view if to_terminal else output
            if len(request.inputs) > 1 and to_terminal:
                self._view.say(f"==> {audio.name} <==")
            self._view.start(index, Path(audio.name).name, audio.duration_s)
            work = await self._write(index, audio, WRITERS[request.format](sink, request.render))
        if work.unlabelled is not None:  # the transcript is whole all the same
            raise work.unlabelled

    async def _write(self, index: int, audio: AudioReader | Tracks, writer: Writer) -> Transcription:
        """Write segments as they come, and the end of the format whatever stops them."""
        started_s = time.perf_counter()
        work = self._engine.file(audio, vad=self._request.vad, by_voice=self._request.reading.by_voice)
        scribe = Scribe(audio, self._view, writer)
        following = asyncio.create_task(self._follow(index, work), name="follow")
        told = {self._engine.recognizer.name}
        failure: BaseException | None = None
        try:
            async with aclosing(work.segments()) as segments:
                async for segment in segments:
                    self._tell_of_reserves(audio.name, work, told)
                    scribe.write(segment)
                    self._advance(index, work.done_samples)
            following.cancel()
            self._advance(index, work.length_samples)
        except BaseException as error:
            failure = error
            raise
        finally:
            following.cancel()
            if scribe.segments or not isinstance(failure, Exception):  # else there is nothing to show for it
                self._finish(audio.name, work, scribe, time.perf_counter() - started_s)
        return work

    async def _follow(self, index: int, work: Transcription) -> None:
        """Show how far it is also while segments are held until the end."""
        while True:
            await asyncio.sleep(_FOLLOW_S)
            self._advance(index, work.done_samples)

    def _advance(self, index: int, done_samples: int) -> None:
        self.tally.at_s[index] = done_samples / SAMPLE_RATE_HZ
        self._view.advance(index, done_samples / SAMPLE_RATE_HZ)

    def _finish(self, name: str, work: Transcription, scribe: Scribe, wall_s: float) -> None:
        """Write the end of the format, and what was lost."""
        for segment in work.waiting():
            scribe.write(segment)
        for line in work.lost:
            scribe.warn(line)
        account = work.account
        scribe.balance(account, account.received_samples, account.pending_samples)
        scribe.finish(self._engine.transcript(name, work, scribe.segments, wall_s))
        plan = self._engine.plan
        if not plan.multilingual and not set(work.providers) - {plan.provider}:
            scribe.doubt_language(plan.model)
        elif not is_open(plan.decode.language):
            scribe.doubt_choice(plan.decode.language, work.evidence)

    def _tell_of_reserves(self, name: str, work: Transcription, told: set[str]) -> None:
        """Say who stands in for whom, once for each that does."""
        for provider in work.providers:
            if provider not in told:
                told.add(provider)
                failures = self._engine.recognizer.failures.items()
                why = "; ".join(f"{failed}: {reason}" for failed, reason in failures if failed != provider)
                self._view.say(f"asrctl: warning: {name}: now transcribed by {provider}: {why}")
