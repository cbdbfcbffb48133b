"""Utterances of a server that ends them by itself, sorted into ours.

We send one of ours, with silence behind it in which the server ends its own, and a commit for what it has
not ended. Then the buffer is cleared, whose answer tells that all was heard. The texts of the speech that the
server found meanwhile are what our utterance says.
"""

from __future__ import annotations

from asrctl.network.failures import LinkFailure
from asrctl.providers.remote.dialect import Event, News, Piece, Refused, Said, mapping, text_in
from asrctl.transcript import join_text

TRAILING_SILENCE_S = 3.6
"""Servers end speech after half a second or so; speaches 0.9 not before its buffer holds three seconds."""
_TRANSCRIPTION = "conversation.item.input_audio_transcription."


class Turns:
    """One utterance of ours after the other."""

    def __init__(self) -> None:
        self.is_closing = False
        """Whether all of ours was sent, and its text is awaited."""
        self._announces = False
        self._texts: dict[str, str | None] = {}
        self._ignored: set[str] = set()
        self._all_heard = False

    def close(self) -> None:
        """Our utterance is sent to its end."""
        self.is_closing = True

    def receive(self, event: Event, number: int) -> list[News]:
        """Take an event; `number` is that of our utterance."""
        kind = event["type"]
        if kind == "input_audio_buffer.speech_started":
            self._announces = True
            self._texts.setdefault(text_in(event, "item_id"), None)
        elif kind == "input_audio_buffer.committed":
            self._committed(text_in(event, "item_id"))
        elif kind == "input_audio_buffer.cleared":
            return self.heard_all(number)
        elif kind.startswith(_TRANSCRIPTION):
            return self._transcribed(kind.removeprefix(_TRANSCRIPTION), event, number)
        return []

    def heard_all(self, number: int) -> list[News]:
        """The server has dealt with all that was sent."""
        self._all_heard = self.is_closing
        return self._finished(number)

    def _committed(self, item: str) -> None:
        if self._announces and item not in self._texts:
            self._ignored.add(item)  # it holds silence only, of which servers like to make up words
        else:
            self._texts.setdefault(item, None)

    def _transcribed(self, what: str, event: Event, number: int) -> list[News]:
        item = text_in(event, "item_id")
        if item in self._ignored or what not in ("completed", "failed"):
            return []
        if item not in self._texts:
            raise LinkFailure("the server referred to audio that it was not sent")
        if what == "failed":
            return [Refused(number, str(mapping(event.get("error")).get("message") or "no reason given"))]
        text = self._texts[item] = text_in(event, "transcript")
        return [Piece(number, f"{text} ".lstrip()), *self._finished(number)]

    def _finished(self, number: int) -> list[News]:
        texts = [text for text in self._texts.values() if text is not None]
        if not self._all_heard or len(texts) < len(self._texts):
            return []
        self._texts.clear()
        self.is_closing = self._all_heard = False
        return [Said(number, join_text(texts))]
