"""What hears a live source for the command line, on this machine or on a server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from asrctl.cli.result_writer import ResultWriter
from asrctl.events import Event
from asrctl.streaming.live import Transcriber
from asrctl.transcript import AudioAccount, Timing, Track


class LiveTranscriber(Transcriber, Protocol):
    """A transcriber that is at work, and what the command line wants to know of it."""

    @property
    def through_server(self) -> bool:
        """Whether a server has to answer for what is heard."""

    @property
    def account(self) -> AudioAccount:
        """Where the samples went that are answered for, or looked at."""

    @property
    def tracks(self) -> tuple[Track, ...]:
        """The account of each track; empty where there is one only, which has no speaker."""

    @property
    def pending_samples(self) -> int:
        """Samples fed that nothing was said of yet; of one track."""

    def __aiter__(self) -> AsyncIterator[Event]:
        """What is heard; raises what makes it impossible to go on."""

    def waiting(self) -> list[Event]:
        """Events that were not iterated over."""

    @property
    def awaited(self) -> str:
        """What has to come before anything is transcribed, and may never; empty where there is nothing."""

    def note(self) -> str:
        """What is going on besides, for the view; may be empty."""

    def names(self, providers: list[str]) -> tuple[str, str, str]:
        """Model, provider and language, of those whose words they are."""

    def timing(self, wall_s: float) -> Timing:
        """Where the time went."""

    def conclude(self, results: ResultWriter, heard_samples: int, interrupts: int, complete: bool) -> None:
        """Say what a user should know at the end, of a source that was read to its end or not."""

    async def close(self) -> None:
        """Stop at once."""
