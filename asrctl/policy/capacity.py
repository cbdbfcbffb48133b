"""How many live sessions a pool of workers sustains: the M/G/c queue, with measured costs.

Finals go before partials and take a worker from one, so that partials do not delay them: finals alone are the
queue's jobs. Sessions are taken to speak independently, each with the utterances and pauses below. For 285 of
288 combinations of costs, workers and targets the count was at most that of a simulation of the queue with
partials, preemption and pacing, usually by 0 to 3 sessions, and for the other three at most 2 of 40 more;
`python -m benchmarks.session_count` plays it against the engine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import mean, pvariance

from asrctl.policy.pacing import PacingOptions

MAX_SESSIONS = 64
"""More are not looked for: the process that listens would be the limit."""
UTTERANCE_S = (1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.5, 9.0)
PAUSE_S = (0.7, 2.5)
"""Utterances of a conversation, 4.2 s on average, and the bounds of the pauses between them. That is more
speech than most meetings have from one person, so the count is on the safe side."""

_TRAILING_SILENCE_S = 0.5
_PADDING_S = 0.4
_DETECTION_S = 0.06
"""Audio comes 50 ms at a time and is judged in frames of 32: so late an end of speech is detected."""
_OVERHEAD_S = 0.02
"""What a decode takes besides the model: a queue and a pipe, there and back."""
_RESERVE = 0.1
"""Share of the time for queueing and decoding that is kept back: the tail of the wait is an approximation."""
_MAX_DETECTION_SHARE = 0.9
_MAX_LATE_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Costs:
    """What decoding takes on one worker while all others are as busy; seconds.

    Attributes:
        fixed_s: Part of a final that does not depend on its length.
        per_audio_s: What each second of audio adds.
        draft_factor: Cost of a partial over that of a final of the same length.
        detection_share: Share of all processors that voice activity detection takes for one session.
    """

    fixed_s: float
    per_audio_s: float
    draft_factor: float = 0.8
    detection_share: float = 0.0

    def final_s(self, audio_s: float) -> float:
        """Time for a final of so much audio."""
        return self.fixed_s + self.per_audio_s * audio_s

    def draft_s(self, audio_s: float) -> float:
        """Time for a partial of so much audio."""
        return self.draft_factor * self.final_s(audio_s)


def sustained_sessions(costs: Costs, workers: int, target_s: float) -> int:
    """The most sessions at once of whose finals 95 of 100 come in time; 0 if not even one is served so.

    Args:
        costs: Measured.
        workers: Processes that decode.
        target_s: A final is in time so long after the end of speech.
    """
    limit_s = (1 - _RESERVE) * (target_s - _DETECTION_S - _TRAILING_SILENCE_S)
    sessions = 0
    while sessions < MAX_SESSIONS and late_share(costs, workers, sessions + 1, limit_s) <= _MAX_LATE_SHARE:
        sessions += 1
    if sessions:
        return sessions
    # A single session never queues, and its final is decoded before the endpoint is certain.
    limit_s += _TRAILING_SILENCE_S - PacingOptions().speculate_s
    return int(late_share(costs, workers, 1, limit_s, queue=False) <= _MAX_LATE_SHARE)


def late_share(costs: Costs, workers: int, sessions: int, limit_s: float, *, queue: bool = True) -> float:
    """Share of finals that are not there so long after they were asked for: in the queue and decoded.

    The wait is approximated as in M/G/c queues generally: the probability of one is Erlang's C formula, and
    beyond that it is exponential, scaled by the variation of the service times (Allen and Cunneen).
    """
    detection = costs.detection_share * sessions
    if detection >= _MAX_DETECTION_SHARE:
        return 1.0
    services_s = [
        _OVERHEAD_S + costs.final_s(each_s + _PADDING_S) / (1 - detection) for each_s in UTTERANCE_S
    ]
    service_s = mean(services_s)
    load = sessions / (mean(UTTERANCE_S) + mean(PAUSE_S)) * service_s
    if load >= workers:
        return 1.0
    waits = _erlang_c(workers, load) if queue else 0.0
    rate = 2 * (workers - load) / service_s / (1 + pvariance(services_s) / service_s**2)
    return mean(
        1.0 if each_s > limit_s else waits * math.exp(-rate * (limit_s - each_s)) for each_s in services_s
    )


def _erlang_c(workers: int, load: float) -> float:
    """Probability that a job finds all workers busy; `load` is in workers."""
    blocked = 1.0
    for count in range(1, workers + 1):
        blocked = load * blocked / (count + load * blocked)
    return blocked / (1 - load / workers * (1 - blocked))
