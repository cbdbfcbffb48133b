"""Audio that a client reads itself, as fast as the server takes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import TYPE_CHECKING, TypeAlias

from asrctl.client.replay import BLOCK_BYTES, BufferOptions
from asrctl.transcript import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Audio: TypeAlias = "NDArray[np.float32] | bytes"
Source: TypeAlias = "Iterable[Audio] | AsyncIterable[Audio]"
"""Chunks of any length: float32, mono, at 16 kHz, or 16-bit little-endian PCM of the same.

What is not asynchronous is advanced in threads, one step at a time, so it may block for a moment, as
decoding does, and a client that is left waits for that step.
"""

AHEAD_SAMPLES = 5 * SAMPLE_RATE_HZ
"""A source is read so far ahead of what was sent."""
HELD_SAMPLES = 240 * SAMPLE_RATE_HZ
"""And so far ahead of what is answered for: several of the longest utterances, so that each can end."""
SOURCE_BUFFER = BufferOptions(
    memory_bytes=2 * (HELD_SAMPLES + SAMPLE_RATE_HZ) + 2 * BLOCK_BYTES, disk_bytes=0
)
_PIECE_BYTES = 2 * SAMPLE_RATE_HZ


def pcm_of(samples: Audio) -> bytes:
    """As 16-bit little-endian PCM; what is too loud is clipped, what is no number becomes silence."""
    if isinstance(samples, bytes):
        if len(samples) % 2:
            raise ValueError("16-bit audio comes in whole samples of two bytes")
        return samples
    from asrctl.audio.pcm import s16le_of

    return s16le_of(samples)


async def chunks_of(source: Source) -> AsyncIterator[bytes]:
    """All of a source as PCM, in pieces of at most a second."""
    async for chunk in source if isinstance(source, AsyncIterable) else _in_threads(source):
        pcm = pcm_of(chunk)
        for at in range(0, len(pcm), _PIECE_BYTES):
            yield pcm[at : at + _PIECE_BYTES]


async def _in_threads(source: Iterable[Audio]) -> AsyncIterator[Audio]:
    iterator = await asyncio.to_thread(iter, source)
    while (chunk := await asyncio.to_thread(next, iterator, None)) is not None:
        yield chunk
