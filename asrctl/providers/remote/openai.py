"""OpenAI's realtime transcription dialect, as it is since its general availability.

    session.created ──session.update──► session.updated ──► append*, commit, append*, commit …

Endpointing is ours: `turn_detection` is null, and each utterance is committed. Transcriptions of several
items may run at once, and their events interleave; they are told apart by `item_id`. Items are numbered by
their first appearance: the server works through commits in their order, and a model that speaks before the
commit speaks of the audio behind all commits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asrctl.network.failures import LinkFailure
from asrctl.providers.base import DecodeOptions
from asrctl.providers.remote.dialect import (
    Event,
    News,
    Piece,
    Ready,
    Refused,
    Said,
    Send,
    encode,
    encode_audio,
    text_in,
)
from asrctl.providers.remote.pcm import SAMPLE_BYTES, Resampler
from asrctl.transcript import SAMPLE_RATE_HZ

DEFAULT_RATE_HZ = 24_000
"""The only rate of `audio/pcm` that the dialect's inventor takes."""
MIN_COMMIT_S = 0.1
"""Shorter buffers are refused with `input_audio_buffer_commit_empty`; silence fills them up."""
_MAX_RATE_HZ = 96_000
_TRANSCRIPTION = "conversation.item.input_audio_transcription."
_PERMANENT_TYPES = frozenset(
    {"invalid_request_error", "authentication_error", "permission_error", "not_found_error"}
)
_PERMANENT_CODES = frozenset({"insufficient_quota", "invalid_api_key", "model_not_found"})
_PASSING_CODES = frozenset({"session_expired", "rate_limit_exceeded"})


class OpenAiDialect:
    """One socket; see the module's docstring and `dialect.Dialect`."""

    def __init__(self, model: str, options: DecodeOptions) -> None:
        """A socket of which nothing was heard yet."""
        self._transcription = _transcription(model, options)
        self._rate_hz: int | None = None
        self._resampler: Resampler | None = None
        self._sent_bytes = 0
        self._commits = 0
        self._items: dict[str, int] = {}

    @property
    def takes_audio(self) -> bool:
        """Since `session.updated`."""
        return self._rate_hz is not None

    def audio(self, pcm: bytes) -> list[str]:
        """See `dialect.Dialect.audio`."""
        assert self._rate_hz is not None
        if self._resampler is None:
            self._resampler, self._sent_bytes = Resampler(self._rate_hz), 0
        return self._append(self._resampler.feed(pcm))

    def end(self) -> list[str]:
        """See `dialect.Dialect.end`."""
        assert self._resampler is not None and self._rate_hz is not None
        messages = self._append(self._resampler.flush())
        missing = SAMPLE_BYTES * round(MIN_COMMIT_S * self._rate_hz) - self._sent_bytes
        messages += self._append(bytes(max(0, missing)))
        messages.append(encode("input_audio_buffer.commit", event_id=f"commit-{self._commits}"))
        self._resampler = None
        self._commits += 1
        return messages

    def receive(self, event: Event) -> list[News]:
        """See `dialect.Dialect.receive`; events that are not needed give nothing."""
        kind = event["type"]
        if kind == "session.created":
            return [Send(self._update(event))]
        if kind == "session.updated":
            return self._updated(event)
        if kind == "input_audio_buffer.committed":
            self._committed(text_in(event, "item_id"))
        elif kind.startswith(_TRANSCRIPTION):
            return self._transcribed(kind.removeprefix(_TRANSCRIPTION), event)
        elif kind == "error":
            return [self._error(_mapping(event.get("error")))]
        return []

    def _append(self, pcm: bytes) -> list[str]:
        self._sent_bytes += len(pcm)
        return [encode_audio(pcm)] if pcm else []

    def _update(self, event: Event) -> str:
        """Ask for what we want; for 16 kHz, if that is what the server has set, and else for 24 kHz."""
        rate_hz = _input(event).get("rate")
        wanted_hz = SAMPLE_RATE_HZ if rate_hz == SAMPLE_RATE_HZ else DEFAULT_RATE_HZ
        audio = {
            "format": {"type": "audio/pcm", "rate": wanted_hz},
            "transcription": self._transcription,
            "turn_detection": None,
        }
        session = {"type": "transcription", "audio": {"input": audio}}
        return encode("session.update", event_id="update", session=session)

    def _updated(self, event: Event) -> list[News]:
        format_ = _input(event)
        rate_hz = format_.get("rate", DEFAULT_RATE_HZ)
        usable = isinstance(rate_hz, int) and 8_000 <= rate_hz <= _MAX_RATE_HZ
        if format_.get("type", "audio/pcm") != "audio/pcm" or not usable:
            raise LinkFailure("the server takes no audio/pcm", fatal=True)
        if self._rate_hz is not None:
            return []
        self._rate_hz = rate_hz
        return [Ready()]

    def _committed(self, item: str) -> None:
        if self._number(item) >= self._commits:
            raise LinkFailure("the server ends utterances by itself, though it was told not to", fatal=True)

    def _number(self, item: str) -> int:
        number = self._items.setdefault(item, len(self._items))
        if number > self._commits:
            raise LinkFailure("the server speaks of audio that it was not sent")
        return number

    def _transcribed(self, what: str, event: Event) -> list[News]:
        number = self._number(text_in(event, "item_id"))
        if what == "delta":
            return [Piece(number, text_in(event, "delta"))]
        if what == "completed":
            return [Said(number, text_in(event, "transcript"))]
        if what == "failed":
            return [Refused(number, _message(_mapping(event.get("error"))))]
        return []

    def _error(self, error: Mapping[str, Any]) -> News:
        cause = error.get("event_id")
        if isinstance(cause, str) and cause.startswith("commit-") and cause[7:].isdecimal():
            return Refused(int(cause[7:]), _message(error))
        code, kind = str(error.get("code")), str(error.get("type"))
        permanent = code in _PERMANENT_CODES or kind in _PERMANENT_TYPES
        raise LinkFailure(
            f"the server says: {_message(error)}",
            fatal=permanent and code not in _PASSING_CODES,
            soon=code == "session_expired",
        )


def _transcription(model: str, options: DecodeOptions) -> dict[str, str]:
    wanted = {
        "model": model,
        "language": "" if options.language == "auto" else options.language,
        "prompt": options.prompt,
    }
    return {name: value for name, value in wanted.items() if value}


def _input(event: Event) -> Mapping[str, Any]:
    """The effective format of the audio; empty if the server does not say."""
    place: Any = event
    for name in ("session", "audio", "input", "format"):
        place = _mapping(place).get(name)
    return _mapping(place)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _message(error: Mapping[str, Any]) -> str:
    return str(error.get("message") or error.get("code") or error.get("type") or "an error without a message")
