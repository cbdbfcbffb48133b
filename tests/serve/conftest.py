"""One server for the tests that do it no harm, and scripts for those that need their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from asrctl.providers.base import ModelSpec

from .servers import Running, options_for, running, script


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with the usual limits."""
    with running(options_for(script(tmp_path_factory.mktemp("script") / "plain.json"))) as server:
        yield server


@pytest.fixture
def scripted(tmp_path: Path) -> Callable[..., ModelSpec]:
    """Makes scripts; `crashes=n` makes a fault happen n times."""

    def make(name: str = "script", **faults: Any) -> ModelSpec:
        if isinstance(faults.get("crashes"), int):
            counter = tmp_path / f"{name}.count"
            counter.write_text(str(faults["crashes"]))
            faults["crashes"] = str(counter)
        return script(tmp_path / f"{name}.json", **faults)

    return make
