"""How busy the recogniser is: told of each decode, asked for shares and delays."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from asrctl.policy.priority import Kind, Ticket
from asrctl.transcript import Hypothesis, Part

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
        delay_s: Longest wait of a final, of those done lately and those that still wait.
        finals: Finals that wait or run.
        partials: Partials, and second decodes for finals, that wait or run.
    """

    share: float
    delay_s: float
    finals: int
    partials: int


WORK = ("partial", "guess", *Part)
"""The sorts of work that decoding live audio is made of."""


def work_of(ticket: Ticket, hypothesis: Hypothesis) -> dict[str, float]:
    """Seconds of each sort of work that a hypothesis took; a partial and a guess are one sort each."""
    if ticket.kind is Kind.PARTIAL:
        return {"partial": hypothesis.inference_s}
    if ticket.is_guess:
        return {"guess": hypothesis.inference_s}
    others = {str(part): seconds for part, seconds in hypothesis.parts_s.items() if part is not Part.FIRST}
    return {Part.FIRST: max(0.0, hypothesis.inference_s - sum(others.values())), **others}


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
    """Keeps what was decoded in the last seconds, and what was asked for and is not done."""

    def __init__(self, workers: int, clock: Callable[[], float]) -> None:
        self._workers = workers
        self._clock = clock
        self._done: deque[Decoded] = deque()
        self._open: dict[int, tuple[Kind, float]] = {}
        self._next = 0
        self._progress_s = clock()
        self.failures = 0
        """Decodes that failed since the last that succeeded."""
        self.finals_s = 0.0
        """Time that all finals took so far."""

    def begin(self, kind: Kind) -> int:
        """A decode was asked for; returns its number, with which one of the others is to be called."""
        self._next += 1
        if not self._open:
            self._progress_s = self._clock()
        self._open[self._next] = (kind, self._clock())
        return self._next

    def cancelled(self, number: int) -> None:
        """It is not wanted any more: neither progress nor failure."""
        del self._open[number]

    def failed(self, number: int) -> None:
        """It failed for good."""
        del self._open[number]
        self._progress_s = self._clock()
        self.failures += 1

    def decoded(self, number: int, inference_s: float) -> Decoded:
        """It is done, after so much work."""
        kind, asked_s = self._open.pop(number)
        now_s = self._progress_s = self._clock()
        self.failures = 0
        done = Decoded(now_s, kind, max(0.0, now_s - asked_s - inference_s), inference_s)
        self._done.append(done)
        if kind is Kind.FINAL:
            self.finals_s += inference_s
        return done

    def load(self) -> Load:
        """How busy it is now."""
        now_s = self._clock()
        while self._done and self._done[0].done_s < now_s - _WINDOW_S:
            self._done.popleft()
        finals = [each for each in self._done if each.kind is Kind.FINAL]
        typical_s = sum(each.inference_s for each in finals) / len(finals) if finals else 0.0
        waiting = [now_s - since_s - typical_s for kind, since_s in self._open.values() if not kind]
        worked_s = sum(each.inference_s for each in self._done)
        return Load(
            share=max(worked_s, self._at_work_s(now_s)) / (_WINDOW_S * self._workers),
            delay_s=max([0.0, *waiting, *(each.wait_s for each in finals)]),
            finals=len(waiting),
            partials=len(self._open) - len(waiting),
        )

    def _at_work_s(self, now_s: float) -> float:
        """Time that workers have been at decodes which are not done, as far as it lies in the window: some
        decodes take longer than that. The oldest are the ones that run, since the last one was done."""
        oldest = [asked_s for _, asked_s in self._open.values()][: self._workers]
        return sum(min(_WINDOW_S, now_s - max(asked_s, self._progress_s)) for asked_s in oldest)

    @property
    def stalled_s(self) -> float:
        """How long nothing was done although there was work; 0 when there is none."""
        return self._clock() - self._progress_s if self._open else 0.0

    def excuse(self) -> None:
        """No worker is there that could do anything: that is no stall."""
        self._progress_s = self._clock()
