"""Devices under test: what `sounddevice` offers, with streams that a test makes speak."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrctl.audio.devices import Device


class PortAudioError(Exception):
    """What PortAudio raises."""


def entry(name: str, inputs: int = 1, rate_hz: float = 48_000.0, hostapi: int = 0) -> Mapping[str, Any]:
    """A line of `query_devices`."""
    return {
        "name": name,
        "max_input_channels": inputs,
        "default_samplerate": rate_hz,
        "hostapi": hostapi,
    }


DEVICES = (entry("Speakers", inputs=0), entry("Built-in Microphone"), entry("USB Headset", inputs=2))
USB = Device(2, "USB Headset", 2, 48_000, "ALSA", is_default=False)


class Stream:
    """An open stream; `hear` is what the device does when it has recorded something."""

    def __init__(self, portaudio: FakePortAudio, options: Mapping[str, Any]) -> None:
        self.portaudio = portaudio
        self.rate_hz: int = options["samplerate"]
        self.channels: int = options["channels"]
        self.device: int = options["device"]
        self.blocksize: int = options["blocksize"]
        self.callback: Callable[..., None] = options["callback"]
        self.finished: Callable[[], None] = options["finished_callback"]
        self.adc_s = 1.0
        self.closed = False

    def hear(self, frames: NDArray[np.float32], *, overflow: bool = False) -> None:
        """Call back with frames, shape (n,) or (n, channels), in a buffer that is used again afterwards."""
        buffer = bytearray(frames.astype(np.float32).tobytes())
        time = SimpleNamespace(inputBufferAdcTime=self.adc_s if self.portaudio.has_clock else 0.0)
        self.callback(memoryview(buffer), len(frames), time, SimpleNamespace(input_overflow=overflow))
        buffer[:] = bytes(len(buffer))
        self.adc_s += len(frames) / self.rate_hz

    def hear_all(self, frames: NDArray[np.float32]) -> None:
        """Call back block by block."""
        for at in range(0, len(frames), self.blocksize):
            self.hear(frames[at : at + self.blocksize])

    def miss(self, frames: int) -> None:
        """The device loses frames; its clock goes on."""
        self.adc_s += frames / self.rate_hz

    def start(self) -> None:
        """Say what the test wants to be said from the start."""
        if self.portaudio.broken_start:
            raise PortAudioError("Unanticipated host error")
        self.portaudio.on_start(self)

    def stop(self) -> None:
        """The last callbacks come before this returns, as with PortAudio."""
        self.portaudio.on_stop(self)
        self.finished()

    def close(self) -> None:
        """Let go of the device."""
        self.closed = True


@dataclass
class FakePortAudio:
    """The module `sounddevice` as a test wants it.

    Attributes:
        entries: What `query_devices` lists.
        default_input: Index of the default input; -1 for none.
        refuses: Whether a stream with (rate, channels) cannot be opened.
        on_start: Called when a stream starts.
        on_stop: Called when a stream is stopped, before it ends.
        has_clock: Whether callbacks are told the device's time.
        streams: All that were opened.
    """

    entries: Sequence[Mapping[str, Any]] = DEVICES
    default_input: int = 1
    refuses: Callable[[int, int], bool] = lambda rate_hz, channels: False
    on_start: Callable[[Stream], None] = lambda stream: None
    on_stop: Callable[[Stream], None] = lambda stream: None
    broken_start: bool = False
    broken_list: bool = False
    has_clock: bool = True
    streams: list[Stream] = field(default_factory=list)
    PortAudioError: type[Exception] = PortAudioError

    @property
    def default(self) -> Any:
        return SimpleNamespace(device=(self.default_input, 0))

    def query_devices(self) -> Sequence[Mapping[str, Any]]:
        if self.broken_list:
            raise PortAudioError("PortAudio not initialized")
        return self.entries

    def query_hostapis(self) -> Sequence[Mapping[str, Any]]:
        return [{"name": "ALSA"}, {"name": "JACK"}]

    def RawInputStream(self, **options: Any) -> Stream:
        if self.refuses(options["samplerate"], options["channels"]):
            raise PortAudioError("Invalid sample rate")
        self.streams.append(Stream(self, options))
        return self.streams[-1]
