"""Quiet speech that is heard, and noise and music that are taken for speech, with the level that follows.

    python -m benchmarks.quiet benchmark-corpus

Speech is the clean clips of the hard corpus, in all languages, each at several levels with a second and a
half of a recorder's noise (-90 dBFS) around it; a frame that is speech as published counts as heard if it is
at the level too. Settings are chosen on one half, figures reported on the other. Music and noises
(`benchmarks/noises.py`) are dealt into the halves too: about twenty minutes each, over all levels.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from asrctl.audio.gain_control import GainControlled
from asrctl.audio.vad import FRAME_SAMPLES, SileroVad, SileroWeights
from asrctl.streaming.stream import SpeechDetector
from benchmarks.common import (
    CLEAN,
    CORPUS,
    HALVES,
    SAMPLE_RATE_HZ,
    machine,
    note,
    read_manifest,
    read_wav,
    save,
    table,
)
from benchmarks.noises import Array, noises
from benchmarks.voice_activity import voiced

QUIETER_DB = (0, 10, 20, 30, 40, 50)
NOISE_DBFS = (-20, -40, -60)
_AROUND_S = 1.5
_FLOOR = 10 ** (-90 / 20)
_ROOM = 10 ** (-65 / 20)
BESIDE_DB = (20, 30, 40)


def heard_percent(detector: Callable[[], SpeechDetector], clips: list[Array], by_db: float) -> float:
    """Of the frames that are speech at full level, how many still are."""
    rng, speech, both = np.random.default_rng(1), 0, 0
    pause = np.zeros(round(_AROUND_S * SAMPLE_RATE_HZ), np.float32)
    for clip in clips:
        whole = np.concatenate([pause, clip, pause])
        noise = rng.normal(0, _FLOOR, len(whole)).astype(np.float32)
        quiet = whole * np.float32(10 ** (-by_db / 20)) + noise
        loud = voiced(SileroVad(_weights()).probabilities(whole))
        speech += int(loud.sum())
        both += int((loud & voiced(detector().probabilities(quiet))).sum())
    return round(100 * both / max(1, speech), 1)


def beside_percent(detector: Callable[[], SpeechDetector], clips: list[Array], by_db: float) -> float:
    """The same of clips that each lie between louder ones, all in the noise of a room."""
    rng, speech, both = np.random.default_rng(1), 0, 0
    pause = np.zeros(round(_AROUND_S * SAMPLE_RATE_HZ), np.float32)
    for loud, clip in pairwise(clips):
        before, after = np.concatenate([loud, pause]), np.concatenate([pause, loud])
        whole = np.concatenate([before, clip * np.float32(10 ** (-by_db / 20)), after])
        noisy = whole + rng.normal(0, _ROOM, len(whole)).astype(np.float32)
        own = voiced(SileroVad(_weights()).probabilities(np.concatenate([before, clip, after])))
        there = slice(len(before) // FRAME_SAMPLES, (len(before) + len(clip)) // FRAME_SAMPLES)
        speech += int(own[there].sum())
        both += int((own & voiced(detector().probabilities(noisy)))[there].sum())
    return round(100 * both / max(1, speech), 1)


def false_percent(detector: Callable[[], SpeechDetector], noises: dict[str, Array], dbfs: float) -> float:
    """How many frames of noise and music are taken for speech."""
    found = [
        voiced(detector().probabilities(noise * np.float32(10 ** (dbfs / 20)))) for noise in noises.values()
    ]
    return round(100 * float(np.concatenate(found).mean()), 2)


@cache
def _weights() -> SileroWeights:
    return SileroWeights.load()


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quiet", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("corpus", type=Path, nargs="?", default=CORPUS)
    parser.add_argument("--clips", type=int, default=60, help="of each half (default 60)")
    parser.add_argument("--output", metavar="NAME", help="keep the raw figures as results/NAME.json")
    options = parser.parse_args(arguments)
    every = dict(noises(options.corpus))
    detectors: dict[str, Callable[[], SpeechDetector]] = {
        "before": lambda: SileroVad(_weights()),
        "after": lambda: GainControlled(SileroVad(_weights())),
    }
    rows = []
    for number, half in enumerate(HALVES):
        clips = [clip for clip in read_manifest(options.corpus, half) if clip.condition == CLEAN]
        clips = [clips[index] for index in np.random.default_rng(3).permutation(len(clips))]
        files = [options.corpus / clip.file for clip in clips[: options.clips]]
        spoken = [read_wav(file).astype(np.float32) / np.float32(32768) for file in files]
        those = {key: every[key] for key in list(every)[number::2]}
        for when, detector in detectors.items():
            heard = [heard_percent(detector, spoken, by_db) for by_db in QUIETER_DB]
            heard += [beside_percent(detector, spoken, by_db) for by_db in BESIDE_DB]
            false = [false_percent(detector, those, dbfs) for dbfs in NOISE_DBFS]
            rows.append([f"{half}, {when}", *heard, *false])
    heard_at = [f"heard % at -{each} dB" for each in QUIETER_DB]
    heard_at += [f"heard % {each} dB below others, room at -65 dBFS" for each in BESIDE_DB]
    header = ["half", *heard_at, *(f"false % at {each} dBFS" for each in NOISE_DBFS)]
    found = table(header, rows)
    print(found)
    if options.output:
        note(str(save(options.output, {"machine": machine(), "noises": list(every)}, found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
