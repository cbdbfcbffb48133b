"""Whether the same audio gives the same words: noisy speech, decoded in random order by two workers.

python -m benchmarks.reproducible film.flac talk.wav --decodes 1000

Pieces of 4 to 12 s with white noise 20 to 0 dB below them, each decoded as often as the others, always two at
once, in an order drawn by seed: whichever worker has a piece, and whatever that one decoded before.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asrctl.bench.setup import Setup
from asrctl.policy.priority import Kind, Ticket
from asrctl.transcript import SAMPLE_RATE_HZ
from asrctl.workers.options import PoolOptions
from asrctl.workers.pool import WorkerPool
from benchmarks.common import note, table
from benchmarks.talks import keep, parser, setup_for

_WORKERS = 2
_PIECE_S = (4.0, 12.0)
_SNR_DB = (20.0, 15.0, 10.0, 5.0, 0.0)

Samples = NDArray[np.float32]


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code: 1 if a piece has given two texts."""
    made = parser("reproducible", __doc__)
    made.add_argument("more", type=Path, nargs="*", help="more recordings")
    made.add_argument("--decodes", type=int, default=1000)
    made.add_argument("--pieces", type=int, default=40)
    made.add_argument("--seed", type=int, default=0)
    options = made.parse_args(arguments)
    rng = np.random.default_rng(options.seed)
    pieces = noisy_pieces([options.corpus, *options.more], options.pieces, rng)
    order = rng.permutation(np.arange(options.decodes) % len(pieces))
    texts = asyncio.run(decoded(setup_for(options.model, _WORKERS), pieces, [int(index) for index in order]))
    varying = [counts for counts in texts if len(counts) > 1]
    others = sum(counts.total() - max(counts.values()) for counts in varying)
    for counts in varying:
        note(" | ".join(f"{count} x {text}" for text, count in counts.most_common()))
    shown = table(
        ["decodes", "pieces", "pieces with more than one text", "decodes unlike the others of their piece"],
        [[options.decodes, len(pieces), len(varying), others]],
    )
    keep(options, {"texts": [dict(counts) for counts in texts]}, shown)
    return int(bool(varying))


def noisy_pieces(recordings: list[Path], count: int, rng: np.random.Generator) -> list[Samples]:
    """Pieces of the recordings, in turn, with noise."""
    from asrctl.audio.files import open_audio

    speech = [np.concatenate(list(open_audio(str(path)))) for path in recordings]
    pieces = []
    for index in range(count):
        whole = speech[index % len(speech)]
        length = min(len(whole), round(rng.uniform(*_PIECE_S) * SAMPLE_RATE_HZ))
        start = int(rng.integers(0, len(whole) - length + 1))
        piece = whole[start : start + length]
        level = np.sqrt(np.mean(np.square(piece))) * 10 ** (-_SNR_DB[index % len(_SNR_DB)] / 20)
        pieces.append(np.clip(piece + rng.normal(0, level, length), -1, 1).astype(np.float32))
    return pieces


async def decoded(setup: Setup, pieces: list[Samples], order: list[int]) -> list[Counter[str]]:
    """How often each piece gave each text."""
    texts = [Counter[str]() for _ in pieces]
    waiting = iter(order)
    ticket = Ticket("benchmark", Kind.FINAL)
    async with WorkerPool(setup.spec, replace(PoolOptions(), workers=_WORKERS, health=setup.health)) as pool:
        await pool.wait_ready()

        async def work() -> None:
            for index in waiting:
                hypothesis = await pool.decode(pieces[index], setup.files.decode, ticket)
                texts[index][hypothesis.text] += 1

        await asyncio.gather(*(work() for _ in range(_WORKERS)))
    return texts


if __name__ == "__main__":
    sys.exit(main())
