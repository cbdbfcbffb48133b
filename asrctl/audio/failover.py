"""Decoders in a row: where one dies of a file, the next reads on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

from asrctl.audio.isolated import DecoderCrashed
from asrctl.errors import AudioError

if TYPE_CHECKING:
    from asrctl.audio.decoders import Decoder
    from asrctl.audio.pcm import Block


class FailoverDecoder:
    """A decoder with a successor: if its process dies on the way, the next one reads on from there."""

    def __init__(
        self,
        decoder: Decoder,
        following: Callable[[ExitStack], Decoder | None],
        resources: ExitStack,
        lead_s: float | None = None,
        explain: Callable[[], str | None] = lambda: None,
        *,
        is_whole: bool = False,
    ) -> None:
        self.is_whole = is_whole
        self._lead_s = lead_s
        self._explain = explain
        self._decoder = decoder
        self._following = following
        self._resources = resources.enter_context(ExitStack())  # open for what may follow
        self.expected_s = decoder.expected_s
        self.n_tracks, self.track = decoder.n_tracks, decoder.track

    @property
    def promised_s(self) -> float | None:
        return self._decoder.promised_s if self._lead_s is None else None

    @property
    def tolerance(self) -> float:
        return self._decoder.tolerance

    @property
    def notes(self) -> list[str]:
        return self._decoder.notes

    def blocks(self) -> Iterator[Block]:
        """As Decoder.blocks."""
        position_s, skip_s = 0.0, 0.0
        while True:
            try:
                for block in _without(self._decoder.blocks(), skip_s):
                    if not position_s and self._lead_s:
                        yield from _silence(self._lead_s, block)
                    position_s += block.duration_s
                    yield block
                return
            except DecoderCrashed as crash:
                successor = self._following(self._resources)
                if successor is None:
                    raise
                note = f"{crash} after {position_s:.1f} s; the rest was read by another decoder"
                successor.notes[:0] = [*self._decoder.notes, note]
                self._decoder, skip_s = successor, position_s
            except AudioError as error:
                why = None if position_s else self._explain()
                if why is None:
                    raise
                raise AudioError(why) from error


def _without(blocks: Iterator[Block], skip_s: float) -> Iterator[Block]:
    """Blocks from a time on."""
    for block in blocks:
        skipped_frames = min(len(block.frames), round(skip_s * block.rate_hz))
        skip_s -= skipped_frames / block.rate_hz
        if skipped_frames < len(block.frames):
            yield block._replace(frames=block.frames[skipped_frames:])


def _silence(duration_s: float, like: Block) -> Iterator[Block]:
    """Zeros of the format of what follows them, a second at a time."""
    left = round(duration_s * like.rate_hz)
    while left > 0:
        yield like._replace(frames=like.frames[:1].repeat(min(left, like.rate_hz), axis=0) * 0)
        left -= like.rate_hz
