"""Text that is not complete, in files called after the one that it will become."""

from __future__ import annotations

from itertools import count, takewhile
from pathlib import Path

LONGEST_ENDING = ".part.9999"
"""What is put behind a name at most."""


def part_of(path: Path) -> Path:
    """Where text grows that will take the place of an older file."""
    return path.with_name(f"{path.name}.part")


def left_of(path: Path) -> list[Path]:
    """What runs have left of a file that they could not complete; the last run's comes first."""
    part = part_of(path.resolve() if path.is_symlink() else path)
    return [each for each in (part, *_aside(part)) if each.is_file() and each.stat().st_size]


def set_aside(part: Path) -> None:
    """Give what an earlier run left another name, so that the part can be written anew."""
    if part.is_file() and part.stat().st_size:
        part.replace(_numbered(part, len(_aside(part)) + 1))


def settle(part: Path, written: Path) -> None:
    """At the end of a run: what earlier ones left goes if the text that was written begins with it.

    Where that is the part, and an earlier one begins with it, or it is nothing, that one takes its place. All
    else stays, since it may be of another recording; if there is no part now, the first is called so.
    """
    ours, kept = written.read_bytes() if written.is_file() else b"", list[Path]()
    for older in _aside(part):
        text = older.read_bytes()
        if ours.startswith(text):
            older.unlink()
        elif written == part and text.startswith(ours):
            older.replace(part)
        else:
            kept.append(older)
    for number, older in enumerate(kept, int(part.exists())):
        older.replace(_numbered(part, number) if number else part)


def _aside(part: Path) -> list[Path]:
    return [*takewhile(Path.exists, (_numbered(part, number) for number in count(1)))]


def _numbered(part: Path, number: int) -> Path:
    return part.with_name(f"{part.name}.{number}")
