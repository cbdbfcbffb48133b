"""Live sessions on a server: each is a client of its own, as `asrctl transcribe --server` has it.

The server's cost is known where it runs on this machine and the system says which process listens.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from asrctl.bench.backends import Played, Remembered, TellShare
from asrctl.bench.cost import Cost
from asrctl.bench.paced import Heard, Talk, Unpaced, pieces
from asrctl.client import Client, ClientOptions
from asrctl.client.link import stream_url
from asrctl.errors import ServerError
from asrctl.events import Finished
from asrctl.network.hosts import is_loopback
from asrctl.policy.endpointing import EndpointerOptions
from asrctl.protocol import messages
from asrctl.remote_events import event_of, words_of
from asrctl.transcript import SAMPLE_RATE_HZ, join_text

_HEAD_START_S = 0.1
_UNSENT_SAMPLES = 10 * SAMPLE_RATE_HZ
_DRAIN_S = 120.0
"""After the last sample, a server may take so long to say the rest."""


@dataclass(slots=True)
class _Session:
    """One client, and what it heard."""

    client: Client
    heard: Heard = field(default_factory=Heard)
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the server is ready for it, or will not have it."""

    async def listen(self) -> None:
        """Take events until there are no more."""
        try:
            async for event in self.client:
                if self.client.ready is not None:
                    self.settled.set()
                if (known := event_of(event)) is not None:
                    self.heard(known)
            self.heard(Finished(self.client.account))
        except ServerError as error:
            self.heard.failure = str(error)
        finally:
            self.settled.set()


class RemoteBackend:
    """On a server that runs already."""

    def __init__(self, url: str, options: ClientOptions, endpointing: EndpointerOptions) -> None:
        """Prepare; nothing is sent.

        Args:
            url: The server's address.
            options: What to ask of it; a session that is refused is not tried again.
            endpointing: How it is believed to find ends of speech.

        Raises:
            UsageError: The address is none.
        """
        self._url = stream_url(url)
        once = replace(options.backoff, max_attempts=1)
        self._options = replace(options, backoff=once, wait_for_server_s=0.0)
        self.endpointing = endpointing
        self._unpaced = Remembered()
        self._known: dict[str, Any] = {}

    @property
    def name(self) -> str:
        """The server's address."""
        return self._url

    @property
    def description(self) -> dict[str, Any]:
        """What the server says it runs."""
        return {"server": self._url, **self._known}

    def play(self, talks: Sequence[Talk], tell: TellShare) -> Played:
        """Play all talks at once; those that the server refuses are counted.

        Raises:
            ServerError: It would not even have one talk for itself.
        """
        unpaced = [self._unpaced.get(talk, lambda each: asyncio.run(self._hear_all(each))) for talk in talks]
        server = processes_of(self._url)
        with Cost(server) as cost:
            sessions = asyncio.run(self._play(talks, tell))
        audio_s = sum(len(talk.samples) for talk in talks) / SAMPLE_RATE_HZ
        refused = sum(bool(session.heard.failure) for session in sessions)
        figures = {
            "client_cpu_per_audio_s": cost.parent_s / audio_s,
            "refused": float(refused),
            "busy_share": cost.busy_share,
        }
        if server:
            figures |= {"cpu_per_audio_s": cost.workers_s / audio_s, "peak_rss_mb": cost.peak_workers_rss_mb}
        return Played([session.heard for session in sessions], unpaced, figures)

    async def _hear_all(self, talk: Talk) -> Unpaced:
        """A talk as fast as the server takes it."""
        finals: list[messages.Final] = []
        async with Client(self._url, replace(self._options, partials=False, words=True)) as client:
            feeding = asyncio.create_task(_feed_all(client, talk))
            async for event in client:
                if isinstance(event, messages.Final):
                    finals.append(event)
            await feeding
            if client.ready is not None:
                self._known = {"model": client.ready.model, "provider": client.ready.provider}
        words = [word for final in finals for word in words_of(final)]
        return Unpaced(join_text(final.text for final in finals), words)

    async def _play(self, talks: Sequence[Talk], tell: TellShare) -> list[_Session]:
        async with AsyncExitStack() as stack:
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="asrctl-"))
            options = replace(self._options, salvage_dir=Path(directory))  # this audio need not be kept
            clients = [Client(self._url, options) for _ in talks]
            sessions = [_Session(await stack.enter_async_context(client)) for client in clients]
            listening = [asyncio.create_task(session.listen()) for session in sessions]
            try:
                await asyncio.gather(*(session.settled.wait() for session in sessions))
                await _pace(talks, sessions, tell)
                await asyncio.wait(listening, timeout=_DRAIN_S)  # who has not finished then, never did
            finally:
                for task in listening:
                    task.cancel()
                await asyncio.gather(*listening, return_exceptions=True)
        return sessions


async def _pace(talks: Sequence[Talk], sessions: Sequence[_Session], tell: TellShare) -> None:
    """Feed each session as a microphone would."""
    started_s = time.monotonic() + _HEAD_START_S
    for session, talk in zip(sessions, talks, strict=True):
        session.heard.started_s = started_s + talk.offset_s
    for piece in pieces(talks):
        await asyncio.sleep(max(0.0, started_s + piece.due_s - time.monotonic()))
        for index, chunk, last in piece.chunks:
            if not sessions[index].heard.failure:
                sessions[index].client.feed(chunk)
                if last:
                    sessions[index].client.finish()
        tell(piece.share)


async def _feed_all(client: Client, talk: Talk) -> None:
    for at in range(0, len(talk.samples), SAMPLE_RATE_HZ):
        await client.wait_unsent_below(_UNSENT_SAMPLES)
        client.feed(talk.samples[at : at + SAMPLE_RATE_HZ])
    client.finish()


def processes_of(url: str) -> list[int]:
    """The processes of a server on this machine: who listens there, and its children; empty if unknown."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    if not is_loopback(parts.hostname or ""):
        return []
    with suppress(psutil.Error):
        for each in psutil.net_connections("tcp"):
            if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port and each.pid:
                process = psutil.Process(each.pid)
                return [each.pid, *(child.pid for child in process.children(recursive=True))]
    return []
