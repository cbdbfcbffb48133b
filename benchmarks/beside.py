"""Words of a quiet speaker beside a loud one in the same window: how many are kept, on either side.

    python -m benchmarks.beside benchmark-corpus --half report

Two clean clips, the second so far below the first, with 0.3 to 1 s between them, in the noise of a room
(-65 dBFS); each pair is an input of its own, with voice activity detection and as one window without. What is
kept of the quiet clip by itself, in the same noise, is the most that can be expected.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import jiwer
import numpy as np

from asrctl.engine import Engine
from asrctl.providers.registry import is_installed
from asrctl.transcript import Samples
from benchmarks.accuracy import normalise
from benchmarks.common import CLEAN, HALVES, SAMPLE_RATE_HZ, Clip, read_manifest, read_wav, table
from benchmarks.mixing import at_level, floats
from benchmarks.talks import keep, parser
from benchmarks.words_kept import MODELS

QUIETER_DB = (20, 30, 40)
ORDERS = ("alone", "behind", "before")
_LOUD_DB = -20.0
_ROOM = 10 ** (-65 / 20)
_LENGTH_S = (2.0, 10.0)
_LEAST_WORDS = 4

Pair = tuple[Clip, Clip, float]


def pairs(corpus: Path, half: str, count: int) -> list[Pair]:
    """A loud clip, a quiet one, and the seconds between them."""
    clips = [
        clip
        for clip in read_manifest(corpus, half)
        if clip.condition == CLEAN and clip.language == "en" and not clip.synthetic
        if _LENGTH_S[0] <= clip.duration_s <= _LENGTH_S[1] and len(_words(clip)) >= _LEAST_WORDS
    ]
    rng, found = np.random.default_rng(7), list[Pair]()
    for _ in range(count):
        loud, quiet = rng.choice(len(clips), 2, replace=False)
        found.append((clips[loud], clips[quiet], float(rng.uniform(0.3, 1.0))))
    return found


def spoken(corpus: Path, pair: Pair, by_db: float, order: str) -> Samples:
    """The pair as it is heard; `order` says where the quiet clip is."""
    loud = at_level(floats(read_wav(corpus / pair[0].file)), _LOUD_DB)
    quiet = at_level(floats(read_wav(corpus / pair[1].file)), _LOUD_DB - by_db)
    pause = np.zeros(round(pair[2] * SAMPLE_RATE_HZ))
    parts = {"alone": [quiet], "behind": [loud, pause, quiet], "before": [quiet, pause, loud]}[order]
    clean = np.concatenate(parts)
    noisy = clean + np.random.default_rng(1).normal(0, _ROOM, len(clean))
    return np.clip(noisy, -1, 1).astype(np.float32)


def kept(pair: Pair, order: str, text: str) -> tuple[int, int, int]:
    """How many words of the quiet clip were heard, how many of the loud one, and how many nobody said."""
    loud, quiet = _words(pair[0]), _words(pair[1])
    said = {"alone": quiet, "behind": loud + quiet, "before": quiet + loud}[order]
    heard = normalise(text)
    if not heard:
        return 0, 0, 0
    found = jiwer.process_words(" ".join(said), heard)
    right = {
        index
        for chunk in found.alignments[0]
        if chunk.type == "equal"
        for index in range(chunk.ref_start_idx, chunk.ref_end_idx)
    }
    first = len(loud) if order == "behind" else 0
    of_quiet = len(right & set(range(first, first + len(quiet))))
    return of_quiet, len(right) - of_quiet, found.insertions


def _words(clip: Clip) -> list[str]:
    return normalise(clip.text).split()


def rows(engine: Engine, corpus: Path, those: list[Pair], vad: bool) -> Iterator[list[object]]:
    """For each distance and order: words of the quiet clips that were kept, of the loud ones, and added."""
    most = sum(len(_words(quiet)) for _, quiet, _ in those)
    most_loud = sum(len(_words(loud)) for loud, _, _ in those)
    for by_db in QUIETER_DB:
        for order in ORDERS:
            found = [
                kept(pair, order, engine.transcribe(spoken(corpus, pair, by_db, order), vad=vad).text)
                for pair in those
            ]
            quiet, loud, added = (sum(column) for column in zip(*found, strict=True))
            loud_percent = None if order == "alone" else 100 * loud / most_loud
            yield [by_db, order, 100 * quiet / most, loud_percent, added]


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    made = parser("beside", __doc__)
    made.add_argument("--half", choices=HALVES, default="report")
    made.add_argument("--pairs", type=int, default=24, help="so many (default 24)")
    made.add_argument("--provider", action="append", choices=MODELS, help="one of them (may be repeated)")
    options = made.parse_args(arguments)
    those, found = pairs(options.corpus, options.half, options.pairs), list[list[object]]()
    for provider in options.provider or MODELS:
        if provider == "faster_whisper" and not is_installed(provider):
            continue
        with Engine(MODELS[provider], provider=provider) as engine:
            for vad in (True, False):
                name = provider + ", no VAD" * (not vad)
                found += [[name, *row] for row in rows(engine, options.corpus, those, vad)]
    header = ["provider", "dB below", "the quiet one is", "its words kept %", "the other's kept %", "added"]
    keep(options, {"half": options.half, "pairs": options.pairs}, table(header, found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
