"""`.github/SECURITY.md` states the limits that the code has."""

from __future__ import annotations

import dataclasses
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from asrctl.settings import ServeSettings, Settings

PAGE = (Path(__file__).parents[1] / ".github" / "SECURITY.md").read_text(encoding="utf-8")
LIMITS = re.findall(r"^\| `([\w.]+)` \| ([\d.]+) \|", PAGE, re.MULTILINE)
NO_LIMITS = {"port", "wyoming_port", "max_system_sessions", "retry_s"}
"""Numbers of [serve] that bound nothing by default."""


@pytest.mark.parametrize(("name", "stated"), LIMITS)
def test_a_limit_is_as_stated(name: str, stated: str) -> None:
    """A setting's default, or a constant."""
    assert str(_value(name)) == stated


def _value(name: str) -> Any:
    section, _, rest = name.partition(".")
    if section == "serve":
        return getattr(Settings().serve, rest)
    module, _, constant = name.rpartition(".")
    return getattr(import_module(f"asrctl.{module}"), constant)


def test_every_limit_of_a_server_is_stated() -> None:
    """A new number among the settings has a line."""
    numbers = {f.name for f in dataclasses.fields(ServeSettings) if "least" in f.metadata} - NO_LIMITS
    assert {f"serve.{name}" for name in numbers} <= {name for name, _ in LIMITS}
