"""Where transcripts go: standard output, or a file for each input."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path, PurePath
from types import TracebackType
from typing import Self, TextIO, cast

from asrctl.errors import AsrctlError, OutputError, UsageError
from asrctl.render.parts import LONGEST_ENDING, part_of, set_aside, settle

STDIN = "-"

_LONGEST_NAME_BYTES = 255
"""Of a file, on nearly all file systems."""
_STREAM_ROOTS = (("dev",), ("proc",))
"""Below them files are streams, and /dev/stdout may be a file that the shell has open for appending."""


class Output:
    """An open file, or standard output, that text is written to as it comes.

    Text is UTF-8 and is flushed with each write, so that a reader sees it while the rest is decoded.
    A reader that goes away (`| head`) raises BrokenPipeError, which `main` turns into a quiet exit.

    A file that was there before stays as it is until the new text is complete: that grows beside it, in a
    file called "NAME.part", and takes its place at the end, or when the user interrupts. If an error ends it,
    or it is said to be incomplete, the older file stays, and so does the part if it holds anything. Where
    nothing was before, and for pipes and devices, text goes to the path itself.

    With `whole`, text goes to the part even where nothing was before, and an interrupt leaves it there, so
    that a file of that name is complete.

    A part that an earlier run left is set aside as "NAME.part.1", or the next free number. Where this run
    ends before the text is complete, both stay, as they may be of different recordings, unless one is the
    beginning of the other; so do those of other recordings once the text is complete.

    Args:
        path: The file, which is opened at once, so that what cannot be written is known before an hour of
            audio is transcribed; None for standard output.
        whole: Whether the file is to have its name only once it is complete.
        append: Whether text goes behind what the file holds, which stays whatever happens.

    Raises:
        OutputError: The file cannot be opened, here, or the disk is full, in `write`.
        AsrctlError: The same of standard output.
    """

    def __init__(self, path: Path | None, *, whole: bool = False, append: bool = False) -> None:
        self.name = "standard output" if path is None else str(path)
        self._path = path
        self._is_own = path is not None
        self._whole = whole
        self._append = append
        self._part: Path | None = None
        self._target: Path | None = None  # what the part becomes
        self._older = False
        self._incomplete = False
        self._written_bytes = 0
        try:
            self._file = self._opened(path) if path else _stdout()
        except OSError as error:
            raise self._error(_reason(error)) from error

    def _error(self, reason: str) -> AsrctlError:
        kind = OutputError if self._is_own else AsrctlError
        return kind(f"cannot write {self.name}: {reason}")

    def _opened(self, path: Path) -> TextIO:
        if self._append or (path.is_absolute() and path.parts[1:2] in _STREAM_ROOTS):
            self._path = None  # as standard output, it is the shell's, which may be appending to it
            return _open(path, "a")
        existed = self._older = path.is_file()
        if not existed and (path.exists() or not self._whole):
            return _open(path, "w")
        if existed:
            _open(path, "a").close()  # only to know that it may be written
        self._target = path.resolve()  # a link to a file stays one
        self._path = self._part = part_of(self._target)
        set_aside(self._path)
        part = _open(self._path, "w")
        if existed:
            self._path.chmod(self._target.stat().st_mode & 0o7777)
        return part

    def write(self, text: str) -> None:
        """Write and flush a piece of text."""
        try:
            self._file.write(text)
            self._file.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            there = f"; {self._written_bytes} bytes of it are there"
            whole = there if self._path and self._written_bytes else ""
            raise self._error(f"{_reason(error)}{whole}") from error
        self._written_bytes += len(text.encode(errors="replace"))

    def leave_incomplete(self) -> None:
        """What was written is not all: it stays a part, if it is one."""
        self._target, self._incomplete = None, True

    def keep_older(self) -> bool:
        """What was written is nothing that anybody wants: an older file stays; whether there is one."""
        if self._older:
            self._target, self._written_bytes, self._incomplete = None, 0, True
        return self._older

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not sys.stdout:
            with contextlib.suppress(OSError):  # what could not be flushed was reported by `write`
                self._file.close()
        if self._path is None:
            return
        # KeyboardInterrupt, or in an event loop CancelledError
        interrupted = error is not None and not isinstance(error, Exception)
        try:
            if (error or self._incomplete) and not self._written_bytes:
                if self._path.is_file():
                    self._path.unlink()
            elif self._target and (not error or (interrupted and not self._whole)):
                self._path.replace(self._target)
            if self._part is not None:
                is_complete = self._target and not error and not self._incomplete
                settle(self._part, self._target if self._target and is_complete else self._part)
        except OSError as failure:
            raise self._error(_reason(failure)) from failure


def destinations(
    inputs: Sequence[str],
    output: Path | None,
    output_dir: Path | None,
    extension: str,
    folders: Sequence[PurePath] = (),
    others: Sequence[str] = (),
) -> list[Path | None]:
    """Where each input's transcript goes; None means standard output.

    In `output_dir`, which is made if need be, a file is called like its input, and "-2", "-3" … is added
    where names would clash: in the order of paths, so that the same inputs have the same names in any order.

    Args:
        inputs: Paths, or "-".
        output: The file for one input.
        output_dir: The directory for any number.
        extension: What files in a directory end in.
        folders: Where below `output_dir` each input's file goes; at its top without.
        others: What is read besides, and must not be written over.

    Raises:
        AsrctlError: The directory cannot be made, or nothing can be written there.
        UsageError: Both places were named, one file for several inputs, or an input would be overwritten.
    """
    if output and output_dir:
        raise UsageError("--output and --output-dir exclude each other")
    if output and len(inputs) > 1:
        raise UsageError("--output takes one input; for several use --output-dir")
    paths: list[Path | None] = [output] * len(inputs)
    if output_dir:
        directories = [output_dir / folder for folder in folders] or [output_dir] * len(inputs)
        _make(output_dir)
        for directory in dict.fromkeys(directories):
            with contextlib.suppress(OSError):  # what has its place there fails when it is opened
                directory.mkdir(parents=True, exist_ok=True)
        paths = [*_unique(directories, inputs, extension)]
    read = [*inputs, *others]
    for path in paths:
        clash = path and next((name for name in read if name != STDIN and _same_file(Path(name), path)), "")
        if clash:
            raise UsageError(f"the transcript would overwrite the input {clash}; choose another --output")
    _refuse_places([path for path in paths if path])
    return paths


def _refuse_places(paths: Sequence[Path]) -> None:
    """Raise AsrctlError if no file at all can be written, before a model is fetched and loaded."""
    reasons = [_place_reason(path) for path in paths]
    if paths and all(reasons):
        raise AsrctlError(f"cannot write {paths[0]}: {reasons[0]}")


def _place_reason(path: Path) -> str:
    """Why no file can be made at a path, "" if it may be possible; pipes and devices need no place."""
    folder = path.parent
    try:
        if path.is_dir():
            return os.strerror(errno.EISDIR)
        if not folder.is_dir():
            return f"there is no directory {folder}"
        if not (os.access(folder, os.W_OK | os.X_OK) or (path.exists() and not path.is_file())):
            return f"nothing can be written in the directory {folder}"
    except OSError as error:
        return _reason(error)
    return ""


def _unique(directories: Sequence[Path], inputs: Sequence[str], extension: str) -> list[Path]:
    stems = [_fitting("stdin" if name == STDIN else Path(name).stem, extension) for name in inputs]
    wanted = [folder / f"{stem}.{extension}" for folder, stem in zip(directories, stems, strict=True)]
    order = sorted(range(len(inputs)), key=lambda index: (inputs[index], index))
    taken: dict[str, int] = {}  # by a path that is the same on disks that ignore case
    for index in order:
        taken.setdefault(_folded(wanted[index]), index)
    paths = [*wanted]
    for index in order:
        copy = 2
        while taken.setdefault(_folded(paths[index]), index) != index:
            paths[index] = directories[index] / f"{stems[index]}-{copy}.{extension}"
            copy += 1
    return paths


def _fitting(stem: str, extension: str) -> str:
    """As much of it as leaves room for a number, the extension, and the ending of a part."""
    room_bytes = _LONGEST_NAME_BYTES - len(f"-9999.{extension}{LONGEST_ENDING}")
    encoded = os.fsencode(stem)
    return stem if len(encoded) <= room_bytes else encoded[:room_bytes].decode(errors="ignore")


def _folded(path: Path) -> str:
    return str(path).casefold()


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AsrctlError(f"cannot make the directory {directory}: {_reason(error)}") from error


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.is_file() and other.is_file() and one.samefile(other)
    except OSError:
        return False


def _open(path: Path, mode: str) -> TextIO:
    return cast("TextIO", path.open(mode, encoding="utf-8", errors="replace", newline="\n"))


def _stdout() -> TextIO:
    """Standard output, made to take any text: UTF-8 unless a terminal says what it can show.

    Raises:
        OSError: It was closed before the program started (`>&-`).
    """
    if sys.stdout is None:
        raise OSError(errno.EBADF, "it is closed")
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure:
        reconfigure(encoding=None if sys.stdout.isatty() else "utf-8", errors="replace")
    return sys.stdout


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
