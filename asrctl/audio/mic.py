"""The microphone: a callback that copies bytes, a bounded queue, and losses that are counted and declared."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from asrctl.audio.convert import StreamConverter
from asrctl.audio.devices import Device, InputStream, PortAudio
from asrctl.audio.live import Lost
from asrctl.errors import AudioError
from asrctl.transcript import SAMPLE_RATE_HZ, Samples

BLOCKS_PER_S = 20
"""A callback every 50 ms: seldom enough for Python, often enough for a meter and for partials."""

OVERFLOW = "the device's own buffer overflowed"
FULL = "the microphone's queue was full"

_SAMPLE_BYTES = 4  # float32


class _Block(NamedTuple):
    """What one callback brought, and how many frames were lost just before it."""

    data: bytes
    lost_frames: int
    reason: str


class _Stop(NamedTuple):
    """Nothing more is to come: because `stop` was called, or because the device ended the stream."""

    wanted: bool


class Microphone:
    """A `LiveSource` that records from a device. Opened at once, it starts with the iteration."""

    def __init__(
        self, portaudio: PortAudio, device: Device, *, queue_s: float = 10.0, vanished_s: float = 5.0
    ) -> None:
        """Open the device, at 16 kHz and in mono if it can, else as it can.

        Args:
            portaudio: The module `sounddevice`.
            device: What to record from.
            queue_s: Most audio that may wait to be taken; more is lost, and declared.
            vanished_s: A device that gives nothing for so long is gone.

        Raises:
            AudioError: The device cannot be opened, in no format.
        """
        self.name = f"microphone {device.name}"
        self.warnings: list[str] = []
        self._vanished_s = vanished_s
        self._queue: queue.SimpleQueue[_Block | _Stop] = queue.SimpleQueue()
        # One thread writes each of these: their difference is what waits, without a lock in the callback.
        self._put_frames = 0
        self._taken_frames = 0
        self._lost_frames = 0
        self._lost_reason = ""
        self._next_adc_s = 0.0
        self._peak = 0.0
        self._vanished = False
        self._error = portaudio.PortAudioError
        self._stream, self.rate_hz, self.channels = self._open(portaudio, device)
        self._most_frames = round(queue_s * self.rate_hz)

    def _open(self, portaudio: PortAudio, device: Device) -> tuple[InputStream, int, int]:
        """The first of the formats we would like that the device grants."""
        refusal: Exception | None = None
        for channels in dict.fromkeys((1, min(2, device.channels), device.channels)):
            for rate_hz in dict.fromkeys((SAMPLE_RATE_HZ, device.rate_hz)):
                try:
                    stream = portaudio.RawInputStream(
                        samplerate=rate_hz,
                        blocksize=rate_hz // BLOCKS_PER_S,
                        device=device.index,
                        channels=channels,
                        dtype="float32",
                        callback=self._hear,
                        finished_callback=self._end,
                    )
                except self._error as error:
                    refusal = refusal or error
                else:
                    return stream, rate_hz, channels
        raise AudioError(f"{self.name} cannot be opened: {refusal}")

    @property
    def waiting_frames(self) -> int:
        """Frames recorded and not taken yet."""
        return self._put_frames - self._taken_frames

    # PortAudio's thread

    def _hear(self, data: Any, frames: int, time: Any, status: Any) -> None:
        """The callback: no more than a copy, for the device does not wait."""
        if status.input_overflow:
            self._lost_frames += self._gap_frames(time.inputBufferAdcTime, frames)
            self._lost_reason = OVERFLOW
        self._next_adc_s = time.inputBufferAdcTime + frames / self.rate_hz
        if self.waiting_frames + frames > self._most_frames:
            self._lost_frames += frames
            self._lost_reason = FULL
            return
        self._put_frames += frames
        self._queue.put(_Block(bytes(data), self._lost_frames, self._lost_reason))
        self._lost_frames = 0

    def _gap_frames(self, adc_s: float, frames: int) -> int:
        """How much an overflow cost, by the device's clock; a block where it has no clock worth the name."""
        gap_frames = round((adc_s - self._next_adc_s) * self.rate_hz) if self._next_adc_s else 0
        return gap_frames if 0 < gap_frames <= self._most_frames else frames

    def _end(self) -> None:
        self._queue.put(_Stop(wanted=False))

    # The listener's thread

    def __iter__(self) -> Iterator[Samples | Lost]:
        """Chunks of about 50 ms; see `LiveSource`.

        Raises:
            AudioError: The device does not start, or it vanished.
        """
        converter = self._converter()
        try:
            self._stream.start()
        except self._error as error:
            raise AudioError(f"{self.name} does not start: {error}") from error
        for block in self._blocks():
            if block.lost_frames:
                yield from _filled(converter.flush())
                converter = self._converter()
                yield self._lost(block.lost_frames, block.reason)
            samples = converter.feed(np.frombuffer(block.data, np.float32))
            self._peak = max(self._peak, converter.peak)
            yield from _filled(samples)
        yield from _filled(converter.flush())
        if self._lost_frames:
            yield self._lost(self._lost_frames, self._lost_reason)
        if self._taken_frames and not self._peak:
            self.warnings.append("silent: nothing but zeros; is it muted, or not allowed for this program?")
        if self._vanished:
            raise AudioError(f"{self.name}: it stopped giving audio; was it unplugged?")

    def _blocks(self) -> Iterator[_Block]:
        """All that comes until somebody stops it or the device does."""
        while isinstance(item := self._next(), _Block):
            self._taken_frames += len(item.data) // (_SAMPLE_BYTES * self.channels)
            yield item
        self._vanished = not item.wanted
        if self._vanished:
            return
        with contextlib.suppress(self._error):
            self._stream.stop()  # returns after the callbacks for what was recorded already
        while not self._queue.empty():
            if isinstance(last := self._queue.get(), _Block):
                self._taken_frames += len(last.data) // (_SAMPLE_BYTES * self.channels)
                yield last

    def _next(self) -> _Block | _Stop:
        try:
            return self._queue.get(timeout=self._vanished_s)
        except queue.Empty:
            return _Stop(wanted=False)

    def _converter(self) -> StreamConverter:
        return StreamConverter(self.rate_hz, self.channels)

    def _lost(self, frames: int, reason: str) -> Lost:
        return Lost(round(frames * SAMPLE_RATE_HZ / self.rate_hz), reason)

    def stop(self) -> None:
        """End the iteration after what was recorded up to now; see `LiveSource`."""
        self._queue.put(_Stop(wanted=True))

    def close(self) -> None:
        """Let go of the device."""
        with contextlib.suppress(self._error):
            self._stream.close()


def _filled(samples: Samples) -> Iterator[Samples]:
    """The samples, if there are any: resamplers give nothing at times."""
    if len(samples):
        yield samples
