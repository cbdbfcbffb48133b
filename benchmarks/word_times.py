"""How far the times of text are from the truth, where pauses, noise or music lie between the utterances.

Clips whose first and last sound is known are joined with pauses of 2 to 25 s, of silence, of noise, or with
music before the first, all by a seeded generator; each provider transcribes the files through the command.

    python -m benchmarks.word_times [--provider whisper_cpp faster_whisper] [--files N] [--truth AUDIO TRUTH]

`--truth` takes one file of your own instead: a line for each utterance, `onset <tab> end <tab> first words`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

import asrctl
from asrctl.policy.words import words_of

RATE_HZ = 16_000
GOOD_S = 0.5
KINDS = ("silence", "noise -60 dB", "noise -45 dB", "music before", "noise before")
_SOUND_DB = -36.0
"""Below the loudest of a clip by this much there is nothing to be heard."""


class Spoken(NamedTuple):
    """An utterance as it is in a file: seconds, and its first words."""

    onset_s: float
    end_s: float
    words: str


class Errors(NamedTuple):
    """How far a start and an end are off, in seconds; positive is late. None: the utterance was not found."""

    spoken: Spoken
    start_s: float | None
    end_s: float | None


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns how many times are off by more than half a second."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--provider", nargs="+", default=["whisper_cpp", "faster_whisper"])
    parser.add_argument("--files", type=int, default=2, help="of each kind")
    parser.add_argument("--truth", nargs=2, type=Path, metavar=("AUDIO", "TRUTH"))
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args(arguments)
    bad = 0
    with tempfile.TemporaryDirectory() as directory:
        files = (
            [("given", *_given(*options.truth))] if options.truth else _made(Path(directory), options.files)
        )
        files = list(files)
        for provider in options.provider:
            for words in (False, True):
                for kind in dict.fromkeys(kind for kind, _, _ in files):
                    errors = [
                        error
                        for of, path, spoken in files
                        if of == kind
                        for error in compare(spoken, transcribe(path, provider, words))
                    ]
                    bad += _report(
                        f"{provider}{' with words' if words else ''}, {kind}", errors, options.verbose
                    )
    return min(bad, 100)


def compare(spoken: Sequence[Spoken], document: dict[str, Any]) -> list[Errors]:
    """Each utterance against the first and last segment that overlap it most, in order."""
    segments = document["segments"]
    found: list[Errors] = []
    at = 0
    for number, utterance in enumerate(spoken):
        wanted = words_of(utterance.words)[:2]
        first = next((i for i in range(at, len(segments)) if _is_like(wanted, segments[i]["text"])), None)
        if first is None:
            found.append(Errors(utterance, None, None))
            continue
        following = words_of(spoken[number + 1].words)[:2] if number + 1 < len(spoken) else ["\0"]
        last = first
        while last + 1 < len(segments) and not _is_like(following, segments[last + 1]["text"]):
            last += 1
        end_s = segments[last]["end_s"] - utterance.end_s
        found.append(Errors(utterance, segments[first]["start_s"] - utterance.onset_s, end_s))
        at = last + 1
    return found


def transcribe(path: Path, provider: str, words: bool) -> dict[str, Any]:
    """A file through the command, as JSON."""
    command = [sys.executable, "-m", "asrctl", "transcribe", str(path), "--format", "json"]
    command += ["--provider", provider, *(["--word-timestamps"] if words else [])]
    document: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return document


def _is_like(wanted: list[str], text: str) -> bool:
    return bool(set(wanted) & set(words_of(text)[:2]))


def _report(name: str, errors: list[Errors], verbose: bool) -> int:
    missing = sum(error.start_s is None for error in errors)
    starts = np.array([error.start_s for error in errors if error.start_s is not None])
    ends = np.array([error.end_s for error in errors if error.end_s is not None])
    bad_starts, bad_ends = (int((abs(each) > GOOD_S).sum()) for each in (starts, ends))
    worst = [float(abs(each).max(initial=0)) for each in (starts, ends)]
    print(
        f"{name:45} {len(errors):3} utterances, not found {missing}; off by more than {GOOD_S} s: "
        f"starts {bad_starts}, ends {bad_ends}; worst {worst[0]:.2f}, {worst[1]:.2f} s",
        flush=True,
    )
    for error in errors if verbose else ():
        if error.start_s is None or error.end_s is None:
            print(f"    {error.spoken} was not found")
        elif max(abs(error.start_s), abs(error.end_s)) > GOOD_S:
            print(f"    {error.spoken} starts {error.start_s:+.2f} s, ends {error.end_s:+.2f} s")
    return missing + bad_starts + bad_ends


# Files


def _given(audio: Path, truth: Path) -> tuple[Path, list[Spoken]]:
    rows = (line.split("\t") for line in truth.read_text().splitlines() if line.strip())
    return audio, [Spoken(float(onset), float(end), words) for onset, end, words in rows]


def _made(directory: Path, count: int) -> Iterator[tuple[str, Path, list[Spoken]]]:
    clips = list(_clips())
    for kind in KINDS:
        for seed in range(count):
            samples, spoken = made(kind, clips, np.random.default_rng(seed))
            path = directory / f"{kind.replace(' ', '_')}_{seed}.wav"
            soundfile.write(path, samples, RATE_HZ, subtype="PCM_16")
            yield kind, path, spoken


def made(
    kind: str, clips: list[tuple[NDArray[np.float32], str]], dice: np.random.Generator
) -> tuple[NDArray[np.float32], list[Spoken]]:
    """Eight clips with pauses between them, and where they are."""
    pieces, spoken, at = list[NDArray[np.float32]](), list[Spoken](), 0
    for number in range(8):
        pause = np.zeros(round(dice.choice([2.0, 4.0, 8.0, 15.0, 25.0]) * RATE_HZ), np.float32)
        if kind.endswith("before") and number % 4 == 0:
            pause = (
                _music(20 * RATE_HZ, dice) if kind.startswith("music") else _noise(20 * RATE_HZ, dice, -30)
            )
        samples, words = clips[int(dice.integers(len(clips)))]
        first, last = _sound(samples)
        at += len(pause)
        spoken.append(Spoken((at + first) / RATE_HZ, (at + last) / RATE_HZ, words))
        at += len(samples)
        pieces += [pause, samples]
    joined = np.concatenate(pieces)
    if kind.startswith("noise -"):
        joined = joined + _noise(len(joined), dice, float(kind.split()[1]))
    return joined.astype(np.float32), spoken


def _clips() -> Iterator[tuple[NDArray[np.float32], str]]:
    assets = Path(asrctl.__file__).parent / "assets"
    yield _read(assets / "monday.wav"), "Please call me on Monday morning about the meeting."
    found = find_spec("pytest_audioeval")
    assert found is not None, "pip install pytest-audioeval"
    folder = Path(next(iter(found.submodule_search_locations or []))) / "samples" / "audio" / "en"
    yield _read(folder / "quick_brown_fox.wav"), "The quick brown fox jumps over the lazy dog."
    yield _read(folder / "hello_world.wav"), "Hello world."


def _read(path: Path) -> NDArray[np.float32]:
    samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    return np.asarray(soxr.resample(samples.mean(axis=1), rate_hz, RATE_HZ), np.float32)


def _sound(samples: NDArray[np.float32]) -> tuple[int, int]:
    hop = RATE_HZ // 100
    rms = np.sqrt(np.mean(samples[: len(samples) // hop * hop].reshape(-1, hop) ** 2, axis=1))
    loud = np.flatnonzero(rms > rms.max() * 10 ** (_SOUND_DB / 20))
    return int(loud[0]) * hop, int(loud[-1] + 1) * hop


def _noise(length: int, dice: np.random.Generator, level_db: float) -> NDArray[np.float32]:
    return (dice.standard_normal(length) * 10 ** (level_db / 20)).astype(np.float32)


def _music(length: int, dice: np.random.Generator) -> NDArray[np.float32]:
    """Chords of decaying tones with overtones, half a second each, and a drum."""
    beat = RATE_HZ // 2
    time_s = np.arange(beat) / RATE_HZ
    beats = []
    for _ in range(-(-length // beat)):
        root_hz = 110 * 2 ** (dice.choice([0, 3, 5, 7, 10]) / 12)
        chord = sum(
            np.sin(2 * np.pi * root_hz * ratio * overtone * time_s) / overtone**1.5
            for ratio in (1, 1.26, 1.5, 2)
            for overtone in range(1, 7)
        )
        drum = dice.standard_normal(beat) * np.exp(-time_s * 40)
        beats.append(0.04 * chord * np.exp(-time_s * 2) + 0.1 * drum)
    return np.concatenate(beats)[:length].astype(np.float32)


if __name__ == "__main__":
    sys.exit(main())
