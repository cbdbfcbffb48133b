"""The sessions of a server behind one socket, one after the other: each has one form of audio.

A session that is to have another form, or has nothing to do, is finished first; what is asked for meanwhile
waits, and opens the next.

    CLOSED ──audio──► OPEN ──finish──► ENDING ──Finished──► CLOSED, or OPEN again
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto

from asrctl.protocol.dialect import DialectOutput, Discard, Feed, Finish, Flush, Open, SessionRequest

_MOST_HELD_BYTES = 32 << 20
"""While a session ends, more audio than this is not held for the next."""


@dataclass(frozen=True, slots=True)
class Form:
    """What makes two sessions different: what is asked of the server, and whether it ends the utterances."""

    request: SessionRequest
    by_turns: bool

    @property
    def bytes_per_s(self) -> int:
        """Of its audio."""
        sample_bytes = 2 if self.request.encoding == "pcm_s16le" else 1
        return self.request.sample_rate_hz * sample_bytes


class LinkState(Enum):
    """See the module's docstring."""

    CLOSED = auto()
    OPEN = auto()
    ENDING = auto()


class Overflow(Exception):
    """More audio came than is held."""


class Link:
    """Methods return what follows, in order."""

    def __init__(self, form: Form) -> None:
        self.state = LinkState.CLOSED
        self.form = form
        """Of the session that is open, or was last."""
        self._next = form
        self._held: deque[tuple[Form, Feed | Flush | Discard]] = deque()
        self._held_bytes = 0
        self.fed_s = 0.0
        """How much audio sessions were given."""
        self.begun_s = 0.0
        """When the session began that is open, in seconds of all audio."""

    @property
    def has_work(self) -> bool:
        """Whether a session is there, or will be."""
        return self.state is not LinkState.CLOSED or bool(self._held)

    def change(self, form: Form) -> list[DialectOutput]:
        """What comes from here on has this form."""
        self._next = form
        return self.finish() if form != self.form and self.state is LinkState.OPEN else []

    def finish(self) -> list[DialectOutput]:
        """There is nothing to do for the session that is open, if one is."""
        if self.state is not LinkState.OPEN:
            return []
        self.state = LinkState.ENDING
        return [Finish()]

    def ask(self, step: Feed | Flush | Discard) -> list[DialectOutput]:
        """Ask something of a session.

        Raises:
            Overflow: Too much waits for the next one.
        """
        if self.state is LinkState.OPEN:
            return [self._passed(step)]
        if self.state is LinkState.CLOSED:
            return [*self._opened(self._next), self._passed(step)]
        self._held.append((self._next, step))
        if isinstance(step, Feed):
            self._held_bytes += len(step.data)
        if self._held_bytes > _MOST_HELD_BYTES:
            raise Overflow("more audio came than can be held")
        return []

    def finished(self) -> list[DialectOutput]:
        """The session has ended: the next begins with what waits for it, if there is audio among that."""
        self.state = LinkState.CLOSED
        if not any(isinstance(step, Feed) for _, step in self._held):
            self._held.clear()
            return []
        outputs = self._opened(self._held[0][0])
        while self._held and self._held[0][0] == self.form:
            step = self._held.popleft()[1]
            self._held_bytes -= len(step.data) if isinstance(step, Feed) else 0
            outputs.append(self._passed(step))
        return outputs + (self.finish() if self._held or self._next != self.form else [])

    def _opened(self, form: Form) -> list[DialectOutput]:
        self.state, self.form, self.begun_s = LinkState.OPEN, form, self.fed_s
        return [Open(form.request)]

    def _passed(self, step: Feed | Flush | Discard) -> Feed | Flush | Discard:
        if isinstance(step, Feed):
            self.fed_s += len(step.data) / self.form.bytes_per_s
        return step
