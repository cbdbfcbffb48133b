"""Live sessions: latency, accuracy and cost for numbers of them, and how many a machine bears."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from asrctl.bench.cost import Cost
from asrctl.bench.paced import Heard, Talk, latencies, play
from asrctl.bench.results import Round, Row
from asrctl.bench.setup import Setup, Speech, Tell, builtin, silent
from asrctl.bench.stats import percentile
from asrctl.bench.wer import WordErrors, word_errors
from asrctl.engine.files import FileTranscription
from asrctl.engine.pool import WorkerPool
from asrctl.transcript import SAMPLE_RATE_HZ, join_text

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
    setup: Setup, speech: Speech, counts: Sequence[int], rounds: int, seconds: float, tell: Tell = silent
) -> list[Row]:
    """Every number of sessions once in each round.

    Args:
        setup: What decodes.
        speech: What the sessions hear.
        counts: Numbers of sessions.
        rounds: How often each.
        seconds: Of the speech, for each session.
        tell: Told how far it is.
    """
    unpaced = Unpaced(setup)
    found: list[list[Round]] = [[] for _ in counts]
    total = rounds * len(counts)
    for number in range(rounds):
        for index, count in enumerate(counts):
            done = number * len(counts) + index

            def told(share: float, done: int = done, count: int = count) -> None:
                tell(f"{count} at once", done + share, total)

            told(0.0)
            found[index].append(run(setup, talks(speech, count, seconds), unpaced, told))
    tell("done", total, total)
    return [_row(setup, count, given) for count, given in zip(counts, found, strict=True)]


def find(
    setup: Setup, speech: Speech, target: Target, seconds: float, tell: Tell = silent
) -> tuple[int, list[Row]]:
    """The most sessions that meet the target, and all that was tried; 0 if not even one does."""
    rows, unpaced = dict[int, Row](), Unpaced(setup)

    def meets(count: int) -> bool:
        def told(share: float) -> None:
            tell(f"{count} at once", share, 1.0)

        rows[count] = _row(setup, count, [run(setup, talks(speech, count, seconds), unpaced, told)])
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


class Unpaced:
    """What a setup makes of talks that are given to it as files; each is decoded once only."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._texts: dict[bytes, str] = {}

    def text(self, pool: WorkerPool, talk: Talk) -> str:
        """The text of a talk, by workers of the setup."""
        key = sha256(talk.samples.data).digest()
        if key not in self._texts:
            work = FileTranscription([talk.samples], pool, self._setup.detector(), self._setup.files)
            self._texts[key] = join_text(segment.text for segment in work)
        return self._texts[key]


def run(
    setup: Setup, given: Sequence[Talk], unpaced: Unpaced, tell: Callable[[float], None] = lambda _: None
) -> Round:
    """One number of sessions, once, with processes of its own."""
    with WorkerPool(setup.spec, setup.pool) as pool:
        pool.wait_ready()
        plain = [unpaced.text(pool, talk) for talk in given]
        with Cost(pool.pids()) as cost:
            heard = play(pool, given, setup.stream, setup.detector, tell)
        restarts = pool.restarts
    audio_s = sum(len(talk.samples) for talk in given) / SAMPLE_RATE_HZ
    lost = sum(each.unaccounted_samples(len(talk.samples)) for talk, each in zip(given, heard, strict=True))
    return {
        **_late(setup, given, heard),
        **_accuracy(given, heard, plain),
        "cpu_per_audio_s": cost.cpu_s / audio_s,
        "parent_cpu_per_audio_s": cost.parent_s / audio_s,
        "peak_rss_mb": cost.peak_rss_mb,
        "dropped_s": sum(each.dropped_samples for each in heard) / SAMPLE_RATE_HZ,
        "undeclared_s": lost / SAMPLE_RATE_HZ,
        "restarts": float(restarts),
        "busy_share": cost.busy_share,
    }


def _late(setup: Setup, given: Sequence[Talk], heard: Sequence[Heard]) -> dict[str, float]:
    late = latencies(given, heard, setup.stream.endpointing)
    figures = {"utterances": float(late.utterances)}
    if late.utterances:
        figures["partials_per_utterance"] = late.partials / late.utterances
    named = (("first_partial", late.first_partial_s), ("final", late.final_s), ("cut_final", late.cut_s))
    for name, values in named:
        if values:
            figures |= {f"{name}_p{percent}_s": percentile(values, percent) for percent in (50, 95, 99)}
    return figures


def _accuracy(given: Sequence[Talk], heard: Sequence[Heard], unpaced: Sequence[str]) -> dict[str, float]:
    nothing = WordErrors(0, 0)
    pairs = list(zip(unpaced, heard, strict=True))
    figures = {
        "wer_against_unpaced_percent": sum(
            (word_errors(text, each.text) for text, each in pairs), nothing
        ).percent
    }
    known = [(talk.text, *pair) for talk, pair in zip(given, pairs, strict=True) if talk.text is not None]
    if known:
        figures["wer_percent"] = sum(
            (word_errors(text, each.text) for text, _, each in known), nothing
        ).percent
        figures["unpaced_wer_percent"] = sum(
            (word_errors(text, plain) for text, plain, _ in known), nothing
        ).percent
    return figures


def _row(setup: Setup, count: int, rounds: Sequence[Round]) -> Row:
    return Row(f"{setup.name} {count} sessions", {**setup.description, "sessions": count}, rounds)
