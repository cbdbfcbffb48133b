"""How many live sessions a pool of workers sustains: a simulation of the queue, fed with measured costs.

Talkers speak and pause at random; partials, finals, priorities and pacing go by the rules of `pacing` and
`priority`. A queue's delay grows without bound near full load, which is why multiplying averages does not
give the answer.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from asrctl.policy.pacing import Pacer, PacingOptions
from asrctl.policy.priority import Kind

MOST_SESSIONS = 64
"""More are not looked for: the process that listens would be the limit."""

UTTERANCE_S = (1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.5, 9.0)
PAUSE_S = (0.7, 2.5)
"""A talker: utterances of a conversation, 4.2 s on average, and pauses between these bounds. That is more
speech than most meetings have from one person, so the count is on the safe side."""

_SIMULATED_S = 120.0
_TRAILING_SILENCE_S = 0.5
_PADDING_S = 0.4
_HEARING_S = 0.06
"""Audio comes 50 ms at a time and is judged in frames of 32: so late an end of speech is seen."""
_HANDLING_S = 0.02
"""What a decode takes besides: two queues, two pipes, two threads. With a scripted recogniser that sleeps for
0.3 s, 95 of 100 finals of 4, 8, 11 and 15 live sessions came within 0.9, 1.4, 1.8 and 2.4 s (2 busy cores);
reckoned with it are 1.0, 1.3, 1.6 and 2.3 s (`python -m benchmarks.session_model`)."""
_RESERVE = 0.1
"""Of the time beyond the quickest final there is; the figures above are by up to so much too low."""
_MAX_LISTENING = 0.9
_SEEDS = (1, 2, 3)


@dataclass(frozen=True, slots=True)
class Costs:
    """What decoding takes on one worker while all others are as busy; seconds.

    Attributes:
        fixed_s: Part of a final that does not depend on its length.
        per_audio_s: What each second of audio adds.
        draft_factor: Cost of a partial over that of a final of the same length.
        listening_share: Processors that one session needs besides, of all that there are: for finding speech.
    """

    fixed_s: float
    per_audio_s: float
    draft_factor: float = 0.8
    listening_share: float = 0.0

    def final_s(self, audio_s: float) -> float:
        """Time for a final of so much audio."""
        return self.fixed_s + self.per_audio_s * audio_s

    def draft_s(self, audio_s: float) -> float:
        """Time for a partial of so much audio."""
        return self.draft_factor * self.final_s(audio_s)


def sustained_sessions(
    costs: Costs, workers: int, target_s: float, pacing: PacingOptions | None = None
) -> int:
    """The most sessions at once whose finals come in time; 0 if not even one is served so.

    Args:
        costs: Measured.
        workers: Processes that decode.
        target_s: A final is in time so long after the end of speech; 95 of 100 must be.
        pacing: When partials are made.
    """
    options = pacing or PacingOptions()
    bound_s = target_s - _RESERVE * max(0.0, target_s - _HEARING_S - _TRAILING_SILENCE_S)

    def fits(sessions: int) -> bool:
        latencies = [final_latency_s(costs, workers, sessions, options, seed) for seed in _SEEDS]
        return max(latencies) <= bound_s

    if not fits(1):
        return 0
    least, most = 1, 2
    while most <= MOST_SESSIONS and fits(most):
        least, most = most, 2 * most
    most = min(most, MOST_SESSIONS + 1)
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (middle, most) if fits(middle) else (least, middle)
    return least


def final_latency_s(
    costs: Costs, workers: int, sessions: int, pacing: PacingOptions | None = None, seed: int = 0
) -> float:
    """95th percentile of the time from the end of speech to its final, with so many sessions at once."""
    listening = costs.listening_share * sessions
    if listening >= _MAX_LISTENING:
        return math.inf
    slowdown = 1 / (1 - listening)
    slowed = Costs(slowdown * costs.fixed_s, slowdown * costs.per_audio_s, costs.draft_factor)
    simulation = _Simulation(slowed, workers, pacing or PacingOptions(), Random(seed))
    for _ in range(sessions):
        simulation.add_talker()
    return simulation.run()


@dataclass(slots=True, eq=False)
class _Job:
    kind: Kind
    talker: _Talker
    cost_s: float
    queued_s: float
    ended_s: float = 0.0
    running: bool = False
    dead: bool = False


@dataclass(slots=True, eq=False)
class _Talker:
    pacer: Pacer
    served: int = 0
    """How many jobs had been taken when one of this talker's was last."""
    utterance: int = 0
    start_s: float = 0.0
    end_s: float = 0.0
    partial: _Job | None = None


@dataclass(slots=True)
class _Simulation:
    """A heap of what happens when; workers take finals before partials, and first who was served longest ago.

    As in the engine, a final that finds no worker free takes that of the youngest partial, which is lost.
    """

    costs: Costs
    workers: int
    pacing: PacingOptions
    random: Random
    _now_s: float = 0.0
    _free: int = 0
    _count: int = 0
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _taken: int = 0
    _queues: dict[Kind, list[_Job]] = field(default_factory=dict)
    _partials: list[_Job] = field(default_factory=list)
    """Those that run, in the order in which they were asked for."""
    _latencies_s: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._free = self.workers
        self._queues = {kind: [] for kind in Kind}

    def add_talker(self) -> None:
        """One more session, which begins to speak at a moment of its own."""
        talker = _Talker(Pacer(self.pacing))
        self._at(self.random.uniform(0.0, 5.0), lambda: self._speak(talker))

    def run(self) -> float:
        """Play it all; the 95th percentile of the finals' latency in seconds."""
        while self._events:
            self._now_s, _, happen = heapq.heappop(self._events)
            happen()
        self._latencies_s.sort()
        return self._latencies_s[math.ceil(0.95 * len(self._latencies_s)) - 1]

    def _at(self, time_s: float, happen: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (time_s, self._count, happen))

    def _speak(self, talker: _Talker) -> None:
        if self._now_s > _SIMULATED_S:
            return
        talker.utterance += 1
        talker.start_s = self._now_s
        talker.end_s = self._now_s + self.random.choice(UTTERANCE_S)
        self._show_at(self._now_s + talker.pacer.first_s, talker)
        self._at(talker.end_s, lambda: self._fall_silent(talker))

    def _show_at(self, time_s: float, talker: _Talker) -> None:
        utterance = talker.utterance
        self._at(time_s, lambda: self._show(talker, utterance))

    def _show(self, talker: _Talker, utterance: int) -> None:
        """A partial is due, unless what it was for is over."""
        if talker.utterance != utterance or self._now_s >= talker.end_s:
            return
        cost_s = self.costs.draft_s(self._now_s - talker.start_s + _PADDING_S / 2)
        talker.partial = _Job(Kind.PARTIAL, talker, cost_s, self._now_s)
        self._submit(talker.partial)

    def _fall_silent(self, talker: _Talker) -> None:
        """Speech ended: its partial is not wanted any more; its final is, on suspicion or in certainty."""
        if talker.partial:
            self._abort(talker.partial)
        relaxed = talker.pacer.relaxed
        wait_s = _HEARING_S + (self.pacing.speculate_s if relaxed else _TRAILING_SILENCE_S)
        cost_s = self.costs.final_s(talker.end_s - talker.start_s + _PADDING_S)
        final = _Job(Kind.FINAL, talker, cost_s, self._now_s + wait_s, ended_s=self._now_s)
        self._at(final.queued_s, lambda: self._submit(final))
        pause_s = max(_TRAILING_SILENCE_S, self.random.uniform(*PAUSE_S))
        self._at(self._now_s + pause_s, lambda: self._speak(talker))

    def _submit(self, job: _Job) -> None:
        self._queues[job.kind].append(job)
        if job.kind is Kind.FINAL and not self._free and self._partials:
            self._preempt(max(self._partials, key=lambda partial: partial.queued_s))
        self._serve()

    def _preempt(self, partial: _Job) -> None:
        """A partial makes way: its talker sees one that took long, and asks for the next in its time."""
        talker = partial.talker
        self._abort(partial, serve=False)
        waited_s = self._now_s - partial.queued_s
        talker.pacer.observe(waited_s, waited_s)
        self._show_at(max(self._now_s, partial.queued_s + talker.pacer.interval_s), talker)

    def _serve(self) -> None:
        for kind in Kind:
            queue = self._queues[kind]
            while self._free and queue:
                job = min(queue, key=lambda waiting: waiting.talker.served)
                queue.remove(job)
                if not job.dead:
                    self._taken += 1
                    job.talker.served = self._taken
                    self._free -= 1
                    job.running = True
                    if kind is Kind.PARTIAL:
                        self._partials.append(job)
                    done_s = self._now_s + job.cost_s + _HANDLING_S
                    self._at(done_s, lambda job=job: self._done(job))  # type: ignore[misc]

    def _abort(self, job: _Job, *, serve: bool = True) -> None:
        """A partial that waits never runs; one that runs is stopped, which takes no time to speak of."""
        job.dead, job.talker.partial = True, None
        if job.running:
            self._partials.remove(job)
            self._free += 1
            if serve:
                self._serve()

    def _done(self, job: _Job) -> None:
        if job.dead:
            return
        self._free += 1
        talker = job.talker
        if job.kind is Kind.FINAL:
            shown_s = max(self._now_s, job.ended_s + _HEARING_S + _TRAILING_SILENCE_S)
            self._latencies_s.append(shown_s - job.ended_s)
        else:
            talker.partial = None
            self._partials.remove(job)
            turnaround_s = self._now_s - job.queued_s
            talker.pacer.observe(turnaround_s, turnaround_s - job.cost_s)
            self._show_at(max(self._now_s, job.queued_s + talker.pacer.interval_s), talker)
        self._serve()
