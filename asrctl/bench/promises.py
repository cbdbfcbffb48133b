"""What asrctl promises, held against what was measured here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asrctl.bench import coldstart, rtf, stream
from asrctl.bench.results import Round, Row
from asrctl.bench.setup import Setup, Speech, Tell, silent
from asrctl.bench.stage import Here

if TYPE_CHECKING:
    from asrctl.client import ClientOptions  # needs a package that may be missing

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
_ENFORCED = (
    _Bound("sessions at once", "let_in", "at most 10", "{:.0f} let in", lambda n: 0 < n <= SESSIONS),
    _Bound("reconnects", "attempts", "at most 15", "gave up after {:.0f}", lambda n: 0 < n <= ATTEMPTS),
)


def check(figures: Mapping[str, float]) -> list[Promise]:
    """All promises.

    Args:
        figures: "ready_ms", "speed", "peak_rss_mb", "dropped_s", "undeclared_s", "let_in" and "attempts";
            what is not there was not measured.
    """
    measured, limits = ([bound.check(figures) for bound in bounds] for bounds in (_MEASURED, _ENFORCED))
    return [*measured, _drops(figures), *limits]


def _drops(figures: Mapping[str, float]) -> Promise:
    name, target = "drops", "none, or declared"
    if "undeclared_s" not in figures:
        return Promise(name, target, "not measured", None)
    lost_s = figures["undeclared_s"]
    found = f"{figures['dropped_s']:.3g} s declared, {lost_s:.3g} s unaccounted for"
    return Promise(name, target, found, lost_s == 0)


@dataclass(frozen=True, slots=True)
class Limits:
    """What is set.

    Attributes:
        max_sessions: That a server lets in.
        client: How far a client goes.
    """

    max_sessions: int
    client: ClientOptions


def measure(
    setup: Setup, speech: Speech, limits: Limits | None, rounds: int, tell: Tell = silent
) -> list[Row]:
    """Everything that has to be measured, in the order of the rows.

    Args:
        setup: What decodes.
        speech: What is decoded.
        limits: What a server and a client are told; None where they cannot run.
        rounds: How often it starts, and how often it decodes.
        tell: Told how far it is.
    """
    total = 2.0 * rounds + 2
    starts, speeds = list[Round](), list[Round]()
    coldstart.run(setup)  # not counted: it fills the page cache
    for number in range(rounds):
        tell("cold start", 2.0 * number, total)
        starts.append(coldstart.run(setup))
        tell("speed", 2.0 * number + 1, total)
        speeds.append(rtf.run(setup, speech))
    live = stream.run(
        Here(setup),
        stream.talks(speech, 1, speech.duration_s),
        lambda share: tell("one live session", total - 2 + share, total),
    )
    named = {"cold start": starts, "speed": speeds, "one live session": [live]}
    if limits is not None:
        from asrctl.bench import enforced

        tell("a full server", total - 1, total)
        named["a full server"] = [enforced.sessions(setup, limits.max_sessions, limits.client)]
        named["a server that slams the door"] = [enforced.reconnects(limits.client)]
    tell("done", total, total)
    return [Row(name, setup.description, found) for name, found in named.items()]


def figures(rows: Sequence[Row]) -> dict[str, float]:
    """From the rows of `measure` to what `check` wants."""
    start, speed, live, *limits = (row.figures for row in rows)
    server, client = limits or ({}, {})
    peaks = [each["peak_rss_mb"] for each in (speed, live, server) if "peak_rss_mb" in each]
    found = {
        "ready_ms": start["ready_s"] * 1000,
        "speed": 1 / speed["rtf"],
        "peak_rss_mb": max(peaks),
        "dropped_s": live["dropped_s"] + server.get("dropped_s", 0.0),
        "undeclared_s": live["undeclared_s"] + server.get("undeclared_s", 0.0),
    }
    return {**found, **{name: given[name] for given in (server, client) for name in _LIMITS if name in given}}


_LIMITS = ("let_in", "attempts")
