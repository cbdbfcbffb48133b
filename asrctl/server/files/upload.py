"""The body of a request, which carries a file: parsed as it comes, the file on disk, all else in memory."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from asrctl.protocol.openai.errors import RequestRefused, bad_request
from asrctl.server.files.exchange import Exchange
from asrctl.server.files.limits import FileLimits

logging.getLogger("python_multipart.multipart").setLevel(logging.CRITICAL)
"""It warns of each malformed form, and so would let strangers write to our log."""

_MAX_PARTS = 200
_MAX_FIELDS_BYTES = 256 * 1024
"""Of all fields together, and of the headers of all parts."""
MAX_REFERENCES_BYTES = 3 << 20
"""Of samples of voices, besides: four of 10 s each at 24 kHz, in base64. They are kept in memory."""
_REFERENCES = "known_speaker_references"
_MAX_BOUNDARY_BYTES = 256
_BLOCK_BYTES = 1 << 20
"""Written to the disk at once, in a thread."""
_LEAST_BYTES = 16 * 1024
"""An upload that does not bring so much in its time is as good as idle."""


@dataclass(slots=True)
class Upload:
    """A form: its fields in their order, and where the file is, None if none came."""

    fields: list[tuple[str, str]] = field(default_factory=list)
    path: Path | None = None
    size_bytes: int = 0

    @property
    def file(self) -> Path:
        """Where the file is.

        Raises:
            RequestRefused: None came, or it is empty.
        """
        if self.path is None:
            raise bad_request("the form has no file", "file", "missing_file")
        if not self.size_bytes:
            raise bad_request("the file is empty", "file", "invalid_file")
        return self.path


@contextlib.asynccontextmanager
async def received(exchange: Exchange, limits: FileLimits, name: str = "file") -> AsyncIterator[Upload]:
    """Read the whole body; the file is deleted at the end.

    Args:
        exchange: The request.
        limits: How long the body may be, and how slow.
        name: The part that is the file.

    Raises:
        RequestRefused: It is no form, too long, too slow, or there is no room for it.
        ClientGone: The client went away in the middle.
    """
    form = _Form(_boundary(exchange), name)
    async with _stored(exchange, form, limits) as path:
        yield Upload(form.fields, path if form.has_file else None, form.file_bytes)


@contextlib.asynccontextmanager
async def received_body(exchange: Exchange, limits: FileLimits) -> AsyncIterator[Upload]:
    """As `received`, where the whole body is the file."""
    body = _Body()
    async with _stored(exchange, body, limits) as path:
        yield Upload(path=path, size_bytes=body.file_bytes)


@contextlib.asynccontextmanager
async def _stored(exchange: Exchange, body: _Body, limits: FileLimits) -> AsyncIterator[Path]:
    _check_length(exchange, limits)
    with tempfile.TemporaryDirectory(prefix="asrctl-") as folder:
        path = Path(folder) / "upload"
        with path.open("wb") as file:
            try:
                await _read(exchange, body, file, limits)
            except OSError as error:
                raise _no_room(error) from error
        yield path


def _boundary(exchange: Exchange) -> bytes:
    kind, options = parse_options_header(exchange.headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 0 < len(boundary) <= _MAX_BOUNDARY_BYTES:
        raise bad_request(
            "send a form with the file: multipart/form-data, with a boundary", "file", "missing_file"
        )
    return boundary


def _check_length(exchange: Exchange, limits: FileLimits) -> None:
    """Refuse what cannot fit before it is read; of a body in chunks the length is not known."""
    text = exchange.headers.get("content-length", "0")
    length = int(text) if text.isdecimal() else 0
    if length > limits.upload_bytes:
        raise _too_long(limits)
    if shutil.disk_usage(tempfile.gettempdir()).free < length + limits.spare_disk_bytes:
        raise _no_room(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))


def _too_long(limits: FileLimits) -> RequestRefused:
    message = f"the request is longer than {limits.upload_bytes} bytes"
    return RequestRefused(413, "content_too_large", message, "file")


def _no_room(error: OSError) -> RequestRefused:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return RequestRefused(507, "insufficient_storage", "the server's disk is full")
    return RequestRefused(500, "internal", f"the file cannot be stored: {error.strerror}")


async def _read(exchange: Exchange, body: _Body, file: IO[bytes], limits: FileLimits) -> None:
    """Read the body to its end."""
    loop, total, mark = asyncio.get_running_loop(), 0, 0
    deadline_s = loop.time() + limits.upload_idle_s
    while True:
        try:
            async with asyncio.timeout_at(deadline_s):
                data = await exchange.body()
        except TimeoutError:
            message = f"next to nothing came for {limits.upload_idle_s:g} s"
            raise bad_request(message, "file", "upload_too_slow") from None
        if data is None:
            break
        total += len(data)
        if total > limits.upload_bytes:
            raise _too_long(limits)
        if total - mark >= _LEAST_BYTES:
            mark, deadline_s = total, loop.time() + limits.upload_idle_s
        body.write(data)
        if len(body.block) >= _BLOCK_BYTES:
            await asyncio.to_thread(file.write, body.taken())
    body.end()
    await asyncio.to_thread(file.write, body.taken())


class _Body:
    """A body that is the file."""

    def __init__(self) -> None:
        self.file_bytes = 0
        self.block = bytearray()

    def write(self, data: bytes) -> None:
        """Take more of the body."""
        self.file_bytes += len(data)
        self.block += data

    def end(self) -> None:
        """The body is complete."""

    def taken(self) -> bytes:
        """What of the file is not written yet."""
        block, self.block = bytes(self.block), bytearray()
        return block


class _Form(_Body):
    """Takes a form apart."""

    def __init__(self, boundary: bytes, file_name: str) -> None:
        super().__init__()
        self.fields: list[tuple[str, str]] = []
        self.has_file = False
        self._file_name = file_name
        self._headers: dict[bytes, bytes] = {}
        self._header = [b"", b""]
        self._name = ""
        self._in_file = self._skipped = self._ended = False
        self._value = bytearray()
        self._parts = self._kept_bytes = self._reference_bytes = 0
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": lambda data, start, end: self._add_header(0, data[start:end]),
                "on_header_value": lambda data, start, end: self._add_header(1, data[start:end]),
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_part_data": self._data,
                "on_part_end": self._end_part,
                "on_end": self._end,
            },
        )

    def write(self, data: bytes) -> None:
        """Take more of the body.

        Raises:
            RequestRefused: It is no form.
        """
        try:
            self._parser.write(data)
        except FormParserError:
            raise bad_request("the form is not well-formed", None, "invalid_form") from None

    def end(self) -> None:
        """The body is complete.

        Raises:
            RequestRefused: The form is not.
        """
        if not self._ended:
            raise bad_request("the form ends before its last boundary", None, "invalid_form")

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > _MAX_PARTS:
            raise bad_request(f"the form has more than {_MAX_PARTS} parts", None, "invalid_form")
        self._headers, self._value = {}, bytearray()

    def _add_header(self, which: int, data: bytes) -> None:
        self._keep(len(data))
        self._header[which] += data

    def _keep(self, length: int, *, reference: bool = False) -> None:
        self._reference_bytes += length if reference else 0
        self._kept_bytes += 0 if reference else length
        if self._kept_bytes > _MAX_FIELDS_BYTES:
            message = f"the form's fields are longer than {_MAX_FIELDS_BYTES} bytes"
            raise RequestRefused(413, "content_too_large", message)
        if self._reference_bytes > MAX_REFERENCES_BYTES:
            message = f"samples of voices are longer than {MAX_REFERENCES_BYTES} bytes"
            raise RequestRefused(413, "content_too_large", message, _REFERENCES)

    def _end_header(self) -> None:
        name, value = self._header
        self._headers[name.lower()] = value
        self._header = [b"", b""]

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if b"name" not in options:
            raise bad_request("a part of the form has no name", None, "invalid_form")
        self._name = options[b"name"].decode("utf-8", "replace")
        is_file = self._name == self._file_name
        self._in_file = is_file and not self.has_file
        self._skipped = not self._in_file and (is_file or b"filename" in options)
        self.has_file = self.has_file or is_file

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self.file_bytes += end - start
            self.block += data[start:end]
        elif not self._skipped:
            self._keep(end - start, reference=self._name.partition("[")[0] == _REFERENCES)
            self._value += data[start:end]

    def _end_part(self) -> None:
        if not self._in_file and not self._skipped:
            self.fields.append((self._name, self._value.decode("utf-8", "replace")))
        self._in_file = False

    def _end(self) -> None:
        self._ended = True
