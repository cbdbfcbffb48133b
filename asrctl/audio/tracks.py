"""Recordings with a track for each speaker: the channels of one input, or several inputs, read in step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing

import numpy as np

from asrctl.audio.files import OpenAudio
from asrctl.errors import AudioError, UsageError
from asrctl.transcript import SAMPLE_RATE_HZ, Samples

Parts = Sequence[Samples]
"""The next samples of each track, about as many of each; none of one that has ended."""

MAX_TRACKS = 16
"""Each is heard and decoded on its own; recorders of conferences have no more."""
SIDES = {"left": 1, "right": 2}
"""Names of channels besides their numbers."""
_STEP_SAMPLES = SAMPLE_RATE_HZ


class ChannelTracks:
    """The channels of an input that was opened with `split`; iterate over it once, and close it.

    Attributes:
        name: The recording as the user should see it in messages.
        duration_s: Its length, if that is known.
        hint: What else could be heard of it, or "".
    """

    def __init__(self, audio: OpenAudio, names: Mapping[int, str]) -> None:
        """Take an open input; `names` of speakers by the number of their channel, from 1."""
        self.name = audio.name
        self.duration_s = audio.duration_s
        self.hint = audio.hint
        self._audio = audio
        self._names = names

    @property
    def warnings(self) -> list[str]:
        """What is wrong with it although it can be read; complete after the iteration."""
        return self._audio.warnings

    def speakers(self, count: int) -> list[str]:
        """Who is on each of `count` tracks; a channel without a name is called left, right, or by its number.

        Raises:
            AudioError: There are too few or too many tracks.
        """
        if count < 2:
            raise AudioError(f"{self.name}: it has 1 channel: there is nothing to split")
        if count > MAX_TRACKS:
            raise AudioError(f"{self.name}: it has {count} channels; at most {MAX_TRACKS} are split")
        if (most := max(self._names, default=0)) > count:
            raise AudioError(f"{self.name}: there is no channel {most}: it has {count} channels")
        known = [*SIDES] if count == len(SIDES) else [f"channel {n + 1}" for n in range(count)]
        return [self._names.get(n + 1, name) for n, name in enumerate(known)]

    def __iter__(self) -> Iterator[Parts]:
        for chunk in self._audio:
            yield [np.ascontiguousarray(column) for column in chunk.T]

    def close(self) -> None:
        self._audio.close()


class FileTracks:
    """Several inputs that started at the same time, each a track; the same from outside."""

    def __init__(self, audio: Mapping[str, OpenAudio]) -> None:
        """Take open inputs by their speakers' names; `open_files` makes them."""
        self.name = ", ".join(each.name for each in audio.values())
        lengths = [each.duration_s for each in audio.values()]
        self.duration_s = None if None in lengths else max(length or 0.0 for length in lengths)
        self.hint = "; ".join(f"{each.name}: {each.hint}" for each in audio.values() if each.hint)
        self._audio = audio

    @property
    def warnings(self) -> list[str]:
        return [f"{each.name}: {line}" for each in self._audio.values() for line in each.warnings]

    def speakers(self, count: int) -> list[str]:
        """The names that were given."""
        return [*self._audio]

    def __iter__(self) -> Iterator[Parts]:
        steps = [_steps(each) for each in self._audio.values()]
        nothing = np.empty(0, np.float32)
        while True:
            parts = [next(step, nothing) for step in steps]
            if not any(len(part) for part in parts):
                return
            yield parts

    def close(self) -> None:
        for each in self._audio.values():
            each.close()


Tracks = ChannelTracks | FileTracks
"""An open recording with tracks."""


def open_files(openers: Mapping[str, Callable[[], OpenAudio]]) -> FileTracks:
    """Open inputs, by their speakers' names; if one fails, all are closed.

    Raises:
        AudioError: One cannot be read.
        UsageError: There are fewer than two, or too many, or a name is none.
    """
    if not 2 <= len(openers) <= MAX_TRACKS:
        raise UsageError(f"{len(openers)} tracks: a recording of tracks has 2 to {MAX_TRACKS}")
    names = [checked_name(name) for name in openers]
    with ExitStack() as opened:
        audio = [opened.enter_context(closing(opener())) for opener in openers.values()]
        opened.pop_all()
        return FileTracks(dict(zip(names, audio, strict=True)))


def _steps(audio: OpenAudio) -> Iterator[Samples]:
    """The same samples in chunks of a second, of which only the last may be shorter."""
    rest = np.empty(0, np.float32)
    for chunk in audio:
        rest = np.concatenate((rest, chunk))
        while len(rest) >= _STEP_SAMPLES:
            yield rest[:_STEP_SAMPLES]
            rest = rest[_STEP_SAMPLES:]
    if len(rest):
        yield rest


def channel_names(speakers: Mapping[str, str]) -> dict[int, str]:
    """Names by channel number, from names by `left`, `right` or a number.

    Raises:
        UsageError: There is no such channel, or two names for one, or for two the same.
    """
    names: dict[int, str] = {}
    for key, name in speakers.items():
        digits = key.isascii() and key.isdigit()
        number = SIDES.get(key.casefold()) or (int(key[:4]) if digits else 0)
        if not 1 <= number <= MAX_TRACKS:
            raise UsageError(f"no channel is called {key!r}: say left, right, or a number from 1")
        if number in names:
            raise UsageError(f"channel {number} has two speakers: {names[number]} and {name}")
        names[number] = checked_name(name)
    if len(set(names.values())) < len(names):
        raise UsageError("two channels have the same speaker")
    return names


def checked_name(name: str) -> str:
    """A speaker's name as it was given, without spaces around it.

    Raises:
        UsageError: It is none, or longer than a line.
    """
    if not 0 < len(found := name.strip()) <= 100 or not found.isprintable():
        raise UsageError(f"a speaker cannot be called {name!r}: a name has 1 to 100 characters on one line")
    return found
