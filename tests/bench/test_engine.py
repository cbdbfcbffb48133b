"""The recognisers are started from one place, and only inside of its event loop."""

from __future__ import annotations

from pathlib import Path

import asrctl.bench


def test_one_module_runs_the_recognisers() -> None:
    """`engine` runs them; what else a benchmark needs of them are options and events."""
    modules = Path(asrctl.bench.__file__).parent.glob("*.py")
    users = {path.stem for path in modules if "WorkerPool" in path.read_text(encoding="utf-8")}
    assert users == {"engine"}
