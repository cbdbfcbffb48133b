"""Which realtime dialect a server speaks, by the first event it sends."""

from __future__ import annotations

from asrctl.network.failures import LinkFailure
from asrctl.providers.base import DecodeOptions
from asrctl.providers.remote.deepgram import DeepgramDialect
from asrctl.providers.remote.dialect import Dialect, Event, Message, News
from asrctl.providers.remote.openai import OpenAiDialect
from asrctl.providers.remote.settings import RemoteSettings
from asrctl.providers.remote.vllm import VllmDialect
from asrctl.providers.remote.wyoming import WyomingDialect

_CREATED = ("session.created", "transcription_session.created")


class DetectedDialect(Dialect):
    """Becomes the dialect whose first event comes: OpenAI's holds the session, vLLM's only names it."""

    def __init__(self, settings: RemoteSettings, options: DecodeOptions) -> None:
        self._settings = settings
        self._options = options
        self._known: Dialect | None = None

    @property
    def takes_audio(self) -> bool:
        """Whatever the dialect says; not before it is known."""
        return self._known is not None and self._known.takes_audio

    def audio(self, pcm: bytes) -> list[Message]:
        assert self._known is not None
        return self._known.audio(pcm)

    def end(self) -> list[Message]:
        assert self._known is not None
        return self._known.end()

    def receive(self, event: Event) -> list[News]:
        if self._known is not None:
            return self._known.receive(event)
        if event["type"] in _CREATED:
            self._known = self._dialect(isinstance(event.get("session"), dict))
            return self._known.receive(event)
        if event["type"] == "error":
            return self._dialect(not isinstance(event.get("error"), str)).receive(event)
        raise LinkFailure(
            "the server speaks no realtime dialect that is known: its first event is not session.created",
            fatal=True,
        )

    def _dialect(self, is_openai: bool) -> Dialect:
        if is_openai:
            return OpenAiDialect(self._settings, self._options)
        return VllmDialect(self._settings.model)


def dialect_for(settings: RemoteSettings, options: DecodeOptions) -> Dialect:
    """A fresh socket's state machine."""
    match settings.address.dialect:
        case "openai":
            return OpenAiDialect(settings, options)
        case "vllm":
            return VllmDialect(settings.model)
        case "deepgram":
            return DeepgramDialect()
        case "wyoming":
            return WyomingDialect(settings, options)
    return DetectedDialect(settings, options)
