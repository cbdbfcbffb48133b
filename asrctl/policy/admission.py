"""Admission: how many sessions there may be at once, and when somebody turned away should come back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from asrctl.errors import UsageError
from asrctl.policy.priority import Source

_DECAY = 0.985
"""Share of what was observed that is remembered with each new observation: a minute, at one a second.
Finals answer for several seconds at once: the cost of a moment jumps, that of a minute does not."""
_SURE = 0.5
"""The limit moves only once it is off by so much of a session, or it would flutter."""


@dataclass(frozen=True, slots=True)
class AdmissionOptions:
    """Limits on sessions.

    Attributes:
        max_sessions: Never more than this.
        max_by_source: Bounds for single sources; those that are not named have only `max_sessions`.
        target_load: Share of the workers' time that sessions are let in up to.
        session_s: How long a session is taken to last before any has ended.
        max_retry_after_s: The longest time anybody is told to wait: who asks seldom finds the places taken.

    Raises:
        UsageError: A value that makes no sense.
    """

    max_sessions: int = 10
    max_by_source: Mapping[Source, int] = field(default_factory=dict)
    target_load: float = 0.8
    session_s: float = 300.0
    max_retry_after_s: int = 5

    def __post_init__(self) -> None:
        """Validate once, at the edge."""
        if self.max_sessions < 1 or any(bound < 0 for bound in self.max_by_source.values()):
            raise UsageError("admission: max_sessions must be at least 1, and no bound below 0")
        if self.target_load <= 0 or self.session_s <= 0 or self.max_retry_after_s < 1:
            raise UsageError("admission: target_load, session_s and max_retry_after_s must be positive")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a session is not let in, and whole seconds after which it is worth another try."""

    reason: str
    retry_after_s: int


@dataclass(slots=True)
class _Admitted:
    since_s: float
    source: Source | None = None


class Admission:
    """Who is in. What a session sends is known only after its handshake, so that there are two doors."""

    def __init__(self, options: AdmissionOptions, clock: Callable[[], float]) -> None:
        """Begin with nobody in, and the capacity unknown; `clock` gives monotonic seconds."""
        self._options = options
        self._clock = clock
        self._sessions: dict[str, _Admitted] = {}
        self._session_s = options.session_s
        self._load = self._live = self._expected = 0.0
        self._limit = options.max_sessions

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def limit(self) -> int:
        """How many sessions there may be now: at least one, however slow the machine."""
        return self._limit

    @property
    def why_full(self) -> str:
        """Why nobody more is let in, where nobody is."""
        return f"{self._limit} session{' is' if self._limit == 1 else 's are'} open, which is the limit"

    def expect(self, cost: float) -> None:
        """Begin anew with what a session will likely cost, as a share of what the workers can do."""
        self._expected, self._load, self._live = cost, 0.0, 0.0
        self.relax()

    def relax(self) -> None:
        """Nothing shows what sessions cost at the moment: what they did cost fades to what is expected."""
        self.observe(self._expected, 1.0)

    def observe(self, load: float, live: float) -> None:
        """Learn what a session costs; the limit follows.

        Args:
            load: Inference asked for in the last while, as a share of what the workers can do.
            live: Sessions that this was for, by their audio; with none, nothing is learned.
        """
        if live <= 0:
            return
        self._load = _DECAY * self._load + load
        self._live = _DECAY * self._live + live
        most = self._options.max_sessions
        could = self._options.target_load * self._live
        bearable = most if could >= most * self._load else could / self._load
        if bearable < self._limit - _SURE:
            self._limit = max(1, math.floor(bearable))
        elif bearable >= most or bearable >= self._limit + 1 + _SURE:
            self._limit = math.floor(bearable)

    def admit(self, session: str) -> Refusal | None:
        """The first door, at the handshake; None lets the session in until it is released."""
        limit = self.limit
        if len(self._sessions) >= limit:
            return Refusal(self.why_full, self._retry_after_s(limit))
        self._sessions[session] = _Admitted(self._clock())
        return None

    def assign(self, session: str, source: Source) -> Refusal | None:
        """The second door, once a session says what it sends; None lets it go on.

        A session that is refused is still in, until it is released.
        """
        bound = self._options.max_by_source.get(source, self._options.max_sessions)
        others = sum(entry.source is source for name, entry in self._sessions.items() if name != session)
        if others >= bound:
            reason = f"{others} sessions with {source.name.lower()} audio are open, which is the limit"
            return Refusal(reason, self._retry_after_s(bound))
        self._sessions[session].source = source
        return None

    def release(self, session: str) -> None:
        """A session is over; those that are not in are ignored."""
        if entry := self._sessions.pop(session, None):
            lasted_s = self._clock() - entry.since_s
            self._session_s += (lasted_s - self._session_s) / 4

    def _retry_after_s(self, limit: int) -> int:
        """When a place should be free: sessions of the usual length end one after the other."""
        surplus = max(1, len(self._sessions) + 1 - self.limit)
        expected_s = surplus * self._session_s / max(1, limit)
        return max(1, min(math.ceil(expected_s), self._options.max_retry_after_s))
