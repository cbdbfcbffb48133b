"""Options of `asrctl transcribe` that would be ignored where they are given: refused, or told of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from asrctl.cli.foreign import is_foreign
from asrctl.errors import UsageError
from asrctl.render import SUBTITLES, Format

if TYPE_CHECKING:
    from asrctl.assembly import Plan

APPENDABLE: Sequence[Format] = ("txt", "jsonl")
_ONE_FILE_EACH: Sequence[Format] = (*SUBTITLES, "tsv")
_FORMATS: Mapping[str, Sequence[Format]] = {
    "--word-timestamps": ("json", "jsonl", "vtt", "ass", "tsv"),
    "--paragraph-pause": ("txt", "md"),
    "--max-line-width": SUBTITLES,
    "--max-lines": SUBTITLES,
    "--max-cps": SUBTITLES,
    "--min-gap": SUBTITLES,
    "--word-by-word": SUBTITLES,
}
"""What shapes only some formats."""
_WITHOUT_VAD = dict.fromkeys(
    ("--endpoint-silence", "--end-of-turn"), "is about where speech ends: it does not go with --no-vad"
)
_LIVE = {"--jobs": "is for several inputs: it does not go with --mic or --live"}
_AT_ONCE = {"--partial-interval": "is about partial results: it needs --mic or --live"}
_LIVE_HERE = {"--end-of-turn": "is for live audio: it needs --mic or --live"}
_WITHOUT_INPUTS = {"--recursive": "looks through directories: name one"}
_WITH_HEADER = dict.fromkeys(
    ("--raw-channels", "--raw-encoding"), "is of headerless PCM: it needs --raw-rate HZ"
)
_WITHOUT_SERVER = {
    "--wait-for-server": "is about a server: it needs --server",
    "--source": "tells a server whose audio it is: it needs --server",
    "--api-key": "says who you are to a server: it needs --server",
}
_ON_CLUSTER = {"--workers": "is of this machine: with --cluster, its size decides"}
_OF_GROUPS = frozenset(
    {
        "--subscribe",
        "--server",
        "--api-key",
        "--wait-for-server",
        "--output",
        "--format",
        "--config",
        "--quiet",
    }
) | (_FORMATS.keys() - {"--word-timestamps"})
"""What goes with `--subscribe`: all else is of audio."""


_LOCAL = frozenset(
    {
        "--provider",
        "--beam-size",
        "--threads",
        "--workers",
        "--partial-interval",
        "--translate",
        "--cluster",
        "--jobs",
    }
)
"""What is up to a server where one has the work; and `--no-vad`."""


def given_options(context: typer.Context) -> list[str]:
    """What was given on the command line and does not say no, by the first name of each option."""
    values = {parameter.name: parameter.opts[0] for parameter in context.command.params if parameter.name}
    return [
        option
        for name, option in values.items()
        if context.params[name] is not False and _source(context, name) == "COMMANDLINE"
    ]


def _source(context: typer.Context, name: str) -> str:
    source = context.get_parameter_source(name)
    return source.name if source else ""


def local_options(options: Iterable[str], *, vad: bool) -> dict[str, object]:
    """Those of them that are of what is done here, for `run_elsewhere`."""
    local: dict[str, object] = {option: True for option in options if option in _LOCAL}
    return local if vad else {**local, "--no-vad": True}


def refuse_beside_subscribe(options: Iterable[str]) -> None:
    """Refuse what has to do with audio where a group of a server is written.

    Raises:
        UsageError: There is something.
    """
    if others := [option for option in options if option not in _OF_GROUPS]:
        name = others[0] if others[0].startswith("-") else "INPUTS"
        raise UsageError(f"--subscribe writes what others say: {name} does not go with it")


def warn_of_format(options: Iterable[str], wanted: Format, output: Path | None) -> None:
    """Say what shapes other formats than the one that is wanted, whose text is right all the same, and where
    the name of the output is of another one; all of them are text, so that .txt is of none."""
    from asrctl.render.formats import named

    if output is not None and (named(output.suffix.lower().lstrip(".")) or wanted) not in (wanted, "txt"):
        typer.echo(f"asrctl: warning: {output} is written as {wanted}, since --format says so", err=True)
    for option in options:
        if wanted not in (formats := _FORMATS.get(option, (wanted,))):
            listed = f"{', '.join(formats[:-1])} or {formats[-1]}"
            typer.echo(
                f"asrctl: warning: {option} changes nothing in {wanted}: it needs --format {listed}", err=True
            )


def refuse_idle(
    options: Sequence[str],
    server: str | None,
    *,
    live: bool,
    vad: bool,
    inputs: bool,
    raw: bool,
    cluster: bool,
) -> None:
    """Refuse what nothing would come of.

    Args:
        options: What was given.
        server: Where it is transcribed, if not here.
        live: Whether a microphone is heard, or a file as if it were one.
        vad: Whether speech is looked for.
        inputs: Whether files or directories are named.
        raw: Whether they are headerless PCM.
        cluster: Whether machines of a cluster do it.

    Raises:
        UsageError: There is something.
    """
    native = server is not None and not is_foreign(server)
    idle = {
        **({} if vad else _WITHOUT_VAD),
        **(_LIVE if live else _AT_ONCE),
        **({} if live or native else _LIVE_HERE),
        **({} if inputs else _WITHOUT_INPUTS),
        **({} if raw else _WITH_HEADER),
        **({} if server is not None else _WITHOUT_SERVER),
        **(_ON_CLUSTER if cluster else {}),
    }
    for option in options:
        if option in idle:
            raise UsageError(f"{option} {idle[option]}")


def refuse_for(options: Iterable[str], plan: Plan) -> None:
    """Refuse what the provider that was chosen has no use for.

    Raises:
        UsageError: There is something.
    """
    from asrctl.providers.registry import PROVIDERS

    idle = set[str]()
    if not plan.is_pooled or not PROVIDERS[plan.provider].has_beams:
        idle.add("--beam-size")
    if not plan.is_pooled:
        idle |= {"--workers"} | ({"--threads"} if plan.serving is None else set())
    if not plan.is_windowed:
        idle.add("--jobs")
    for option in options:
        if option in idle:
            raise UsageError(f"{option} changes nothing with {plan.provider}: leave it out")


def refuse_mixing(
    names: Sequence[str], output_dir: Path | None, wanted: Format, jobs: int, *, cluster: bool
) -> None:
    """Refuse to write several texts into one, where the format or working on them at once would mix them.

    Raises:
        UsageError: They would be.
    """
    if len(names) < 2 or output_dir:
        return
    if wanted in _ONE_FILE_EACH:
        raise UsageError(f"several inputs make several {wanted} files: say where with --output-dir")
    if cluster or jobs > 1:
        at_once = "--cluster" if cluster else "--jobs"
        raise UsageError(f"{at_once} would mix the texts of several inputs: say where with --output-dir")


def refuse_appending(
    append: bool, live: bool, output: Path | None, record: Path | None, wanted: Format
) -> None:
    """Refuse to add where nothing can be added.

    Raises:
        UsageError: It cannot.
    """
    if not append:
        return
    if not live or not (output or record):
        raise UsageError("--append needs --mic or --live, and --output or --record")
    if output and wanted not in APPENDABLE:
        raise UsageError(f"a file of {wanted} cannot be added to: use {' or '.join(APPENDABLE)}")
