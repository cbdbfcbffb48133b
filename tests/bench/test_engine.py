"""The engine is reached from one place."""

from __future__ import annotations

from pathlib import Path

import asrctl.bench


def test_two_modules_import_the_engine() -> None:
    """`engine` runs it and `setup` has its options and events: whatever replaces it changes these only."""
    modules = Path(asrctl.bench.__file__).parent.glob("*.py")
    users = {path.stem for path in modules if "from asrctl.engine" in path.read_text(encoding="utf-8")}
    assert users == {"engine", "setup"}
