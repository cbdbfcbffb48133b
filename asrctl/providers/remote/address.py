"""A server's URL, completed for the dialect that is spoken there."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qs, urlencode, urlsplit

from asrctl.errors import UsageError

DIALECTS = ("auto", "openai", "vllm", "transcriptions", "asrctl")
_SOCKET_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
_HTTP_SCHEMES = {"ws": "http", "wss": "https", "http": "http", "https": "https"}
_STREAM_PATH = "/v1/stream"
_NO_MODEL_IN_URL = "api.openai.com"
"""There the model in the URL is that of a conversation; other servers want that of the transcription."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where to connect.

    Attributes:
        dialect: One of `DIALECTS`; "auto" only where the server's first event will tell.
        url: Complete; may hold secrets in its query.
        place: Scheme, host and port alone, for people.
    """

    dialect: str
    url: str
    place: str

    @property
    def host(self) -> str:
        """The server's name."""
        return urlsplit(self.url).hostname or ""


def address_of(url: str, dialect: str, model: str = "") -> Address:
    """Complete a URL: what its scheme, path and query leave open follows from the dialect, and vice versa.

    Args:
        url: As it was set.
        dialect: One of `DIALECTS`.
        model: Asked for; some servers of OpenAI's kind want it in the URL.

    Raises:
        UsageError: No such dialect, or a URL that cannot be one of a server; no part of it is shown, since
            it may hold a key.
    """
    if dialect not in DIALECTS:
        raise UsageError(f"remote: no dialect called {dialect!r}; there are: {', '.join(DIALECTS)}")
    parts = _split(url)
    if dialect == "auto":
        dialect = _by_url(parts)
    parts = _completed(parts, dialect, model)
    return Address(dialect, parts.geturl(), f"{parts.scheme}://{parts.netloc}")


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url.strip())
        usable = parts.scheme in _HTTP_SCHEMES and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise UsageError("remote: url must be like wss://host/v1/realtime or https://host/v1")
    if parts.username is not None:
        raise UsageError("remote: url must hold no user name or password; a key belongs into api_key")
    return parts._replace(fragment="")


def _by_url(parts: SplitResult) -> str:
    if parts.scheme in ("http", "https"):
        return "transcriptions"
    return "asrctl" if parts.path == _STREAM_PATH else "auto"


def _completed(parts: SplitResult, dialect: str, model: str) -> SplitResult:
    if dialect == "transcriptions":
        return _with_path(parts._replace(scheme=_HTTP_SCHEMES[parts.scheme]), "/audio/transcriptions")
    parts = parts._replace(scheme=_SOCKET_SCHEMES[parts.scheme])
    if dialect == "asrctl":
        return parts._replace(path=_STREAM_PATH) if parts.path in ("", "/") else parts
    parts = _with_path(parts, "/realtime")
    if dialect == "vllm":
        return parts
    wanted = {"intent": "transcription"}
    if model and parts.hostname != _NO_MODEL_IN_URL:
        wanted["model"] = model
    given = parse_qs(parts.query, keep_blank_values=True)
    missing = urlencode({name: value for name, value in wanted.items() if name not in given})
    return parts._replace(query="&".join(filter(None, (parts.query, missing))))


def _with_path(parts: SplitResult, ending: str) -> SplitResult:
    """The API's path after the host alone, or after a base such as /v1; any other is taken as it is."""
    path = parts.path.rstrip("/")
    if not path:
        return parts._replace(path=f"/v1{ending}")
    return parts._replace(path=path + ending) if path.endswith("/v1") else parts
