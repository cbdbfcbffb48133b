"""A server's URL, completed for the dialect that is spoken there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qs, urlencode, urlsplit

from asrctl.errors import UsageError

DIALECTS = ("auto", "openai", "vllm", "transcriptions", "asrctl", "deepgram", "wyoming")
_SOCKET_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
_HTTP_SCHEMES = {"ws": "http", "wss": "https", "http": "http", "https": "https"}
_WYOMING_SCHEMES = ("wyoming", "tcp")
_WYOMING_PORT = 10_300
"""Where its speech-to-text services usually listen."""
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
    def is_whisper_cpp(self) -> bool:
        """Whether it is where whisper.cpp's own server takes files."""
        return urlsplit(self.url).path.endswith("/inference")

    @property
    def is_webservice(self) -> bool:
        """Whether it is where whisper-asr-webservice takes files."""
        return urlsplit(self.url).path.rstrip("/").endswith("/asr")

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
    is_wyoming = parts.scheme in _WYOMING_SCHEMES
    if is_wyoming != (dialect == "wyoming"):
        raise UsageError(f"remote: a url of {parts.scheme}:// does not go with the dialect {dialect}")
    parts = _wyoming(parts) if is_wyoming else _completed(parts, dialect, model)
    return Address(dialect, parts.geturl(), f"{parts.scheme}://{parts.netloc}")


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url.strip())
        known = parts.scheme in (*_HTTP_SCHEMES, *_WYOMING_SCHEMES)
        usable = known and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(
            "remote: url must be like wss://host/v1/realtime, https://host/v1 or wyoming://host:10300"
        )
    if parts.username is not None:
        raise UsageError("remote: url must hold no user name or password; a key belongs into api_key")
    return parts._replace(fragment="")


def _by_url(parts: SplitResult) -> str:
    if parts.scheme in _WYOMING_SCHEMES:
        return "wyoming"
    if parts.path.rstrip("/").endswith("/listen"):
        return "deepgram"
    if parts.scheme in ("http", "https"):
        return "auto" if parts.path.rstrip("/").endswith("/realtime") else "transcriptions"
    return "asrctl" if parts.path == _STREAM_PATH else "auto"


def _wyoming(parts: SplitResult) -> SplitResult:
    """Host and port, which is all there is to it."""
    if parts.path not in ("", "/") or parts.query:
        raise UsageError("remote: a url of wyoming:// has a host and a port, and no path")
    netloc = parts.netloc if parts.port else f"{parts.netloc.rstrip(':')}:{_WYOMING_PORT}"
    return parts._replace(netloc=netloc, path="")


def _completed(parts: SplitResult, dialect: str, model: str) -> SplitResult:
    if dialect == "transcriptions":
        return _with_path(parts._replace(scheme=_HTTP_SCHEMES[parts.scheme]), "/audio/transcriptions")
    parts = parts._replace(scheme=_SOCKET_SCHEMES[parts.scheme])
    if dialect == "asrctl":
        return parts._replace(path=_STREAM_PATH) if parts.path in ("", "/") else parts
    if dialect == "deepgram":
        return _with_path(parts, "/listen")
    parts = _with_path(parts, "/realtime")
    if dialect == "vllm":
        return parts
    wanted = [("intent", "transcription")]
    if model and parts.hostname != _NO_MODEL_IN_URL:
        wanted.append(("model", model))
    return parts._replace(query=_extended(parts.query, wanted))


def with_query(url: str, wanted: Sequence[tuple[str, str]]) -> str:
    """A URL that says this too, unless it speaks of the same already."""
    parts = urlsplit(url)
    return parts._replace(query=_extended(parts.query, wanted)).geturl()


def _extended(query: str, wanted: Sequence[tuple[str, str]]) -> str:
    given = parse_qs(query, keep_blank_values=True)
    missing = urlencode([(name, value) for name, value in wanted if name not in given])
    return "&".join(filter(None, (query, missing)))


def _with_path(parts: SplitResult, ending: str) -> SplitResult:
    """The API's path after the host alone, or after a base such as /v1; any other is taken as it is."""
    path = parts.path.rstrip("/")
    if not path:
        return parts._replace(path=f"/v1{ending}")
    return parts._replace(path=path + ending) if path.endswith("/v1") else parts
