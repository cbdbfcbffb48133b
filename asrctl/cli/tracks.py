"""Who is on which track, as the command line says it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from asrctl.errors import UsageError

if TYPE_CHECKING:
    from asrctl.cli.sources import InputOptions
    from asrctl.speakers.options import SpeakerOptions


def tracks_of(given: Sequence[str]) -> tuple[int | None, dict[str, str]]:
    """What `--track` says: the number of a container's audio track, or files with their speakers.

    Raises:
        UsageError: It is neither, or both, or a name or a file is given twice.
    """
    if len(given) == 1 and "=" not in given[0]:
        if not (given[0].isascii() and given[0].isdigit() and int(given[0][:9]) > 0):
            raise UsageError(f"--track {given[0]}: it takes the number of a track, from 1, or FILE=NAME")
        return int(given[0][:9]), {}
    files: dict[str, str] = {}
    for each in given:
        file, _, name = each.rpartition("=")
        if not file or not name.strip():
            raise UsageError(f"--track {each}: several tracks are given as FILE=NAME each")
        if file in files or name in files.values():
            raise UsageError(f"--track {each}: each track has a file and a name of its own")
        files[file] = name
    return None, files


def speakers_of(given: Sequence[str]) -> dict[str, str]:
    """What `--speaker` says: names by channel.

    Raises:
        UsageError: It makes no sense, or a channel is named twice.
    """
    from asrctl.audio.tracks import channel_names

    speakers: dict[str, str] = {}
    for each in given:
        channel, _, name = each.partition("=")
        if not channel or not name.strip() or channel in speakers:
            raise UsageError(f"--speaker {each}: it takes CHANNEL=NAME, such as left=Anna, once a channel")
        speakers[channel] = name
    channel_names(speakers)
    return speakers


def with_tracks(
    reading: InputOptions,
    tracks: Sequence[str] | None,
    speakers: Sequence[str] | None,
    inputs: Sequence[str] | None,
    *,
    mic: bool = False,
    system: bool = False,
) -> InputOptions:
    """How inputs are read, with what `--track` and `--speaker` say; with `mic`, tracks are devices.

    `system` adds what the machine plays.

    Raises:
        UsageError: They make no sense, or contradict each other or the inputs.
    """
    from asrctl.cli.sources import SYSTEM, THEM

    if system and not mic:
        raise UsageError("--system hears what the machine plays beside the microphone: it needs --mic")
    number, files = tracks_of([*(tracks or []), *([f"{SYSTEM}={THEM}"] if system else [])])
    reading = replace(reading, track=number, files=files, speakers=speakers_of(speakers or []))
    if reading.speakers and not reading.split:
        raise UsageError("--speaker names who is on a channel: it needs --channels split")
    if reading.split and reading.channel is not None:
        raise UsageError("--channels split takes all channels: it does not go with --channel")
    if reading.files and (inputs or reading.split):
        raise UsageError("--track FILE=NAME is all there is: it takes no other inputs, nor --channels split")
    if len(reading.files) == 1 and not mic:
        raise UsageError("--track FILE=NAME: one track is no conversation: give two or more")
    return reading


def with_speakers(reading: InputOptions, speakers: str | None, samples: Path | None) -> InputOptions:
    """How inputs are read, with what `--speakers` and `--speaker-samples` say.

    Raises:
        UsageError: They make no sense, or speakers are known by their tracks.
    """
    by_voice = _told_apart(speakers, samples)
    if by_voice and reading.has_tracks:
        raise UsageError("--speakers tells voices apart on one track: who is on which of several is known")
    return replace(reading, by_voice=by_voice)


def _told_apart(speakers: str | None, samples: Path | None) -> SpeakerOptions | None:
    from asrctl.speakers.options import SpeakerOptions

    if speakers is None:
        if samples is not None:
            raise UsageError("--speaker-samples is for speakers that are told apart: it needs --speakers")
        return None
    if speakers != "auto" and not (speakers.isascii() and speakers.isdigit()):
        raise UsageError(f"--speakers {speakers}: it takes a number, or auto")
    files = [path for path in sorted(samples.iterdir()) if path.is_file()] if samples else []
    files = [path for path in files if not path.name.startswith(".")]  # a desktop's own
    if samples and not files:
        raise UsageError(f"--speaker-samples {samples}: there are no files in it")
    known = {path.stem: str(path) for path in files}
    if len(known) < len(files):
        raise UsageError(f"--speaker-samples {samples}: two files have the same speaker's name")
    return SpeakerOptions(None if speakers == "auto" else int(speakers[:9]), known)
