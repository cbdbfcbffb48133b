"""Downloads of files of gigabytes from Hugging Face: what is there stays, and the next run fetches the rest.

Its client library goes on within a call alone, so that the part file, and what belongs to it, is kept here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from asrctl.errors import ModelError
from asrctl.models.download import bar_class, errors_mapped, quiet
from asrctl.models.files import SHA256, Progress, checksum_of, delete, need_room

_PARTS = ".parts"
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Published:
    """What the hub says of a file."""

    url: str
    sha256: str
    size_bytes: int


def published(repository: str, file_name: str) -> Published:
    """Ask the hub for a file's SHA-256 and length.

    Raises:
        ModelError: It cannot be reached, has no such file, or publishes no SHA-256 of it.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    with errors_mapped(repository, file_name), quiet():
        url = hf_hub_url(repository, file_name)
        found = get_hf_file_metadata(url)
    if found.etag is None or found.size is None or not _SHA256.fullmatch(found.etag):
        raise ModelError(f"{repository} publishes no SHA-256 of {file_name}: it is not fetched")
    return Published(url, found.etag, found.size)


def parts_of(path: Path) -> Path:
    """The directory with what was fetched so far of `path`; it may not exist."""
    return path.parent / _PARTS / path.name


@contextmanager
def fetched(
    repository: str, file_name: str, path: Path, progress: Progress | None
) -> Iterator[tuple[Path, str]]:
    """A file of the hub, whole and proved, until the block ends; then what is left of it is removed.

    Args:
        repository: Whose file it is.
        file_name: Its name there.
        path: Where it is to stay; its lock must be held. The block moves it there.
        progress: Told how far it is.

    Yields:
        Where the file is, and its SHA-256.

    Raises:
        ModelError: Anything that went wrong, with what to do; what was fetched stays for the next time,
            unless it is not what was published.
    """
    of = published(repository, file_name)
    directory = parts_of(path)
    directory.mkdir(parents=True, exist_ok=True)
    part = directory / of.sha256
    for older in set(directory.iterdir()) - {part}:  # of another version of the file
        delete(older)
    have_bytes = part.stat().st_size if part.exists() else 0
    need_room(path.parent, of.size_bytes - have_bytes)
    if have_bytes != of.size_bytes:
        _fetch(of, part, repository, file_name, progress)
    try:
        sha256 = checksum_of(part, progress, SHA256)
        if sha256 != of.sha256:
            raise ModelError(f"what was downloaded is not the published {file_name}: pull it again")
        yield part, sha256
    finally:
        delete(directory)


def _fetch(of: Published, part: Path, repository: str, file_name: str, progress: Progress | None) -> None:
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    with errors_mapped(repository, file_name), quiet(), part.open("ab") as file:
        if file.tell() > of.size_bytes:
            file.truncate(0)
        http_get(
            of.url,
            file,
            resume_size=file.tell(),
            headers=build_hf_headers(),
            expected_size=of.size_bytes,
            displayed_filename=file_name,
            tqdm_class=bar_class(progress),
        )
