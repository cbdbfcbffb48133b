"""Which source is asked for on the command line, and opening it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from asrctl.audio.live import LiveSource, Lost
from asrctl.errors import AudioError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from asrctl.audio.devices import Device
    from asrctl.audio.files import AudioReader, OpenAudio
    from asrctl.audio.tracks import Tracks
    from asrctl.speakers.options import SpeakerOptions

MIC, SYSTEM = "mic", "system"
"""Devices in `--track DEVICE=NAME`: the microphone, and what the machine plays."""
ME, THEM = "Me", "Them"
"""Who is on these, if nobody says."""
_RECORDED_AS = ("", "wav", "wave")
"""Extensions of what is recorded; a file that claims to be something else helps nobody."""
MICROPHONE = "microphone"
"""Stands for an input's name where files are called after their inputs."""


@dataclass(frozen=True, slots=True)
class InputOptions:
    """How inputs are read.

    Attributes:
        raw_rate_hz: They are headerless PCM of this rate; None where they have a header.
        raw_channels: Interleaved channels of headerless PCM.
        raw_encoding: Its samples, "s16le" or "f32le".
        track: Which audio track of a container, from 1; None for its default.
        channel: The only channel to take, from 1; None mixes all.
        split: Each channel is a track of its own.
        speakers: Names of those on channels, by "left", "right" or a number.
        files: The tracks of one recording, and who is on each; with a microphone, they are devices.
        by_voice: Whom to tell apart by voice; None does not.
        recursive: Directories were looked through to the bottom.
    """

    raw_rate_hz: int | None = None
    raw_channels: int = 1
    raw_encoding: str = "s16le"
    track: int | None = None
    channel: int | None = None
    split: bool = False
    speakers: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    by_voice: SpeakerOptions | None = None
    recursive: bool = False

    @property
    def has_tracks(self) -> bool:
        """Whether several tracks are transcribed as one recording."""
        return self.split or bool(self.files)

    @property
    def has_speakers(self) -> bool:
        """Whether it is told who spoke: by tracks, or by voice."""
        return self.has_tracks or self.by_voice is not None


def open_tracks(name: str, options: InputOptions) -> OpenAudio | Tracks:
    """Open an input, with its tracks if it is to have some.

    Raises:
        AudioError: It cannot be read, or is no audio.
    """
    if not options.has_tracks:
        return open_input(name, options)
    from asrctl.audio.tracks import ChannelTracks, channel_names, open_files

    if options.files:
        return open_files({who: partial(open_input, file, options) for file, who in options.files.items()})
    return ChannelTracks(open_input(name, options), channel_names(options.speakers))


def open_input(name: str, options: InputOptions) -> AudioReader:
    """Open a file, or standard input for "-".

    Raises:
        AudioError: It cannot be read, or is no audio.
    """
    from asrctl.audio.files import open_audio

    if os.path.isdir(name):  # the command line has looked into it already
        try:
            os.scandir(name).close()
        except OSError as error:
            raise AudioError(f"{name}: it is a directory that cannot be read: {error.strerror}") from error
        hint = "" if options.recursive else "; --recursive looks further down"
        raise AudioError(
            f"{name}: it is a directory, and no file in it has an extension of audio or video{hint}"
        )

    return open_audio(
        name,
        raw_rate_hz=options.raw_rate_hz,
        raw_channels=options.raw_channels,
        raw_encoding=options.raw_encoding,  # type: ignore[arg-type]
        track=options.track,
        channel=options.channel,
        split=options.split,
    )


def live_source(
    inputs: Sequence[str],
    options: InputOptions,
    inform: Callable[[str], None],
    *,
    mic: bool,
    live: bool,
    device: str | None,
) -> Callable[[], LiveSource] | None:
    """What opens the live source that is asked for; None if inputs are to be read as fast as may be.

    What else could be heard of an input goes to `inform`.

    Raises:
        AudioError: There is no microphone.
        UsageError: The options contradict each other, name no microphone of this machine, or a package is
            missing.
    """
    if device is not None and not mic:
        raise UsageError("--device names a microphone: it needs --mic")
    plain = replace(options, files={}, by_voice=None, recursive=False) == InputOptions()
    if mic and (inputs or live or not plain):
        raise UsageError("--mic takes no inputs, no --live, no channel, and no raw format")
    if live and options.has_tracks:
        raise UsageError("--live plays one input: it takes no tracks")
    if live and len(inputs) != 1:
        raise UsageError("--live takes exactly one input")
    if mic and options.files:
        return _device_tracks(device, options.files)
    if mic:
        return _microphone(device)
    from asrctl.audio.replay import Replay

    return (lambda: Replay(_opened(inputs[0], options, inform))) if live else None


def recorded(
    open_source: Callable[[], LiveSource] | None, path: Path | None, output: Path | None, *, append: bool
) -> Callable[[], LiveSource] | None:
    """What opens a live source and keeps in a file what is heard of it, if there is to be a file.

    Raises:
        UsageError: There is no live source, or the file is that of the text, or called as if it were no WAV.
    """
    if path is None:
        return open_source
    if output and os.path.abspath(output) == os.path.abspath(path):
        raise UsageError("--output and --record are the same file")
    if open_source is None:
        raise UsageError("--record keeps live audio: it needs --mic or --live")
    extension = path.suffix.lower().lstrip(".")
    if extension not in _RECORDED_AS and not extension.isdigit():  # "talk 12.5" has none
        raise UsageError(f"{path}: --record writes WAV, not {extension!r}: call it .wav")

    def opened() -> LiveSource:
        from asrctl.audio.recorder import Recorder

        source = open_source()
        try:
            if path.exists() and os.path.exists(source.name) and path.samefile(source.name):
                raise UsageError(f"--record would write into the input {source.name}")
            return Recorder(source, path, append=append, channels=len(getattr(source, "speakers", "1")))
        except BaseException:
            source.close()
            raise

    return opened


def whole_files(
    names: Sequence[str], options: InputOptions, inform: Callable[[str], None]
) -> list[Callable[[], LiveSource]]:
    """What opens each input as a source that gives audio as fast as it is taken.

    What else could be heard of one goes to `inform`.
    """
    return [partial(_WholeFile, name, options, inform) for name in names]


def list_input_devices() -> None:
    """Print a table of the audio inputs.

    Raises:
        AudioError: There are none.
        UsageError: A package is missing.
    """
    from asrctl.audio.devices import choose_device, device_table, input_devices, load_portaudio

    devices = input_devices(load_portaudio())
    choose_device(devices, None)
    print(device_table(devices), end="")


def _microphone(wanted: str | None) -> Callable[[], LiveSource]:
    from asrctl.audio.devices import choose_device, input_devices, load_portaudio
    from asrctl.audio.mic import Microphone

    portaudio = load_portaudio()
    device = choose_device(input_devices(portaudio), wanted)
    return lambda: Microphone(portaudio, device)


def _device_tracks(wanted: str | None, tracks: Mapping[str, str]) -> Callable[[], LiveSource]:
    """What opens the microphone and other devices as tracks of one recording.

    Raises:
        UsageError: Two tracks are of one device, or of one speaker.
    """
    from asrctl.audio.devices import choose_device, choose_system, input_devices, load_portaudio
    from asrctl.audio.live_tracks import LiveTracks
    from asrctl.audio.mic import Microphone
    from asrctl.audio.tracks import MAX_TRACKS, checked_name

    portaudio = load_portaudio()
    devices = input_devices(portaudio)
    named = tracks if MIC in tracks else {MIC: ME, **tracks}
    found: dict[str, Device] = {}
    for device, name in named.items():
        chosen = (
            choose_system(portaudio, devices)
            if device == SYSTEM
            else choose_device(devices, wanted if device == MIC else device)
        )
        if chosen in found.values() or (speaker := checked_name(name)) in found:
            raise UsageError(f"--track {device}={name}: each track has a device and a name of its own")
        found[speaker] = chosen
    if len(found) > MAX_TRACKS:
        raise UsageError(f"{len(found)} tracks: at most {MAX_TRACKS} are recorded")
    openers = {who: partial(Microphone, portaudio, device) for who, device in found.items()}
    return lambda: cast("LiveSource", LiveTracks(openers))


def _opened(name: str, options: InputOptions, inform: Callable[[str], None]) -> AudioReader:
    audio = open_input(name, options)
    if audio.hint:
        inform(f"asrctl: {audio.name}: {audio.hint}")
    return audio


class _WholeFile:
    """A `LiveSource` that gives an input as fast as it is taken."""

    def __init__(self, name: str, options: InputOptions, inform: Callable[[str], None]) -> None:
        self._audio = _opened(name, options, inform)
        self.name = self._audio.name
        self.warnings = self._audio.warnings
        self.duration_s = self._audio.duration_s
        self._stopped = False

    def __iter__(self) -> Iterator[NDArray[np.float32] | Lost]:
        for chunk in self._audio:
            yield chunk
            if self._stopped:
                return

    def stop(self) -> None:
        self._stopped = True

    def close(self) -> None:
        self._audio.close()
