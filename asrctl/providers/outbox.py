"""What a stream says, on its way to whoever opened it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from asrctl.providers.recognizer import (
    Completed,
    Failed,
    Heard,
    Lost,
    Spoken,
    StreamRequest,
    UtteranceStream,
)


class Outbox:
    """Says everything in order, in a later turn of the event loop, until it is closed or has said `Lost`.

    What nobody wants is left out: partials that were declined, and anything about dropped utterances.
    """

    def __init__(self, request: StreamRequest, say: Callable[[Spoken], None]) -> None:
        """Begin to say what was asked for through `say`, in a running event loop."""
        self._say = say
        self._partials_asked = request.pacing is not None
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Spoken] = deque()
        self._dropped: set[int] = set()
        self._partials = self._partials_asked
        self._lost = False
        self._closed = False

    @property
    def is_over(self) -> bool:
        """Whether nothing that is said from now on is passed on."""
        return self._closed or self._lost

    def say(self, spoken: Spoken) -> None:
        """Say something soon."""
        if self.is_over:
            return
        self._lost = isinstance(spoken, Lost)
        if not self._waiting:
            self._loop.call_soon(self._deliver)
        self._waiting.append(spoken)

    def drop(self, utterance: int) -> None:
        """Nobody wants to hear of this utterance any more."""
        self._dropped.add(utterance)

    def want_partials(self, wanted: bool) -> None:
        """Whether `Heard` is passed on, if it was asked for."""
        self._partials = wanted and self._partials_asked

    def close(self) -> None:
        """Say nothing any more, not even what was to be said soon."""
        self._closed = True
        self._waiting.clear()

    def _deliver(self) -> None:
        while self._waiting:  # which `close` empties, also from within `say`
            spoken = self._waiting.popleft()
            if self._is_wanted(spoken):
                self._say(spoken)

    def _is_wanted(self, spoken: Spoken) -> bool:
        if isinstance(spoken, Heard):
            return self._partials and spoken.utterance not in self._dropped
        if isinstance(spoken, Completed | Failed):
            wanted = spoken.utterance not in self._dropped
            self._dropped.discard(spoken.utterance)
            return wanted
        return True


class OutboxStream(UtteranceStream):
    """A stream that hears pauses by itself, and whose partials cost nothing: they are said, or left out."""

    _outbox: Outbox

    def pause(self, silence_s: float) -> None:
        pass

    def drop(self, utterance: int) -> None:
        self._outbox.drop(utterance)

    def want_partials(self, interval_factor: float | None) -> None:
        self._outbox.want_partials(interval_factor is not None)


def split_words(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words of text that only grows at its end: those that are whole, and the last, which may not be."""
    words = tuple(text.split())
    whole = len(words) if text[-1:].isspace() else max(0, len(words) - 1)
    return words[:whole], words[whole:]
