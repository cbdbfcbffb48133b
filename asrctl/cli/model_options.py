"""Options that name a model or a provider, as commands share them; shells complete their values."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from asrctl.cli import completion


def model(text: str, *names: str) -> Any:
    """An option for a model; `text` is its help, `names` what it is called if not like its parameter."""
    return typer.Option(*names, metavar="NAME|PATH", help=text, autocompletion=completion.models)


def provider(text: str) -> Any:
    """An option for a provider; `text` is its help."""
    return typer.Option(metavar="NAME", help=text, autocompletion=completion.providers)


Model = Annotated[
    str | None, model("A name of `asrctl models list`, a file, or a directory.", "--model", "-m")
]
Provider = Annotated[str | None, provider("auto, or a provider's name such as whisper_cpp.")]
