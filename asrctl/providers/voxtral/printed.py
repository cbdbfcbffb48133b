"""What voxtral prints: pieces of UTF-8 that may be split anywhere, made into the text of an utterance."""

from __future__ import annotations

import codecs

from asrctl.errors import ProviderError

_MOST_BYTES_PER_STEP = 64
_SLACK_BYTES = 4096
_FEW_BAD = 8
_BAD_SHARE = 0.25


class Printed:
    """The text of the utterance that is being listened to, piece by piece."""

    def __init__(self) -> None:
        """Begin with nothing printed."""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pieces: list[str] = []
        self._total_bytes = 0

    def take(self, data: bytes, steps: int) -> str:
        """Take what was printed; returns what it adds to the utterance, with no space before its first word.

        Args:
            data: The bytes.
            steps: How many tokens there can have been since the process began.

        Raises:
            ProviderError: It is not text, or more than a transcript can be.
        """
        self._total_bytes += len(data)
        if self._total_bytes > steps * _MOST_BYTES_PER_STEP + _SLACK_BYTES:
            raise ProviderError("voxtral printed more than the audio can hold")
        piece = self._decoder.decode(data)
        if not self._pieces:
            piece = piece.lstrip()
        if piece:
            self._pieces.append(piece)
            self._check()
        return piece

    @property
    def text(self) -> str:
        """The utterance's text so far."""
        return "".join(self._pieces)

    def finish(self) -> str:
        """The utterance's whole text; what is printed from now on belongs to the next."""
        text = "".join([*self._pieces, self._decoder.decode(b"", final=True)])
        self._decoder.reset()
        self._pieces.clear()
        return " ".join(text.split())

    def _check(self) -> None:
        text = "".join(self._pieces[-50:])
        bad = sum(not (character.isprintable() or character.isspace()) for character in text)
        bad += text.count("\N{REPLACEMENT CHARACTER}")
        if bad > _FEW_BAD and bad > len(text) * _BAD_SHARE:
            raise ProviderError("voxtral printed something that is not text")
