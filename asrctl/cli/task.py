"""What `asrctl transcribe` was asked for, and the runs that do it: on this machine, or by a server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from asrctl.cli.sources import InputOptions
from asrctl.errors import UsageError
from asrctl.render import SUBTITLES, Format
from asrctl.render.options import RenderOptions
from asrctl.render.output import STDIN

if TYPE_CHECKING:
    from asrctl.assembly import Plan
    from asrctl.audio.live import LiveSource
    from asrctl.protocol.endpointing import Endpointing
    from asrctl.render.writer import Sink, Writer
    from asrctl.settings import Settings
    from asrctl.speakers.options import SpeakerOptions
    from asrctl.workers.standby import Standby


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be transcribed, wherever that is done.

    Files get their names only once they are complete, so that a later run can tell which are missing; where
    nothing can be heard again, at once.

    Attributes:
        names: Inputs: paths, or "-"; empty for a microphone.
        outputs: A file for each input; None is standard output.
        format: What is written.
        settings: What is in force.
        reading: How inputs are read.
        open_source: Opens the live source; None where inputs are read as fast as may be.
        render: How the format looks.
        vad: Whether speech is looked for; False decodes everything.
        jobs: Inputs under way at once.
        skipped: Further inputs that were left out, since their transcripts exist; see `Tally`.
        quiet: Whether progress is not shown.
        append: Whether text goes behind what the file holds.
        wish: How a server is to cut live audio; None for its own way.
        cluster: Where machines are that do it; None for this one.
        options: What was given on the command line.
    """

    names: Sequence[str]
    outputs: Sequence[Path | None]
    format: Format
    settings: Settings
    reading: InputOptions = field(default_factory=InputOptions)
    open_source: Callable[[], LiveSource] | None = None
    render: RenderOptions = field(default_factory=RenderOptions)
    vad: bool = True
    jobs: int = 1
    skipped: int | None = None
    quiet: bool = False
    append: bool = False
    wish: Endpointing | None = None
    cluster: str | None = None
    options: Sequence[str] = ()

    @property
    def is_live(self) -> bool:
        """Whether a source gives audio at its own pace, and not as fast as it is taken."""
        return self.open_source is not None

    @property
    def is_repeatable(self) -> bool:
        """Whether it can be heard again, unlike a microphone, which Ctrl-C is the way to end."""
        return not self.is_live or any(name != STDIN for name in self.names)

    def writer(self, sink: Sink) -> Writer:
        """What writes the format."""
        from asrctl.render.formats import WRITERS

        return WRITERS[self.format](sink, self.render)


def run_elsewhere(
    task: Task,
    url: str,
    api_key: str | None,
    model: str | None,
    local: Mapping[str, object],
    ours: Mapping[str, Any],
) -> int:
    """Have a server do it.

    Args:
        task: What is to be done.
        url: The server's address.
        api_key: Proves that we may use it; None for none.
        model: A name that the server knows; None for its own choice.
        local: Options of what is done here, by name; None was not given.
        ours: Options that only servers of our kind understand.

    Returns:
        The exit code.

    Raises:
        UsageError: Options that do not go with this server, or a package is missing.
        ServerError: The server was given up; what it had said is written.
    """
    from asrctl.cli.foreign import HERE, is_foreign, server_errors, through

    foreign = is_foreign(url)
    if not foreign and find_spec("websockets") is None:
        raise UsageError("--server needs websockets: pip install 'asrctl[client]'")
    from asrctl.cli.remote_options import client_options, refuse_local

    if foreign:
        refuse_local({name: value for name, value in local.items() if name not in HERE} | {**ours})
        with server_errors():
            return run_here(replace(task, settings=through(task.settings, url, api_key, model)), None, None)
    if task.reading.has_tracks:
        raise UsageError("tracks are put together on this machine: this server takes one at a time")
    from asrctl.cli.live_view import LiveView
    from asrctl.cli.remote import RemoteRequest, transcribe_remotely

    refuse_local(local)
    client = client_options(task.settings, str(ours["--source"] or "mic"), model, api_key)
    client = replace(client, endpointing=task.wish, group=ours["--group"], speaker=ours["--speaker"])
    client = replace(client, speakers=_speakers(task.reading.by_voice))
    view = LiveView(quiet=task.quiet)
    request = RemoteRequest(url, client, task)
    return asyncio.run(transcribe_remotely(request, view))


def _speakers(by_voice: SpeakerOptions | None) -> bool | int | None:
    """What a server is asked about speakers.

    Raises:
        UsageError: It would have to know voices that only this machine knows.
    """
    if by_voice is None:
        return None
    if by_voice.samples:
        raise UsageError("--speaker-samples are files of this machine: they do not go with --server")
    return by_voice.most or True


def run_here(task: Task, standby: Standby | None, origins: Mapping[str, str] | None) -> int:
    """Do it on this machine, or on those of a cluster; returns the exit code.

    With `origins` of settings, say what is taken and why.
    """
    if task.cluster is not None:
        from asrctl.cli.batch import run_on_cluster

        return run_on_cluster(task, task.cluster)
    from asrctl.assembly import prepare
    from asrctl.cli.refusals import refuse_for
    from asrctl.cli.view import bytes_progress
    from asrctl.models.speaker_weights import resolve_all
    from asrctl.models.store import ModelStore
    from asrctl.models.turn_weights import resolve_turn

    with bytes_progress() as progress:
        if task.reading.by_voice:
            resolve_all(ModelStore(task.settings.models_dir).root, progress)
        if task.is_live and task.settings.live.end_of_turn:
            resolve_turn(ModelStore(task.settings.models_dir).root, progress)
        plan = prepare(task.settings, progress)
    refuse_for(task.options, plan)
    if task.format in SUBTITLES:
        plan = plan.with_words()
    if origins is not None:
        typer.echo(f"asrctl: {_choice(plan, task.settings, origins)}", err=True)
    return asyncio.run(_run(plan, task, standby))


def _choice(plan: Plan, settings: Settings, origins: Mapping[str, str]) -> str:
    """Which model and provider were taken, and why."""
    model_origin = origins.get("model", "the default")
    if plan.setup is not None:
        model_origin = "the provider's"
    why = origins.get("provider", "the default")
    if settings.provider == "auto":
        tried = ", ".join(settings.providers)
        why = f"the first of {tried} that can run"
    workers = f"{plan.workers} worker{'s' if plan.workers > 1 else ''}"
    threads = f" of {plan.spec.threads} threads" if plan.spec.threads else ""
    language = plan.decode.language
    return (
        f"model {plan.model} ({model_origin}), provider {plan.provider} ({why}), "
        f"{workers}{threads}, language {language}"
    )


async def _run(plan: Plan, task: Task, standby: Standby | None) -> int:
    from asrctl.api import AsyncEngine
    from asrctl.workers.options import PoolOptions

    # Only live audio needs workers that are warm before the first word.
    pool = None if task.is_live else PoolOptions(workers=plan.workers)
    async with AsyncEngine.of(plan, task.settings, pool, standby) as engine:
        if task.is_live or not plan.is_windowed:
            if not task.is_live and task.reading.has_tracks:
                raise UsageError(f"{plan.provider} only listens to streams: it takes no tracks")
            from asrctl.cli.in_turn import in_turn
            from asrctl.cli.live_view import LiveView
            from asrctl.cli.local import listen

            screen = LiveView(quiet=task.quiet)
            return await in_turn(task, lambda source, one: listen(engine, source, one, screen), screen)
        from asrctl.cli.files import transcribe_files
        from asrctl.cli.foreign import is_through_server, tell_of_waiting
        from asrctl.cli.view import FileView

        with FileView(quiet=task.quiet) as view:
            if not is_through_server(plan):
                return await transcribe_files(engine, task, view)
            done = asyncio.Event()
            telling = asyncio.create_task(tell_of_waiting(engine, view.inform, done), name="waiting")
            try:
                code = await transcribe_files(engine, task, view)
                if code == 0:
                    done.set()
                    await telling
                return code
            finally:
                telling.cancel()
                await asyncio.gather(telling, return_exceptions=True)
