"""What a server may be told: addresses, limits, times."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from asrctl.errors import UsageError
from asrctl.policy.admission import AdmissionOptions
from asrctl.policy.ladder import LadderOptions
from asrctl.protocol.messages import Limits
from asrctl.providers.base import ModelSpec
from asrctl.providers.recognizer import Recognizer
from asrctl.server.files.limits import FileLimits
from asrctl.streaming.stream import StreamOptions
from asrctl.workers.options import PoolOptions

_SHORTEST_S = 0.5
"""Utterances are no shorter, with the pause that ends them; those that a client cuts by `flush` may be."""
_MARGIN_S = 30.0
"""What the endpointer and a piece of caught-up audio may add to what a session holds."""
_DEADLINE_FACTOR = 2.0
"""A decode may take `watchdog_s` and so many times its audio: beyond, a server could not keep up anyway."""
_NODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_AN_ORIGIN = "origins such as https://example.org"
_USUAL_PORTS = {"http": 80, "https": 443}
"""Browsers leave them out."""
_STRANGERS = 64
"""Connections beside those of all sessions: sockets that resume, pages, and whoever comes to be refused."""


@dataclass(frozen=True, slots=True)
class NamedModel:
    """A model as clients know it, and what a worker loads."""

    name: str
    spec: ModelSpec
    multilingual: bool = False


@dataclass(frozen=True, slots=True)
class Models:
    """What decodes: normally `main`, under load `small`, and when `main` cannot, `fallback`."""

    main: NamedModel
    small: NamedModel | None = None
    fallback: NamedModel | None = None


@dataclass(frozen=True, slots=True)
class Streaming:
    """A streaming provider that has the sessions' utterances; the models stand in for it.

    Attributes:
        model: As clients know it.
        start: Starts it, in the server's event loop; must not block.
    """

    model: NamedModel
    start: Callable[[], Recognizer]


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """How a server behaves. Times in seconds.

    What is a setting of the section `serve`, too, is described by `asrctl.settings.values.ServeSettings`.

    Attributes:
        models: What decodes.
        pool: How workers are kept.
        stream: How each session is cut and decoded.
        streaming: What comes before the models; None for nothing.
        certificate: PEM file of the chain, for TLS; None for none.
        private_key: PEM file of its key; None if that is in `certificate`.
        limits: What one connection may do.
        files: What uploaded files may take.
        speakers_dir: Where the weights that tell speakers apart are, or will be; None where none can be had.
        admission: How many sessions.
        tries_pace: Try how fast speech is decoded here, and let fewer sessions in where that is too slow for
            so many. For who has set no number: theirs holds until sessions show what they cost.
        ladder: When less work is done.
        turns_from: The store whose weights hear the ends of turns; None where they are not heard.
    """

    models: Models
    pool: PoolOptions = field(default_factory=PoolOptions)
    stream: StreamOptions = field(default_factory=StreamOptions)
    streaming: Streaming | None = None
    host: str = "127.0.0.1"
    port: int = 8765
    node: str = ""
    wyoming_port: int | None = None
    zeroconf: bool = False
    page: bool = True
    api_key: str = ""
    allow_origins: frozenset[str] = frozenset()
    certificate: Path | None = None
    private_key: Path | None = None
    limits: Limits = field(default_factory=Limits)
    window_s: float = 30.0
    hold_s: float = 60.0
    spool_s: float = 600.0
    max_lag_s: float = 10.0
    max_connections: int = 256
    max_connections_per_peer: int = 128
    resume_ttl_s: float = 60.0
    drain_s: float = 0.0
    grace_s: float = 10.0
    watchdog_s: float = 30.0
    retry_s: float = 60.0
    files: FileLimits = field(default_factory=FileLimits)
    speakers_dir: Path | None = None
    admission: AdmissionOptions = field(default_factory=AdmissionOptions)
    tries_pace: bool = False
    ladder: LadderOptions = field(default_factory=LadderOptions)
    turns_from: Path | None = None

    @property
    def shown(self) -> NamedModel:
        """The model that clients are told of, while all is well."""
        return self.streaming.model if self.streaming else self.models.main

    @property
    def session_finals(self) -> int:
        """Finals of one session that may wait: all that its audio can hold, with pauses between them."""
        return max(1, round((self.window_s + self.hold_s) / _SHORTEST_S))

    @property
    def awaits_pace(self) -> bool:
        """Whether the pace of the main model decides how many are let in. A smaller model for when there is
        much to do, and streaming providers, have a pace of their own."""
        return self.tries_pace and self.models.small is None and self.streaming is None

    @property
    def width(self) -> int:
        """How many windows are decoded at a time."""
        return self.pool.workers * self.models.main.spec.parallel

    @property
    def served_pool(self) -> PoolOptions:
        """The pool with the server's deadlines and room for the finals and a partial of each session."""
        room = self.admission.max_sessions * (self.session_finals + 1)
        return replace(
            self.pool,
            queue_limit=max(self.pool.queue_limit, room),
            job_deadline_s=self.watchdog_s,
            deadline_factor=_DEADLINE_FACTOR,
            retry_s=min(self.pool.retry_s, self.retry_s),
        )

    @property
    def connections(self) -> int:
        """How many connections there may be at once."""
        return max(self.max_connections, self.admission.max_sessions + _STRANGERS)

    @property
    def connections_per_peer(self) -> int:
        """The same for one address."""
        return self.max_connections_per_peer or self.connections

    @property
    def roomy_stream(self) -> StreamOptions:
        """The streams, which hold all that a session may: what is too much is not acknowledged, what is too
        late is given up by the session."""
        most_s = self.window_s + self.hold_s + _MARGIN_S
        return replace(self.stream, max_backlog_s=max(self.stream.max_backlog_s, most_s))


def check_node(name: str) -> None:
    """Refuse a node's name that could not stand in addresses, labels and a line of the log as it is.

    Raises:
        UsageError: It has other characters than names of hosts, or is too long.
    """
    if name and not _NODE.fullmatch(name):
        raise UsageError(f"invalid node name {name!r}: use up to 63 letters, digits, '.', '_' and '-'")


def checked_origins(origins: Iterable[str]) -> frozenset[str]:
    """Origins as browsers send them, and nothing that can never be one.

    Raises:
        UsageError: One would match no page.
    """
    for origin in origins:
        if origin != "null" and origin != (sent := _sent_for(origin)):
            raise UsageError(f"--allow-origin {origin} would let no page in: browsers send {sent}")
    return frozenset(origins)


def _sent_for(origin: str) -> str:
    """What a browser sends for a page of an origin that was written in another way, or such as it sends."""
    written = origin if "://" in origin else f"https://{origin}"
    try:
        parts = urlsplit(written)
        name = (parts.hostname or "").encode("ascii" if ":" in (parts.hostname or "") else "idna").decode()
        port = parts.port
    except ValueError:  # among them what cannot be a name
        name, port = "", None
    if not name or "*" in name:
        return _AN_ORIGIN
    host = f"[{name}]" if ":" in name else name
    ending = "" if port in (None, _USUAL_PORTS.get(parts.scheme)) else f":{port}"
    return f"{parts.scheme}://{host}{ending}".lower()


def check_exposure(host: str, api_key: str, insecure: bool, *, wyoming: bool = False) -> None:
    """Refuse to listen where others can reach without a key.

    Raises:
        UsageError: The address is not this machine's own, and there is neither a key nor `insecure`; or
            there is a key, and a port where none can be asked for.
    """
    if insecure or is_loopback(host) or (api_key and not wyoming):
        return
    if api_key:
        raise UsageError(
            f"Wyoming knows no API key: anybody who reaches {host} could use its port; "
            "give --insecure if that is meant"
        )
    raise UsageError(
        f"anybody who reaches {host} could use this server: give --api-key, or --insecure if that is meant"
    )


def is_loopback(host: str) -> bool:
    """Whether an address or name can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
