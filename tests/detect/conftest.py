"""Programs on PATH that hang, crash, or print what they are told to."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HANG = "while :; do sleep 60; done"
"""For ever, with a child of its own that would outlive a careless kill."""

Tool = Callable[[str, str], Path]


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    """`tool(name, script)` puts a shell script before everything else on PATH."""
    if sys.platform == "win32":
        pytest.skip("needs a shell")
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")

    def put(name: str, script: str) -> Path:
        path = directory / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    return put
