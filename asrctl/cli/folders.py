"""Directories as inputs: which recordings they hold, and where each one's transcript belongs."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

_EXTENSIONS = """
    3g2 3ga 3gp 3gp2 3gpp 722 8svx aa aa3 aac ac3 ac4 act adts aea aif aifc aiff alac alaw amr amv ape apl
    asf au avi avr awb bwf caf dav dff dif divx ds2 dsf dss dts dtshd dv eac3 ec3 f4a f4b f4v fap flac flv
    g722 g729 gsm gxf htk iff ircam isma ismv kux latm lc3 loas m1a m2a m2t m2ts m4a m4b m4r m4v mk3d mka
    mkv mlp mmf mov mp1 mp2 mp3 mp4 mpa mpc mpe mpeg mpg mpga mpp mts mxf nist nsv nut nuv oga ogg ogm ogv
    ogx oma omg opus osq paf pvf qcp qoa qt qta ra rf64 rka rm rmvb sbc sds sf shn sln snd sox sph spx svx
    tak thd tod tp trp ts tta ty ulaw vob voc vqf vro w64 wav wave wavex weba webm wma wmv wtv wv wve xvid
    xwma
"""
RECORDINGS = frozenset(_EXTENSIONS.split())
"""Extensions of files that are taken from a directory; a file that is named itself may be called anything.

They are those of audio, and of video with sound, that libsndfile or FFmpeg reads, without those of games,
and without samples of a rate that FFmpeg would guess.
"""
_OTHERS = """
    ass bak bat bmp cfg conf css csv cue db doc docx eml epub gif heic htm html ico idx ini ipynb jpeg jpg
    js json jsonl lnk log lrc m3u m3u8 md md5 nfo odp ods odt part pdf pls png ppt pptx py rst rtf rttm sbv
    sh sha256 srt ssa sub svg tex textgrid tif tiff toml torrent tsv ttml txt url vtt webp xls xlsx xml yaml
    yml
"""
_NO_RECORDINGS = frozenset(_OTHERS.split())
"""Extensions of files that nobody misses: transcripts, documents, pictures, playlists."""
_EXTENSIONS_SHOWN = 5
_LONGEST_EXTENSION = 10


@dataclass(frozen=True, slots=True)
class Found:
    """An input, after directories were looked through.

    Attributes:
        name: A path, or "-".
        folder: Where below an output directory its transcript belongs: it mirrors the directory given.
    """

    name: str
    folder: PurePath = field(default_factory=PurePath)


def look_through(inputs: Sequence[str], inform: Callable[[str], None], *, recursive: bool) -> list[Found]:
    """Put the recordings of directories in their place, sorted by name; hidden files and pipes are left out.

    A directory without any stays itself, so that the user is told of it as of any input that cannot be read.

    Args:
        inputs: Paths, or "-".
        inform: Takes a line for each directory with files left out that may be recordings all the same.
        recursive: Look below the directories' own files too.
    """
    found: list[Found] = []
    for name in inputs:
        others: list[str] = []
        inside = [*_recordings(Path(name), recursive, others)] if os.path.isdir(name) else []
        found += inside or [Found(name)]
        if others:
            inform(f"asrctl: {name}: {_left_out(others)}")
    return found


def _recordings(directory: Path, recursive: bool, others: list[str]) -> Iterator[Found]:
    """The recordings; extensions of further files that may be some go to `others`."""
    unread: list[OSError] = []
    for folder, below, files in os.walk(directory, onerror=unread.append):
        # `walk` goes where this list says, and in its order.
        below[:] = sorted(name for name in below if recursive and not name.startswith("."))
        place = PurePath(folder).relative_to(directory)
        for name in sorted(files):
            extension, path = PurePath(name).suffix[1:].lower(), os.path.join(folder, name)
            if name.startswith(".") or extension in _NO_RECORDINGS:
                continue
            if extension not in RECORDINGS:
                others += [extension] if os.path.isfile(path) else []
            elif os.path.isfile(path) or not os.path.exists(path):  # a broken link is told as missing
                yield Found(path, place)
    for error in unread:  # told as inputs that cannot be read
        folder = str(error.filename)
        yield Found(folder, PurePath(folder).relative_to(directory).parent)


def _left_out(extensions: Sequence[str]) -> str:
    """How many files, and how they are called, the most frequent first."""
    kinds = [kind for kind, _ in Counter(map(_shown, extensions)).most_common()]
    shown = kinds[:_EXTENSIONS_SHOWN] + ["…"] * (len(kinds) > _EXTENSIONS_SHOWN)
    files, them = ("file", "it") if len(extensions) == 1 else ("files", "them")
    return f"left out {len(extensions)} other {files} ({', '.join(shown)}); to try {them}, name {them}"


def _shown(extension: str) -> str:
    """What is behind a dot in the middle of a title ("No. 5", "Mr. Smith") is no extension."""
    short = extension.isalnum() and not extension.isdigit() and len(extension) <= _LONGEST_EXTENSION
    return f".{extension}" if short else "no extension"
