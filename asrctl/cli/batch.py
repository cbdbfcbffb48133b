"""Files on a cluster (`--cluster`): each is transcribed there, and written here when it is complete."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from asrctl import __version__
from asrctl.cli.at_once import all_at_once
from asrctl.cli.result_writer import ResultWriter
from asrctl.cli.sources import open_tracks
from asrctl.cli.tally import Tally
from asrctl.cli.task import Task
from asrctl.errors import UsageError
from asrctl.render import SUBTITLES
from asrctl.streaming.transcriptions import refuse_nothing

if TYPE_CHECKING:
    from asrctl.cli.view import FileView
    from asrctl.cluster.batch import Batch
    from asrctl.cluster.work import Work

_AHEAD = 2
"""Inputs under way for each slot of the cluster, so that none waits for this machine."""


def run_on_cluster(task: Task, address: str) -> int:
    """Have a cluster do it; returns the exit code.

    Args:
        task: What is to be done.
        address: See `asrctl.cluster.on_ray.connected`.

    Raises:
        UsageError: Options that do not go with a cluster, or Ray is missing.
        ServerError: The cluster cannot be reached.
        AsrctlError: What ends a run on one machine, too.
    """
    _refuse(task)
    if find_spec("ray") is None:
        raise UsageError("--cluster needs Ray: pip install 'asrctl[ray]'")
    from asrctl.cli.view import FileView
    from asrctl.cluster.batch import Batch
    from asrctl.cluster.on_ray import OnRay, connected

    work = work_of(task)
    # The largest first: else they are what is waited for at the end.
    pairs = sorted(zip(task.names, task.outputs, strict=True), key=lambda pair: -_size_bytes(pair[0]))
    names, outputs = zip(*pairs, strict=True)
    with connected(address), FileView(quiet=task.quiet) as view:
        batch = Batch(work, OnRay(work.settings.threads))
        return asyncio.run(transcribe_on(batch, replace(task, names=names, outputs=outputs), view))


def work_of(task: Task) -> Work:
    """What the machines of a cluster are told: paths are absolute, and subtitles need the times of words."""
    from asrctl.cluster.work import Work

    settings, reading = task.settings, task.reading
    model = os.path.abspath(settings.model) if os.path.exists(settings.model) else settings.model
    words = settings.word_timestamps or task.format in SUBTITLES
    settings = settings.overridden(
        model=model, workers=1, threads=settings.threads or 1, word_timestamps=words
    )
    reading = replace(reading, files={os.path.abspath(name): who for name, who in reading.files.items()})
    return Work(settings, partial(open_tracks, options=reading), __version__, task.vad)


async def transcribe_on(batch: Batch, task: Task, view: FileView) -> int:
    """Transcribe all inputs; returns the exit code. Raises as `all_at_once`."""
    tally = Tally(task.names, task.skipped)
    run = _Run(batch, task, view, tally)
    try:
        return await all_at_once(task, tally, view, run.transcribe, lambda: max(1, _AHEAD * batch.slots()))
    finally:
        if batch.resubmitted:
            view.say(f"asrctl: warning: tasks lost with their process, and done again: {batch.resubmitted}")


@dataclass(frozen=True, slots=True)
class _Run:
    """The inputs of one task."""

    batch: Batch
    task: Task
    view: FileView
    tally: Tally

    async def transcribe(self, index: int, name: str, path: Path | None) -> None:
        from asrctl.render.output import Output

        done = await self.batch.transcribe(os.path.abspath(name))
        self.tally.at_s[index] = done.transcript.duration_s
        transcript = replace(done.transcript, source=name)
        with Output(path, whole=True) as output:
            results = ResultWriter(name, self.view, self.task.writer(output))
            for segment in transcript.segments:
                results.write(segment)
            refuse_nothing(name, transcript.audio, done.lost, words=bool(results.segments))
            if done.hint:
                self.view.inform(f"asrctl: {name}: {done.hint}")
            for line in done.lost:
                results.warn(line)
            results.finish(transcript, done.warnings)
            if not done.multilingual:
                results.doubt_language(transcript.model)


def _refuse(task: Task) -> None:
    if task.is_live or "-" in task.names:
        raise UsageError("--cluster takes files: no live audio, no standard input")
    if task.jobs > 1:
        raise UsageError("--jobs is of this machine: with --cluster, its size decides")
    if task.reading.by_voice:
        raise UsageError("--speakers tells voices apart on this machine: it does not go with --cluster")


def _size_bytes(name: str) -> int:
    try:
        return os.path.getsize(name)
    except OSError:
        return 0  # whoever opens it says why
