"""Damaged media files, made by chance from a seed: each ends with samples or one clear line, and in time.

python -m benchmarks.fuzz_audio --inputs 600 --seed 1

Native code that parses foreign bytes will crash on some of them. The decoding process may die of that, and
this process may not. A crash here ends the run with a signal, and a traceback with an exit code.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asrctl.audio.files import open_audio
from asrctl.audio.sample import sample_speech
from asrctl.errors import AudioError
from tests.audio.samples import s16_bytes, wav_bytes, write_media, write_sound

FORMATS = ("wav", "flac", "mp3", "ogg", "opus", "m4a", "webm")
MAX_INPUT_S = 30.0
"""What one input may take; the files are 3 s long."""


@dataclass(frozen=True)
class Outcome:
    """What became of one input."""

    name: str
    kind: str
    message: str
    took_s: float


def originals(directory: Path) -> dict[str, bytes]:
    """A sound file of each format."""
    speech = sample_speech()
    fast = np.repeat(speech, 3)  # WebM wants 48 kHz; how it sounds does not matter
    makers: dict[str, Callable[[Path], object]] = {
        "wav": lambda path: path.write_bytes(wav_bytes(s16_bytes(speech))),
        "flac": lambda path: write_sound(path, speech, "FLAC"),
        "mp3": lambda path: write_sound(path, speech, "MP3"),
        "ogg": lambda path: write_sound(path, speech, "OGG", "VORBIS"),
        "opus": lambda path: write_sound(path, speech, "OGG", "OPUS"),
        "m4a": lambda path: write_media(path, speech),
        "webm": lambda path: write_media(path, fast, "libopus", 48_000),
    }
    for name in FORMATS:
        makers[name](directory / f"original.{name}")
    return {name: (directory / f"original.{name}").read_bytes() for name in FORMATS}


def mutated(chance: random.Random, data: bytes, other: bytes) -> bytes:
    """A damaged copy: one to three of the things that happen to files, or that somebody does to them."""
    for _ in range(chance.randint(1, 3)):
        data = chance.choice(_MUTATIONS)(chance, data, other)
    return data


def _flip(chance: random.Random, data: bytes, other: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randint(1, 60)):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _flip_header(chance: random.Random, data: bytes, other: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        changed[chance.randrange(min(len(changed), 600))] = chance.choice((0, 1, 127, 128, 255))
    return bytes(changed)


def _set_number(chance: random.Random, data: bytes, other: bytes) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + chance.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", bytes(4))) + data[at + 4 :]


def _noise(chance: random.Random, data: bytes, other: bytes) -> bytes:
    start, end = _range(chance, data)
    return data[:start] + chance.randbytes(end - start) + data[end:]


def _cut(chance: random.Random, data: bytes, other: bytes) -> bytes:
    start, end = _range(chance, data)
    return data[:start] + data[end:] or data


def _repeat(chance: random.Random, data: bytes, other: bytes) -> bytes:
    start, end = _range(chance, data)
    return data[:end] + data[start:end] * chance.randint(1, 4) + data[end:]


def _truncate(chance: random.Random, data: bytes, other: bytes) -> bytes:
    return data[: chance.randrange(1, len(data) + 1)]


def _splice(chance: random.Random, data: bytes, other: bytes) -> bytes:
    start, end = _range(chance, other)
    at = chance.randrange(len(data))
    return data[:at] + other[start:end] + data[at:]


def _range(chance: random.Random, data: bytes) -> tuple[int, int]:
    start = chance.randrange(len(data))
    return start, min(len(data), start + chance.choice((1, 16, 300, 4000)))


_MUTATIONS = (_flip, _flip_header, _set_number, _noise, _cut, _repeat, _truncate, _splice)


def outcomes(n_inputs: int, seed: int) -> Iterator[Outcome]:
    """Reads so many damaged files, format by format in turn.

    Raises:
        Exception: an input made something raise that is no AudioError.
    """
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="asrctl-fuzz-") as name:
        directory = Path(name)
        good = originals(directory)
        for number in range(n_inputs):
            kind = FORMATS[number % len(FORMATS)]
            path = directory / f"input.{kind}"
            path.write_bytes(mutated(chance, good[kind], good[chance.choice(FORMATS)]))
            yield _read(path, f"{number} ({kind})")


def _read(path: Path, name: str) -> Outcome:
    started_s, n_samples = time.perf_counter(), 0
    try:
        with open_audio(str(path)) as audio:
            for chunk in audio:
                n_samples += len(chunk)
                assert np.isfinite(chunk).all() and np.abs(chunk).max() <= 1, name
        kind, message = ("warned" if audio.warnings else "read"), "; ".join(audio.warnings)
    except AudioError as error:
        kind, message = "refused", str(error)
    assert message.isprintable(), name
    return Outcome(name, kind, message, time.perf_counter() - started_s)


def main() -> None:
    """Runs, and prints how many inputs ended how."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--inputs", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    slowest = Outcome("", "", "", 0.0)
    for outcome in outcomes(options.inputs, options.seed):
        counts[outcome.kind] += 1
        counts["crashed decoders"] += "crashed" in outcome.message
        counts["stuck decoders"] += "got stuck" in outcome.message
        slowest = max(slowest, outcome, key=lambda each: each.took_s)
        if "crashed" in outcome.message or "failed" in outcome.message or outcome.took_s > MAX_INPUT_S:
            print(f"{outcome.name}: {outcome.took_s:.1f} s: {outcome.message}", flush=True)
    print(", ".join(f"{kind}: {count}" for kind, count in sorted(counts.items())))
    print(f"slowest: {slowest.name}, {slowest.took_s:.1f} s")
    if slowest.took_s > MAX_INPUT_S:
        sys.exit("an input took too long")


if __name__ == "__main__":
    main()
