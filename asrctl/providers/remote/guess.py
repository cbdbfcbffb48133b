"""Which realtime dialect a server speaks, by the first event it sends."""

from __future__ import annotations

from asrctl.network.failures import LinkFailure
from asrctl.providers.base import DecodeOptions
from asrctl.providers.remote.dialect import Dialect, Event, News
from asrctl.providers.remote.openai import OpenAiDialect
from asrctl.providers.remote.vllm import VllmDialect


class GuessedDialect:
    """Becomes the dialect whose `session.created` comes: OpenAI's holds the session, vLLM's only names it."""

    def __init__(self, model: str, options: DecodeOptions) -> None:
        """A socket of which nothing was heard yet."""
        self._model = model
        self._options = options
        self._known: Dialect | None = None

    @property
    def takes_audio(self) -> bool:
        """Whatever the dialect says; not before it is known."""
        return self._known is not None and self._known.takes_audio

    def audio(self, pcm: bytes) -> list[str]:
        """See `dialect.Dialect.audio`."""
        assert self._known is not None
        return self._known.audio(pcm)

    def end(self) -> list[str]:
        """See `dialect.Dialect.end`."""
        assert self._known is not None
        return self._known.end()

    def receive(self, event: Event) -> list[News]:
        """See `dialect.Dialect.receive`."""
        if self._known is None and event["type"] == "session.created":
            self._known = self._by(event)
        elif self._known is None and event["type"] == "error":
            in_words = isinstance(event.get("error"), str)
            dialect = VllmDialect(self._model) if in_words else OpenAiDialect(self._model, self._options)
            return dialect.receive(event)
        elif self._known is None:
            raise LinkFailure(
                "the server speaks no realtime dialect that is known: its first event is not session.created",
                fatal=True,
            )
        return self._known.receive(event)

    def _by(self, event: Event) -> Dialect:
        if isinstance(event.get("session"), dict):
            return OpenAiDialect(self._model, self._options)
        return VllmDialect(self._model)


def dialect_for(name: str, model: str, options: DecodeOptions) -> Dialect:
    """A fresh socket's state machine for "openai", "vllm" or "auto"."""
    if name == "openai":
        return OpenAiDialect(model, options)
    return VllmDialect(model) if name == "vllm" else GuessedDialect(model, options)
