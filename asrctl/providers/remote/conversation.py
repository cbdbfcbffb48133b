"""One socket's conversation: a backlog's audio goes out in a dialect, and the text that comes is sorted in.

It has no socket: messages come in as text and go out as text, so that its every order can be tested.
"""

from __future__ import annotations

from collections import deque

from asrctl.errors import DecodeError
from asrctl.network.failures import LinkFailure
from asrctl.providers.remote.backlog import Backlog, Utterance
from asrctl.providers.remote.dialect import Dialect, Message, News, Piece, Ready, Refused, Said, Send, decode
from asrctl.providers.remote.pcm import SAMPLE_BYTES
from asrctl.transcript import SAMPLE_RATE_HZ

MESSAGE_BYTES = SAMPLE_RATE_HZ // 2 * SAMPLE_BYTES
"""Most audio in one message: half a second at 16 kHz, so that a replay does not hold up the rest."""


class Conversation:
    """Made for each new socket; begins with the oldest utterance of the backlog, from its first sample.

    Attributes:
        ready: Whether the server has said that it takes audio.
        completed: How many utterances came to their end here.
        keep_alive: See `Dialect`.
    """

    def __init__(self, dialect: Dialect, backlog: Backlog) -> None:
        backlog.rewind()
        self._dialect = dialect
        self._backlog = backlog
        self._replies: deque[Message] = deque()
        self._number = backlog.first
        self._sent_bytes = 0
        self._asked: list[int] = []
        self._ended = 0
        self._over: set[int] = set()
        self.ready = False
        self.completed = 0
        self.keep_alive = dialect.keep_alive
        for news in dialect.opened():
            self._take(news)

    @property
    def owed(self) -> bool:
        """Whether the server has all of an utterance, and has not said everything about it."""
        return len(self._over) < self._ended

    def outgoing(self) -> list[Message]:
        """What is to be sent next; empty if nothing is, for now. Ask again after any change."""
        if self._replies:
            return [self._replies.popleft()]
        messages: list[Message] = []
        while not messages and self._dialect.takes_audio and self._advance():
            messages = self._audio() if self._sent_bytes < len(self._current.pcm) else self._end()
        return messages

    @property
    def _current(self) -> Utterance:
        return self._backlog.get(self._number)

    def _advance(self) -> bool:
        """Whether there is something to send, or an end to tell."""
        if not self._sent_bytes:
            self._number = self._backlog.next_to_send(self._number)
        current = self._current
        begun_and_ended = self._sent_bytes > 0 and current.ended
        return current.failure is None and (begun_and_ended or self._sent_bytes < len(current.pcm))

    def _audio(self) -> list[Message]:
        piece = bytes(self._current.pcm[self._sent_bytes : self._sent_bytes + MESSAGE_BYTES])
        if not self._sent_bytes:
            self._asked.append(self._number)
        self._sent_bytes += len(piece)
        return self._dialect.audio(piece)

    def _end(self) -> list[Message]:
        self._number += 1
        self._sent_bytes = 0
        self._ended += 1
        return self._dialect.end()

    def receive(self, message: str | bytes) -> None:
        """Take a message.

        Raises:
            LinkFailure: The link is of no more use.
        """
        for news in self._dialect.receive(decode(message)):
            self._take(news)

    def _take(self, news: News) -> None:
        if isinstance(news, Send):
            self._replies.append(news.message)
        elif isinstance(news, Ready):
            self.ready = True
        elif isinstance(news, Refused):
            number = self._asked_for(news.number)
            if self._backlog.holds(number):
                self._backlog.refused(number, news.reason)
            raise LinkFailure(f"the server failed: {news.reason}")
        else:
            self._text(news)

    def _text(self, news: Piece | Said) -> None:
        number = self._asked_for(news.number)
        if isinstance(news, Said):
            if news.number >= self._ended:
                raise LinkFailure("the server completed an utterance that had not ended")
            self._over.add(news.number)
        if not self._backlog.holds(number):  # it has said everything about it already, or nobody waits for it
            return
        if isinstance(news, Piece):
            self._piece(number, news.text)
        else:
            self.completed += 1
            self._backlog.said(number, news.text)

    def _piece(self, number: int, text: str) -> None:
        utterance = self._backlog.get(number)
        sent_bytes = self._sent_bytes if number == self._number else len(utterance.pcm)
        try:
            self._backlog.heard(number, utterance.heard + text, sent_bytes // SAMPLE_BYTES)
        except DecodeError as error:
            self._backlog.fail(number, error)
            raise LinkFailure(str(error)) from None

    def _asked_for(self, number: int) -> int:
        """The backlog's number of an utterance, by this socket's."""
        if not 0 <= number < len(self._asked):
            raise LinkFailure("the server referred to audio that it was not sent")
        return self._asked[number]
