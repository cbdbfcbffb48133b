"""vLLM's /v1/realtime: one generation at a time, each an utterance.

    session.created ──session.update──► append, commit, append*, commit(final) ──► transcription.done ─┐
                                            ▲──────────────────────────────────────────────────────────┘

The first commit starts a generation, which hears what is appended until the final commit; audio that came
between that and `transcription.done` would be thrown away by the server, so none is sent. A generation may
end by itself before the utterance does; another then hears the rest, and their texts are joined.
"""

from __future__ import annotations

from enum import Enum

from asrctl.network.failures import LinkFailure
from asrctl.providers.remote import dialect
from asrctl.providers.remote.pcm import SAMPLE_BYTES
from asrctl.transcript import SAMPLE_RATE_HZ, join_text

_PERMANENT_CODES = frozenset({"model_not_found", "model_not_validated", "unknown_event", "invalid_json"})
_AUDIO_CODES = frozenset({"invalid_audio", "processing_error"})
_LEAST_BYTES = SAMPLE_RATE_HZ // 10 * SAMPLE_BYTES
"""Silence for a generation that would otherwise hear nothing."""


class _Phase(Enum):
    NEW = "new"
    IDLE = "idle"
    RUNNING = "running"
    ENDING = "ending"


class VllmDialect(dialect.Dialect):
    """One socket; see the module's docstring."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._phase = _Phase.NEW
        self._number = 0
        self._said_before: list[str] = []

    @property
    def takes_audio(self) -> bool:
        """Not before the session, and not while the end of an utterance is awaited."""
        return self._phase in (_Phase.IDLE, _Phase.RUNNING)

    def audio(self, pcm: bytes) -> list[dialect.Message]:
        messages: list[dialect.Message] = [dialect.encode_audio(pcm)]
        if self._phase is _Phase.IDLE:
            self._phase = _Phase.RUNNING
            messages.append(dialect.encode("input_audio_buffer.commit"))
        return messages

    def end(self) -> list[dialect.Message]:
        silence = self.audio(bytes(_LEAST_BYTES)) if self._phase is _Phase.IDLE else []
        self._phase = _Phase.ENDING
        return [*silence, dialect.encode("input_audio_buffer.commit", final=True)]

    def receive(self, event: dialect.Event) -> list[dialect.News]:
        kind = event["type"]
        if kind == "session.created" and self._phase is _Phase.NEW:
            self._phase = _Phase.IDLE
            return [dialect.Send(dialect.encode("session.update", model=self._model)), dialect.Ready()]
        if kind == "transcription.delta":
            self._need_generation()
            return [dialect.Piece(self._number, dialect.text_in(event, "delta", ""))]
        if kind == "transcription.done":
            return self._done(dialect.text_in(event, "text"))
        if kind == "error":
            return [self._error(str(event.get("error") or ""), str(event.get("code")))]
        return []

    def _need_generation(self) -> None:
        if self._phase not in (_Phase.RUNNING, _Phase.ENDING):
            raise LinkFailure("the server referred to audio that it was not sent")

    def _done(self, text: str) -> list[dialect.News]:
        self._need_generation()
        running, self._phase = self._phase is _Phase.RUNNING, _Phase.IDLE
        self._said_before.append(text)
        if running:
            return [dialect.Piece(self._number, " ")]
        said = dialect.Said(self._number, join_text(each.strip() for each in self._said_before))
        self._said_before = []
        self._number += 1
        return [said]

    def _error(self, message: str, code: str) -> dialect.News:
        if code in _AUDIO_CODES and self._phase in (_Phase.RUNNING, _Phase.ENDING):
            return dialect.Refused(self._number, message)
        raise LinkFailure(f"the server says: {message or code}", fatal=code in _PERMANENT_CODES)
