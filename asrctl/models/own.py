"""Users' CTranslate2 models, kept in a store as whisper.cpp files under `own-` names."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from asrctl.models.files import Progress, Record, counted, need_room, write_whole, writing
from asrctl.models.ggml import encode
from asrctl.models.sources import Ct2Files

_QUANTIZATION = "q8_0"
"""What they become: as fast as f16 or faster, the same words, half the memory."""


def own_files(root: Path) -> list[Path]:
    """The files in a store that were made from users' models."""
    return sorted(root.glob("own-*.bin"))


def converted(root: Path, files: Ct2Files, name: str, progress: Progress | None) -> Path:
    """A user's model as a whisper.cpp file: made once, and again when the model changes.

    Raises:
        ModelError: it is no Whisper, damaged, or there is no room for it.
    """
    slug = re.sub(r"[^\w.-]", "_", name)[:40]
    path = root / f"own-{slug}-{_state_of(files)}.bin"
    if not Record.load(path):
        with writing(path, progress):
            if not Record.load(path):
                _convert(files, path, name, progress)
    return path


def _convert(files: Ct2Files, path: Path, name: str, progress: Progress | None) -> None:
    from asrctl.models.convert import from_ctranslate2
    from asrctl.models.quantize import quantized

    need_room(path.parent, files.parts[0].stat().st_size)
    stream = quantized(from_ctranslate2(files), _QUANTIZATION)
    write_whole(path, counted(encode(stream), f"converting {name}", None, progress), lambda _: None)


def _state_of(files: Ct2Files) -> str:
    """Changes when the model in a directory does."""
    paths = [*files.parts, *sorted(files.directory.glob("vocabulary.*"))]
    states = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    return hashlib.sha1(repr(states).encode(), usedforsecurity=False).hexdigest()[:12]
