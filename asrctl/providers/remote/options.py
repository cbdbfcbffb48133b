"""Which server does the work of the provider `remote`, and how far it is trusted to do it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from asrctl.errors import UsageError
from asrctl.policy.backoff import BackoffOptions
from asrctl.policy.breaker import BreakerOptions
from asrctl.providers.remote.address import Address, address_of


@dataclass(frozen=True, slots=True)
class RemoteOptions:
    """A server that recognises speech; times in seconds.

    Attributes:
        url: Where it is: ws://, wss://, http:// or https://; the path may be left out.
        dialect: "openai" (realtime transcription), "vllm" (its /v1/realtime), "transcriptions" (plain HTTP),
            "asrctl" (another of our kind), or "auto", which goes by the URL and the server's first event.
        model: The model's name at the server; empty for the server's own choice.
        api_key: Proves that we may use it; never shown. Empty to look for one, see `key.find_key`.
        connect_timeout_s: For the connection with its handshake.
        first_event_timeout_s: From then until the server is ready for audio.
        completion_timeout_s: Longest silence of a server that owes text; for HTTP, longest request.
        keepalive_s: A ping is sent so often, and the link is lost if it is not answered for as long.
        outage_s: A link that is away for longer is given up, so that others can do the work.
        buffer_s: Most audio that waits for its text; more means that the server does not keep up.
        max_message_bytes: Longest message taken from the server.
        backoff: Attempts to connect, and the waits between them: short, since somebody waits for the text.
        breaker: When the server is left alone for longer; `open_s` also says for how long no stream is begun
            after one was lost.

    Raises:
        UsageError: A value that makes no sense.
    """

    url: str
    dialect: str = "auto"
    model: str = ""
    api_key: str = field(default="", repr=False)
    connect_timeout_s: float = 10.0
    first_event_timeout_s: float = 10.0
    completion_timeout_s: float = 30.0
    keepalive_s: float = 10.0
    outage_s: float = 30.0
    buffer_s: float = 120.0
    max_message_bytes: int = 1 << 20
    backoff: BackoffOptions = field(default_factory=lambda: BackoffOptions(first_s=0.25, max_s=5.0))
    breaker: BreakerOptions = field(default_factory=lambda: BreakerOptions(failures=10))

    def __post_init__(self) -> None:
        """Validate once, at the edge."""
        address_of(self.url, self.dialect)
        for name in (
            "connect_timeout_s",
            "first_event_timeout_s",
            "completion_timeout_s",
            "keepalive_s",
            "outage_s",
            "buffer_s",
            "max_message_bytes",
        ):
            if not 0 < getattr(self, name) < math.inf:
                raise UsageError(f"remote: {name} must be a positive number")
        if not self.api_key.isascii() or any(sign.isspace() for sign in self.api_key):
            raise UsageError("remote: api_key must be ASCII without spaces or line ends")

    @property
    def address(self) -> Address:
        """The URL as the dialect wants it."""
        return address_of(self.url, self.dialect)

    @property
    def is_windowed(self) -> bool:
        """Whether the server takes whole windows by HTTP instead of a stream."""
        return self.address.dialect == "transcriptions"
