"""Directories as inputs: which recordings they hold, and where each one's transcript belongs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

_EXTENSIONS = """
    3g2 3gp aac ac3 aif aifc aiff alac amr ape asf au avi awb caf dts flac flv m2ts m4a m4b m4v mka mkv mov
    mp2 mp3 mp4 mpeg mpg mpga mts oga ogg ogv opus ra rf64 rm snd spx tta ts vob w64 wav wave webm wma wmv wv
"""
RECORDINGS = frozenset(_EXTENSIONS.split())
"""Extensions of files that are taken from a directory; a file that is named itself may be called anything."""


@dataclass(frozen=True, slots=True)
class Found:
    """An input, after directories were looked through.

    Attributes:
        name: A path, or "-".
        folder: Where below an output directory its transcript belongs: it mirrors the directory given.
    """

    name: str
    folder: PurePath = field(default_factory=PurePath)


def look_through(inputs: Sequence[str], *, recursive: bool) -> list[Found]:
    """Put the recordings of directories in their place, sorted by name; hidden files and pipes are left out.

    A directory without any stays itself, so that the user is told of it as of any input that cannot be read.

    Args:
        inputs: Paths, or "-".
        recursive: Look below the directories' own files too.
    """
    found: list[Found] = []
    for name in inputs:
        inside = [*_recordings(Path(name), recursive)] if os.path.isdir(name) else []
        found += inside or [Found(name)]
    return found


def _recordings(directory: Path, recursive: bool) -> Iterator[Found]:
    unread: list[OSError] = []
    for folder, below, files in os.walk(directory, onerror=unread.append):
        # `walk` goes where this list says, and in its order.
        below[:] = sorted(name for name in below if recursive and not name.startswith("."))
        place = PurePath(folder).relative_to(directory)
        for name in sorted(files):
            if not name.startswith(".") and PurePath(name).suffix[1:].lower() in RECORDINGS:
                path = os.path.join(folder, name)
                if os.path.isfile(path) or not os.path.exists(path):  # a broken link is told as missing
                    yield Found(path, place)
    for error in unread:  # told as inputs that cannot be read
        folder = str(error.filename)
        yield Found(folder, PurePath(folder).relative_to(directory).parent)
