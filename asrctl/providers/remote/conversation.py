"""One socket's conversation: a backlog's audio goes out in a dialect, and the text that comes is sorted in.

It has no socket: messages come in as text and go out as text, so that its every order can be tested.
"""

from __future__ import annotations

from collections import deque

from asrctl.network.failures import LinkFailure
from asrctl.providers.base import Spoken
from asrctl.providers.remote.backlog import Backlog, Utterance
from asrctl.providers.remote.dialect import Dialect, News, Piece, Ready, Refused, Said, Send, decode
from asrctl.providers.remote.pcm import SAMPLE_BYTES
from asrctl.transcript import SAMPLE_RATE_HZ

MESSAGE_BYTES = SAMPLE_RATE_HZ // 2 * SAMPLE_BYTES
"""Most audio in one message: half a second at 16 kHz, so that a replay does not hold up the rest."""


class Conversation:
    """Made for each new socket; begins with the oldest utterance of the backlog, from its first sample.

    Attributes:
        ready: Whether the server has said that it takes audio.
        completed: How many utterances came to their end here.
    """

    def __init__(self, dialect: Dialect, backlog: Backlog) -> None:
        backlog.rewind()
        self._dialect = dialect
        self._backlog = backlog
        self._replies: deque[str] = deque()
        self._number = backlog.first
        self._sent_bytes = 0
        self._asked: list[int] = []
        self._ended = 0
        self._open = 0
        self.ready = False
        self.completed = 0

    @property
    def owed(self) -> bool:
        """Whether the server has all of an utterance, and has not said everything about it."""
        return self._open > 0

    def outgoing(self) -> list[str]:
        """What is to be sent next; empty if nothing is, for now. Ask again after any change."""
        if self._replies:
            return [self._replies.popleft()]
        messages: list[str] = []
        while not messages and self._dialect.takes_audio and self._advance():
            messages = self._audio() if self._sent_bytes < len(self._current.pcm) else self._end()
        return messages

    @property
    def _current(self) -> Utterance:
        return self._backlog.get(self._number)

    def _advance(self) -> bool:
        """Whether there is something to send, or an end to tell; utterances without audio are passed over."""
        self._number = max(self._number, self._backlog.first)  # those were completed without us
        while self._current.ended and not self._current.pcm:
            self._number += 1
        return self._current.ended or self._sent_bytes < len(self._current.pcm)

    def _end(self) -> list[str]:
        self._number += 1
        self._sent_bytes = 0
        self._ended += 1
        self._open += 1
        return self._dialect.end()

    def receive(self, message: str | bytes) -> list[Spoken]:
        """Take a message; returns what is to be said.

        Raises:
            LinkFailure: The link is of no more use.
            DecodeError: The server cannot be brought to hear an utterance.
        """
        spoken: list[Spoken] = []
        for news in self._dialect.receive(decode(message)):
            spoken += self._take(news)
        return spoken

    def _audio(self) -> list[str]:
        piece = bytes(self._current.pcm[self._sent_bytes : self._sent_bytes + MESSAGE_BYTES])
        if not self._sent_bytes:
            self._asked.append(self._number)
        self._sent_bytes += len(piece)
        return self._dialect.audio(piece)

    def _take(self, news: News) -> list[Spoken]:
        if isinstance(news, Send):
            self._replies.append(news.text)
        elif isinstance(news, Ready):
            self.ready = True
        elif isinstance(news, Refused):
            self._backlog.refused(self._asked_for(news.number), news.reason)
            raise LinkFailure(f"the server failed: {news.reason}")
        else:
            return self._text(news)
        return []

    def _text(self, news: Piece | Said) -> list[Spoken]:
        number = self._asked_for(news.number)
        if not self._backlog.holds(number):  # it has said everything about it already
            return []
        if isinstance(news, Piece):
            return self._backlog.heard(number, self._backlog.get(number).heard + news.text)
        if news.number >= self._ended:
            raise LinkFailure("the server ended an utterance before it was said to")
        self._open -= 1
        self.completed += 1
        return self._backlog.said(number, news.text)

    def _asked_for(self, number: int) -> int:
        """The backlog's number of an utterance, by this socket's."""
        if not 0 <= number < len(self._asked):
            raise LinkFailure("the server speaks of audio that it was not sent")
        return self._asked[number]
