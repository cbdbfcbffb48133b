"""What a server may be told: addresses, limits, times."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from asrctl.engine.slot import PoolOptions
from asrctl.engine.stream import StreamOptions
from asrctl.errors import UsageError
from asrctl.policy.admission import AdmissionOptions
from asrctl.policy.ladder import LadderOptions
from asrctl.protocol import Limits
from asrctl.providers.base import ModelSpec, StreamingModel

_SHORTEST_S = 0.5
"""Utterances are no shorter, with the pause that ends them; those that a client cuts by `flush` may be."""
_MARGIN_S = 30.0
"""What the endpointer and a piece of caught-up audio may add to what a session holds."""


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
        start: Starts it; must not block.
    """

    model: NamedModel
    start: Callable[[], StreamingModel]


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """How a server behaves. Times in seconds.

    Attributes:
        models: What decodes.
        pool: How workers are kept.
        stream: How each session is cut and decoded.
        streaming: What comes before the models; None for nothing.
        host: Address to listen on.
        port: TCP port; 0 takes a free one.
        api_key: What clients must know; empty for nothing.
        allow_origins: Web origins that may connect besides those of this machine.
        certificate: PEM file of the chain, for TLS; None for none.
        private_key: PEM file of its key; None if that is in `certificate`.
        limits: What one connection may do.
        window_s: Audio that a client may send beyond the last ack.
        hold_s: Audio of one session that is held in memory; acks stop there.
        spool_s: The same for `system` audio that is held back on disk under load.
        resume_ttl_s: How long a session lives without a socket.
        grace_s: How long a shutdown waits for finals.
        watchdog_s: Workers that finish nothing for so long, with work waiting, are restarted.
        retry_s: When a model that failed is tried again for the first time.
        admission: How many sessions.
        ladder: When less work is done.
    """

    models: Models
    pool: PoolOptions = field(default_factory=PoolOptions)
    stream: StreamOptions = field(default_factory=StreamOptions)
    streaming: Streaming | None = None
    host: str = "127.0.0.1"
    port: int = 8765
    api_key: str = ""
    allow_origins: frozenset[str] = frozenset()
    certificate: Path | None = None
    private_key: Path | None = None
    limits: Limits = field(default_factory=Limits)
    window_s: float = 30.0
    hold_s: float = 60.0
    spool_s: float = 600.0
    resume_ttl_s: float = 60.0
    grace_s: float = 10.0
    watchdog_s: float = 30.0
    retry_s: float = 60.0
    admission: AdmissionOptions = field(default_factory=AdmissionOptions)
    ladder: LadderOptions = field(default_factory=LadderOptions)

    @property
    def shown(self) -> NamedModel:
        """The model that clients are told of, while all is well."""
        return self.streaming.model if self.streaming else self.models.main

    @property
    def session_finals(self) -> int:
        """Finals of one session that may wait: all that its audio can hold, with pauses between them."""
        return max(1, round((self.window_s + self.hold_s) / _SHORTEST_S))

    @property
    def roomy_pool(self) -> PoolOptions:
        """The pool, with room for the finals and a partial of each session: they are never refused."""
        room = self.admission.max_sessions * (self.session_finals + 1)
        return replace(self.pool, queue_limit=max(self.pool.queue_limit, room))

    @property
    def roomy_stream(self) -> StreamOptions:
        """The streams, which hold all that a session may: acks fall behind before anything is shed."""
        most_s = self.window_s + self.hold_s + _MARGIN_S
        return replace(self.stream, max_backlog_s=max(self.stream.max_backlog_s, most_s))


def check_exposure(host: str, api_key: str, insecure: bool) -> None:
    """Refuse to listen where others can reach without a key.

    Raises:
        UsageError: The address is not this machine's own, and there is neither a key nor `insecure`.
    """
    if api_key or insecure or is_loopback(host):
        return
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
