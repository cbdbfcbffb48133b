"""Files of the store: written whole or not at all, one writer at a time, and remembered as verified."""

from __future__ import annotations

import errno
import hashlib
import json
import mmap
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from asrctl.errors import ModelError

if TYPE_CHECKING:
    from filelock import BaseFileLock

Progress = Callable[[str, int, int | None], None]
"""Told what is being done, how many bytes of it, and how many there are to do (None: unknown)."""

SHA1, SHA256 = "sha1", "sha256"
"""What whisper.cpp publishes of its files, and what the hub does."""

_NAMES = {SHA1: "SHA-1", SHA256: "SHA-256"}
_LOCK_TIMEOUT_S = 3600.0
_HASH_STEP_BYTES = 1 << 20
_LOCKS = ".locks"
_TMP = ".tmp"


@dataclass(frozen=True, slots=True)
class Record:
    """What was known of a file when it was last hashed; it lies beside it as `<file>.json`.

    While length and modification time still match, nothing is hashed again: a start
    costs two small reads, not a pass over the weights. A copy out of an archive or a container's image,
    which may keep times in whole seconds only, matches too.
    """

    checksum: str
    size_bytes: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path, checksum: str) -> Record:
        """A record of the file as it is now."""
        stat = path.stat()
        return cls(checksum, stat.st_size, stat.st_mtime_ns)

    @classmethod
    def load(cls, path: Path, beside: Path | None = None) -> Record | None:
        """The record of `path`, if there is one and the file has not changed since.

        Args:
            path: The file.
            beside: What the record lies beside, if not the file itself.
        """
        try:
            record = cls(**json.loads(_record_path(beside or path).read_text(encoding="utf-8")))
            copied = replace(record, mtime_ns=record.mtime_ns // 10**9 * 10**9)
            return record if cls.of(path, record.checksum) in (record, copied) else None
        except (OSError, ValueError, TypeError):
            return None

    def save(self, beside: Path) -> None:
        """Put the record beside a file, whose lock must be held; a half-written one counts as none."""
        _record_path(beside).write_text(json.dumps(asdict(self)), encoding="utf-8")


def _record_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def forget(path: Path) -> None:
    """Remove a file's record, if that can be done: it is hashed before it is used again."""
    with suppress(OSError):
        _record_path(path).unlink(missing_ok=True)


def delete(path: Path) -> None:
    """Remove a file or directory with its record; nothing there is fine."""
    _record_path(path).unlink(missing_ok=True)
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def writing(path: Path, progress: Progress | None = None) -> Iterator[None]:
    """Be the only process that makes `path`, and sweep up what killed ones left behind.

    The operating system drops the lock when its holder dies, however it dies.

    Raises:
        ModelError: another process kept the lock for an hour, or the disk refuses.
    """
    try:
        lock = _acquire(path, progress)
        try:
            _sweep(path)
            yield
        finally:
            lock.release()
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise _disk_full(path.parent) from error
        raise ModelError(f"cannot keep models in {path.parent}: {error.strerror or error}") from error


def _acquire(path: Path, progress: Progress | None) -> BaseFileLock:
    from filelock import FileLock, Timeout

    lock = FileLock(_lock_path(path))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if progress:
            progress(f"waiting for another process that makes {path.name}", 0, None)
        try:
            lock.acquire(timeout=_LOCK_TIMEOUT_S)
        except Timeout as error:
            raise ModelError(f"another process has been making {path.name} for an hour: end it") from error
    return lock


def _lock_path(path: Path) -> Path:
    locks = path.parent / _LOCKS
    locks.mkdir(parents=True, exist_ok=True)
    return locks / f"{path.name}.lock"


def temporary(path: Path) -> Path:
    """Where `path` is made before it takes its name; only the holder of its lock may touch it."""
    return path.with_name(f".{path.name}{_TMP}")


def _sweep(held: Path) -> None:
    """Remove temporary files whose makers are gone, which is so if their lock can be had."""
    from filelock import FileLock, Timeout

    delete(temporary(held))
    for leftover in held.parent.glob(f".*{_TMP}"):
        made = leftover.with_name(leftover.name[1 : -len(_TMP)])
        try:
            with FileLock(_lock_path(made), timeout=0):
                delete(leftover)
        except Timeout:
            continue


def write_whole(path: Path, pieces: Iterable[bytes | memoryview], accept: Callable[[str], None]) -> None:
    """Write `pieces` to a temporary file and, if `accept` raises nothing, give it its name.

    Args:
        path: The final name; its lock must be held.
        pieces: The content.
        accept: Is given the SHA-1 of what was written, when all of it is on disk.
    """
    digest = hashlib.sha1(usedforsecurity=False)
    making = temporary(path)
    try:
        with making.open("wb") as file:
            for piece in pieces:
                digest.update(piece)
                file.write(piece)
        accept(digest.hexdigest())
        publish(making, path, digest.hexdigest())
    finally:
        making.unlink(missing_ok=True)


def publish(made: Path, path: Path, checksum: str) -> None:
    """Give a finished and hashed file its name, in one step and for good, and record it."""
    with made.open("rb+") as file:
        os.fsync(file.fileno())
    _record_path(path).unlink(missing_ok=True)
    made.replace(path)
    Record.of(path, checksum).save(path)


def checksum_of(path: Path, progress: Progress | None = None, algorithm: str = SHA1) -> str:
    """The checksum of a file, in hexadecimal."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    size_bytes = path.stat().st_size
    done_bytes = 0
    with path.open("rb") as file:
        while piece := file.read(_HASH_STEP_BYTES):
            digest.update(piece)
            done_bytes += len(piece)
            if progress:
                progress(f"verifying {path.name}", done_bytes, size_bytes)
    return digest.hexdigest()


def mapped(path: Path) -> mmap.mmap:
    """A model's file, mapped into memory for reading.

    Raises:
        ModelError: It cannot be read, or is empty.
    """
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise ModelError(f"cannot read the model {path}: {error.strerror or error}") from error
    except ValueError as error:  # mmap's word for an empty file
        raise ModelError(f"the model {path} is empty: fetch or copy it again") from error


@dataclass(frozen=True, slots=True)
class Verdict:
    """What hashing a file again found; `problem` is None if it is as it was published (or made)."""

    name: str
    path: Path
    problem: str | None


def verdict_on(
    name: str, path: Path, wanted: str, progress: Progress | None, algorithm: str = SHA1
) -> Verdict:
    """Hash a file again; one that has changed is forgotten."""
    try:
        checksum = checksum_of(path, progress, algorithm)
    except OSError as error:
        return Verdict(name, path, f"cannot be read: {error.strerror or error}")
    if checksum == wanted:
        return Verdict(name, path, None)
    forget(path)
    return Verdict(name, path, f"has changed ({_NAMES[algorithm]} {checksum})")


def counted(
    pieces: Iterable[bytes | memoryview], what: str, total_bytes: int | None, progress: Progress | None
) -> Iterator[bytes | memoryview]:
    """The same pieces, with progress told after each."""
    done_bytes = 0
    for piece in pieces:
        yield piece
        done_bytes += len(piece)
        if progress:
            progress(what, done_bytes, total_bytes)


def need_room(root: Path, size_bytes: int) -> None:
    """Raise ModelError unless the disk of `root` has `size_bytes` free."""
    if (free_bytes := shutil.disk_usage(root).free) < size_bytes:
        raise _disk_full(root, f" ({size_bytes / 1e6:.0f} MB needed, {free_bytes / 1e6:.0f} MB free)")


def _disk_full(root: Path, figures: str = "") -> ModelError:
    return ModelError(
        f"no room for the model in {root}{figures}: make room, or set ASRCTL_MODELS_DIR to a larger disk"
    )
