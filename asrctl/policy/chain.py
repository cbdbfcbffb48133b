"""Provider choice: which of several recognisers takes the next utterance, and which of them gets a rest.

The chain is in order of preference. A provider that was lost is left alone for a while, longer each time it
is lost soon after, and then gets the next utterance again; nothing changes in the middle of an utterance
unless its provider is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from asrctl.errors import UsageError


@dataclass(frozen=True, slots=True)
class ChainOptions:
    """How long a provider that was lost is left alone.

    Attributes:
        retry_s: The first time, and as long as it must have done well for its losses to be forgotten.
        growth: By how much longer each time.
        max_retry_s: The longest.

    Raises:
        UsageError: The values make no sense together.
    """

    retry_s: float = 30.0
    growth: float = 2.0
    max_retry_s: float = 600.0

    def __post_init__(self) -> None:
        """Validate once, at the edge."""
        if not (0 < self.retry_s <= self.max_retry_s and self.growth >= 1):
            raise UsageError("chain: retry_s must be from 0 to max_retry_s, and growth at least 1")


@dataclass(slots=True)
class _Health:
    """When a provider's rest ends, or ended; how long the rest is; and what it is for."""

    until_s: float = float("-inf")
    rest_s: float = 0.0
    reason: str = ""


class Chain:
    """The health of some providers, by name, in order of preference. Not thread-safe."""

    def __init__(
        self, attempts: Mapping[str, int], options: ChainOptions, clock: Callable[[], float]
    ) -> None:
        """Begin with all of them healthy.

        Args:
            attempts: How often each may fail with one and the same utterance; best provider first.
            options: How long they rest.
            clock: Monotonic seconds.
        """
        self._attempts = dict(attempts)
        self._options = options
        self._clock = clock
        self._health = {name: _Health() for name in attempts}

    def candidates(self, failures: Mapping[str, int]) -> list[str]:
        """Whom to ask for an utterance, best first; those that rest come last, since they beat losing it.

        Args:
            failures: How often providers failed with this very utterance.

        Returns:
            Empty if each had its attempts.
        """
        left = [name for name, most in self._attempts.items() if failures.get(name, 0) < most]
        return sorted(left, key=lambda name: (self.is_resting(name), failures.get(name, 0)))

    def is_resting(self, name: str) -> bool:
        """Whether a provider is left alone for now."""
        return self._clock() < self._health[name].until_s

    def reason(self, name: str) -> str:
        """Why a provider rests; empty if it does not."""
        return self._health[name].reason if self.is_resting(name) else ""

    def lost(self, name: str, reason: str) -> None:
        """A provider broke down: it gets a rest. While it has one, that changes nothing.

        Several streams may lose it at the same moment, and that is one loss.
        """
        if self.is_resting(name):
            return
        health, options, now_s = self._health[name], self._options, self._clock()
        did_well = now_s - health.until_s >= options.retry_s
        longer_s = options.retry_s if did_well else health.rest_s * options.growth
        health.rest_s = min(longer_s, options.max_retry_s)
        health.until_s, health.reason = now_s + health.rest_s, reason
