"""OpenAI's realtime transcription dialect, as it is since its general availability, and the form before.

    session.created ──session.update──► session.updated ──► append*, commit, append*, commit …

Endpointing is ours: `turn_detection` is null, and each utterance is committed. Transcriptions of several
items may run at once, and their events interleave; they are told apart by `item_id`. Items are numbered by
their first appearance: the server works through commits in their order, and a model that speaks before the
commit speaks of the audio behind all commits.

A server whose session keeps a `turn_detection` ends utterances by itself; see `turns`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asrctl.languages import candidates, is_open
from asrctl.network.failures import LinkFailure
from asrctl.policy.vocabulary import context
from asrctl.providers.base import DecodeOptions
from asrctl.providers.remote import dialect
from asrctl.providers.remote.pcm import SAMPLE_BYTES, Resampler
from asrctl.providers.remote.settings import RemoteSettings
from asrctl.providers.remote.turns import TRAILING_SILENCE_S, Turns
from asrctl.transcript import SAMPLE_RATE_HZ

DEFAULT_RATE_HZ = 24_000
"""The only rate of `audio/pcm` that the dialect's inventor takes."""
MIN_COMMIT_S = 0.1
"""Shorter buffers are refused with `input_audio_buffer_commit_empty`; silence fills them up."""
_MAX_RATE_HZ = 96_000
_SILENCE_PIECE_S = 0.4
_TRANSCRIPTION = "conversation.item.input_audio_transcription."
_PERMANENT_TYPES = frozenset(
    {"invalid_request_error", "authentication_error", "permission_error", "not_found_error"}
)
_PERMANENT_CODES = frozenset({"insufficient_quota", "invalid_api_key", "model_not_found"})
_PASSING_CODES = frozenset({"session_expired", "rate_limit_exceeded"})


class OpenAiDialect(dialect.Dialect):
    """One socket; see the module's docstring."""

    def __init__(self, settings: RemoteSettings, options: DecodeOptions) -> None:
        self._transcription = _transcription(settings, options)
        self._rate_hz: int | None = None
        self._resampler: Resampler | None = None
        self._sent_bytes = 0
        self._commits = 0
        self._items: dict[str, int] = {}
        self._turns: Turns | None = None

    @property
    def takes_audio(self) -> bool:
        """Since `session.updated`; not while the server's own utterances are awaited."""
        return self._rate_hz is not None and not (self._turns and self._turns.is_closing)

    def audio(self, pcm: bytes) -> list[dialect.Message]:
        assert self._rate_hz is not None
        if self._resampler is None:
            self._resampler, self._sent_bytes = Resampler(self._rate_hz), 0
        return self._append(self._resampler.feed(pcm))

    def end(self) -> list[dialect.Message]:
        assert self._resampler is not None and self._rate_hz is not None
        messages = self._append(self._resampler.flush())
        if self._turns is None:
            missing = SAMPLE_BYTES * round(MIN_COMMIT_S * self._rate_hz) - self._sent_bytes
            messages += self._append(bytes(max(0, missing)))
        else:
            self._turns.close()
            piece = bytes(SAMPLE_BYTES * round(_SILENCE_PIECE_S * self._rate_hz))
            for _ in range(round(TRAILING_SILENCE_S / _SILENCE_PIECE_S)):
                messages += self._append(piece)
        messages.append(dialect.encode("input_audio_buffer.commit", event_id=f"commit-{self._commits}"))
        if self._turns is not None:
            messages.append(dialect.encode("input_audio_buffer.clear"))
        self._resampler = None
        self._commits += 1
        return messages

    def receive(self, event: dialect.Event) -> list[dialect.News]:
        kind = event["type"]
        if kind in ("session.created", "transcription_session.created"):
            return [dialect.Send(_update(event, self._transcription))]
        if kind in ("session.updated", "transcription_session.updated"):
            return self._updated(event)
        if kind == "error":
            return self._error(dialect.mapping(event.get("error")))
        if self._turns is not None:
            return self._turns.receive(event, max(0, self._commits - self._turns.is_closing))
        if kind == "input_audio_buffer.committed":
            self._committed(dialect.text_in(event, "item_id"))
        elif kind.startswith(_TRANSCRIPTION):
            return self._transcribed(kind.removeprefix(_TRANSCRIPTION), event)
        return []

    def _append(self, pcm: bytes) -> list[dialect.Message]:
        self._sent_bytes += len(pcm)
        return [dialect.encode_audio(pcm)] if pcm else []

    def _updated(self, event: dialect.Event) -> list[dialect.News]:
        if self._rate_hz is not None:
            return []
        session, format_ = dialect.mapping(event.get("session")), _input(event).get("format")
        turn_detection = _input(event).get("turn_detection")
        if _is_flat(session):
            format_, turn_detection = (
                {"type": _FLAT_FORMATS.get(session["input_audio_format"])},
                session.get("turn_detection"),
            )
        rate_hz = dialect.mapping(format_).get("rate", DEFAULT_RATE_HZ)
        usable = isinstance(rate_hz, int) and 8_000 <= rate_hz <= _MAX_RATE_HZ
        if dialect.mapping(format_).get("type", "audio/pcm") != "audio/pcm" or not usable:
            raise LinkFailure("the server takes no audio/pcm", fatal=True)
        self._rate_hz = rate_hz
        self._turns = Turns() if turn_detection else None
        return [dialect.Ready()]

    def _committed(self, item: str) -> None:
        if self._number(item) >= self._commits:
            raise LinkFailure("the server ends utterances by itself, though it was told not to", fatal=True)

    def _number(self, item: str) -> int:
        number = self._items.setdefault(item, len(self._items))
        if number > self._commits:
            raise LinkFailure("the server referred to audio that it was not sent")
        return number

    def _transcribed(self, what: str, event: dialect.Event) -> list[dialect.News]:
        number = self._number(dialect.text_in(event, "item_id"))
        if what == "delta":
            return [dialect.Piece(number, dialect.text_in(event, "delta", ""))]
        if what == "completed":
            return [dialect.Said(number, dialect.text_in(event, "transcript"))]
        if what == "failed":
            return [dialect.Refused(number, _message(dialect.mapping(event.get("error"))))]
        return []

    def _error(self, error: Mapping[str, Any]) -> list[dialect.News]:
        if self._turns is not None and self._turns.is_closing and "buffer" in _message(error):
            # It has ended everything by itself, and nothing is left to commit; or it cannot clear its buffer.
            return self._turns.heard_all(self._commits - 1) if "clear" in _message(error) else []
        cause = error.get("event_id")
        if isinstance(cause, str) and cause.startswith("commit-") and cause[7:].isdecimal():
            return [dialect.Refused(int(cause[7:]), _message(error))]
        code, kind = str(error.get("code")), str(error.get("type"))
        permanent = code in _PERMANENT_CODES or kind in _PERMANENT_TYPES
        raise LinkFailure(
            f"the server says: {_message(error)}",
            fatal=permanent and code not in _PASSING_CODES,
            soon=code == "session_expired",
        )


_FLAT_FORMATS = {"pcm16": "audio/pcm"}


def _update(event: dialect.Event, wanted: dict[str, Any]) -> str:
    """Ask for what we want, in the form in which the server described its session."""
    session = dialect.mapping(event.get("session"))
    kind = str(event["type"]).removesuffix("created") + "update"
    if not _is_flat(session):
        return dialect.encode(kind, event_id="update", session=_nested(event, wanted))
    # The model is repeated, for there are servers that want it named. What the server has for the rest is
    # left alone, since there are servers that take no other format, and none without turn detection.
    model = dialect.mapping(session.get("input_audio_transcription")).get("model")
    transcription = ({"model": model} if model else {}) | wanted
    flat: dict[str, Any] = {"input_audio_transcription": transcription} if transcription else {}
    if kind.startswith("transcription_session"):
        flat |= {"input_audio_format": "pcm16", "turn_detection": None}
    return dialect.encode(kind, event_id="update", session=flat)


def _nested(event: dialect.Event, wanted: dict[str, Any]) -> dict[str, Any]:
    """With 16 kHz, if that is what the server has set, and else with 24 kHz."""
    rate_hz = dialect.mapping(_input(event).get("format")).get("rate")
    audio = {
        "format": {
            "type": "audio/pcm",
            "rate": SAMPLE_RATE_HZ if rate_hz == SAMPLE_RATE_HZ else DEFAULT_RATE_HZ,
        },
        "transcription": wanted,
        "turn_detection": None,
    }
    return {"type": "transcription", "audio": {"input": audio}}


def _is_flat(session: Mapping[str, Any]) -> bool:
    """Whether a session has the form from before the general availability."""
    return isinstance(session.get("input_audio_format"), str)


def _transcription(settings: RemoteSettings, options: DecodeOptions) -> dict[str, Any]:
    named = candidates(options.language) if is_open(options.language) else ()
    wanted = {
        "model": settings.model,
        "language": "" if is_open(options.language) else options.language,
        "prompt": "" if settings.takes_no_prompt else context(options.prompt, options.vocabulary),
        "keywords": list(settings.keywords),
        "languages": list(named or settings.languages),
        "delay": settings.delay,
    }
    return {name: value for name, value in wanted.items() if value}


def _input(event: dialect.Event) -> Mapping[str, Any]:
    """What a session says about the audio it takes; empty if it says nothing."""
    return dialect.mapping(dialect.mapping(dialect.mapping(event.get("session")).get("audio")).get("input"))


def _message(error: Mapping[str, Any]) -> str:
    return str(error.get("message") or error.get("code") or error.get("type") or "an error without a message")
