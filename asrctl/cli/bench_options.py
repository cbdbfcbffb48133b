"""From options to what a benchmark measures, on what, and where."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asrctl.errors import UsageError

if TYPE_CHECKING:
    from asrctl.assembly import Plan
    from asrctl.bench.rtf import Contestant
    from asrctl.bench.setup import Setup, Speech
    from asrctl.client import ClientOptions
    from asrctl.settings import Settings

BUILTIN_S = 40.0
"""Length of the built-in speech where nothing else is said: a dozen sentences."""

File = Annotated[
    str | None, typer.Argument(metavar="[FILE]", help="Audio to decode (default: built-in speech).")
]
Reference = Annotated[
    Path | None, typer.Option(metavar="TXT", help="Reference transcript of FILE, for word errors.")
]
Threads = Annotated[
    int | None, typer.Option(metavar="N", min=1, max=1024, help="Threads of each worker (default: all).")
]
Workers = Annotated[int | None, typer.Option(metavar="N", min=1, max=64, help="Worker processes.")]
Rounds = Annotated[int, typer.Option(metavar="N", min=1, max=1000, help="Measurements of each.")]
Seconds = Annotated[
    float, typer.Option(metavar="SECONDS", min=1.0, max=86_400.0, help="Length of each session.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, the input of `bench compare`.")]


def speech_of(file: str | None, reference: Path | None, builtin_s: float) -> Speech:
    """A file with what is said in it, or the built-in speech for about so long.

    Raises:
        UsageError: The options make no sense together, or the reference cannot be read.
        AudioError: The file cannot be read.
    """
    from asrctl.bench.setup import builtin, recorded

    if file is None:
        if reference is not None:
            raise UsageError("--reference is what is said in FILE: name one")
        return builtin(builtin_s)
    if file == "-":
        raise UsageError("standard input can be read only once: name a file")
    try:
        text = reference.read_text(encoding="utf-8") if reference else None
    except (OSError, ValueError) as error:
        raise UsageError(f"{reference}: {getattr(error, 'strerror', None) or 'not UTF-8'}") from error
    return recorded(file, text)


def setup_of(
    settings: Settings,
    speech: Speech,
    provider: str | None,
    model: str | None,
    threads: int | None,
    workers: int | None,
) -> Setup:
    """What the settings come to with these flags on top; None leaves it to the settings.

    Raises:
        ProviderError: No such provider, or it cannot run here.
        ModelError: No such model, or it cannot be had.
        UsageError: It loads no model.
    """
    return setup_from(*prepared(settings, speech, provider, model, threads, workers), speech)


def setup_from(chosen: Settings, plan: Plan, speech: Speech) -> Setup:
    """The same of what is prepared.

    Raises:
        UsageError: It loads no model.
    """
    from functools import partial

    from asrctl.assembly import health_check
    from asrctl.bench.setup import Setup
    from asrctl.from_settings import file_options, speech_detector, stream_options

    if not plan.is_pooled:
        raise UsageError(f"{plan.provider} loads no model here: measure it live, with asrctl bench stream")
    return Setup(
        model=plan.model,
        spec=plan.spec,
        workers=plan.workers,
        health=health_check(plan),
        files=file_options(plan.decode, chosen.vad, speech.duration_s),
        stream=stream_options(plan.decode, chosen.vad, chosen.live),
        detector=partial(speech_detector, chosen.vad),
    )


def prepared(
    settings: Settings,
    speech: Speech,
    provider: str | None,
    model: str | None,
    threads: int | None,
    workers: int | None,
) -> tuple[Settings, Plan]:
    """The settings with these flags on top, and what will decode; raises as `setup_of` does."""
    from asrctl.assembly import prepare
    from asrctl.cli.view import bytes_progress

    chosen = settings.overridden(provider=provider, model=model, threads=threads, workers=workers)
    if speech.builtin and chosen.language == "auto":
        chosen = replace(chosen, language="en")
    with bytes_progress() as progress:
        return chosen, prepare(chosen, progress)


def peers_of(setups: Sequence[Setup], whisper_cli: Path | None, *, look: bool) -> list[Contestant]:
    """whisper.cpp's own program with the weights and threads of each setup that it can have.

    Args:
        setups: Ours.
        whisper_cli: The program; None for the one on PATH.
        look: Whether to look there.

    Raises:
        UsageError: It was given, and there is no such program, or nothing to compare it with.
    """
    import shutil

    from asrctl.bench.whisper_cli import PROGRAM, contestant

    wanted = str(whisper_cli.expanduser()) if whisper_cli else PROGRAM
    program = shutil.which(wanted) if whisper_cli or look else None
    suiting = [each for each in setups if each.spec.provider == "whisper_cpp" and each.workers == 1]
    if whisper_cli and program is None:
        raise UsageError(f"--whisper-cli: there is no program {wanted}")
    if whisper_cli and not suiting:
        raise UsageError("--whisper-cli needs a model of the provider whisper_cpp, with one worker")
    return [contestant(program, each) for each in suiting] if program else []


def names(given: str | None) -> list[str | None]:
    """A list with commas; what is not given leaves the choice to the settings."""
    return [name.strip() for name in given.split(",") if name.strip()] if given else [None]


def numbers(given: str | None, most: int) -> list[int | None]:
    """The same of numbers from 1 to `most`.

    Raises:
        UsageError: Something else is in it.
    """
    numbers = []
    for text in names(given):
        if text is not None and not (text.isdecimal() and 1 <= int(text) <= most):
            raise UsageError(f"{text!r} is not a number from 1 to {most}; several are written as 1,2,4")
        numbers.append(int(text) if text else None)
    return numbers


def machine(settings: Settings) -> dict[str, Any]:
    """What it is measured on, and when."""
    from asrctl.detect.probes import QUICK, probe_machine
    from asrctl.models.store import ModelStore

    found = probe_machine(ModelStore(settings.models_dir), QUICK)
    memory = asdict(found.memory)
    del memory["available_bytes"]
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": sys.version.split()[0],
        "system": asdict(found.system),
        "cpu": asdict(found.cpu),
        "memory": memory,
        "gpus": [asdict(gpu) for gpu in found.gpus],
    }


def notes_on(speech: Speech) -> list[str]:
    """What a reader should know of the audio."""
    from asrctl.bench.setup import BUILTIN_NOTE

    return [BUILTIN_NOTE] if speech.builtin else []


def client_of(settings: Settings, speech: Speech, model: str | None, api_key: str | None) -> ClientOptions:
    """What a client asks of a server; the built-in speech is English.

    Raises:
        UsageError: There is no such language.
    """
    from asrctl.cli.remote_options import client_options

    options = replace(client_options(settings, "mic", model, api_key), salvage=False)
    return replace(options, language="en") if speech.builtin and options.language == "auto" else options
