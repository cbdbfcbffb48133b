"""Where the bytes come from: files, FIFOs and standard input.

A pipe that carries WAV or raw PCM is decoded as it comes, without an end if it has none. Any other container
on a pipe is copied to a temporary file first, at most MAX_SPOOL_BYTES of it: most of them need seeking.
"""

from __future__ import annotations

import os
import select
import stat
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from asrctl.audio.bitstreams import LOOKED_AT_BYTES, coded_in_pcm, may_be_coded
from asrctl.audio.decoders import Decoder, open_decoder, refuse_track
from asrctl.audio.sniff import HEAD_BYTES, refuse_no_audio
from asrctl.audio.text_mode import ADDED, has_added_returns
from asrctl.audio.wav import HeaderReader, WavDecoder, WavHeader, read_wav_header
from asrctl.errors import AudioError

STDIN = "-"
MAX_SPOOL_BYTES = 2 << 30  # most of a day of compressed speech
SPOOL_BLOCK_BYTES = 1 << 20
FIFO_WAIT_S = 30.0  # for the first byte


def open_source(
    spec: str,
    raw: WavHeader | None,
    stdin: BinaryIO | None,
    resources: ExitStack,
    track: int | None = None,
) -> Decoder:
    """Opens a path or "-" and finds a decoder for it.

    Args:
        spec: A path, or "-".
        raw: The format of headerless PCM, None if the input has a container.
        stdin: What "-" reads; None is the process's own.
        resources: Gets what has to be closed afterwards.
        track: Which audio track, from 1; None for the default.

    Raises:
        AudioError: it cannot be read as audio; the message is a reason without the input's name.
        OSError: the system's reason.
        ValueError: a path that the system does not allow.
    """
    if raw:
        refuse_track(track)
    if spec == STDIN:
        return _open_stream(_standard_input(stdin), raw, resources, track)
    if "://" in spec and not os.path.exists(spec):
        raise AudioError("web addresses are not read; download the file first")
    mode = os.stat(spec).st_mode
    if stat.S_ISDIR(mode):
        raise AudioError("it is a directory; name the files in it")
    if stat.S_ISFIFO(mode):
        return _open_stream(_open_fifo(spec, resources), raw, resources, track)
    if not stat.S_ISREG(mode):
        raise AudioError("it is a device, not an audio file")
    if raw:
        return WavDecoder(HeaderReader(resources.enter_context(open(spec, "rb"))), raw, os.stat(spec).st_size)
    return open_decoder(Path(spec), resources, track)


def _standard_input(stdin: BinaryIO | None) -> BinaryIO:
    if stdin is None and sys.stdin is None:  # closed before Python started
        raise AudioError("there is no standard input")
    # Not `sys.stdin.buffer`: Python aborts if a thread still reads that when the process ends.
    stream = stdin or os.fdopen(sys.stdin.fileno(), "rb", closefd=False)
    if stream.isatty():
        raise AudioError("it is a terminal; pipe audio into it")
    if stdin is None:
        os.set_blocking(stream.fileno(), True)  # else "nothing yet" looks like the end
    return stream


def _open_fifo(spec: str, resources: ExitStack) -> BinaryIO:
    """Opens a FIFO and waits for its first byte, but not for ever."""
    stream = resources.enter_context(os.fdopen(os.open(spec, os.O_RDONLY | os.O_NONBLOCK), "rb"))
    if not select.select([stream], [], [], FIFO_WAIT_S)[0]:
        raise AudioError(f"it is a pipe, and nothing was written to it in {FIFO_WAIT_S:g} s")
    os.set_blocking(stream.fileno(), True)
    return stream


def _open_stream(stream: BinaryIO, raw: WavHeader | None, resources: ExitStack, track: int | None) -> Decoder:
    reader = HeaderReader(stream)
    if raw:
        return WavDecoder(reader, raw)
    header = read_wav_header(reader)
    seen = reader.seen or b""
    if header:
        begin = reader.some(SPOOL_BLOCK_BYTES)  # what is there: waiting for more would hold up the text
        if may_be_coded(begin):
            begin += reader.take(max(0, LOOKED_AT_BYTES - len(begin)))
        if has_added_returns(begin):
            raise AudioError(ADDED)
        if not coded_in_pcm(begin):
            reader.put_back(begin)
            refuse_track(track)
            return WavDecoder(reader, header)
        seen += begin
    else:
        seen += reader.take(HEAD_BYTES - len(seen))
    refuse_no_audio(seen[:HEAD_BYTES])  # before it fills the disk
    return open_decoder(_spool(seen, stream, resources), resources, track)


def _spool(seen: bytes, stream: BinaryIO, resources: ExitStack) -> Path:
    """Copies a stream, of which some was seen already, to a temporary file that goes with the resources."""
    directory = resources.enter_context(tempfile.TemporaryDirectory(prefix="asrctl-"))
    path = Path(directory, "stdin")
    with path.open("wb") as file:
        file.write(seen)
        while block := stream.read(SPOOL_BLOCK_BYTES):
            if file.tell() + len(block) > MAX_SPOOL_BYTES:
                limit = f"over {MAX_SPOOL_BYTES / 2**30:.3g} GiB"
                raise AudioError(f"{limit} that cannot be decoded as it comes; pipe WAV instead")
            file.write(block)
    return path
