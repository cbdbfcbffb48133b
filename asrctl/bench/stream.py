"""Live sessions: latency, accuracy and cost for numbers of them, and how many a machine bears."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from asrctl.bench.backends import LocalBackend, Played, TellShare
from asrctl.bench.paced import Talk, latencies
from asrctl.bench.results import AT_S, Round, Row
from asrctl.bench.setup import Speech, Tell, builtin, silent
from asrctl.bench.wer import WordErrors, word_errors
from asrctl.bench.wordlag import word_lags
from asrctl.transcript import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from asrctl.bench.remote import RemoteBackend  # needs a package that may be missing

    Backend = LocalBackend | RemoteBackend

MOST_SESSIONS = 64
_SPREAD_S = 5.0
"""Sessions begin over this time, about an utterance and a pause, so that their finals do not come at once."""

_PATTERNS = 8
"""So many sessions hear built-in speech with pauses of their own; those beyond only begin at other times."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is good enough: a bound for the 95th percentile of the final latency, and nothing dropped."""

    final_p95_s: float

    def met_by(self, figures: Round) -> bool:
        """Whether a round or a row's medians are within it; no final at all is not."""
        return figures.get("final_p95_s", float("inf")) <= self.final_p95_s and not figures["dropped_s"]


def talks(speech: Speech, sessions: int, seconds: float) -> list[Talk]:
    """What sessions hear: the same words with other pauses, or the same recording, each a little later."""
    starts = [_SPREAD_S * index / sessions for index in range(sessions)]
    if speech.builtin:
        patterns = [builtin(seconds, seed) for seed in range(min(sessions, _PATTERNS))]
        heard = [patterns[index % _PATTERNS] for index in range(sessions)]
        return [
            Talk(each.samples(each.duration_s), each.reference, start_s)
            for each, start_s in zip(heard, starts, strict=True)
        ]
    samples = speech.samples(seconds)
    whole = len(samples) >= round(speech.duration_s * SAMPLE_RATE_HZ)
    return [Talk(samples, speech.reference if whole else None, start_s) for start_s in starts]


def measure(
    backend: Backend, speech: Speech, counts: Sequence[int], rounds: int, seconds: float, tell: Tell = silent
) -> list[Row]:
    """Every number of sessions once in each round.

    Args:
        backend: Where they are played.
        speech: What the sessions hear.
        counts: Numbers of sessions.
        rounds: How often each.
        seconds: Of the speech, for each session.
        tell: Progress callback.
    """
    found: list[list[Round]] = [[] for _ in counts]
    total = rounds * len(counts)
    for number in range(rounds):
        for index, count in enumerate(counts):
            done = number * len(counts) + index

            def told(share: float, done: int = done, count: int = count) -> None:
                tell(f"{count} at once", done + share, total)

            told(0.0)
            found[index].append(run(backend, talks(speech, count, seconds), told))
    tell("done", total, total)
    return [_row(backend, count, given) for count, given in zip(counts, found, strict=True)]


def find(
    backend: Backend, speech: Speech, target: Target, seconds: float, tell: Tell = silent
) -> tuple[int, list[Row]]:
    """The most sessions that meet the target, and all that was tried; 0 if not even one does."""
    rows = dict[int, Row]()

    def meets(count: int) -> bool:
        def told(share: float) -> None:
            tell(f"{count} at once", share, 1.0)

        rows[count] = _row(backend, count, [run(backend, talks(speech, count, seconds), told)])
        return target.met_by(rows[count].figures)

    most = highest(meets, MOST_SESSIONS)
    return most, [rows[count] for count in sorted(rows)]


def highest(meets: Callable[[int], bool], most: int) -> int:
    """The highest number up to `most` that meets a target which no higher one meets; 0 if 1 does not.

    Doubles until one fails and then halves what lies between, since each try takes a minute.
    """
    good, bad = 0, 1
    while bad <= most and meets(bad):
        good, bad = bad, min(2 * bad, most) if bad < most else most + 1
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if meets(middle) else (good, middle)
    return good


def run(backend: Backend, given: Sequence[Talk], tell: TellShare = lambda _: None) -> Round:
    """One number of sessions, once."""
    at_s, played = time.time(), backend.play(given, tell)
    pairs = list(zip(given, played.heard, strict=True))
    refused = sum(len(talk.samples) for talk, each in pairs if each.failure)
    dropped = sum(each.dropped_samples for each in played.heard if not each.failure)
    lost = sum(each.unaccounted_samples(len(talk.samples)) for talk, each in pairs if not each.failure)
    return {
        AT_S: at_s,
        **_late(backend, given, played),
        **_accuracy(given, played),
        **played.cost,
        "dropped_s": (dropped + refused) / SAMPLE_RATE_HZ,
        "undeclared_s": lost / SAMPLE_RATE_HZ,
    }


def _late(backend: Backend, given: Sequence[Talk], played: Played) -> dict[str, float]:
    late = latencies(given, played.heard, backend.endpointing)
    figures = {"utterances": float(late.utterances)}
    if late.utterances:
        figures["partials_per_utterance"] = late.partials / late.utterances
    pairs = zip(played.unpaced, played.heard, strict=True)
    named = (
        ("first_partial", late.first_partial_s),
        ("final", late.final_s),
        ("cut_final", late.cut_s),
        ("word_lag", [lag_s for plain, each in pairs for lag_s in word_lags(plain.words, each)]),
    )
    for name, values in named:
        if values:
            figures |= {
                f"{name}_p{percent}_s": float(np.percentile(values, percent)) for percent in (50, 95, 99)
            }
    return figures


def _accuracy(given: Sequence[Talk], played: Played) -> dict[str, float]:
    heard = [each.text for each in played.heard]
    unpaced = [each.text for each in played.unpaced]
    figures = {"wer_against_unpaced_percent": _errors(unpaced, heard).percent}
    known = [number for number, talk in enumerate(given) if talk.text is not None]
    if known:
        said = [given[number].text or "" for number in known]
        figures["wer_percent"] = _errors(said, [heard[number] for number in known]).percent
        figures["unpaced_wer_percent"] = _errors(said, [unpaced[number] for number in known]).percent
    return figures


def _errors(expected: Sequence[str], outputs: Sequence[str]) -> WordErrors:
    """Word errors of all texts together."""
    pairs = zip(expected, outputs, strict=True)
    return sum((word_errors(text, output) for text, output in pairs), WordErrors(0, 0))


def _row(backend: Backend, count: int, rounds: Sequence[Round]) -> Row:
    return Row(f"{backend.name} {count} sessions", {**backend.description, "sessions": count}, rounds)
