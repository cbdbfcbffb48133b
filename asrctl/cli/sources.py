"""Which live source is asked for on the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from asrctl.audio.live import LiveSource
from asrctl.cli.offline import RawFormat
from asrctl.errors import UsageError

MICROPHONE = "microphone"
"""Stands for an input's name where files are called after their inputs."""


def live_source(
    inputs: Sequence[str], raw: RawFormat | None, *, mic: bool, live: bool, device: str | None
) -> Callable[[], LiveSource] | None:
    """What opens the live source that is asked for; None if inputs are to be read as fast as may be.

    Raises:
        AudioError: There is no microphone, or nothing to reach it with.
        UsageError: The options contradict each other, or name no microphone of this machine.
    """
    if device is not None and not mic:
        raise UsageError("--device says which microphone: it needs --mic")
    if mic and (inputs or live or raw):
        raise UsageError("--mic takes no inputs, no --live and no raw format")
    if live and len(inputs) != 1:
        raise UsageError("--live takes exactly one input")
    if mic:
        return _microphone(device)
    return (lambda: _replay(inputs[0], raw)) if live else None


def list_input_devices() -> None:
    """Print a table of the audio inputs.

    Raises:
        AudioError: There are none, or nothing to reach them with.
    """
    from asrctl.audio.devices import choose_device, device_table, input_devices, load_portaudio

    devices = input_devices(load_portaudio())
    choose_device(devices, None)
    sys.stdout.write(device_table(devices))


def _microphone(wanted: str | None) -> Callable[[], LiveSource]:
    from asrctl.audio.devices import choose_device, input_devices, load_portaudio
    from asrctl.audio.mic import Microphone

    portaudio = load_portaudio()
    device = choose_device(input_devices(portaudio), wanted)
    return lambda: Microphone(portaudio, device)


def _replay(name: str, raw: RawFormat | None) -> LiveSource:
    from asrctl.audio.files import open_audio
    from asrctl.audio.replay import Replay

    if raw is None:
        return Replay(open_audio(name))
    audio = open_audio(
        name,
        raw_rate_hz=raw.rate_hz,
        raw_channels=raw.channels,
        raw_encoding=raw.encoding,  # type: ignore[arg-type]
    )
    return Replay(audio)
