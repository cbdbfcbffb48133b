"""How busy the recogniser is: told of each decode, asked for shares and delays. Thread-safe."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from asrctl.policy.priority import Kind

_WINDOW_S = 5.0
"""What is seen as "now": a few decodes of the slowest model, and soon enough to act."""
_COST_WINDOW_S = 15.0
"""The same for what a session costs: more than the longest utterance, which is answered for at its end."""


class Decoded(NamedTuple):
    """A decode that is done: when, what for, how long it waited and ran, in seconds."""

    done_s: float
    kind: Kind
    wait_s: float
    inference_s: float


@dataclass(frozen=True, slots=True)
class Load:
    """How busy it is.

    Attributes:
        share: Time that the workers worked, as a share of what they can.
        finals_share: The part of it that was for finals, which cannot be thinned out.
        delay_s: Longest wait of a final, of those done lately and those that still wait.
        finals: Finals that wait or run.
        partials: Partials that wait or run.
    """

    share: float
    finals_share: float
    delay_s: float
    finals: int
    partials: int


class SessionCost:
    """What live audio costs, however many sessions it is of: finals decoded over audio answered for.

    Neither a backlog that is worked off nor sessions that have just ended make a session look dear, as they
    would if the load of the last while were shared out among those who are there now.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._looks: deque[tuple[float, float, float]] = deque()

    def observe(self, now_s: float, finals_s: float, answered_s: float) -> tuple[float, float]:
        """Take note of totals so far, about once a second.

        Args:
            now_s: The time.
            finals_s: Time that finals took.
            answered_s: Audio that became speech or silence.

        Returns:
            What finals took lately, as a share of the workers' time; and how much audio a second that was
            for, which is how many sessions at real time.
        """
        self._looks.append((now_s, finals_s, answered_s))
        while self._looks[0][0] < now_s - _COST_WINDOW_S:
            self._looks.popleft()
        since_s, finals_before_s, answered_before_s = self._looks[0]
        span_s = now_s - since_s
        if span_s <= 0:
            return 0.0, 0.0
        share = (finals_s - finals_before_s) / (span_s * self._workers)
        return share, (answered_s - answered_before_s) / span_s


class LoadMeter:
    """Keeps what was decoded in the last seconds, and what was submitted and is not done."""

    def __init__(self, workers: int, clock: Callable[[], float]) -> None:
        self._workers = workers
        self._clock = clock
        self._lock = threading.Lock()
        self._done: deque[Decoded] = deque()
        self._open: dict[int, tuple[Kind, float]] = {}
        self._next = 0
        self._progress_s = clock()
        self.failures = 0
        """Decodes that failed since the last that succeeded."""
        self.finals_s = 0.0
        """Time that all finals took so far."""

    def submitted(self, kind: Kind) -> int:
        """A decode was submitted; returns its number."""
        with self._lock:
            self._next += 1
            if not self._open:
                self._progress_s = self._clock()
            self._open[self._next] = (kind, self._clock())
            return self._next

    def cancelled(self, number: int) -> None:
        """It is not wanted any more: neither progress nor failure."""
        with self._lock:
            self._open.pop(number)

    def failed(self, number: int) -> None:
        """It failed for good."""
        with self._lock:
            self._open.pop(number)
            self._progress_s = self._clock()
            self.failures += 1

    def decoded(self, number: int, inference_s: float) -> Decoded:
        """It is done, after so much work."""
        with self._lock:
            kind, submitted_s = self._open.pop(number)
            now_s = self._progress_s = self._clock()
            self.failures = 0
            done = Decoded(now_s, kind, max(0.0, now_s - submitted_s - inference_s), inference_s)
            self._done.append(done)
            if kind is Kind.FINAL:
                self.finals_s += inference_s
            return done

    def load(self) -> Load:
        """How busy it is now."""
        with self._lock:
            now_s = self._clock()
            while self._done and self._done[0].done_s < now_s - _WINDOW_S:
                self._done.popleft()
            finals = [each for each in self._done if each.kind is Kind.FINAL]
            typical_s = sum(each.inference_s for each in finals) / len(finals) if finals else 0.0
            waiting = [now_s - since_s - typical_s for kind, since_s in self._open.values() if not kind]
            capacity_s = _WINDOW_S * self._workers
            return Load(
                share=sum(each.inference_s for each in self._done) / capacity_s,
                finals_share=sum(each.inference_s for each in finals) / capacity_s,
                delay_s=max([0.0, *waiting, *(each.wait_s for each in finals)]),
                finals=len(waiting),
                partials=len(self._open) - len(waiting),
            )

    @property
    def stalled_s(self) -> float:
        """How long nothing was done although there was work; 0 when there is none."""
        with self._lock:
            return self._clock() - self._progress_s if self._open else 0.0
