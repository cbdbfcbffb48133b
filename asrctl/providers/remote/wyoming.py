"""Wyoming, as Home Assistant's speech services speak it over TCP.

    describe ──► info ──► transcribe, audio-start, audio-chunk*, audio-stop ──► transcript ─┐
                          ▲─────────────────────────────────────────────────────────────────┘

One utterance at a time: there are servers that close the connection after each transcript, and what they were
sent by then would be lost.
"""

from __future__ import annotations

from asrctl.network.failures import LinkFailure
from asrctl.protocol.wyoming.framing import encode
from asrctl.providers.base import DecodeOptions
from asrctl.providers.remote import dialect
from asrctl.providers.remote.pcm import SAMPLE_BYTES
from asrctl.providers.remote.settings import RemoteSettings
from asrctl.transcript import SAMPLE_RATE_HZ

_FORMAT = {"rate": SAMPLE_RATE_HZ, "width": SAMPLE_BYTES, "channels": 1}


class WyomingDialect(dialect.Dialect):
    """One socket; see the module's docstring."""

    keep_alive = encode("ping")

    def __init__(self, settings: RemoteSettings, options: DecodeOptions) -> None:
        wanted = {
            "name": settings.model,
            "language": "" if options.language == "auto" else options.language,
            "transcript_terms": [*settings.keywords, *options.vocabulary, *filter(None, [options.prompt])],
        }
        self._begin: list[dialect.Message] = [
            encode("transcribe", {name: value for name, value in wanted.items() if value}),
            encode("audio-start", _FORMAT),
        ]
        self._known = False
        self._begun = False
        self._ending = False
        self._number = 0

    def opened(self) -> list[dialect.News]:
        """The server is asked what it is."""
        return [dialect.Send(encode("describe"))]

    @property
    def takes_audio(self) -> bool:
        """Not before the server has said what it is, and not while a transcript is awaited."""
        return self._known and not self._ending

    def audio(self, pcm: bytes) -> list[dialect.Message]:
        begin = [] if self._begun else self._begin
        self._begun = True
        return [*begin, encode("audio-chunk", _FORMAT, pcm)]

    def end(self) -> list[dialect.Message]:
        self._ending = True
        return [encode("audio-stop")]

    def receive(self, event: dialect.Event) -> list[dialect.News]:
        match event["type"]:
            case "info" if not self._known:
                if not event.get("asr"):
                    raise LinkFailure("the server does not recognise speech", fatal=True)
                self._known = True
                return [dialect.Ready()]
            case "transcript-chunk":
                return [dialect.Piece(self._number, dialect.text_in(event, "text"))]
            case "transcript":
                return [self._said(dialect.text_in(event, "text"))]
            case "error":
                return [self._error(dialect.text_in(event, "text", ""), str(event.get("code")))]
        return []

    def _said(self, text: str) -> dialect.Said:
        said = dialect.Said(self._number, text)
        self._begun = self._ending = False
        self._number += 1
        return said

    def _error(self, message: str, code: str) -> dialect.News:
        if code == "audio_dropped" and self._begun:
            return dialect.Refused(self._number, message)
        raise LinkFailure(f"the server says: {message or code}", fatal=code == "bad_request")
