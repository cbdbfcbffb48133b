"""What a client says, read from text; of an event that is longer than most, the audio is decoded as it comes.

As text, 15 MiB of audio would be held as base64 in a message, in JSON and in a string, and as bytes besides.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Any

from asrctl.protocol.openai.errors import bad_request
from asrctl.protocol.strict_json import parsed

LONG_BYTES = 3 << 17
"""A string of at least so many bytes is taken for audio, and decoded in pieces of as many. What becomes of
these is so large that C libraries give it back to the system when it is freed."""
_MOST_AUDIO_BYTES = 15 << 20
_MOST_TEXT_BYTES = 1 << 20
"""Of what is not audio: JSON can be many times its size once it is read."""
_GROUP = 8
"""Characters of base64 that make whole samples of 16 bits."""
_CONTENT = re.compile(rb"(?:[^\"\\]++|\\u[0-9a-fA-F]{4}|\\[^u])*+", re.DOTALL)
"""What stands in a string, up to an escape that is not complete."""
_LONGEST_ESCAPE = 6
_MOST_ID = 500


@dataclass(frozen=True, slots=True)
class ClientEvent:
    """An event.

    Attributes:
        kind: Its type.
        fields: All of it, but for audio that was decoded as it came.
        event_id: What errors about it name, if the client gave it a name.
    """

    kind: str
    fields: dict[str, Any]
    event_id: str | None
    _audio: tuple[bytes, ...] | None = ()

    @classmethod
    def read(cls, text: str) -> ClientEvent:
        """From JSON, or a `LongText`.

        Raises:
            RequestRefused: It is no event.
        """
        try:
            event = parsed(text)
        except ValueError:
            raise bad_request("the event is not JSON", None, "invalid_json") from None
        if not isinstance(event, dict) or not isinstance(event.get("type"), str):
            raise bad_request("an event is an object with a type", "type", "invalid_event")
        given = event.get("event_id")
        event_id = given[:_MOST_ID] if isinstance(given, str) else None
        audio = text.audio if isinstance(text, LongText) else ()
        return cls(event["type"], event, event_id, audio)

    def audio(self) -> tuple[bytes, ...]:
        """The audio, in pieces.

        Raises:
            RequestRefused: It is no base64, or too much.
        """
        audio = self._decoded()
        if sum(map(len, audio)) > _MOST_AUDIO_BYTES:
            message = f"an event may have {_MOST_AUDIO_BYTES} bytes of audio"
            raise bad_request(message, "audio", "audio_too_large")
        return audio

    def _decoded(self) -> tuple[bytes, ...]:
        said = self.fields.get("audio")
        if said == "" and self._audio:
            return self._audio
        try:
            if self._audio is None or not isinstance(said, str):
                raise binascii.Error("not base64")
            return (base64.b64decode(said, validate=True),)
        except ValueError:
            raise bad_request("audio is base64", "audio", "invalid_base64") from None


class LongText(str):
    """The JSON of an event, in which one string is empty that was long.

    Attributes:
        audio: What that string says in base64, in pieces; None if it is no base64.
    """

    audio: tuple[bytes, ...] | None


class LongEvent:
    """Takes the bytes of one event in pieces.

    Attributes:
        came_bytes: What came of it.
        held_bytes: What is held of that.
    """

    def __init__(self) -> None:
        self._text = bytearray()
        self._at = 0
        """Up to where it was looked at."""
        self._start: int | None = None
        """Where the string begins that is open."""
        self._audio: list[bytes] | None = []
        self._rest = b""
        """Base64 that does not make whole samples."""
        self._in_audio = self._had_audio = self._is_padded = self._is_wrong = False
        self.came_bytes = self.held_bytes = 0

    def push(self, data: bytes) -> None:
        """Take the next bytes."""
        self.came_bytes += len(data)
        if self._is_wrong:
            return
        self._text += data
        self.held_bytes += len(data)
        while self._look():
            pass
        if self._is_wrong or len(self._text) > _MOST_TEXT_BYTES:
            self._is_wrong, self._audio, self.held_bytes = True, None, 0
            self._text.clear()

    def end(self) -> LongText:
        """What came; no JSON if that was not an event.

        Raises:
            UnicodeDecodeError: It is not UTF-8.
        """
        text = LongText(self._text.decode())
        text.audio = None if self._audio is None else tuple(self._audio)
        return text

    def _look(self) -> bool:
        """Go on to the next end or beginning of a string; whether there was one."""
        if self._start is None:
            found = self._text.find(b'"', self._at)
            self._at = found + 1 if found >= 0 else len(self._text)
            self._start = self._at if found >= 0 else None
            return found >= 0
        content = _CONTENT.match(self._text, self._at)
        assert content is not None  # it may be empty
        end = content.end()
        is_closed = self._text[end : end + 1] == b'"'
        if not is_closed and len(self._text) - end >= _LONGEST_ESCAPE:
            self._is_wrong = True
            return False
        if end - self._start >= LONG_BYTES or (self._in_audio and is_closed):
            self._decode(bytes(self._text[self._start : end]), is_closed)
            del self._text[self._start : end]
            end = self._start
        self._at = end + is_closed
        self._start = None if is_closed else self._start
        return is_closed

    def _decode(self, content: bytes, is_last: bool) -> None:
        """Take a part of the long string; there may be one."""
        if self._had_audio and not self._in_audio:
            self._is_wrong = True
            return
        self._had_audio, self._in_audio = True, not is_last
        self.held_bytes -= len(content)
        if self._audio is None:
            return
        try:
            if b"\\" in content:
                content = json.loads(b'"%b"' % content).encode()
            content = self._rest + content
            whole = len(content) if is_last else len(content) - len(content) % _GROUP
            piece = base64.b64decode(content[:whole], validate=True)
            if self._is_padded and content:
                raise binascii.Error("nothing may follow the padding")
        except ValueError:
            self._audio = None
            return
        self._is_padded, self._rest = content[:whole].endswith(b"="), content[whole:]
        self._audio.append(piece)
        self.held_bytes += len(piece)
