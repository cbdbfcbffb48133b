"""Echo between two tracks: how much of it is recognised, and how much real speech is taken for it.

    python -m benchmarks.echo benchmark-corpus

Conversations of clips, one speaker a track; the far track is heard in the near one through a synthetic room,
at several levels. Only frames in which the near track's speaker is silent, and the far one was heard in the
last half second, count as echo. The seeds of the settings are even, those of the report are odd.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrctl.audio.echo import EchoFinder
from asrctl.audio.vad import SileroVad, SileroWeights
from asrctl.policy.endpointing import FRAME_SAMPLES
from benchmarks.common import (
    CORPUS,
    SAMPLE_RATE_HZ,
    Clip,
    machine,
    note,
    read_manifest,
    read_wav,
    save,
    table,
)

LEVELS_DB: tuple[float | None, ...] = (0.0, -3.0, -6.0, -10.0, -20.0, -30.0, None)
"""Of the echo, against the far track; None is no echo at all. The first ones are microphones in one room."""
_SPEECH_RMS = 0.06
_ONSET = 0.5

Array = NDArray[np.float32]


def room(rng: np.random.Generator, reverberation_s: float, delay_s: float) -> Array:
    """An impulse response: a direct sound with half the energy, then noise that falls by 60 dB."""
    tail = rng.normal(0, 1, round(reverberation_s * SAMPLE_RATE_HZ))
    tail *= 10 ** (-3 * np.arange(len(tail)) / len(tail))
    tail[0] = np.sqrt((tail[1:] ** 2).sum())
    tail /= np.sqrt((tail**2).sum())
    response = np.concatenate((np.zeros(round(delay_s * SAMPLE_RATE_HZ)), tail))
    return response.astype(np.float32)


def spoken(corpus: Path, clip: Clip) -> Array:
    """At most 10 s of a clip, at the level of all others."""
    samples = read_wav(corpus / clip.file)[: 10 * SAMPLE_RATE_HZ].astype(np.float32)
    scaled: Array = samples * np.float32(_SPEECH_RMS / np.sqrt((samples**2).mean()))
    return scaled


def conversation(
    corpus: Path, near: Sequence[Clip], far: Sequence[Clip], rng: np.random.Generator, turns: int
) -> tuple[Array, Array]:
    """What each of two people says; in a third of the turns they speak at once."""
    length = 22 * turns * SAMPLE_RATE_HZ
    tracks = np.zeros((2, length), np.float32)
    at = SAMPLE_RATE_HZ // 2
    for _ in range(turns):
        other = spoken(corpus, far[int(rng.integers(len(far)))])
        own = spoken(corpus, near[int(rng.integers(len(near)))])
        share = rng.uniform(0.2, 0.8) if rng.random() < 1 / 3 else 1.1
        start = at + round(share * len(other))
        tracks[1, at : at + len(other)] += other
        tracks[0, start : start + len(own)] += own
        at = max(at + len(other), start + len(own)) + round(rng.uniform(0.3, 1.2) * SAMPLE_RATE_HZ)
    whole = at // FRAME_SAMPLES * FRAME_SAMPLES
    return tracks[0, :whole], tracks[1, :whole]


def measure(near: Array, far: Array, level_db: float | None, rng: np.random.Generator) -> dict[str, float]:
    """Frames of one mix: echo that would be speech, how much was found; own speech, how much was lost."""
    echo, delay_s = np.zeros_like(far), 0.0
    if level_db is not None:
        reverberation_s, delay_s = rng.uniform(0.15, 0.5), rng.uniform(0.02, 0.3)
        path = np.fft.rfft(room(rng, reverberation_s, delay_s), 2 * len(far))
        heard = np.fft.irfft(np.fft.rfft(far, 2 * len(far)) * path)[: len(far)]
        gain = 10 ** (level_db / 20) * np.sqrt((far**2).mean() / (heard**2).mean())
        echo = (heard * gain).astype(np.float32)
    microphone = (near + echo + rng.normal(0, 10 ** (-65 / 20), len(near))).astype(np.float32)
    finder = EchoFinder(2)
    started_s = time.process_time()
    finder.feed([microphone, far])
    finder.flush()
    cpu_s = time.process_time() - started_s
    weights = SileroWeights.load()
    frames = len(near) // FRAME_SAMPLES
    found = np.array(finder.echoes[0], bool)[:frames]
    back = np.array(finder.echoes[1], bool)[:frames]
    seems, own, other = (
        SileroVad(weights).probabilities(each)[:frames] >= _ONSET for each in (microphone, near, far)
    )
    late = np.roll(found, -round(delay_s * SAMPLE_RATE_HZ / FRAME_SAMPLES))
    recent = np.convolve(other, np.ones(16))[:frames] > 0
    is_echo = seems & recent & ~(np.convolve(own, np.ones(15), "same") > 0)
    return {
        "echo": float(is_echo.sum()),
        "echo_found": float((is_echo & found).sum()),
        "own": float((own & ~other).sum()),
        "own_lost": float((own & ~other & found).sum()),
        "double": float((own & other).sum()),
        "double_lost": float((own & other & found).sum()),
        "far": float(other.sum()),
        "far_lost": float((other & back).sum()),
        "far_nowhere": float((other & back & late).sum()),
        "cpu_s": cpu_s,
        "audio_s": len(near) / SAMPLE_RATE_HZ,
    }


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="benchmarks.echo", description=__doc__)
    parser.add_argument("corpus", type=Path, nargs="?", default=CORPUS)
    parser.add_argument("--mixes", type=int, default=4)
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--settings", action="store_true", help="the half that settings are chosen on")
    options = parser.parse_args(arguments)
    clips = [clip for clip in read_manifest(options.corpus) if clip.duration_s > 1.5]
    far = [clip for clip in clips if clip.source.startswith("asterisk")]
    near = [clip for clip in clips if not clip.source.startswith("asterisk")]
    results: list[dict[str, Any]] = []
    for level_db in LEVELS_DB:
        total: dict[str, float] = {}
        for mix in range(options.mixes):
            rng = np.random.default_rng(2 * mix + (0 if options.settings else 1))
            own, other = conversation(options.corpus, near, far, rng, options.turns)
            for key, value in measure(own, other, level_db, rng).items():
                total[key] = total.get(key, 0.0) + value
        results.append({"level_db": level_db, **total})
        note(f"{level_db} dB done")
    rows = [
        [
            "none" if each["level_db"] is None else f"{each['level_db']:.0f} dB",
            f"{each['echo'] * 0.032:.1f}",
            *(f"{100 * each[f'{key}_{end}'] / max(1, each[key]):.1f}" for key, end in KINDS),
            f"{each['cpu_s'] / each['audio_s']:.3f}",
        ]
        for each in results
    ]
    heads = [
        "echo",
        "echo taken for speech s",
        "found %",
        "own lost %",
        "double talk lost %",
        "far lost %",
        "far nowhere %",
    ]
    figures = table([*heads, "CPU s per s"], rows, "Echo")
    print(figures)
    if not options.settings:
        save("echo", {"machine": machine(), "results": results}, figures)
    return 0


KINDS = (("echo", "found"), ("own", "lost"), ("double", "lost"), ("far", "lost"), ("far", "nowhere"))

if __name__ == "__main__":
    sys.exit(main())
