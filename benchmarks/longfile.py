"""A long file made of clips with pauses, and the text that is said in it.

python -m benchmarks.longfile benchmark-corpus long_b --minutes 12 --seed 2
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.common import CORPUS, Clip, Pcm, note, read_manifest, read_wav, silence, write_wav

SHORT_PAUSE_S = (0.3, 1.0)
LONG_PAUSE_S = (1.0, 2.5)
LONG_PAUSE_SHARE = 0.35


@dataclass(frozen=True, slots=True)
class Joined:
    """A long file on disk.

    Attributes:
        wav: The audio.
        text: The reference, one clip a line.
        duration_s: Length of the audio.
        clips: How many were joined.
        speech_s: Length of the clips alone.
    """

    wav: Path
    text: Path
    duration_s: float
    clips: int
    speech_s: float

    def __str__(self) -> str:
        """One line for people."""
        return (
            f"{self.wav}: {self.duration_s:.1f} s, {self.clips} clips, {self.speech_s:.1f} s of them speech"
        )


@dataclass(frozen=True, slots=True)
class LongFile:
    """How to join clips.

    Attributes:
        seed: Decides the order and the pauses; the same seed and corpus give the same bytes.
        duration_s: The length to reach; the last clip is whole, so that it may be passed a little.
    """

    seed: int
    duration_s: float

    def write(self, directory: Path, clips: Sequence[Clip], name: str) -> Joined:
        """Write `<name>.wav` and `<name>.txt` into the corpus directory. Synthetic clips are left out."""
        rng = np.random.default_rng(self.seed)
        chosen = self._choose([clip for clip in clips if not clip.synthetic], rng)
        wav, text = directory / f"{name}.wav", directory / f"{name}.txt"
        duration_s = write_wav(wav, _with_pauses(directory, chosen, rng))
        text.write_text("".join(f"{clip.text}\n" for clip in chosen), encoding="utf-8")
        return Joined(wav, text, duration_s, len(chosen), sum(clip.duration_s for clip in chosen))

    def _choose(self, clips: Sequence[Clip], rng: np.random.Generator) -> list[Clip]:
        """All speakers with little material, then the one with most until the length is reached; shuffled."""
        seconds: dict[str, float] = {}
        for clip in clips:
            seconds[clip.source] = seconds.get(clip.source, 0.0) + clip.duration_s
        ranks = rng.permutation(len(clips))
        order = sorted(zip(ranks, clips, strict=True), key=lambda pair: (seconds[pair[1].source], pair[0]))
        chosen: list[Clip] = []
        total_s = 0.0
        for _, clip in order:
            if total_s < self.duration_s:
                chosen.append(clip)
                total_s += clip.duration_s + _MEAN_PAUSE_S
        return [chosen[index] for index in rng.permutation(len(chosen))]


_MEAN_PAUSE_S = (1 - LONG_PAUSE_SHARE) * sum(SHORT_PAUSE_S) / 2 + LONG_PAUSE_SHARE * sum(LONG_PAUSE_S) / 2


def _with_pauses(directory: Path, clips: Sequence[Clip], rng: np.random.Generator) -> Iterator[Pcm]:
    for clip in clips:
        yield _pause(rng)
        yield read_wav(directory / clip.file)
    yield _pause(rng)


def _pause(rng: np.random.Generator) -> Pcm:
    bounds_s = LONG_PAUSE_S if rng.random() < LONG_PAUSE_SHARE else SHORT_PAUSE_S
    return silence(rng.uniform(*bounds_s), rng)


def repeated(directory: Path, name: str, hours: float) -> Path:
    """Make a file of some hours by repeating a long file; returns its path."""
    target = directory / f"{name}_{hours:g}h.wav"
    samples = read_wav(directory / f"{name}.wav")
    times = max(1, round(hours * 3600 * 16_000 / len(samples)))
    write_wav(target, (samples for _ in range(times)))
    return target


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.longfile", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("directory", type=Path, nargs="?", default=CORPUS, help="a corpus directory")
    parser.add_argument("name", nargs="?", default="long_a", help="name of the files to write")
    parser.add_argument("--minutes", type=float, default=14.0, help="length (default 14)")
    parser.add_argument("--seed", type=int, default=1, help="order and pauses (default 1)")
    options = parser.parse_args(arguments)
    long_file = LongFile(options.seed, options.minutes * 60)
    note(str(long_file.write(options.directory, read_manifest(options.directory), options.name)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
