"""Deepgram's live dialect: audio in binary frames, `Finalize` at the end of each utterance.

Endpointing is ours, so the server's is switched off in the URL. Interim results are repeated with other words
until they are final; words that two in a row agree on are told at once.
"""

from __future__ import annotations

from itertools import takewhile

from asrctl.network.failures import LinkFailure
from asrctl.providers.base import DecodeOptions
from asrctl.providers.remote import dialect
from asrctl.providers.remote.settings import RemoteSettings
from asrctl.transcript import SAMPLE_RATE_HZ, join_text


def query_of(settings: RemoteSettings, options: DecodeOptions) -> list[tuple[str, str]]:
    """What the URL says of the audio, and of what is wanted."""
    wanted = {
        "encoding": "linear16",
        "sample_rate": str(SAMPLE_RATE_HZ),
        "channels": "1",
        "endpointing": "false",
        "interim_results": "true",
        "punctuate": "true",
        "model": settings.model,
        "language": "" if options.language == "auto" else options.language,
    }
    given = [(name, value) for name, value in wanted.items() if value]
    return given + [("keyterm", word) for word in (*settings.keywords, *options.vocabulary)]


class DeepgramDialect(dialect.Dialect):
    """One socket; see the module's docstring."""

    keep_alive = dialect.encode("KeepAlive")
    takes_audio = True

    def __init__(self) -> None:
        self._number = 0
        self._finals: list[str] = []
        self._interim: list[str] = []
        self._told = ""

    def opened(self) -> list[dialect.News]:
        """What was asked was in the URL, and is granted."""
        return [dialect.Ready()]

    def audio(self, pcm: bytes) -> list[dialect.Message]:
        return [pcm]

    def end(self) -> list[dialect.Message]:
        return [dialect.encode("Finalize")]

    def receive(self, event: dialect.Event) -> list[dialect.News]:
        if event["type"] == "Results":
            return self._results(event, _transcript(event))
        if event["type"] == "Error":
            raise LinkFailure(f"the server says: {dialect.text_in(event, 'description', 'an error')}")
        return []

    def _results(self, event: dialect.Event, text: str) -> list[dialect.News]:
        words, agreed = text.split(), list[str]()
        if event.get("is_final"):
            self._finals.append(text)
            self._interim = []
        else:
            pairs = zip(self._interim, words, strict=False)
            agreed = [word for word, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]
            self._interim = words
        news = self._heard(join_text([*self._finals, *agreed]))
        if event.get("is_final") and event.get("from_finalize"):
            news.append(dialect.Said(self._number, join_text(self._finals)))
            self._number += 1
            self._finals, self._interim, self._told = [], [], ""
        return news

    def _heard(self, text: str) -> list[dialect.News]:
        """What is new of it, if it only continues what was told."""
        text += " " if text else ""
        if len(text) <= len(self._told) or not text.startswith(self._told):
            return []
        new, self._told = text[len(self._told) :], text
        return [dialect.Piece(self._number, new)]


def _transcript(event: dialect.Event) -> str:
    """The text of the best alternative; empty where there is none."""
    alternatives = dialect.mapping(event.get("channel")).get("alternatives")
    best = dialect.mapping(alternatives[0]) if isinstance(alternatives, list) and alternatives else {}
    text = best.get("transcript", "")
    if not isinstance(text, str):
        raise LinkFailure("the server's Results have no transcript")
    return text
