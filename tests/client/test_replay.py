"""The replay buffer: what goes in comes out, from memory or disk, or is declared; and it is bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from asrctl.client.replay import BLOCK_BYTES, BufferOptions, Piece, ReplayBuffer
from asrctl.errors import UsageError

FRAMES = BLOCK_BYTES // 2
"""Frames in a block."""


def sound(position: int, frames: int) -> bytes:
    """Audio that says where it is: each frame is its position, modulo a prime."""
    return (np.arange(position, position + frames) % 65_521).astype("<u2").tobytes()


Buffers = Callable[..., ReplayBuffer]


def made(blocks: int = 2, disk_blocks: int = 4, directory: Path | None = None) -> ReplayBuffer:
    return ReplayBuffer(2, BufferOptions(blocks * BLOCK_BYTES, disk_blocks * BLOCK_BYTES, directory))


@pytest.fixture
def buffer() -> Iterator[Buffers]:
    """Makes buffers, and closes them."""
    with ExitStack() as stack:

        def make(**options: Any) -> ReplayBuffer:
            held = made(**options)
            stack.callback(held.close)
            return held

        yield make


def fill(held: ReplayBuffer, blocks: int) -> None:
    for _ in range(blocks):
        held.append(sound(held.end, FRAMES))


def losses(held: ReplayBuffer) -> list[tuple[int, int, str]]:
    return [(piece.position, piece.frames, piece.reason) for piece in held.pieces() if piece.data is None]


def test_gives_back_what_it_got(buffer: Buffers) -> None:
    """Any position that is held can be read, any number of times."""
    held = buffer()
    held.append(sound(0, 1000))
    held.append(sound(1000, 500))
    assert held.read(990, 20) == held.read(990, 20) == Piece(990, 20, sound(990, 20))
    assert held.read(1400, 1000) == Piece(1400, 100, sound(1400, 100))


def test_forgets_what_is_committed(buffer: Buffers) -> None:
    """Memory is given back, and what was forgotten cannot be read."""
    held = buffer()
    fill(held, 2)
    held.forget(FRAMES + 10)
    assert held.memory_bytes == BLOCK_BYTES
    with pytest.raises(ValueError, match="not held"):
        held.read(FRAMES + 9, 1)
    held.forget(5)  # an old acknowledgement
    assert held.start == FRAMES + 10
    assert b"".join(piece.data or b"" for piece in held.pieces()) == sound(FRAMES + 10, FRAMES - 10)


def test_nothing_is_held_beyond_the_end(buffer: Buffers) -> None:
    """Reading where nothing came yet is a mistake, and forgetting more than came forgets what came."""
    held = buffer()
    held.append(sound(0, 10))
    with pytest.raises(ValueError, match="not held"):
        held.read(10, 1)
    held.forget(99)
    assert (held.start, held.end, held.memory_bytes) == (10, 10, 0)


def test_spills_to_disk_oldest_first(buffer: Buffers) -> None:
    """Beyond the bound of memory the oldest audio goes to disk, and comes back the same."""
    held = buffer(blocks=2, disk_blocks=4)
    fill(held, 6)
    assert (held.memory_bytes, held.disk_bytes) == (2 * BLOCK_BYTES, 4 * BLOCK_BYTES)
    assert not losses(held)
    assert b"".join(piece.data or b"" for piece in held.pieces()) == sound(0, 6 * FRAMES)


def test_declares_what_does_not_fit(buffer: Buffers) -> None:
    """Beyond the bound of the disk the oldest audio is lost, as one stretch with a reason."""
    held = buffer(blocks=2, disk_blocks=4)
    fill(held, 9)
    assert losses(held) == [(0, 3 * FRAMES, "the client's buffer is full")]
    assert held.read(0, 10 * FRAMES) == Piece(0, 3 * FRAMES, None, "the client's buffer is full")
    assert held.read(3 * FRAMES, 8).data == sound(3 * FRAMES, 8)


def test_room_on_disk_is_used_again(buffer: Buffers) -> None:
    """What is committed makes room: nothing is lost as long as the other side keeps up."""
    held = buffer(blocks=2, disk_blocks=2)
    for _ in range(20):
        fill(held, 1)
        held.forget(held.end - 4 * FRAMES)
    assert not losses(held)
    assert b"".join(piece.data or b"" for piece in held.pieces()) == sound(held.start, 4 * FRAMES)


def test_without_a_disk(buffer: Buffers) -> None:
    """A disk bound of 0 keeps everything in memory, and loses what does not fit."""
    held = buffer(blocks=2, disk_blocks=0)
    fill(held, 5)
    assert losses(held) == [(0, 3 * FRAMES, "the client's buffer is full")]
    assert held.disk_bytes == 0


def test_a_disk_that_fails(buffer: Buffers, tmp_path: Path) -> None:
    """Where the temporary file cannot be made, the loss names the system's reason."""
    held = buffer(blocks=2, directory=tmp_path / "missing")
    fill(held, 3)
    assert losses(held) == [(0, FRAMES, "the client's buffer is full: No such file or directory")]
    assert held.read(FRAMES, 4).data == sound(FRAMES, 4)


def test_a_disk_that_forgets(buffer: Buffers) -> None:
    """A block that cannot be read back is declared lost, and stays so; the others are not touched."""
    held = buffer()
    fill(held, 4)
    held._spool.close()
    assert held.read(0, 5) == Piece(0, 5, None, "the client could not read its buffer: the spool is closed")
    assert held.read(2 * FRAMES, 3).data == sound(2 * FRAMES, 3)


def test_gaps_are_kept_in_place(buffer: Buffers) -> None:
    """Audio that never came keeps its place among what came."""
    held = buffer()
    held.append(sound(0, 100))
    held.skip(50, "overflow")
    held.append(sound(150, 100))
    assert held.read(90, 1000).frames == 10
    assert held.read(110, 1000) == Piece(110, 40, None, "overflow")
    assert held.read(150, 1000).data == sound(150, 100)


def test_the_file_goes_with_it(buffer: Buffers, tmp_path: Path) -> None:
    """Closing leaves nothing on disk, and can be done twice."""
    held = buffer(directory=tmp_path)
    fill(held, 5)
    held.close()
    held.close()
    assert list(tmp_path.iterdir()) == []
    assert (held.memory_bytes, held.disk_bytes) == (0, 0)


@pytest.mark.parametrize("wrong", [{"memory_bytes": 100}, {"disk_bytes": -1}])
def test_bounds_that_make_no_sense(wrong: dict[str, int]) -> None:
    """They are refused where they are made."""
    with pytest.raises(UsageError, match="replay buffer"):
        BufferOptions(**wrong)  # type: ignore[arg-type]


class Stream(RuleBasedStateMachine):
    """Audio comes, gaps come, acknowledgements come, reads happen: in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.held = made(blocks=2, disk_blocks=2)
        self.gaps: list[range] = []

    def teardown(self) -> None:
        self.held.close()

    @rule(frames=st.integers(1, 3 * FRAMES))
    def come(self, frames: int) -> None:
        self.held.append(sound(self.held.end, frames))

    @rule(frames=st.integers(1, 5 * FRAMES))
    def miss(self, frames: int) -> None:
        self.gaps.append(range(self.held.end, self.held.end + frames))
        self.held.skip(frames, "missed")

    @rule(share=st.floats(0, 1))
    def commit(self, share: float) -> None:
        self.held.forget(self.held.start + round(share * (self.held.end - self.held.start)))

    @precondition(lambda self: self.held.end > self.held.start)
    @rule(share=st.floats(0, 0.999), frames=st.integers(1, FRAMES))
    def read(self, share: float, frames: int) -> None:
        position = self.held.start + int(share * (self.held.end - self.held.start))
        piece = self.held.read(position, frames)
        assert piece.position == position and 1 <= piece.frames <= frames
        assert piece.data is not None or piece.reason

    @invariant()
    def every_frame_is_there_once_or_declared(self) -> None:
        position = self.held.start
        for piece in self.held.pieces():
            assert piece.position == position
            position += piece.frames
            if piece.data is None:
                assert piece.reason in ("missed", "the client's buffer is full")
            else:
                assert piece.data == sound(piece.position, piece.frames)
                assert not any(max(gap.start, piece.position) < min(gap.stop, position) for gap in self.gaps)
        assert position == self.held.end

    @invariant()
    def it_is_bounded(self) -> None:
        assert self.held.memory_bytes <= 2 * BLOCK_BYTES
        assert self.held.disk_bytes <= 2 * BLOCK_BYTES


TestStream = Stream.TestCase
"""In any order: what is held is complete and right, or declared, within its bounds."""
TestStream.settings = settings(max_examples=30, stateful_step_count=15)
