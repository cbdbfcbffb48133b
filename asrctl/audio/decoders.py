"""Which decoder is asked for which input, behind one interface.

Decided by what the input holds and never by its name; the table is in ARCHITECTURE.md. Text is refused, also
playlists, which can point anywhere.

Why in this order: our own reader knows what the header promised, works on a pipe, and reads on where sizes
lie. libsndfile knows the most formats of plain samples and reads them exactly, but at damage it loses what
follows, and it stops where a header says, although more was joined to it. FFmpeg's libraries read on behind
damage and follow a format that changes; DTS and AC-3 would be noise as samples. PyAV comes before the ffmpeg
program, which states no length that could be checked.

PyAV and libsndfile are native code over foreign bytes: they run in a process of their own (child.py), as
ffmpeg does anyway. If it dies of a file, the next decoder goes on where it was.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from asrctl.audio.failover import FailoverDecoder
from asrctl.audio.isolated import DecoderCrashed, IsolatedDecoder
from asrctl.audio.parts import Part, parts_of, promised_s
from asrctl.audio.sniff import HEAD_BYTES, explain, kind_of, refuse_no_audio, refuse_protected
from asrctl.audio.stream import Request
from asrctl.audio.text_mode import REMOVED, has_lost_returns, text_mode_damage
from asrctl.audio.truncated import how_truncated, is_whole
from asrctl.errors import AudioError

if TYPE_CHECKING:
    from asrctl.audio.pcm import Block

INSTALL_HINT = "install PyAV (pip install 'asrctl[media]') or ffmpeg"
NO_TRACK = "no audio track"

_ORDER: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("wav", "aiff", "au", "caf", "sndfile"), ("libsndfile", "pyav", "ffmpeg")),
    **dict.fromkeys(("coded", "mp4", "matroska", "asf", "flv", "tta", "amr", "stream"), ("pyav", "ffmpeg")),
}
_ORDER_ELSE = ("pyav", "ffmpeg", "libsndfile")


class Decoder(Protocol):
    """One open stream of audio.

    Attributes:
        expected_s: Length to show progress against, None if unknown; it may be an estimate.
        promised_s: Length that the file states and has to keep, None if it states none; known when `blocks`
            has ended.
        tolerance: Share of it that may be missing without anything being lost.
        is_whole: All bytes that the file states are there: what is missing of its length is damage.
        n_tracks: How many audio tracks there are to choose from.
        track: Which of them it is, from 1.
        notes: Things the user should know; complete when `blocks` has ended.
    """

    @property
    def expected_s(self) -> float | None: ...
    @property
    def promised_s(self) -> float | None: ...
    @property
    def tolerance(self) -> float: ...
    @property
    def is_whole(self) -> bool: ...
    @property
    def n_tracks(self) -> int: ...
    @property
    def track(self) -> int: ...
    @property
    def notes(self) -> list[str]: ...

    def blocks(self) -> Iterator[Block]:
        """Audio in order, at most about a second at a time; the format may change from block to block.

        Raises:
            AudioError: nothing more can be read; what was yielded before is good.
        """
        ...


def open_decoder(path: Path, resources: ExitStack, track: int | None = None) -> Decoder:
    """Finds something that can read this file.

    Args:
        path: A regular file.
        resources: Gets what has to be closed afterwards.
        track: Which audio track, from 1; None for the default.

    Raises:
        AudioError: nothing here can read it; the message is a reason without the file's name.
        OSError: the file cannot be opened.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    refuse_no_audio(head)
    if how := text_mode_damage(str(path)):
        raise AudioError(how)
    # not "/dev/stdin": that is another file in another process
    real_path = os.path.realpath(path)
    kind = kind_of(head)
    if kind == "wav":
        found = _open_wav(real_path, resources, track)
        if isinstance(found, _CodedWav):
            return _open_coded(real_path, track, found, resources)
        if found is not None:
            return found
    if kind == "mp4":
        refuse_protected(real_path)
    decoder = _First(real_path, kind, track).open(resources)
    if truncated := how_truncated(path, kind):
        decoder.notes.append(truncated)
    return decoder


class _CodedWav(NamedTuple):
    """Something coded among the samples of a WAV: what, at which byte, and how long after the beginning."""

    name: str
    start: int
    start_s: float


def _open_wav(path: str, resources: ExitStack, track: int | None) -> Decoder | _CodedWav | None:
    """Our own reader; or what keeps it from reading this; None if it does not know the format."""
    from asrctl.audio.bitstreams import LOOKED_AT_BYTES, coded_in_pcm
    from asrctl.audio.wav import open_wav_file

    with ExitStack() as attempt:
        file = attempt.enter_context(open(path, "rb"))
        decoder = open_wav_file(file)
        if decoder is None or not _reads_all(path):
            return None
        at = file.tell()
        if has_lost_returns(path, decoder.header, at):
            raise AudioError(REMOVED)
        if coded := coded_in_pcm(file.read(LOOKED_AT_BYTES)):
            # at the very beginning, FFmpeg finds it by itself, header and all
            start = at + coded.start if coded.start else 0
            return _CodedWav(coded.name, start, decoder.header.seconds(coded.start))
        file.seek(at)
        refuse_track(track)
        resources.push(attempt.pop_all())
        return decoder


def _open_coded(path: str, track: int | None, coded: _CodedWav, resources: ExitStack) -> Decoder:
    """A decoder for what is coded; if they find nothing, it only looked so, and the samples are read."""
    from asrctl.audio.wav import open_wav_file

    try:
        return _First(path, "coded", track, coded).open(resources)
    except AudioError:
        if find_spec("av") is None and shutil.which("ffmpeg") is None:
            raise
    file = resources.enter_context(open(path, "rb"))  # noqa: SIM115
    decoder = open_wav_file(file)
    assert decoder is not None
    decoder.notes.append(f"it looks like {coded.name} inside a WAV, and was read as samples")
    return decoder


def _reads_all(path: str) -> bool:
    """False if something was joined to this WAV that our own reader does not know."""
    from asrctl.audio.wav import HeaderReader, read_wav_header

    with open(path, "rb") as file:
        for part in parts_of(path, "wav")[1:]:
            file.seek(part.start)
            if part.is_foreign or read_wav_header(HeaderReader(file)) is None:
                return False
    return True


def refuse_track(track: int | None) -> None:
    """Raises AudioError if a track is asked for that a format of one track cannot have."""
    if track not in (None, 1):
        raise AudioError(f"there is no audio track {track}: it has 1 audio track")


class _First:
    """The first of the decoders that can read a file, and those that are left if it dies."""

    def __init__(self, path: str, kind: str, track: int | None, coded: _CodedWav | None = None) -> None:
        self._path = path
        self._kind = kind
        self._track = track
        self._coded = coded
        self._reason = f"it holds {coded.name}, not samples" if coded else ""
        end = os.stat(path).st_size
        self._parts = [Part(coded.start, end)] if coded else parts_of(path, kind)
        joined_kinds = any(part.is_foreign for part in self._parts)
        self._names = iter(_ORDER_ELSE if joined_kinds else _ORDER.get(kind, _ORDER_ELSE))
        self._found_tool = False
        self._crash: DecoderCrashed | None = None

    def open(self, resources: ExitStack) -> Decoder:
        """The first decoder that opens the file.

        Raises:
            AudioError: none does.
        """
        decoder = self._next(resources)
        if decoder is None:
            raise AudioError(self._why())
        # what a WAV states of coded samples is the length of the samples they stand for, and not exact
        lead_s = self._coded.start_s if self._coded else None
        why = partial(explain, self._path, self._kind)
        whole = self._kind == "mpeg" and is_whole(self._path, self._parts[-1])
        return FailoverDecoder(decoder, self._next, resources, lead_s, why, is_whole=whole)

    def _next(self, resources: ExitStack) -> Decoder | None:
        for name in self._names:
            with ExitStack() as attempt:
                try:
                    decoder = self._opened(name, attempt)
                except DecoderCrashed as crash:
                    self._crash = self._crash or crash
                    continue
                except AudioError as error:
                    self._refused(str(error))
                    continue
                if decoder is not None:
                    if self._crash:
                        decoder.notes.append(f"{self._crash}; read by {name} instead")
                        self._crash = None
                    resources.push(attempt.pop_all())
                    return decoder
        return None

    def _opened(self, name: str, resources: ExitStack) -> Decoder | None:
        if name == "ffmpeg":
            if shutil.which("ffmpeg") is None:
                return None
            from asrctl.audio.ffmpeg import FfmpegDecoder

            self._found_tool = True
            whole = [(part, self._stated_s(part)) for part in self._parts]
            program = FfmpegDecoder(self._path, whole, self._track, self._kind)
            program.wait_open(resources)
            return program
        if name == "pyav" and find_spec("av") is None:
            return None
        if name == "libsndfile":
            refuse_track(self._track)
        self._found_tool |= name == "pyav"
        found = self._parts
        if name == "libsndfile" and self._kind == "mpeg":
            found = parts_of(self._path, self._kind, same_format=True)
        parts = [(part.start, part.end, self._stated_s(part)) for part in found]
        isolated = IsolatedDecoder(Request(self._path, name, parts, self._track), resources)
        isolated.wait_open()
        return isolated

    def _stated_s(self, part: Part) -> float | None:
        return promised_s(self._path, part) if self._kind == "mpeg" else None

    def _refused(self, reason: str) -> None:
        """Keeps the reason that says most: what the file lacks before what a library could not do."""
        if NO_TRACK in reason or not self._reason:
            self._reason = reason

    def _why(self) -> str:
        if self._crash:
            return str(self._crash)
        if NO_TRACK in self._reason:
            return self._reason
        explained = explain(self._path, self._kind)
        if explained or self._found_tool:
            hint = "; samples without a header need --raw-rate" if self._kind == "other" else ""
            return explained or f"damaged, or not audio ({self._reason}){hint}"
        if self._kind == "coded":
            return f"{self._reason}; {INSTALL_HINT}"
        because = f" ({self._reason})" if self._reason else ""
        return f"not audio that is read without help{because}; if it is audio, {INSTALL_HINT}"
