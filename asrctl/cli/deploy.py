"""`asrctl deploy`: the files that ship for whoever runs a server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated

import typer

from asrctl.cli.help import COMMANDS
from asrctl.errors import UsageError

app = typer.Typer(add_completion=False, rich_markup_mode=None, help=COMMANDS["deploy"])


def _names(incomplete: str) -> list[str]:
    return [name for name in shipped() if name.startswith(incomplete)]


_Name = Annotated[
    str | None, typer.Argument(metavar="[NAME]", help="A file, or a folder.", autocompletion=_names)
]
_Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="PATH", help="Where to write: a file, or a directory for several."
    ),
]


@app.command()
def deploy(name: _Name = None, output: _Output = None) -> None:
    """Write files for running a server: container, systemd, cluster, monitoring.

    A file is printed, or written to -o; a folder is written into it. Without a name they are listed, or all
    written. What is there already and differs is not overwritten.

    \b
      asrctl deploy
      asrctl deploy asrctl.service | sudo tee /etc/systemd/system/asrctl.service
      asrctl deploy monitoring -o monitoring
      asrctl deploy -o deployment && docker compose -f deployment/compose.yaml up
    """
    there = shipped()
    if name is None and output is None:
        typer.echo("\n".join(there))
    elif name in there and output is None:
        typer.echo(there[name].read_bytes(), nl=False)
    elif name in there and output is not None:
        _write({output / there[name].name if output.is_dir() else output: there[name]})
    else:
        folder = "" if name is None else name.rstrip("/") + "/"
        chosen = {key.removeprefix(folder): file for key, file in there.items() if key.startswith(folder)}
        if not chosen:
            raise UsageError(f"there is no {name}: `asrctl deploy` lists what there is")
        if output is None:
            raise UsageError(f"{name} is a folder: say with -o into which directory it goes")
        _write({output / key: file for key, file in chosen.items()})


def shipped() -> dict[str, Traversable]:
    """The files by their paths in the folder, sorted."""
    return dict(sorted(_below(files("asrctl").joinpath("deploy"))))


def _below(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for each in folder.iterdir():
        if each.is_dir():
            yield from _below(each, f"{prefix}{each.name}/")
        else:
            yield prefix + each.name, each


def _write(chosen: Mapping[Path, Traversable]) -> None:
    """Write all of them, or none if one would replace something else."""
    for path, file in chosen.items():
        if path.exists() and path.read_bytes() != file.read_bytes():
            raise UsageError(f"{path} is there already, and not the same: move it away, or write elsewhere")
    for path, file in chosen.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.read_bytes())
