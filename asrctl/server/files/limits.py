"""How many files at a time, and how large."""

from __future__ import annotations

from dataclasses import dataclass

from asrctl.errors import UsageError

MAX_DIARIZED_S = 14_400.0
"""Longest recording whose speakers are told apart: memory for who spoke when grows with its length."""


@dataclass(frozen=True, slots=True)
class FileLimits:
    """What files may take of a server.

    Attributes:
        at_work: Files that are transcribed at a time.
        waiting: Files that are uploaded, or wait for their turn, besides.
        upload_bytes: Longest body of a request.
        upload_idle_s: An upload that brings next to nothing for so long is cut.
        spare_disk_bytes: So much of the disk for temporary files is left free.

    Raises:
        UsageError: A value makes no sense.
    """

    at_work: int = 2
    waiting: int = 8
    upload_bytes: int = 1 << 30
    upload_idle_s: float = 12.0
    spare_disk_bytes: int = 256 << 20

    def __post_init__(self) -> None:
        """Validate once, at the edge."""
        if self.at_work < 1 or self.waiting < 0:
            raise UsageError("files: at_work must be at least 1, waiting at least 0")
        if self.upload_bytes < 1 or self.upload_idle_s <= 0 or self.spare_disk_bytes < 0:
            raise UsageError("files: upload_bytes and upload_idle_s must be positive")
