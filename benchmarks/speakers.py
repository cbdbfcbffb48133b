"""Diarization error rates on conversations built from clips of known speakers.

Clips are a directory with files named SPEAKER-*.flac, as those of LibriSpeech are. Half of the speakers are
for choosing thresholds (`--half tune`), the others are reported. Gaps between turns are -0.5 to 1.5 s;
overlapping speech is scored, and there is no collar where none is named.

    python -m benchmarks.speakers CLIPS
    python -m benchmarks.speakers CLIPS --live       # what it costs live sessions of a server

"as first said" is what a client gets that takes no corrections: the labels of each pause, as they are then.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as `speakers.child` does, before numpy

import numpy as np
from numpy.typing import NDArray

from asrctl.audio.files import open_audio
from asrctl.audio.vad import SileroVad, SileroWeights
from asrctl.bench.der import DiarizationErrors, diarization_errors
from asrctl.bench.paced import Talk
from asrctl.models.speaker_weights import resolve_all
from asrctl.models.store import ModelStore
from asrctl.policy.clustering import ClusteringOptions
from asrctl.policy.endpointing import FRAME_SAMPLES
from asrctl.policy.turns import Turn, smoothed
from asrctl.speakers.diarizer import Diarizer, DiarizerOptions
from asrctl.speakers.live_child import LEAST_NEW_S, STEP_S
from asrctl.speakers.networks import Networks
from benchmarks import speakers_live
from benchmarks.common import SAMPLE_RATE_HZ, Table, machine, note, save, table

Samples = NDArray[np.float32]
_GAPS_S = (-0.5, 1.5)
_TURNS_S = (2.0, 8.0)
_SHORT_TURNS_S = (0.7, 2.0)
_NOISE_DB = 10.0
_PAUSE_S = 0.2
"""So early in a pause live streams ask who spoke."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of conversation."""

    name: str
    speakers: int
    turns_s: tuple[float, float] = _TURNS_S
    noise_db: float | None = None


KINDS = (
    Kind("2 speakers", 2),
    Kind("5 speakers", 5),
    Kind("short turns", 2, _SHORT_TURNS_S),
    Kind("2 speakers, noise 10 dB", 2, noise_db=_NOISE_DB),
    Kind("5 speakers, noise 10 dB", 5, noise_db=_NOISE_DB),
)


def clips_of(directory: Path, half: str) -> dict[str, list[Path]]:
    """Recordings of every second speaker."""
    found: dict[str, list[Path]] = {}
    for path in sorted(directory.rglob("*.flac")):
        found.setdefault(path.name.split("-")[0], []).append(path)
    names = sorted(found)[::2] if half == "tune" else sorted(found)[1::2]
    return {name: found[name] for name in names}


def speech_of(path: Path) -> Samples:
    """A recording, all of it."""
    with open_audio(str(path)) as audio:
        return np.concatenate(list(audio))


def _spoken(samples: Samples) -> list[tuple[float, float]]:
    """Where a clip holds speech: readers pause, and a pause is nobody's turn."""
    vad = SileroVad(SileroWeights.load())
    is_speech = np.concatenate((vad.probabilities(samples), vad.flush())) > 0.5
    edges = np.flatnonzero(np.diff(np.concatenate(([0], is_speech.astype(np.int8), [0]))))
    step_s = FRAME_SAMPLES / SAMPLE_RATE_HZ
    return [(float(a) * step_s, float(b) * step_s) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def conversation(
    clips: dict[str, list[Path]], kind: Kind, duration_s: float, seed: int
) -> tuple[Samples, list[Turn]]:
    """Samples and who spoke when; the same for the same seed."""
    dice = np.random.default_rng(seed)
    people = [str(name) for name in dice.choice(sorted(clips), kind.speakers, replace=False)]
    mixed = np.zeros(round((duration_s + 20) * SAMPLE_RATE_HZ), np.float32)
    turns: list[Turn] = []
    at_s, last = 0.5, ""
    while at_s < duration_s:
        name = str(dice.choice([each for each in people if each != last]))
        speech = speech_of(clips[name][int(dice.integers(len(clips[name])))])
        length = min(len(speech), round(dice.uniform(*kind.turns_s) * SAMPLE_RATE_HZ))
        start = int(dice.integers(len(speech) - length + 1))
        piece = speech[start : start + length]
        piece = piece * np.float32(0.05 / max(1e-4, float(np.sqrt(np.mean(piece**2)))))
        first = round(at_s * SAMPLE_RATE_HZ)
        mixed[first : first + length] += piece
        turns += [Turn(at_s + a, at_s + b, name) for a, b in _spoken(piece)]
        at_s = max(0.0, at_s + length / SAMPLE_RATE_HZ + dice.uniform(*_GAPS_S))
        last = name
    end = round((max(turn.end_s for turn in turns) + 0.5) * SAMPLE_RATE_HZ)
    noise_db = kind.noise_db if kind.noise_db is not None else 50.0
    noise = dice.normal(0.0, 0.05 * 10 ** (-noise_db / 20), end).astype(np.float32)
    return mixed[:end] + noise, smoothed(turns, 0.3, 0.0)


def diarized(
    networks: Networks, samples: Samples, options: DiarizerOptions
) -> Iterator[tuple[str, list[Turn], float]]:
    """Turns as they are known online, then as clustered again, each with the CPU seconds so far."""
    started_s = time.process_time()
    diarizer = Diarizer(networks, options)
    for at in range(0, len(samples), SAMPLE_RATE_HZ):
        diarizer.feed(samples[at : at + SAMPLE_RATE_HZ])
    diarizer.catch_up()
    yield "online", diarizer.turns(), time.process_time() - started_s
    diarizer.recluster()
    yield "offline", diarizer.turns(), time.process_time() - started_s


def live_labels(
    networks: Networks,
    samples: Samples,
    pauses_s: Sequence[float],
    options: DiarizerOptions,
    *,
    at_once: bool,
) -> Iterator[tuple[str, list[Turn], float]]:
    """Turns as they are first said in live audio, in the pause after each utterance, and as corrected."""
    started_s = time.process_time()
    diarizer = Diarizer(networks, replace(options, step_s=STEP_S, reuse=at_once))
    first: list[Turn] = []
    before_s = 0.0
    for pause_s in (*pauses_s, len(samples) / SAMPLE_RATE_HZ):
        at, end = diarizer.heard_samples, round(pause_s * SAMPLE_RATE_HZ)
        diarizer.feed(samples[at:end])
        diarizer.catch_up(LEAST_NEW_S if pause_s in pauses_s and not at_once else 0.0)
        for turn in diarizer.turns(before_s):
            if turn.end_s > before_s:
                first.append(replace(turn, start_s=max(before_s, turn.start_s)))
        before_s = diarizer.looked_samples / SAMPLE_RATE_HZ
    cpu_s = time.process_time() - started_s
    name = "live, in each pause" if at_once else "live"
    yield f"{name}, as first said", first, cpu_s
    yield f"{name}, corrected", diarizer.turns(), cpu_s


def joined(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Spans of speech between which there is a pause that is long enough to ask in."""
    found: list[tuple[float, float]] = []
    for start_s, end_s in spans:
        if found and start_s - found[-1][1] < _PAUSE_S:
            found[-1] = (found[-1][0], end_s)
        else:
            found.append((start_s, end_s))
    return found


def measure(
    networks: Networks,
    clips: dict[str, list[Path]],
    kind: Kind,
    options: DiarizerOptions,
    given: argparse.Namespace,
) -> dict[str, dict[str, Any]]:
    """One kind, over all seeds."""
    found: dict[str, list[tuple[DiarizationErrors, DiarizationErrors, int, float, float]]] = {}
    for seed in range(given.conversations):
        samples, reference = conversation(clips, kind, given.minutes * 60, seed)
        audio_s = len(samples) / SAMPLE_RATE_HZ
        pauses_s = [end_s + _PAUSE_S for _, end_s in joined(_spoken(samples))]
        told = chain(
            diarized(networks, samples, options),
            live_labels(networks, samples, pauses_s, options, at_once=False),
            live_labels(networks, samples, pauses_s, options, at_once=True),
        )
        for name, turns, cpu_s in told:
            strict, mild = (diarization_errors(reference, turns, collar) for collar in (0.0, 0.25))
            count = len({turn.speaker for turn in turns})
            found.setdefault(name, []).append((strict, mild, count, cpu_s, audio_s))
    return {name: _figures(rounds, kind) for name, rounds in found.items()}


def _figures(
    rounds: list[tuple[DiarizationErrors, DiarizationErrors, int, float, float]], kind: Kind
) -> dict[str, Any]:
    speech_s = sum(strict.speech_s for strict, *_ in rounds)

    def percent(seconds: float) -> float:
        return round(100 * seconds / speech_s, 1)

    return {
        "der_percent": percent(sum(each.missed_s + each.false_s + each.confused_s for each, *_ in rounds)),
        "missed_percent": percent(sum(each.missed_s for each, *_ in rounds)),
        "false_percent": percent(sum(each.false_s for each, *_ in rounds)),
        "confused_percent": percent(sum(each.confused_s for each, *_ in rounds)),
        "der_collar_percent": round(
            100
            * sum(each.rate * each.speech_s for _, each, *_ in rounds)
            / sum(each.speech_s for _, each, *_ in rounds),
            1,
        ),
        "right_number": f"{sum(count == kind.speakers for *_, count, _, _ in rounds)}/{len(rounds)}",
        "cpu_per_audio_s": round(sum(each[3] for each in rounds) / sum(each[4] for each in rounds), 4),
    }


def report(results: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Table:
    """A row for each kind and way."""
    header = ["conversation", "labels", "DER %", "missed", "false", "confused", "DER %, collar 0.25 s"]
    header += ["right number of speakers", "CPU s per s"]
    rows = [
        [kind, name, *figures.values()] for kind, ways in results.items() for name, figures in ways.items()
    ]
    return table(header, rows)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    made = argparse.ArgumentParser(prog="python -m benchmarks.speakers", description=__doc__)
    made.formatter_class = argparse.RawDescriptionHelpFormatter
    made.add_argument("clips", type=Path)
    made.add_argument("--live", action="store_true", help="what it costs live sessions of a server")
    made.add_argument("--half", choices=("tune", "report"), default="report")
    made.add_argument("--conversations", type=int, default=4, help="of each kind")
    made.add_argument("--minutes", type=float, default=2.0, help="length of each")
    made.add_argument("--join", type=float, help="another threshold online")
    made.add_argument("--merge", type=float, help="another threshold at the end")
    made.add_argument("--speakers", type=int, help="tell how many there are at most")
    made.add_argument("--output", metavar="NAME", help="keep the raw figures as results/NAME.json")
    given = made.parse_args(arguments)
    about, clips = machine(), clips_of(given.clips, given.half)
    if given.live:
        kind = KINDS[0]
        made_up = (conversation(clips, kind, given.minutes * 60, seed) for seed in range(given.conversations))
        result, found = speakers_live.measure([Talk(samples, None) for samples, _ in made_up])
    else:
        result, found = _measured(clips, given)
    print(found)
    if given.output:
        note(str(save(given.output, {"machine": about, "half": given.half, **result}, found)))
    return 0


def _measured(clips: dict[str, list[Path]], given: argparse.Namespace) -> tuple[dict[str, Any], Table]:
    wanted = {"join": given.join, "merge": given.merge, "speakers": given.speakers}
    clustering = replace(ClusteringOptions(), **{k: v for k, v in wanted.items() if v is not None})
    networks = Networks(*resolve_all(ModelStore(None).root))
    results: dict[str, Any] = {}
    for kind in KINDS:
        results[kind.name] = measure(networks, clips, kind, DiarizerOptions(clustering), given)
        note(f"{kind.name}: {results[kind.name]}")
    return {"speakers": len(clips), "clustering": repr(clustering), "kinds": results}, report(results)


if __name__ == "__main__":
    raise SystemExit(main())
