"""Quiet speech that is heard, and noise and music that are taken for speech, with the level that follows.

    python -m benchmarks.quiet benchmark-corpus

Speech is the corpus's clips, each at several levels with a second and a half of a recorder's noise (-90 dBFS)
around it; a frame that is speech as published counts as heard if it is at the level too. Clips and noises are
dealt into two halves: settings are chosen on one, figures reported on the other. Music is Debian's
`asterisk-moh-opsound-wav`, noise is made here: about twenty minutes a half, over all levels.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrctl.audio.raised import Raised
from asrctl.audio.vad import SileroVad, SileroWeights
from asrctl.streaming.stream import SpeechDetector
from benchmarks.common import CORPUS, SAMPLE_RATE_HZ, machine, note, read_manifest, read_wav, save, table
from benchmarks.sources import SourceError, debian
from benchmarks.voice_activity import voiced

QUIETER_DB = (0, 10, 20, 30, 40, 50)
NOISE_DBFS = (-20, -40, -60)
MUSIC = "asterisk-moh-opsound-wav"
_NOISE_S = 60
_AROUND_S = 1.5
_FLOOR = 10 ** (-90 / 20)

Array = NDArray[np.float32]


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


def false_percent(detector: Callable[[], SpeechDetector], noises: dict[str, Array], dbfs: float) -> float:
    """How many frames of noise and music are taken for speech."""
    found = [
        voiced(detector().probabilities(noise * np.float32(10 ** (dbfs / 20)))) for noise in noises.values()
    ]
    return round(100 * float(np.concatenate(found).mean()), 2)


def noises(corpus: Path) -> Iterator[tuple[str, Array]]:
    """Noise that is made, and music; all with an RMS of 1."""
    rng, count = np.random.default_rng(2), _NOISE_S * SAMPLE_RATE_HZ
    times_s = np.arange(count) / SAMPLE_RATE_HZ
    spectrum = np.fft.rfft(rng.normal(size=count))
    pink = np.fft.irfft(spectrum / np.sqrt(np.maximum(1, np.arange(len(spectrum)))), count)
    yield "white", _unit(rng.normal(size=count))
    yield "pink", _unit(pink)
    yield "hum", _unit(np.sin(2 * np.pi * 50 * times_s) + np.sin(2 * np.pi * 150 * times_s) / 3)
    yield "clicks", _unit((rng.random(count) < 2 / SAMPLE_RATE_HZ) * rng.normal(size=count) + 1e-4)
    for path in _music(corpus):
        yield path.stem, _unit(_decoded(path))


def _music(corpus: Path) -> list[Path]:
    directory = corpus / "packages" / MUSIC
    if not directory.exists():
        directory.mkdir(parents=True)
        try:
            debian(MUSIC)(directory)
        except SourceError as error:
            note(f"without music: {error}")
    return sorted(directory.rglob("*.wav"))


def _decoded(path: Path) -> Array:
    command = ["ffmpeg", "-v", "error", "-t", str(_NOISE_S), "-i", str(path), "-ac", "1"]
    command += ["-ar", str(SAMPLE_RATE_HZ), "-f", "f32le", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    return np.frombuffer(done.stdout, np.float32)


def _unit(samples: NDArray[Any]) -> Array:
    unit: Array = (samples / np.sqrt(np.mean(np.square(samples)))).astype(np.float32)
    return unit


@cache
def _weights() -> SileroWeights:
    return SileroWeights.load()


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quiet", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("corpus", type=Path, nargs="?", default=CORPUS)
    parser.add_argument("--clips", type=int, default=60, help="of each half (default 60)")
    options = parser.parse_args(arguments)
    clips = read_manifest(options.corpus)
    every = dict(noises(options.corpus))
    detectors: dict[str, Callable[[], SpeechDetector]] = {
        "before": lambda: SileroVad(_weights()),
        "after": lambda: Raised(SileroVad(_weights())),
    }
    rows = []
    for half in (0, 1):
        name = ("chosen on", "reported")[half]
        files = [options.corpus / clip.file for clip in clips[half::2][: options.clips]]
        spoken = [read_wav(file).astype(np.float32) / np.float32(32768) for file in files]
        those = {key: every[key] for key in list(every)[half::2]}
        for when, detector in detectors.items():
            heard = [heard_percent(detector, spoken, by_db) for by_db in QUIETER_DB]
            false = [false_percent(detector, those, dbfs) for dbfs in NOISE_DBFS]
            rows.append([f"{name}, {when}", *heard, *false])
    heard_at = [f"heard % at -{each} dB" for each in QUIETER_DB]
    header = ["half", *heard_at, *(f"false % at {each} dBFS" for each in NOISE_DBFS)]
    found = table(header, rows)
    print(found)
    note(str(save("quiet", {"machine": machine(), "rows": rows, "noises": list(every)}, found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
