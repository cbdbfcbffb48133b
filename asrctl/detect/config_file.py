"""The config that `asrctl detect` writes: commented TOML, put in place whole, the old one kept."""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import shutil
import tempfile
import textwrap
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from asrctl.errors import AsrctlError, UsageError
from asrctl.policy.recommend import Recommendation
from asrctl.settings.reading import dotted

MARK = "Written by asrctl detect"
"""The beginning of every config of ours."""
_WIDTH = 100
_DECIDED = frozenset(
    {"provider", "providers", "model", "threads", "workers", "serve.max_sessions", "live.partial_interval_s"}
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A setting with what is said about it."""

    key: str
    value: Any
    comment: str


@dataclass(frozen=True, slots=True)
class Existing:
    """The file that is there.

    Attributes:
        text: What is in it; None if there is none.
        values: Its settings by dotted key; empty if it is not TOML.
        problem: Why it could not be understood, or "".
    """

    text: str | None
    values: Mapping[str, Any]
    problem: str = ""


def read_existing(path: Path) -> Existing:
    """What is in the config now.

    Raises:
        UsageError: It is there and cannot be read.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig", "replace")
    except FileNotFoundError:
        return Existing(None, {})
    except OSError as error:
        raise UsageError(f"cannot read the config file {path}: {error.strerror or error}") from error
    try:
        return Existing(text, dict(dotted(tomllib.loads(text))))
    except ValueError as error:
        return Existing(text, {}, f"{path} is not valid TOML: {error}")


def entries(recommendation: Recommendation, known: Collection[str]) -> list[Entry]:
    """The settings that a recommendation decides, as far as there are such."""
    why = "; ".join(recommendation.reasons)
    sessions = recommendation.sessions or 1
    decided = [
        _provider(recommendation),
        Entry(
            "providers",
            list(recommendation.providers),
            "Providers that were measured here with this model, best first: `auto` takes the first that"
            " can run, and the others are its fallbacks.",
        ),
        Entry("model", recommendation.model, f"The model, by name or path. Chosen because {why}."),
        Entry("threads", recommendation.threads, "Threads of each worker process; 0 chooses by the machine."),
        Entry("workers", recommendation.workers, "Worker processes; each holds the model in memory."),
        Entry(
            "serve.max_sessions",
            sessions,
            "Live sessions that this machine sustains, by its measured costs.",
        ),
        Entry(
            "live.partial_interval_s",
            recommendation.partial_interval_s,
            "Seconds of new audio between partial results; larger is less work.",
        ),
    ]
    unknown = set() if recommendation.providers else {"providers"}
    if recommendation.sessions is None or recommendation.sessions < 1:
        unknown.add("serve.max_sessions")
    decided = [entry for entry in decided if entry.key not in unknown]
    return [entry for entry in decided if entry.key in known]


def _provider(recommendation: Recommendation) -> Entry:
    """`auto` where there is an order to go by; else the one that was found, or asked for, by name."""
    if recommendation.providers:
        return Entry("provider", "auto", "The provider: `auto` follows the order of `providers`.")
    return Entry("provider", recommendation.provider, "The provider; one that is named has no fallback.")


def kept_values(existing: Existing, decided: Collection[Entry], known: Collection[str]) -> dict[str, Any]:
    """What the user has set besides, and what is still a setting.

    What an earlier run decided, and this one cannot tell, is not the user's: it goes.
    """
    gone = {entry.key for entry in decided}
    if existing.text and existing.text.startswith(f"# {MARK}"):
        gone |= _DECIDED
    return {key: value for key, value in existing.values.items() if key in known and key not in gone}


def render(heading: str, decided: Collection[Entry], kept: Mapping[str, Any]) -> str:
    """The file's text.

    Args:
        heading: Who wrote it and for what machine; begins with `MARK`.
        decided: The settings to write, with comments.
        kept: Settings taken over from the file that was there, by dotted key.
    """
    own = "Kept from the previous config file."
    every = [*decided, *(Entry(key, value, own) for key, value in kept.items())]
    lines = [*_comment(heading), *_comment("Variables ASRCTL_* and flags override what is in here.")]
    for table in dict.fromkeys(["", *(entry.key.rpartition(".")[0] for entry in every)]):
        lines += ["", f"[{table}]"] if table else []
        said = ""
        for entry in every:
            section, _, name = entry.key.rpartition(".")
            if section == table:
                lines += ["", *_comment(entry.comment)] if entry.comment != said else []
                lines.append(tomli_w.dumps({name: entry.value}).strip())
                said = entry.comment
    return "\n".join(lines) + "\n"


def difference(path: Path, old: str, new: str) -> str:
    """A unified diff, empty if nothing changes."""
    lines = difflib.unified_diff(
        old.splitlines(keepends=True), new.splitlines(keepends=True), str(path), f"{path} (new)"
    )
    return "".join(line if line.endswith("\n") else line + "\n" for line in lines)


def masked(text: str) -> str:
    """The same without secrets, for what is shown and may be passed on."""
    return re.sub(r"(?m)^([+ -]?\w*(?:key|token|password)\w* = ).*$", r'\1"..."', text)


def write(path: Path, text: str) -> Path | None:
    """Put a config in place, whole or not at all; gives the backup of the one that was there.

    Raises:
        AsrctlError: The disk refuses; what was there is untouched.
    """
    real = Path(os.path.realpath(path))  # a link, as in people's dotfiles, stays one
    try:
        real.parent.mkdir(parents=True, exist_ok=True)
        backup = _backup(real) if real.exists() else None
        _replace(real, text)
    except OSError as error:
        raise AsrctlError(f"cannot write the config {path}: {error.strerror or error}") from error
    return backup


def _replace(path: Path, text: str) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, name)
        else:
            os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def _backup(path: Path) -> Path:
    """A copy beside it, under a name that is free: earlier backups are never lost."""
    number = 1
    while (copy := path.with_name(f"{path.name}.bak{number if number > 1 else ''}")).exists():
        number += 1
    try:
        shutil.copy2(path, copy)
    except OSError:
        with contextlib.suppress(OSError):
            copy.unlink(missing_ok=True)  # half of it
        raise
    return copy


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(" ".join(text.split()), _WIDTH)]
