"""Blocks of any format, also one that changes on the way, to samples."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from asrctl.audio.convert import StreamConverter
from asrctl.audio.pcm import Block
from asrctl.errors import AudioError


class Sampler:
    """Converts blocks with one `StreamConverter` after the other, and adds up what they count.

    Attributes:
        received_s: Length of all blocks so far.
        notes: Things the user should know.
    """

    def __init__(self, channel: int | None = None, *, split: bool = False) -> None:
        """Starts a stream.

        Args:
            channel: The only channel to take, from 1; None mixes all.
            split: Do not mix channels: chunks have the shape (n, channels).
        """
        self._channel = channel
        self._split = split
        self._channels = 0
        self._converter: StreamConverter | None = None
        self.received_s = 0.0
        self.received_samples = 0
        self.replaced_samples = 0
        self.full_scale_samples = 0
        self.peak = 0.0
        self.inverted_s = 0.0
        self.notes: list[str] = []

    @property
    def mixed_channels(self) -> int:
        """How many channels became one; 0 if they are apart, or one was chosen."""
        return 0 if self._split or self._channel is not None else self._channels

    def feed(self, block: Block) -> Iterator[NDArray[np.float32]]:
        """Takes a block and gives what is ready, chunks of at least a sample.

        Raises:
            AudioError: a format that no speech recording has, in the first block; or no such channel; or
                another number of channels than before, where they are split.
        """
        channels = block.frames.shape[1]
        if self._converter is None or (self._converter.rate_hz, self._converter.channels) != (
            block.rate_hz,
            channels,
        ):
            fresh = self._new_converter(block.rate_hz, channels)
            yield from self.flush()
            self._converter = fresh
        if len(chunk := self._converter.feed(block.frames)):
            yield chunk
        self.received_s += block.duration_s
        self.received_samples += block.frames.size

    def flush(self) -> Iterator[NDArray[np.float32]]:
        """Gives what the converter in use still holds, and ends it."""
        converter, self._converter = self._converter, None
        if converter is None:
            return
        if len(chunk := converter.flush()):
            yield chunk
        self.replaced_samples += converter.replaced_samples
        self.full_scale_samples += converter.full_scale_samples
        self.peak = max(self.peak, converter.peak)
        self.inverted_s += converter.inverted_s

    def _new_converter(self, rate_hz: int, channels: int) -> StreamConverter:
        if self._split and self.received_s and channels != self._channels:
            raise AudioError(f"it goes on with {channels} channels instead of {self._channels}")
        self._channels = channels
        try:
            return StreamConverter(rate_hz, channels, channel=self._channel, split=self._split)
        except AudioError:
            if not self.received_s or self._channel is None:
                raise
        note = f"channel {self._channel}: in a part with {channels} of them, all were mixed"
        if note not in self.notes:
            self.notes.append(note)
        return StreamConverter(rate_hz, channels)
