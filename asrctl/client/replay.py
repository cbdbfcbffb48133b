"""Audio that was fed and is not committed yet: in memory, then on disk, then declared lost."""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from asrctl.client.spool import Spool
from asrctl.errors import UsageError

BLOCK_BYTES = 1 << 16
"""Unit of spilling: 2 s of 16-bit audio at 16 kHz."""

_FULL = "the client's buffer is full"


@dataclass(frozen=True, slots=True)
class BufferOptions:
    """Bounds of what is held for a server that is away or behind.

    Attributes:
        memory_bytes: Beyond, the oldest audio goes to disk; 2 MiB is about a minute of 16-bit audio.
        disk_bytes: Beyond, the oldest audio is given up; 512 MiB is over four hours.
        directory: Where the temporary file is; None for the system's temporary directory.

    Raises:
        UsageError: A bound that makes no sense.
    """

    memory_bytes: int = 2 << 20
    disk_bytes: int = 512 << 20
    directory: Path | None = None

    def __post_init__(self) -> None:
        """Validate once, at the edge."""
        if self.memory_bytes < 2 * BLOCK_BYTES or self.disk_bytes < 0:
            raise UsageError(f"replay buffer: at least {2 * BLOCK_BYTES} bytes of memory, and none below 0")


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of audio from `position` on.

    Attributes:
        position: Of its first frame.
        frames: How long it is.
        data: Its bytes; None if they are lost.
        reason: Why they are lost.
    """

    position: int
    frames: int
    data: bytes | None
    reason: str = ""


@dataclass(slots=True, eq=False)
class _Block:
    """Consecutive frames: in memory (`data`), on disk (`slot`), or lost (neither)."""

    position: int
    frames: int
    data: bytearray | None = None
    slot: int | None = None
    reason: str = ""

    @property
    def end(self) -> int:
        return self.position + self.frames

    @property
    def lost(self) -> bool:
        return self.data is None and self.slot is None


class ReplayBuffer:
    """Holds what may have to be sent, or sent again. Positions are frames since the audio began."""

    def __init__(self, frame_bytes: int, options: BufferOptions | None = None) -> None:
        """Begin empty, at position 0; frames have `frame_bytes` bytes."""
        self._options = options or BufferOptions()
        self._frame_bytes = frame_bytes
        self._block_frames = BLOCK_BYTES // frame_bytes
        self._spool = Spool(BLOCK_BYTES, self._options.disk_bytes, self._options.directory)
        self._blocks: list[_Block] = []
        self._in_memory: deque[_Block] = deque()
        self._on_disk: deque[_Block] = deque()
        self._memory_bytes = 0
        self._start = 0
        self._end = 0

    @property
    def start(self) -> int:
        """Everything before is forgotten."""
        return self._start

    @property
    def end(self) -> int:
        """Where the next audio will be put."""
        return self._end

    @property
    def memory_bytes(self) -> int:
        """Audio held in memory."""
        return self._memory_bytes

    @property
    def disk_bytes(self) -> int:
        """Audio held on disk."""
        return sum(block.frames for block in self._on_disk) * self._frame_bytes

    def append(self, data: bytes) -> None:
        """Take whole frames. If there is no room, the oldest that are held are given up."""
        view = memoryview(data)
        while view:
            block, piece = self._tail()
            room_bytes = (self._block_frames - block.frames) * self._frame_bytes
            part, view = view[:room_bytes], view[room_bytes:]
            piece += part
            block.frames += len(part) // self._frame_bytes
            self._end += len(part) // self._frame_bytes
            self._memory_bytes += len(part)
            while self._memory_bytes > self._options.memory_bytes:
                self._spill(self._in_memory[0])

    def skip(self, frames: int, reason: str) -> None:
        """Frames that never came, and why; what is appended next comes after them."""
        self._blocks.append(_Block(self._end, frames, reason=reason))
        self._end += frames
        self._merge()

    def read(self, position: int, max_frames: int) -> Piece:
        """What is held from `position` on, at most so many frames: to the next change of place or state.

        Raises:
            ValueError: `position` is not held.
        """
        if not self._start <= position < self._end:
            raise ValueError(f"position {position} is not held: {self._start} to {self._end} is")
        index = bisect.bisect_right(self._blocks, position, key=lambda block: block.position)
        block = self._blocks[index - 1]
        return self._piece(block, position, min(max_frames, block.end - position))

    def pieces(self) -> Iterator[Piece]:
        """All that is held, in order."""
        for block in list(self._blocks):
            position = max(block.position, self._start)
            yield self._piece(block, position, block.end - position)

    def forget(self, position: int) -> None:
        """Everything before `position` is not needed any more; what was forgotten stays so."""
        self._start = min(max(self._start, position), self._end)
        while self._blocks and self._blocks[0].end <= self._start:
            self._release(self._blocks.pop(0))

    def close(self) -> None:
        """Give everything up, and the temporary file with it."""
        self.forget(self._end)
        self._spool.close()

    # Inside

    def _tail(self) -> tuple[_Block, bytearray]:
        """The block in memory that audio is added to."""
        last = self._blocks[-1] if self._blocks else None
        if last is not None and last.data is not None and last.frames < self._block_frames:
            return last, last.data
        data = bytearray()
        block = _Block(self._end, 0, data=data)
        self._blocks.append(block)
        self._in_memory.append(block)
        return block, data

    def _piece(self, block: _Block, position: int, frames: int) -> Piece:
        offset, count = (position - block.position) * self._frame_bytes, frames * self._frame_bytes
        if block.data is not None:
            return Piece(position, frames, bytes(block.data[offset : offset + count]))
        if block.slot is not None:
            try:
                return Piece(position, frames, self._spool.get(block.slot, offset, count))
            except OSError as error:
                self._lose(block, f"the client could not read its buffer: {error.strerror or error}")
        return Piece(position, frames, None, block.reason)

    def _spill(self, block: _Block) -> None:
        """Move a block from memory to disk, or give up what is oldest."""
        data = block.data or b""
        if self._spool.is_full:
            self._lose(self._on_disk[0] if self._on_disk else block, _FULL)
        if block.data is None:  # there is no disk
            self._merge()
            return
        try:
            slot = self._spool.put(data)
        except OSError as error:
            self._lose(block, f"{_FULL}: {error.strerror or error}")
        else:
            self._release(block)
            block.slot = slot
            self._on_disk.append(block)
        self._merge()

    def _lose(self, block: _Block, reason: str) -> None:
        self._release(block)
        block.reason = reason

    def _release(self, block: _Block) -> None:
        """Free what a block holds."""
        if block.data is not None:
            self._memory_bytes -= len(block.data)
            self._in_memory.remove(block)
            block.data = None
        if block.slot is not None:
            self._spool.free(block.slot)
            self._on_disk.remove(block)
            block.slot = None

    def _merge(self) -> None:
        """Join losses that follow each other for the same reason, so that there never are many blocks."""
        kept: list[_Block] = []
        for block in self._blocks:
            before = kept[-1] if kept else block
            if before is not block and before.lost and block.lost and before.reason == block.reason:
                before.frames += block.frames
            else:
                kept.append(block)
        self._blocks = kept
