"""Files and pipes through a recogniser of windows: one after the other, each with an output of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from asrctl.assembly import Plan, start
from asrctl.cli.interrupts import Interrupts
from asrctl.cli.scribe import Scribe
from asrctl.cli.sources import RawFormat, open_input
from asrctl.cli.view import FileView
from asrctl.errors import EXIT_INTERRUPTED, AudioError
from asrctl.render import Format
from asrctl.settings import VadSettings
from asrctl.transcript import SAMPLE_RATE_HZ, Timing, Transcript
from asrctl.workers.options import PoolOptions
from asrctl.workers.standby import Standby

if TYPE_CHECKING:
    from asrctl.audio.files import AudioReader
    from asrctl.render.writer import Sink, Writer
    from asrctl.stream.fallback import Fallback
    from asrctl.stream.files import FileTranscription


@dataclass(frozen=True, slots=True)
class FilesRequest:
    """What to transcribe and where to.

    Attributes:
        inputs: Paths, or "-".
        outputs: A file for each input; None is standard output.
        format: What is written.
        raw: The format of inputs that have no header.
        vad: How speech is found; None to decode everything.
    """

    inputs: Sequence[str]
    outputs: Sequence[Path | None]
    format: Format
    raw: RawFormat | None
    vad: VadSettings | None


async def transcribe_files(plan: Plan, request: FilesRequest, view: FileView, standby: Standby | None) -> int:
    """Transcribe all inputs; the recogniser loads while the first one is opened. Returns the exit code.

    An interrupt ends it; what was transcribed so far is written first, and it is said what was not.

    Raises:
        ModelError: The weights do not load.
        ProviderError: No provider can run.
        AsrctlError: An output cannot be written.
    """
    recognizer = start(plan, PoolOptions(workers=plan.workers), standby=standby)
    run = _Run(plan, recognizer, request, view)
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
        finally:
            await recognizer.close()
    return 1 if run.failed else 0


class _Run:
    """The inputs of one request."""

    def __init__(self, plan: Plan, recognizer: Fallback, request: FilesRequest, view: FileView) -> None:
        self.failed = 0
        self._done = 0
        self._at_s = 0.0
        self._plan = plan
        self._recognizer = recognizer
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
        names = [Path(name).name for name in self._request.inputs]
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

        with open_input(name, self._request.raw) as audio, Output(path) as output:
            to_terminal = path is None and self._view.shares_terminal
            sink: Sink = self._view if to_terminal else output
            if len(self._request.inputs) > 1 and to_terminal:
                self._view.say(f"==> {audio.name} <==")
            self._view.start(Path(audio.name).name, audio.duration_s)
            await self._write(audio, WRITERS[self._request.format](sink))

    async def _write(self, audio: AudioReader, writer: Writer) -> None:
        """Write segments as they come, and the end of the format whatever stops them."""
        from asrctl.cli.voice_activity import file_options, speech_detector
        from asrctl.stream.files import FileTranscription
        from asrctl.stream.source import Reader

        started_s = time.perf_counter()
        windows = self._recognizer.windows
        assert windows is not None
        reader = Reader(audio)
        options = file_options(self._plan.decode, self._request.vad, audio.duration_s)
        detector = speech_detector(self._request.vad)
        work = FileTranscription(reader, windows, detector, options, audio.name)
        scribe = Scribe(audio, self._view, writer)
        told = {self._recognizer.name}
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
            await reader.close()
            if scribe.segments or not isinstance(failure, Exception):  # else there is nothing to show for it
                self._finish(audio, work, scribe, started_s)

    def _finish(self, audio: AudioReader, work: FileTranscription, scribe: Scribe, started_s: float) -> None:
        """Write the end of the format; what was read and is not transcribed is declared dropped."""
        for line in work.lost:
            scribe.warn(line)
        account = work.account
        balanced = scribe.balance(account, account.received_samples, account.pending_samples)
        at_work = work.providers or [self._recognizer.name]
        members = self._recognizer.members
        models = dict.fromkeys(members[name].model for name in at_work)
        scribe.finish(
            Transcript(
                source=audio.name,
                model=", ".join(models),
                provider=", ".join(at_work),
                language=work.language or self._plan.decode.language,
                duration_s=account.received_samples / SAMPLE_RATE_HZ,
                segments=tuple(scribe.segments),
                audio=balanced,
                timing=Timing(
                    load_s=self._recognizer.load_s,
                    inference_s=work.inference_s,
                    wall_s=time.perf_counter() - started_s,
                ),
            )
        )

    def _tell_of_reserves(self, name: str, work: FileTranscription, told: set[str]) -> None:
        """Say who stands in for whom, once for each that does."""
        for provider in work.providers:
            if provider not in told:
                told.add(provider)
                failures = self._recognizer.failures.items()
                why = "; ".join(f"{failed}: {reason}" for failed, reason in failures if failed != provider)
                self._view.say(f"asrctl: warning: {name}: now transcribed by {provider}: {why}")
