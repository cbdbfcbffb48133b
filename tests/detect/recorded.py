"""Outputs of other people's tools; recordings/README.md says where each is from."""

from __future__ import annotations

from pathlib import Path

_DIRECTORY = Path(__file__).parent / "recordings"


def recording(name: str) -> str:
    """The text of a recording."""
    return (_DIRECTORY / name).read_text(encoding="utf-8")


def recordings() -> set[str]:
    """The names of all of them."""
    return {path.name for path in _DIRECTORY.iterdir()} - {"README.md"}
