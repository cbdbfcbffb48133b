"""What asrctl promises, held against what was measured here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from asrctl.bench import coldstart, rtf, stream
from asrctl.bench.results import Round, Row
from asrctl.bench.setup import Setup, Speech, Tell, silent

COLD_START_MS = 500.0
SPEED = 2.0
MEMORY_MB = 300.0
SESSIONS = 10
ATTEMPTS = 15


@dataclass(frozen=True, slots=True)
class Promise:
    """A promise and how it stands.

    Attributes:
        name: What is promised.
        target: In words.
        found: In words.
        kept: None if it was not measured.
    """

    name: str
    target: str
    found: str
    kept: bool | None


@dataclass(frozen=True, slots=True)
class _Bound:
    """One figure with a bound; `told` formats what was found."""

    name: str
    figure: str
    target: str
    told: str
    kept: Callable[[float], bool]

    def check(self, figures: Mapping[str, float]) -> Promise:
        if self.figure not in figures:
            return Promise(self.name, self.target, "not measured", None)
        value = figures[self.figure]
        return Promise(self.name, self.target, self.told.format(value), self.kept(value))


_MEASURED = (
    _Bound("cold start", "ready_ms", "< 500 ms", "{:.0f} ms", lambda ms: ms < COLD_START_MS),
    _Bound("speed", "speed", ">= 2 x real time", "{:.1f} x real time", lambda speed: speed >= SPEED),
    _Bound("memory, all processes", "peak_rss_mb", "<= 300 MB", "{:.0f} MB", lambda mb: mb <= MEMORY_MB),
)
_SET = (
    _Bound("sessions at once", "max_sessions", "at most 10", "limit is {:.0f}", lambda n: n <= SESSIONS),
    _Bound("reconnects", "max_attempts", "at most 15", "limit is {:.0f}", lambda n: n <= ATTEMPTS),
)


def check(figures: Mapping[str, float]) -> list[Promise]:
    """All promises.

    Args:
        figures: "ready_ms", "speed", "peak_rss_mb", "dropped_s" and "undeclared_s" as measured;
            "max_sessions" and "max_attempts" as they are set. What is not there was not measured.
    """
    measured, limits = ([bound.check(figures) for bound in bounds] for bounds in (_MEASURED, _SET))
    return [*measured, _drops(figures), *limits]


def _drops(figures: Mapping[str, float]) -> Promise:
    name, target = "drops", "none, or declared"
    if "undeclared_s" not in figures:
        return Promise(name, target, "not measured", None)
    lost_s = figures["undeclared_s"]
    found = f"{figures['dropped_s']:.3g} s declared, {lost_s:.3g} s unaccounted for"
    return Promise(name, target, found, lost_s == 0)


def measure(setup: Setup, speech: Speech, rounds: int, tell: Tell = silent) -> list[Row]:
    """Everything that has to be measured: cold starts, speed, and one live session; in this order.

    Args:
        setup: What decodes.
        speech: What is decoded.
        rounds: How often it starts, and how often it decodes.
        tell: Told how far it is.
    """
    total = 2.0 * rounds + 1
    starts, speeds = list[Round](), list[Round]()
    coldstart.run(setup)  # not counted: it fills the page cache
    for number in range(rounds):
        tell("cold start", 2.0 * number, total)
        starts.append(coldstart.run(setup))
        tell("speed", 2.0 * number + 1, total)
        speeds.append(rtf.run(setup, speech))
    live = stream.run(
        setup,
        stream.talks(speech, 1, speech.duration_s),
        stream.Unpaced(setup),
        lambda share: tell("one live session", total - 1 + share, total),
    )
    tell("done", total, total)
    named = {"cold start": starts, "speed": speeds, "one live session": [live]}
    return [Row(name, setup.description, found) for name, found in named.items()]


def figures(rows: Sequence[Row]) -> dict[str, float]:
    """From the rows of `measure` to what `check` wants."""
    start, speed, live = (row.figures for row in rows)
    return {
        "ready_ms": start["ready_s"] * 1000,
        "speed": 1 / speed["rtf"],
        "peak_rss_mb": max(speed["peak_rss_mb"], live["peak_rss_mb"]),
        "dropped_s": live["dropped_s"],
        "undeclared_s": live["undeclared_s"],
    }
