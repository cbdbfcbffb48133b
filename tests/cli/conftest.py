"""Commands under test see no settings of the person who runs the tests, and leave signals as they were."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def terminate() -> Iterator[None]:
    """`main` takes SIGTERM for itself; the test run gets it back.

    SIGINT is what it is in a terminal: a test run in the background of a shell has it ignored.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No settings of the person who runs the tests; gives the path of an empty config file."""
    for name in os.environ:
        if name.startswith("ASRCTL_"):
            monkeypatch.delenv(name)
    path = tmp_path / "config.toml"
    path.touch()
    monkeypatch.setenv("ASRCTL_CONFIG", str(path))
    return path
