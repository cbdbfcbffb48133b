"""What `--vocabulary` names: a file of terms, or the terms themselves."""

from __future__ import annotations

from pathlib import Path

from asrctl.errors import UsageError
from asrctl.policy.vocabulary import checked_terms

_MAX_BYTES = 1 << 20


def vocabulary_of(given: str | None) -> tuple[str, ...] | None:
    """The terms of a file, one a line, `#` before comments; or those between commas, where there is none.
    None if nothing was given.

    Raises:
        UsageError: There is no such file, it cannot be read, it is no text, or its terms do not do.
    """
    if given is None:
        return None
    path = Path(given).expanduser()
    if not given or "," in given or not (path.exists() or _looks_like_a_path(given)):
        terms = checked_terms(given.split(","))
    else:
        terms = checked_terms(line.partition("#")[0] for line in _text(path).splitlines())
    if not terms:
        raise UsageError(f"--vocabulary: {given[:100] or 'nothing'!r} holds no terms")
    return terms


def _looks_like_a_path(given: str) -> bool:
    return "/" in given or "\\" in given or given.lower().endswith(".txt")


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot read the vocabulary {path}: {error.strerror}") from error
    if len(raw) > _MAX_BYTES:
        raise UsageError(f"the vocabulary {path} is longer than 1 MiB")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"the vocabulary {path} is not UTF-8") from None
