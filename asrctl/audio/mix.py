"""Channels to one, so that speech in any of them is heard.

The mean of all channels is what a mono mix is, and it loses speech in two ways. Channels in opposite phase (a
wrongly wired microphone, a cable for balanced sound read as stereo) cancel; and one voice among seven
channels of silence comes out at an eighth. So:

- the sum is divided by the number of channels that have carried sound, not by that of all;
- where the mix would be far weaker than its channels, those that run against the loudest one are inverted.

Both are decided by blocks of BLOCK_S, counted from the start of the stream, and a change is faded over a
block: how the stream is cut into calls leaves no trace. The delay is less than a block.
"""

from __future__ import annotations

from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

BLOCK_S = 0.032
SOUND_LEVEL = 1e-6  # mean square, -60 dBFS: a quieter channel is hum and hiss
DECAY = 0.85  # per block: the levels compared are those of the last 0.2 s
CANCELLED = 0.1
"""Share of the power that a mean of unrelated channels would have. Two channels of speech are as far below it
by chance in no 0.2 s: that takes a correlation of -0.9."""
GONE = 0.001
"""Share left in a block, 30 dB down, that shows by itself that channels cancel, whatever was mixed before."""
RESTORED = 0.3  # share at which the mean is good again; well above CANCELLED, so that it does not flutter


class _Gains(NamedTuple):
    signs: tuple[int, ...]
    divisor: int


class ChannelMixer:
    """Mixes one stream of at least two channels.

    Attributes:
        inverted_frames: Frames so far in which channels were inverted.
    """

    def __init__(self, channels: int, rate_hz: int) -> None:
        self._channels = channels
        self._block_frames = max(1, round(rate_hz * BLOCK_S))
        self._rest = np.empty((0, channels), np.float32)
        self._has_sound = np.zeros(channels, bool)
        self._channel_power = 0.0
        self._mean_power = 0.0
        self._signs: tuple[int, ...] = (1,) * channels
        self._last: _Gains | None = None
        self.inverted_frames = 0

    def feed(self, frames: Array) -> Array:
        """Takes frames, shape (n, channels), and gives those that fill blocks, mixed, shape (m,)."""
        joined = np.concatenate((self._rest, frames)) if len(self._rest) else frames
        whole = len(joined) - len(joined) % self._block_frames
        self._rest = joined[whole:].copy()
        return self._mixed(joined[:whole].reshape(-1, self._block_frames, self._channels))

    def flush(self) -> Array:
        """Ends the stream and gives the frames that fill no block, shape (m,)."""
        rest, self._rest = self._rest, self._rest[:0]
        return self._mixed(rest[np.newaxis]) if len(rest) else np.empty(0, np.float32)

    def _mixed(self, blocks: Array) -> Array:
        if not len(blocks):
            return np.empty(0, np.float32)
        frames = blocks.reshape(-1, self._channels)
        total = _sum(frames, (1,) * self._channels)
        gains = self._decide(blocks, total.reshape(len(blocks), -1))
        mixed, at = [], 0
        for gain, run in groupby(gains):
            end = at + len(list(run)) * blocks.shape[1]
            mixed.append(self._run(frames[at:end], total[at:end], gain))
            at = end
        return mixed[0] if len(mixed) == 1 else np.concatenate(mixed)

    def _decide(self, blocks: Array, totals: Array) -> list[_Gains]:
        n_frames = blocks.shape[1]
        powers = np.einsum("bfc,bfc->bc", blocks, blocks) / n_frames
        means = np.einsum("bf,bf->b", totals, totals) / (n_frames * self._channels**2)
        sounding = np.logical_or.accumulate(powers > SOUND_LEVEL, axis=0) | self._has_sound
        self._has_sound = sounding[-1]
        counts = np.count_nonzero(sounding, axis=1).tolist()
        gains = []
        for block, power, mean, count in zip(
            blocks, powers.mean(axis=1).tolist(), means.tolist(), counts, strict=True
        ):
            self._judge(block, power, mean)
            gains.append(_Gains(self._signs, count or self._channels))
        return gains

    def _judge(self, block: Array, power: float, mean: float) -> None:
        """Inverts channels where the mean cancels, and gives that up where it no longer would."""
        self._channel_power = DECAY * self._channel_power + power
        self._mean_power = DECAY * self._mean_power + mean
        kept = self._mean_power * self._channels
        inverted = -1 in self._signs
        if not inverted and power > SOUND_LEVEL and mean * self._channels < GONE * power:
            self._channel_power, self._mean_power, kept = power, mean, 0.0
        if not inverted and power > SOUND_LEVEL and kept < CANCELLED * self._channel_power:
            self._signs = _aligned(block)
        elif inverted and kept > RESTORED * self._channel_power:
            self._signs = (1,) * self._channels
        if -1 in self._signs:
            self.inverted_frames += len(block)

    def _run(self, frames: Array, total: Array, gain: _Gains) -> Array:
        """Frames of one gain mixed, with a fade from the gain before; `total` is their plain sum."""
        last, self._last = self._last, gain
        mixed = (_sum(frames, gain.signs) if -1 in gain.signs else total) / np.float32(gain.divisor)
        if last is not None and last != gain:
            fade_frames = min(len(frames), self._block_frames)
            fade = np.linspace(0, 1, fade_frames, endpoint=False, dtype=np.float32)
            before = _sum(frames[:fade_frames], last.signs) / np.float32(last.divisor)
            mixed[:fade_frames] = fade * mixed[:fade_frames] + (1 - fade) * before
        return mixed


def _aligned(block: Array) -> tuple[int, ...]:
    """-1 for each channel that runs against the loudest one."""
    loudest = block[:, int(np.argmax(np.sum(np.square(block), axis=0)))]
    return tuple(-1 if product < 0 else 1 for product in loudest @ block)


def _sum(frames: Array, signs: tuple[int, ...]) -> Array:
    total = frames[:, 0] * np.float32(signs[0])
    for channel in range(1, len(signs)):  # column by column it rounds the same however the stream is cut
        if signs[channel] > 0:
            total += frames[:, channel]
        else:
            total -= frames[:, channel]
    return total
