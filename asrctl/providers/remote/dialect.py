"""What the realtime dialects have in common: state machines for one socket, without the socket.

Utterances are counted from 0 on each socket, by the order in which their audio is sent. Methods return
what is to be sent, and the news; what breaks the dialect, or an error that the server reports, is raised
as a `LinkFailure`, which says whether another try would help.
"""

from __future__ import annotations

import base64
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from asrctl.network.failures import LinkFailure

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Send:
    """An answer for the server."""

    message: str | bytes


@dataclass(frozen=True, slots=True)
class Ready:
    """The server will take audio."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Text that continues what an utterance said so far."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Said:
    """All that an utterance said."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The server could not make text of an utterance."""

    number: int
    reason: str


News = Send | Ready | Piece | Said | Refused


Message = str | bytes
"""What is sent in one go: a frame of a WebSocket, or bytes where the transport has no frames."""


class Dialect(ABC):
    """One socket's conversation; audio is PCM at 16 kHz, in whole samples."""

    keep_alive: Message | None = None
    """What is sent now and then while there is nothing else to say; None where sockets may be silent."""

    def opened(self) -> list[News]:
        """The socket is there; most servers speak first."""
        return []

    @property
    @abstractmethod
    def takes_audio(self) -> bool:
        """Whether audio may be sent now; asked again after each event."""

    @abstractmethod
    def audio(self, pcm: bytes) -> list[Message]:
        """The next piece of the current utterance; not empty."""

    @abstractmethod
    def end(self) -> list[Message]:
        """The current utterance, of which something was sent, has ended."""

    @abstractmethod
    def receive(self, event: Event) -> list[News]:
        """Take what the server sent; events that are not needed give nothing.

        Raises:
            LinkFailure: The server does not keep to the dialect, or reported an error.
        """


def decode(message: str | bytes) -> Event:
    """A message's JSON.

    Raises:
        LinkFailure: It is not an object with a type.
    """
    try:
        event = json.loads(message) if isinstance(message, str) else None
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        raise LinkFailure("the server sent a message that is not an event")
    return event


def encode(kind: str, **fields: object) -> str:
    """An event for the server."""
    return json.dumps({"type": kind, **fields}, separators=(",", ":"))


def encode_audio(pcm: bytes) -> str:
    """An event that carries audio."""
    return encode("input_audio_buffer.append", audio=base64.b64encode(pcm).decode("ascii"))


def text_in(event: Event, name: str, otherwise: str | None = None) -> str:
    """A field that must be text, unless it may be missing.

    Raises:
        LinkFailure: It is not.
    """
    value = event.get(name, otherwise)
    if not isinstance(value, str):
        raise LinkFailure(f"the server's {event['type']} has no text {name!r}")
    return value


def mapping(value: object) -> Mapping[str, Any]:
    """A JSON object; an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}
