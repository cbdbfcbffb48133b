"""How voxtral takes audio: in blocks, looked at in runs, decoded in steps; sizes are those of its source.

It reads 4,096 bytes before it does anything, then always whole blocks of 8,192. After each block its encoder
runs if enough has come for one interval, and its decoder makes one token for each 80 ms that were encoded.
A word's first token comes 6 steps after its sound, and each further token one step later.
"""

from __future__ import annotations

from asrctl.transcript import SAMPLE_RATE_HZ

SAMPLE_BYTES = 2
HEAD_BYTES = 4096
BLOCK_BYTES = 8192
STEP_BYTES = 1280 * SAMPLE_BYTES
"""One step of the decoder: one token for 80 ms of audio."""

FIRST_STEPS = 12
"""Audio until a fresh decoder has surely begun: more than 312 frames of 10 ms, of which 256 are its own."""

TAIL_STEPS = 17
"""Silence after which nothing of the audio before is held back: what voxtral feeds itself at the end of its
input, its delay of 6 steps, one more, and 10 for the further tokens of a long last word."""

_FRAME_BYTES = 160 * SAMPLE_BYTES


def block_end(position_bytes: int) -> int:
    """Where the block ends that holds the byte before `position_bytes`."""
    blocks = -((HEAD_BYTES - position_bytes) // BLOCK_BYTES)
    return HEAD_BYTES + max(0, blocks) * BLOCK_BYTES


def blocks_per_run(interval_s: float) -> int:
    """The most blocks after which the encoder runs again."""
    frames = max(1, int(interval_s * 100))
    return next(count for count in range(1, 1000) if count * BLOCK_BYTES // _FRAME_BYTES >= frames)


def silence_bytes(position_bytes: int, least_steps: int, interval_s: float) -> int:
    """How much silence must follow `position_bytes` so that `least_steps` of it are surely decoded.

    It ends with a block, and after the block in which those steps end comes as many as a run may wait for.
    """
    end = block_end(position_bytes + least_steps * STEP_BYTES)
    return end + (blocks_per_run(interval_s) - 1) * BLOCK_BYTES - position_bytes


def duration_s(size_bytes: int) -> float:
    """How long so much audio is."""
    return size_bytes / SAMPLE_BYTES / SAMPLE_RATE_HZ
