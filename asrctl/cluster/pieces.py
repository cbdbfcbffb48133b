"""The windows of one recording, decoded elsewhere in pieces of about ten minutes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Self

from asrctl.cluster.work import PieceWindow
from asrctl.errors import AsrctlError
from asrctl.policy.priority import Ticket
from asrctl.providers.base import DecodeOptions
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PIECE_S = 600.0
"""Speech in a piece."""
_WINDOW_S = 12.0
"""About the length of a window; see `asrctl.from_settings`."""
MOST_AHEAD = 24
"""Pieces of one recording under way: each holds 40 MB of samples."""
_IDLE_S = 0.25
"""A piece is complete if no window has come for so long: the recording has ended, or what was submitted is
waited for. Reading a window and looking for speech in it take less."""

Answers = Sequence[Hypothesis | AsrctlError]
Decode = Callable[[list[PieceWindow]], Awaitable[Answers]]
"""Decodes a piece: an answer for each window, in order."""


class PieceDecoder:
    """A `WindowDecoder` that gathers windows and has them decoded together.

    A piece ends between two windows, so at a pause wherever there is one; see `asrctl.policy.endpointing`.
    """

    def __init__(self, decode: Decode, ahead: int = MOST_AHEAD, piece_s: float = PIECE_S) -> None:
        """Prepare; `ahead` is how many pieces may be under way."""
        self.width = max(1, round(ahead * piece_s / _WINDOW_S / 2))  # twice as many windows are submitted
        self._decode = decode
        self._most_samples = round(piece_s * SAMPLE_RATE_HZ)
        self._piece: list[PieceWindow] = []
        self._answers: list[asyncio.Future[Hypothesis]] = []
        self._idle: asyncio.TimerHandle | None = None
        self._under_way: set[asyncio.Task[None]] = set()

    async def decode(
        self, samples: NDArray[np.float32], options: DecodeOptions, ticket: Ticket
    ) -> Hypothesis:
        """Decode one window, with those that come before and after; see `WindowDecoder.decode`."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Hypothesis] = loop.create_future()
        self._piece.append(PieceWindow(samples, options))
        self._answers.append(answer)
        if self._idle is not None:
            self._idle.cancel()
        if sum(len(window.samples) for window in self._piece) >= self._most_samples:
            self._send()
        else:
            self._idle = loop.call_later(_IDLE_S, self._send)
        return await answer

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Give up what is still decoded."""
        if self._idle is not None:
            self._idle.cancel()
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def _send(self) -> None:
        task = asyncio.create_task(self._decode_piece(self._piece, self._answers), name="piece")
        self._piece, self._answers = [], []
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _decode_piece(
        self, piece: list[PieceWindow], waiting: list[asyncio.Future[Hypothesis]]
    ) -> None:
        answers: Answers
        try:
            answers = await self._decode(piece)
        except AsrctlError as error:
            answers = [error] * len(waiting)
        for future, answer in zip(waiting, answers, strict=True):
            if future.done():  # nobody waits for it any more
                continue
            if isinstance(answer, AsrctlError):
                future.set_exception(answer)
            else:
                future.set_result(answer)
