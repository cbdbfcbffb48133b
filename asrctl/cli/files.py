"""Files and pipes through a recogniser of windows: one after the other, each with an output of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from asrctl.api import AsyncEngine
from asrctl.cli.interrupts import Interrupts
from asrctl.cli.scribe import Scribe
from asrctl.cli.sources import InputOptions, open_input
from asrctl.cli.view import FileView
from asrctl.errors import EXIT_INTERRUPTED, AudioError
from asrctl.render import Format
from asrctl.render.options import RenderOptions
from asrctl.transcript import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from asrctl.audio.files import AudioReader
    from asrctl.render.writer import Sink, Writer
    from asrctl.streaming.files import FileTranscription


@dataclass(frozen=True, slots=True)
class FilesRequest:
    """What to transcribe and where to.

    Attributes:
        inputs: Paths, or "-".
        outputs: A file for each input; None is standard output.
        format: What is written.
        reading: How inputs are read.
        render: How the format looks.
        vad: Whether speech is looked for; False decodes everything.
    """

    inputs: Sequence[str]
    outputs: Sequence[Path | None]
    format: Format
    reading: InputOptions = field(default_factory=InputOptions)
    render: RenderOptions = field(default_factory=RenderOptions)
    vad: bool = True


async def transcribe_files(engine: AsyncEngine, request: FilesRequest, view: FileView) -> int:
    """Transcribe all inputs; the model loads while the first one is opened. Returns the exit code.

    An interrupt ends it; what was transcribed so far is written first, and it is said what was not.

    Raises:
        ModelError: The weights do not load.
        ProviderError: No provider can run.
        AsrctlError: An output cannot be written.
    """
    run = _Run(engine, request, view)
    loop = asyncio.get_running_loop()
    work = asyncio.create_task(run.all(), name="files")
    with Interrupts(lambda: loop.call_soon_threadsafe(work.cancel)) as interrupts:
        try:
            await work
        except asyncio.CancelledError:
            if not interrupts.count:
                raise
            view.say(f"asrctl: interrupted: {run.progress()}")
            return EXIT_INTERRUPTED
    return 1 if run.failed else 0


class _Run:
    """The inputs of one request."""

    def __init__(self, engine: AsyncEngine, request: FilesRequest, view: FileView) -> None:
        self.failed = 0
        self._done = 0
        self._at_s = 0.0
        self._engine = engine
        self._request = request
        self._view = view

    async def all(self) -> None:
        """Transcribe one after the other; an input that cannot be read does not keep the others from it."""
        for name, output in zip(self._request.inputs, self._request.outputs, strict=True):
            self._at_s = 0.0
            try:
                await self._transcribe(name, output)
            except AudioError as error:
                self._view.say(f"asrctl: error: {error}")
                self.failed += 1
            self._done += 1

    def progress(self) -> str:
        """How far it got."""
        names = ["standard input" if name == "-" else Path(name).name for name in self._request.inputs]
        current, missing = names[self._done : self._done + 1], names[self._done + 1 :]
        parts = [f"{current[0]} up to {self._at_s:.1f} s"] if current else []
        if self._done:
            parts.insert(0, f"{self._done} of {len(names)} inputs done")
        if missing:
            parts.append(f"not begun: {', '.join(missing)}")
        return "; ".join(parts)

    async def _transcribe(self, name: str, path: Path | None) -> None:
        from asrctl.render.formats import WRITERS
        from asrctl.render.output import Output

        with open_input(name, self._request.reading) as audio, Output(path) as output:
            to_terminal = path is None and self._view.shares_terminal
            sink: Sink = self._view if to_terminal else output
            if len(self._request.inputs) > 1 and to_terminal:
                self._view.say(f"==> {audio.name} <==")
            self._view.start(Path(audio.name).name, audio.duration_s)
            await self._write(audio, WRITERS[self._request.format](sink, self._request.render))

    async def _write(self, audio: AudioReader, writer: Writer) -> None:
        """Write segments as they come, and the end of the format whatever stops them."""
        started_s = time.perf_counter()
        work = self._engine.file(audio, vad=self._request.vad)
        scribe = Scribe(audio, self._view, writer)
        told = {self._engine.recognizer.name}
        failure: BaseException | None = None
        try:
            async with aclosing(work.segments()) as segments:
                async for segment in segments:
                    self._tell_of_reserves(audio.name, work, told)
                    scribe.write(segment)
                    self._at_s = work.done_samples / SAMPLE_RATE_HZ
                    self._view.advance(self._at_s)
        except BaseException as error:
            failure = error
            raise
        finally:
            if scribe.segments or not isinstance(failure, Exception):  # else there is nothing to show for it
                self._finish(audio.name, work, scribe, time.perf_counter() - started_s)

    def _finish(self, name: str, work: FileTranscription, scribe: Scribe, wall_s: float) -> None:
        """Write the end of the format, and what was lost."""
        for line in work.lost:
            scribe.warn(line)
        account = work.account
        scribe.balance(account, account.received_samples, account.pending_samples)
        scribe.finish(self._engine.transcript(name, work, scribe.segments, wall_s))

    def _tell_of_reserves(self, name: str, work: FileTranscription, told: set[str]) -> None:
        """Say who stands in for whom, once for each that does."""
        for provider in work.providers:
            if provider not in told:
                told.add(provider)
                failures = self._engine.recognizer.failures.items()
                why = "; ".join(f"{failed}: {reason}" for failed, reason in failures if failed != provider)
                self._view.say(f"asrctl: warning: {name}: now transcribed by {provider}: {why}")
