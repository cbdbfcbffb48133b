"""Which language is heard, by the length of what is said: ours against whisper.cpp's own detection.

    python -m benchmarks.languages benchmark-corpus --half report
    python -m benchmarks.languages benchmark-corpus --half choose --sweep

An utterance is the beginning of a clip of the hard corpus, or of several in a row, cut to 1, 2, 4 or 8 s;
"whole" is one clip. Each is judged alone, and as one of a stream where four of a language follow each other
(`asrctl/policy/language.py` remembers). whisper.cpp looks at each utterance alone, in a full window of 30 s.
Then a file in which each language follows another: which language each segment got. At last files of turns
of 2 to 6 s of real speech, each in another language than the one before: how much of the time got its
language, by the pause between turns.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from asrctl.engine import Engine
from asrctl.models.store import ModelStore
from asrctl.policy import language as policy
from asrctl.policy.language import LanguageBelief
from asrctl.policy.window import Effort
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.providers.whisper_cpp import WhisperCpp
from asrctl.transcript import LanguageEvidence, Segment
from benchmarks.common import CLEAN, SAMPLE_RATE_HZ, Clip, Table, half_option, read_manifest, read_wav, table
from benchmarks.talks import keep, parser

LENGTHS_S = (1.0, 2.0, 4.0, 8.0)
WHOLE = 0.0
RUN = 4
_GAP_S = 0.25
_PAUSE_S = 0.8
_PAUSES_S = (0.0, 0.2, 0.45, 0.8)
_TURNS = 24
_TURN_S = (2.0, 6.0)
_LEAST_CLIPS = 10
_JOINED_S = 8.0
_THREADS = 2
SWEEP: dict[str, tuple[float, ...]] = {
    "_CHANGES": (0.1, 0.2, 0.3, 0.4),
    "_TRUSTED_S": (1.0, 2.0, 4.0),
    "_RARE": (0.03, 0.1, 1.0),
}

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Utterance:
    """What is said in one language.

    Attributes:
        language: Its code.
        synthetic: Whether a machine speaks.
        length_s: To which it was cut; 0 for a whole clip.
        samples: The audio.
    """

    language: str
    synthetic: bool
    length_s: float
    samples: Array


@dataclass(frozen=True, slots=True)
class Judged:
    """An utterance with what was heard of its language.

    Attributes:
        utterance: The same.
        evidence: Of asrctl.
        theirs: The language by whisper.cpp's own detection; empty if it was not asked.
    """

    utterance: Utterance
    evidence: tuple[LanguageEvidence, ...]
    theirs: str


def utterances(corpus: Path, clips: Sequence[Clip], count: int) -> Iterator[Utterance]:
    """Of each language so many of each length; fewer where there is not enough speech."""
    for language, spoken in _by_language(corpus, clips).items():
        parts = [samples for samples, _ in spoken]
        synthetic = spoken[0][1]
        for samples in parts[:count]:
            yield Utterance(language, synthetic, WHOLE, samples)
        for length_s in LENGTHS_S:
            for samples in _cuts(parts, round(length_s * SAMPLE_RATE_HZ))[:count]:
                yield Utterance(language, synthetic, length_s, samples)


def _by_language(corpus: Path, clips: Sequence[Clip]) -> dict[str, list[tuple[Array, bool]]]:
    """Real speech where there is some of a language, else synthetic."""
    found: dict[str, list[tuple[Array, bool]]] = {}
    real = {clip.language for clip in clips if not clip.synthetic}
    for clip in clips:
        if clip.condition == CLEAN and (not clip.synthetic or clip.language not in real):
            samples = read_wav(corpus / clip.file).astype(np.float32) / np.float32(32768)
            found.setdefault(clip.language, []).append((samples, clip.synthetic))
    return dict(sorted(found.items()))


def _cuts(parts: Sequence[Array], length: int) -> list[Array]:
    gap, cuts, held = np.zeros(round(_GAP_S * SAMPLE_RATE_HZ), np.float32), list[Array](), list[Array]()
    for part in parts:
        held += [part, gap]
        if sum(map(len, held)) - len(gap) >= length:
            cuts.append(np.concatenate(held)[:length])
            held = []
    return cuts


def judge(given: Sequence[Utterance], path: Path, *, theirs: bool) -> list[Judged]:
    """Listen to all; whisper.cpp's own detection only if asked for, since it takes ten times as long."""
    options = DecodeOptions(language="auto", effort=Effort.DRAFT)
    with WhisperCpp(ModelSpec("whisper_cpp", path, threads=_THREADS)) as model:
        evidence = [model.transcribe(each.samples, options, bool).evidence for each in given]
    names = _detected(given, path) if theirs else [""] * len(given)
    return [Judged(*each) for each in zip(given, evidence, names, strict=True)]


def _detected(given: Sequence[Utterance], path: Path) -> list[str]:
    from pywhispercpp.model import Model

    model = Model(str(path), n_threads=_THREADS, redirect_whispercpp_logs_to=None)
    return [model.auto_detect_language(each.samples)[0][0] for each in given]


def alone(judged: Sequence[Judged]) -> list[str]:
    """The language of each, without a memory."""
    return [LanguageBelief("auto").after(each.evidence).language for each in judged]


def in_streams(judged: Sequence[Judged], rng: np.random.Generator) -> list[str]:
    """The language of each when runs of a language follow each other in random order."""
    by_language: dict[str, list[int]] = {}
    for index in rng.permutation(len(judged)):
        by_language.setdefault(judged[index].utterance.language, []).append(int(index))
    runs = [each[at : at + RUN] for each in by_language.values() for at in range(0, len(each), RUN)]
    found, belief = [""] * len(judged), LanguageBelief("auto")
    for run in rng.permutation(len(runs)):
        for index in runs[run]:
            belief = belief.after(judged[index].evidence)
            found[index] = belief.language
    return found


def right_percent(judged: Sequence[Judged], found: Sequence[str]) -> float:
    """How many have their language."""
    right = [each.utterance.language == one for each, one in zip(judged, found, strict=True)]
    return round(100 * float(np.mean(right)), 1)


def by_length(judged: Sequence[Judged]) -> Table:
    """Accuracy of all ways, for each length."""
    rows = []
    for length_s in (*LENGTHS_S, WHOLE):
        some = [each for each in judged if each.utterance.length_s == length_s]
        real = [each for each in some if not each.utterance.synthetic]
        for kind, those in (("all", some), ("real speech", real)):
            theirs = right_percent(those, [each.theirs for each in those])
            languages = len({each.utterance.language for each in those})
            label = f"{length_s:g} s" if length_s else "whole"
            ours = right_percent(those, alone(those))
            rows.append([f"{label}, {kind}", languages, len(those), ours, _streamed(those), theirs])
    header = [
        "length",
        "languages",
        "utterances",
        "asrctl, alone %",
        "asrctl, in a stream %",
        "whisper.cpp %",
    ]
    return table(header, rows, "Utterances whose language is right")


def sweep(judged: Sequence[Judged]) -> Table:
    """Accuracy over all lengths with other constants of the policy."""
    lengths = [[each for each in judged if each.utterance.length_s == one] for one in (*LENGTHS_S, WHOLE)]
    found: list[tuple[float, list[object]]] = []
    for values in product(*SWEEP.values()):
        with ExitStack() as patched:
            for name, value in zip(SWEEP, values, strict=True):
                patched.enter_context(patch.object(policy, name, value))
            ours = [right_percent(some, alone(some)) for some in lengths]
            streams = [_streamed(some) for some in lengths]
        mean, label = float(np.mean(streams)), " ".join(f"{value:g}" for value in values)
        found.append((mean, [label, *streams, round(float(np.mean(ours)), 1), round(mean, 1)]))
    header = [" ".join(SWEEP), *(f"{each:g} s" if each else "whole" for each in (*LENGTHS_S, WHOLE))]
    best_first = [row for _, row in sorted(found, key=lambda each: -each[0])]
    return table([*header, "alone, mean", "stream, mean"], best_first)


def _streamed(judged: Sequence[Judged]) -> float:
    """Percent right in streams, the mean of ten orders."""
    orders = [in_streams(judged, np.random.default_rng(seed)) for seed in range(10)]
    return round(float(np.mean([right_percent(judged, order) for order in orders])), 1)


def joined(given: Sequence[Utterance], path: Path) -> Table:
    """Languages one after the other in one file, and what its segments got."""
    turns = [each for each in given if each.length_s == _JOINED_S]
    chosen = [next(each for each in turns if each.language == one) for one in {x.language: 0 for x in turns}]
    pause, starts_s, at_s = np.zeros(round(_PAUSE_S * SAMPLE_RATE_HZ), np.float32), list[float](), 0.0
    for turn in chosen:
        starts_s.append(at_s)
        at_s += len(turn.samples) / SAMPLE_RATE_HZ + _PAUSE_S
    samples = np.concatenate([part for turn in chosen for part in (turn.samples, pause)])
    with Engine(str(path), language="auto") as engine:
        segments = engine.transcribe(samples).segments
    rows = []
    for turn, start_s in zip(chosen, starts_s, strict=True):
        inside = [each for each in segments if start_s <= _middle_s(each) < start_s + _JOINED_S]
        right_s = sum(_length_s(each) for each in inside if each.language == turn.language)
        spoken = turn.language + " (synthetic)" * turn.synthetic
        share = round(100 * right_s / max(0.01, sum(map(_length_s, inside))))
        rows.append([spoken, " ".join(each.language or "-" for each in inside) or "nothing", share])
    return table(["spoken", "languages of its segments", "right, % of their time"], rows, "Joined")


def in_turn(corpus: Path, clips: Sequence[Clip], path: Path) -> Table:
    """Turns in random languages, and how much of their time got its language."""
    spoken = {
        language: [samples for samples, _ in parts]
        for language, parts in _by_language(corpus, clips).items()
        if len(parts) >= _LEAST_CLIPS and not parts[0][1]
    }
    rows = []
    with Engine(str(path), language="auto") as engine:
        for pause_s in _PAUSES_S:
            turns, samples = _turns(spoken, pause_s)
            segments = engine.transcribe(samples).segments
            shared = [
                (min(end_s, each.end_s) - max(start_s, each.start_s), each.language == language)
                for start_s, end_s, language in turns
                for each in segments
            ]
            written_s = sum(share_s for share_s, _ in shared if share_s > 0)
            right_s = sum(share_s for share_s, is_right in shared if share_s > 0 and is_right)
            rows.append([pause_s, round(100 * right_s / max(0.01, written_s), 1)])
    title = f"In turn: {', '.join(spoken)}, {_TURNS} turns"
    return table(["pause, s", "right, % of their segments' time"], rows, title)


def _turns(
    spoken: Mapping[str, Sequence[Array]], pause_s: float
) -> tuple[list[tuple[float, float, str]], Array]:
    """Where each begins and ends, and its language; and all of them as samples."""
    rng, pause = np.random.default_rng(11), np.zeros(round(pause_s * SAMPLE_RATE_HZ), np.float32)
    turns, parts, at, language = list[tuple[float, float, str]](), list[Array](), 0, ""
    for _ in range(_TURNS):
        language = str(rng.choice([each for each in spoken if each != language]))
        start, wanted_s = at, rng.uniform(*_TURN_S)
        while (at - start) / SAMPLE_RATE_HZ < wanted_s:
            clip = spoken[language][int(rng.integers(len(spoken[language])))]
            parts += [clip, pause]
            at += len(clip) + len(pause)
        turns.append((start / SAMPLE_RATE_HZ, at / SAMPLE_RATE_HZ, language))
    return turns, np.concatenate(parts)


def _middle_s(segment: Segment) -> float:
    return (segment.start_s + segment.end_s) / 2


def _length_s(segment: Segment) -> float:
    return segment.end_s - segment.start_s


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = _options(arguments)
    path = ModelStore().resolve(options.model).path
    clips = read_manifest(options.corpus, options.half)
    given = list(utterances(options.corpus, clips, options.count))
    judged = judge(given, path, theirs=not options.sweep)
    if options.sweep:
        print(sweep(judged))
        return 0
    result = {"half": options.half, "utterances": [_as_json(each) for each in judged]}
    tables = by_length(judged), joined(given, path), in_turn(options.corpus, clips, path)
    keep(options, result, *tables)
    return 0


def _as_json(judged: Judged) -> dict[str, Any]:
    of = judged.utterance
    heard = [(piece.speech_s, piece.probabilities[:3]) for piece in judged.evidence]
    return {"language": of.language, "length_s": of.length_s, "evidence": heard, "theirs": judged.theirs}


def _options(arguments: list[str] | None) -> Any:
    made = parser("languages", __doc__)
    half_option(made)
    made.set_defaults(model="base-q8_0", half="report")
    made.add_argument(
        "--count", type=int, default=10, help="utterances of a language and length (default 10)"
    )
    made.add_argument("--sweep", action="store_true", help="try other constants instead; for --half choose")
    return made.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
