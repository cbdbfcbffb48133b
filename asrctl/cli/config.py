"""`asrctl config`: which settings are in force, and where each comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asrctl.cli.help import COMMANDS

if TYPE_CHECKING:
    from asrctl.settings import Loaded

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        envvar="ASRCTL_CONFIG",
        help="Config file to read instead of the default one.",
    ),
]
"""The `--config` option, alike in every command that has it."""

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, help=COMMANDS["config"])


@app.command()
def show(
    config: ConfigFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print every setting as TOML, with where it comes from. Keys are secrets, and shown as "..."."""
    from asrctl.settings import load

    loaded = load(config)
    typer.echo(_as_json(loaded) if as_json else _as_toml(loaded))


@app.command()
def path(config: ConfigFile = None) -> None:
    """Print which file is read; it need not exist."""
    from asrctl.settings import default_path

    typer.echo(config or default_path())


def _shown(loaded: Loaded) -> dict[str, Any]:
    """All settings by dotted key, secrets masked."""
    from asrctl.settings import flat

    return {
        key: "..." if value and key.endswith("_key") else value
        for key, value in flat(loaded.settings).items()
    }


def _as_json(loaded: Loaded) -> str:
    settings = {
        key: {"value": value, "origin": loaded.origins.get(key, "default")}
        for key, value in _shown(loaded).items()
    }
    document = {"schema": 1, "path": str(loaded.path), "settings": settings}
    return json.dumps(document, ensure_ascii=False, indent=2, default=str)


def _as_toml(loaded: Loaded) -> str:
    lines = [f"# {loaded.path}" + ("" if loaded.path.exists() else " (does not exist)")]
    section = ""
    for key, value in _shown(loaded).items():
        table, _, name = key.rpartition(".")
        if table != section:
            section = table
            lines += ["", f"[{section}]"]
        lines.append(f"{_assignment(name, value):<48} # {loaded.origins.get(key, 'default')}")
    return "\n".join(lines)


def _assignment(name: str, value: Any) -> str:
    from tomli_w import dumps

    if value is None:  # which TOML cannot say
        return f"# {name} ="
    if isinstance(value, tuple):  # tomli_w spreads a list over several lines
        return f"{name} = [{', '.join(_assignment(name, item).partition(' = ')[2] for item in value)}]"
    return dumps({name: str(value) if isinstance(value, Path) else value}).strip()
