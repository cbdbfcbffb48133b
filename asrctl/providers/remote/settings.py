"""Which server does the work of the provider `remote`, and how far it is trusted to do it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from asrctl.errors import UsageError
from asrctl.providers.plugin import number
from asrctl.providers.remote.address import Address, address_of

_WITHOUT_PROMPT = "gpt-realtime-whisper"


@dataclass(frozen=True, slots=True)
class RemoteSettings:
    """A server that recognises speech; times in seconds.

    Attributes:
        url: Where it is: ws://, wss://, http://, https:// or wyoming://; the path may be left out. Empty for
            none.
        dialect: "openai" (realtime transcription, also in its older form), "vllm" (its /v1/realtime),
            "transcriptions" (plain HTTP), "asrctl" (another of our kind), "deepgram" (its live dialect),
            "wyoming" (Home Assistant's), or "auto", which goes by the URL and the server's first event.
        model: The model's name there; empty for the server's own choice.
        api_key: Proves that we may use it; empty to look for one, see `key.find_key`.
        keywords: Words that the audio is likely to hold, for servers of OpenAI's kind.
        languages: Languages that may be spoken, for servers of OpenAI's kind.
        delay: How long OpenAI's live models wait for more audio; empty for their own choice.
        requests: HTTP requests at a time.
        wait_for_server_s: How long a server is waited for that has never answered; 0 to ask once.
        connect_timeout_s: For the connection with its handshake.
        first_event_timeout_s: From then until the server is ready for audio.
        completion_timeout_s: Longest silence of a server that owes text; for HTTP, longest request.
        keepalive_s: A ping is sent so often, and the link is lost if it is not answered for as long.
        outage_s: A server that gives no text for longer is given up, so that others can do the work.
        restart_s: A server that was reached before, and refuses connections now, is given up after that.
        pause_s: How long no stream is opened after the server was given up.
        buffer_s: Most audio of a stream that waits for its text; more means that the server is too slow.
        max_message_bytes: Longest message taken from the server.

    Raises:
        UsageError: A URL that is none, or a key that cannot be sent.
    """

    url: str = ""
    dialect: Literal["auto", "openai", "vllm", "transcriptions", "asrctl", "deepgram", "wyoming"] = "auto"
    model: str = ""
    api_key: str = field(default="", repr=False)
    keywords: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    delay: Literal["", "minimal", "low", "medium", "high", "xhigh"] = ""
    requests: int = number(2, 1, 64)
    wait_for_server_s: float = number(0.0, 0.0, 86_400.0)
    connect_timeout_s: float = number(10.0, 0.01, 600.0)
    first_event_timeout_s: float = number(10.0, 0.01, 600.0)
    completion_timeout_s: float = number(30.0, 0.01, 3600.0)
    keepalive_s: float = number(10.0, 0.01, 600.0)
    outage_s: float = number(30.0, 0.01, 86_400.0)
    restart_s: float = number(1.5, 0.0, 600.0)
    pause_s: float = number(10.0, 0.01, 3600.0)
    buffer_s: float = number(120.0, 1.0, 86_400.0)
    max_message_bytes: int = number(1 << 20, 1024, 1 << 26)

    def __post_init__(self) -> None:
        """Validate once, at the edge."""
        if self.url:
            address_of(self.url, self.dialect)
        if not self.api_key.isascii() or any(sign.isspace() for sign in self.api_key):
            raise UsageError("remote: api_key must be ASCII without spaces or line ends")

    @property
    def address(self) -> Address:
        """The URL as the dialect wants it."""
        return address_of(self.url, self.dialect, self.model)

    @property
    def takes_no_prompt(self) -> bool:
        """Whether the model is of OpenAI's that refuse a session with a prompt."""
        return self.model.startswith(_WITHOUT_PROMPT)

    @property
    def no_vocabulary(self) -> str:
        """Why the server cannot be told which words are likely; empty if it can."""
        dialect = self.address.dialect if self.url else ""
        if dialect == "vllm":
            return "vLLM's realtime sessions take none"
        return f"{self.model} takes no prompt" if dialect == "openai" and self.takes_no_prompt else ""

    @property
    def is_windowed(self) -> bool:
        """Whether the server takes whole windows by HTTP instead of a stream."""
        return bool(self.url) and self.address.dialect == "transcriptions"
