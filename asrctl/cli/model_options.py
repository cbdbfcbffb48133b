"""Options that name a model or a provider, as commands share them; shells complete their values."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from asrctl.cli import completion


def model(text: str) -> Any:
    """An option for a model; `text` is its help."""
    return typer.Option(metavar="NAME|PATH", help=text, autocompletion=completion.models)


def provider(text: str) -> Any:
    """An option for a provider; `text` is its help."""
    return typer.Option(metavar="NAME", help=text, autocompletion=completion.providers)


Model = Annotated[str | None, model("A name of `asrctl models list`, a file, or a directory.")]
Provider = Annotated[str | None, provider("auto, or a provider's name such as whisper_cpp.")]
