"""The audio inputs of this machine, through PortAudio, and which of them is meant."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from asrctl.errors import AudioError, UsageError

_NOT_INSTALLED = 'the microphone needs sounddevice: pip install "asrctl[mic]"'
_NO_LIBRARY = "the microphone needs the PortAudio library; on Debian and Ubuntu: apt install libportaudio2"


_SYSTEM = re.compile(
    r"^monitor of |\bmonitor$|\.monitor$|loopback|stereo mix|what u hear|blackhole|soundflower|^cable output",
    re.IGNORECASE,
)
"""Names that PulseAudio and PipeWire, drivers for Windows, and loopback drivers for macOS give to what is
played as an input."""
_NO_SYSTEM = (
    "no audio input hears what this machine plays: on macOS a driver such as BlackHole makes one, on Windows "
    "Stereo Mix can be switched on; PulseAudio and PipeWire have monitors, where PortAudio lists them (else "
    "PULSE_SOURCE=@DEFAULT_MONITOR@ makes one the device called pulse): then --track DEVICE=NAME"
)


class InputStream(Protocol):
    """An open `sounddevice.RawInputStream`."""

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...


class PortAudio(Protocol):
    """What we use of the module `sounddevice`; tests bring their own."""

    @property
    def default(self) -> Any: ...
    @property
    def PortAudioError(self) -> type[Exception]: ...
    @property
    def RawInputStream(self) -> Callable[..., InputStream]: ...
    def query_devices(self) -> Sequence[Mapping[str, Any]]: ...
    def query_hostapis(self) -> Sequence[Mapping[str, Any]]: ...


@dataclass(frozen=True, slots=True)
class Device:
    """An audio input.

    Attributes:
        index: PortAudio's number for it.
        name: As the system calls it.
        channels: Most channels it records.
        rate_hz: The rate it would choose.
        host_api: The system's interface that offers it; the same device may be offered by several.
        is_default: Whether it is recorded from if none is named.
    """

    index: int
    name: str
    channels: int
    rate_hz: int
    host_api: str
    is_default: bool


def load_portaudio() -> PortAudio:
    """The module `sounddevice`, imported now.

    Raises:
        AudioError: PortAudio does not start.
        UsageError: It, or the library behind it, is not installed; says what to install.
    """
    try:
        import sounddevice
    except ImportError as error:
        raise UsageError(_NOT_INSTALLED) from error
    except OSError as error:
        raise UsageError(_NO_LIBRARY) from error
    except Exception as error:  # PortAudioError, which cannot be named as the import failed
        raise AudioError(f"PortAudio does not start: {error}") from error
    return cast(PortAudio, sounddevice)


def input_devices(portaudio: PortAudio) -> list[Device]:
    """All audio inputs.

    Raises:
        AudioError: PortAudio cannot list them.
    """
    try:
        apis = [str(api["name"]) for api in portaudio.query_hostapis()]
        found = portaudio.query_devices()
        default_index = portaudio.default.device[0]
    except portaudio.PortAudioError as error:
        raise AudioError(f"PortAudio cannot list the audio devices: {error}") from error
    return [
        Device(
            index=index,
            name=" ".join(str(each["name"]).split()),
            channels=int(each["max_input_channels"]),
            rate_hz=round(each["default_samplerate"]),
            host_api=apis[each["hostapi"]],
            is_default=index == default_index,
        )
        for index, each in enumerate(found)
        if each["max_input_channels"] > 0
    ]


def choose_device(devices: Sequence[Device], wanted: str | None) -> Device:
    """The device with this index, this name, or the one with this in its name; None is the default.

    Where several host APIs offer what is wanted, that of the default device goes first.

    Raises:
        AudioError: There is no audio input at all.
        UsageError: None fits, or several do.
    """
    if not devices:
        raise AudioError("no audio input: there is no microphone, or this user may not use it")
    default = next((device for device in devices if device.is_default), devices[0])
    if wanted is None:
        return default
    fitting = _fitting(devices, wanted)
    if not fitting:
        raise UsageError(f"no audio input is called {wanted!r}; see asrctl transcribe --list-devices")
    if len(fitting) > 1:
        fitting = [device for device in fitting if device.host_api == default.host_api] or fitting
    if len(fitting) > 1:
        names = ", ".join(f"{device.index} ({device.name})" for device in fitting)
        raise UsageError(f"several audio inputs are called {wanted!r}: {names}; give the number")
    return fitting[0]


def choose_system(portaudio: PortAudio, devices: Sequence[Device]) -> Device:
    """The input that hears what this machine plays; if there are several, that of the default output.

    Raises:
        AudioError: There is none; says how to have one.
        UsageError: There are several.
    """
    fitting = [device for device in devices if _SYSTEM.search(device.name)]
    if not fitting:
        raise AudioError(_NO_SYSTEM)
    output = portaudio.default.device[1]
    played = [" ".join(str(each["name"]).split()) for each in portaudio.query_devices()]
    if 0 <= output < len(played):
        fitting = [device for device in fitting if played[output] in device.name] or fitting
    if len(fitting) > 1:
        names = ", ".join(f"{device.index} ({device.name})" for device in fitting)
        raise UsageError(f"several audio inputs hear what this machine plays: {names}; give the number")
    return fitting[0]


def _fitting(devices: Sequence[Device], wanted: str) -> list[Device]:
    name = wanted.strip().casefold()
    return (
        [device for device in devices if str(device.index) == name]
        or [device for device in devices if device.name.casefold() == name]
        or [device for device in devices if name in device.name.casefold()]
    )


def device_table(devices: Sequence[Device]) -> str:
    """A line for each device below a heading; `*` marks the default."""
    rows = [("", "index", "name", "channels", "rate", "host API")]
    for device in devices:
        mark = "*" if device.is_default else ""
        rate = f"{device.rate_hz} Hz"
        rows.append((mark, str(device.index), device.name, str(device.channels), rate, device.host_api))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
    return "".join(f"{line}\n" for line in lines)
