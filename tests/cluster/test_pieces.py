"""Windows gathered into pieces, and their answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from asrctl.cluster.pieces import Answers, PieceDecoder
from asrctl.cluster.work import PieceWindow
from asrctl.errors import DecodeError, WorkerCrashed
from asrctl.policy.priority import Kind, Ticket
from asrctl.providers.base import DecodeOptions
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis

TICKET = Ticket("file", Kind.FINAL)


def window(length_s: float) -> np.ndarray:
    """A window whose samples hold its length."""
    return np.full(round(length_s * SAMPLE_RATE_HZ), length_s, np.float32)


def heard(piece: Sequence[PieceWindow]) -> Answers:
    """For each window a hypothesis that took as long as the window is."""
    return [Hypothesis((), each.options.language, float(each.samples[0])) for each in piece]


async def test_pieces_are_whole_windows_and_answers_keep_their_order() -> None:
    """A piece goes out when it is long enough; what is left, when no more comes."""
    pieces: list[list[float]] = []

    async def decode(piece: list[PieceWindow]) -> Answers:
        pieces.append([float(each.samples[0]) for each in piece])
        if len(pieces) == 1:
            await asyncio.sleep(0.01)  # the first answers after the second
        return heard(piece)

    lengths_s = [4.0, 5.0, 3.0, 6.0, 5.5, 2.0]
    async with PieceDecoder(decode, piece_s=10) as decoder:
        decodes = [decoder.decode(window(each), DecodeOptions(), TICKET) for each in lengths_s]
        found = await asyncio.gather(*decodes)
    assert pieces == [[4.0, 5.0, 3.0], [6.0, 5.5], [2.0]]
    assert [each.inference_s for each in found] == lengths_s


async def test_options_go_with_each_window() -> None:
    """Windows of one piece may be decoded in different languages."""

    async def decode(piece: list[PieceWindow]) -> Answers:
        return heard(piece)

    async with PieceDecoder(decode, piece_s=2) as decoder:
        decodes = [decoder.decode(window(1), DecodeOptions(language=each), TICKET) for each in ("de", "fr")]
        assert [each.language for each in await asyncio.gather(*decodes)] == ["de", "fr"]


async def test_a_window_that_fails_leaves_the_others() -> None:
    """Its error is raised where it is waited for."""

    async def decode(piece: list[PieceWindow]) -> Answers:
        return [DecodeError("refused"), *heard(piece[1:])]

    async with PieceDecoder(decode, piece_s=2) as decoder:
        decodes = [decoder.decode(window(1), DecodeOptions(), TICKET) for _ in range(2)]
        first, second = await asyncio.gather(*decodes, return_exceptions=True)
    assert isinstance(first, DecodeError) and isinstance(second, Hypothesis)


async def test_a_piece_that_is_lost_fails_all_its_windows() -> None:
    """None is waited for in vain, and the next piece is decoded."""
    pieces = 0

    async def decode(piece: list[PieceWindow]) -> Answers:
        nonlocal pieces
        pieces += 1
        if pieces == 1:
            raise WorkerCrashed("lost")
        return heard(piece)

    async with PieceDecoder(decode, piece_s=2) as decoder:
        decodes = [decoder.decode(window(1), DecodeOptions(), TICKET) for _ in range(3)]
        found = await asyncio.gather(*decodes, return_exceptions=True)
    assert [type(each) for each in found] == [WorkerCrashed, WorkerCrashed, Hypothesis]


async def test_leaving_gives_up_what_is_decoded() -> None:
    """The task is cancelled, and a window that nobody waits for any more does no harm."""
    cancelled = asyncio.Event()
    begun = asyncio.Event()

    async def decode(piece: list[PieceWindow]) -> Answers:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    async with PieceDecoder(decode, piece_s=1) as decoder:
        waiting = asyncio.create_task(decoder.decode(window(1), DecodeOptions(), TICKET))
        await begun.wait()
        waiting.cancel()
    assert cancelled.is_set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
