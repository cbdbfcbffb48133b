"""The ffmpeg program, as a process that writes WAV to a pipe."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO

from asrctl.audio.isolated import said_in, start_process
from asrctl.audio.parts import Part
from asrctl.audio.pcm import Block
from asrctl.audio.sniff import WITHOUT_CLOCK
from asrctl.audio.wav import HeaderReader, WavHeader, read_wav_header, samples
from asrctl.errors import AudioError

LEAD_LIMIT_S = 24 * 3600.0  # of silence before the first sound; a hostile clock could ask for years
REASON_CHARS = 200
NO_AUDIO_TRACK = "it has no audio track"

_FILL_GAPS = "aresample=async=1"  # and drop what comes at a time that has passed: in Matroska it was repeated
# Elsewhere a clock stands still, or is set back, where nothing is repeated: no frame may begin before the end
# of the last one, which variable 0 keeps.
_FORWARD = "asetpts='st(1,max(PTS,ld(0)));st(0,ld(1)+NB_SAMPLES/(SR*TB));ld(1)'"
# Errors that ffmpeg reports of nothing that is lost.
_HARMLESS = re.compile(r"Queue input is backward in time|non monotonically increasing dts")
_LINE = re.compile(r"^(?:\[(?P<who>[^\]]*) @ [^\]]*\] )?\[(?P<level>\w+)\] (?P<text>.*)$")


class FfmpegDecoder:
    """Runs ffmpeg once for each part; see `Decoder` for the attributes.

    ffmpeg keeps rate and channels of the first frame and converts what differs from it. `first_pts=0`, which
    would fill the time before the first sound, cannot be used: where the format changes, ffmpeg sets up its
    filters again, and they would fill all the time before that.
    """

    library = "ffmpeg"
    is_whole = False

    def __init__(
        self, path: str, parts: list[tuple[Part, float | None]], track: int | None, kind: str
    ) -> None:
        """Takes a file to decode.

        Args:
            path: A regular file.
            parts: Ranges that are files by themselves, with the length that each states, if known.
            track: Which audio track, from 1; None for the default.
            kind: As `sniff.kind_of` says.
        """
        filters = _FILL_GAPS if kind == "matroska" else f"{_FORWARD},{_FILL_GAPS}"
        self._has_clock = kind not in WITHOUT_CLOCK
        self._filters = ["-af", filters] if self._has_clock else []
        self._path = path
        self._parts = parts
        self._track = track
        self._first: _Run | None = None
        self._resources = ExitStack()
        self.expected_s: float | None = None
        self.promised_s: float | None = None
        self.tolerance = 0.02
        self.n_tracks = self.track = 1
        self.notes: list[str] = []

    def wait_open(self, resources: ExitStack) -> None:
        """Starts ffmpeg on the first part.

        Raises:
            AudioError: not something that ffmpeg reads, or without audio; the message is the reason.
        """
        self._resources = resources.enter_context(ExitStack())  # open for the runs to come
        self._first = run = self._run(self._parts[0][0])
        seconds, tracks = run.described()
        self.n_tracks = len(tracks)
        self.track = self._track or run.default_of(tracks)
        share = self._parts[-1][0].end / max(1, self._parts[0][0].end)
        self.expected_s = None if seconds is None else seconds * share
        if run.header is None:
            raise AudioError(run.reason())

    def blocks(self) -> Iterator[Block]:
        """As Decoder.blocks; what ffmpeg complained about is noted."""
        promised_s, received_s = 0.0, 0.0
        for number, (part, stated_s) in enumerate(self._parts):
            run = self._first if number == 0 and self._first else self._run(part)
            before_s = received_s
            for block in run.blocks():
                received_s += block.duration_s
                yield block
            promised_s += stated_s or received_s - before_s
            self.promised_s = promised_s
            self._judge(run, number)

    def _judge(self, run: _Run, number: int) -> None:
        failed, complaint = run.failed(), run.complaint()
        if failed and len(self._parts) == 1:
            raise AudioError(run.reason())
        if failed:
            where = f"part {number + 1} of {len(self._parts)} joined files"
            self.notes.append(f"not all read: {where}: {run.reason()}")
        elif complaint:
            early = "" if self._has_clock else "; times after it may be too early"
            if (note := f"damaged: {complaint}{early}") not in self.notes:
                self.notes.append(note)

    def _run(self, part: Part) -> _Run:
        program = shutil.which("ffmpeg")
        assert program
        url = f"file:{self._path}"
        if len(self._parts) > 1 or part.start:
            url = f"subfile,,start,{part.start},end,{part.end},,:{url}"
        return _Run(program, url, self._track, self._filters, self._resources)


class _Run:
    """One ffmpeg process."""

    def __init__(
        self, program: str, url: str, track: int | None, filters: list[str], resources: ExitStack
    ) -> None:
        self._input = [
            "-nostdin",
            "-hide_banner",
            "-nostats",
            "-protocol_whitelist",
            "file,pipe,subfile",
            "-i",
            url,
        ]
        # Without -map ffmpeg takes the default track, or that with most channels.
        self._chosen = ["-vn", "-sn", "-dn"] if track is None else ["-map", f"0:a:{track - 1}"]
        self._track = track
        self._program = program
        self._resources = resources
        # not a pipe: that could fill up and block the program
        self._complaints: IO[bytes] = resources.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        output = [*filters, "-c:a", "pcm_f32le", "-f", "wav", "pipe:1"]
        command = [program, "-v", "level+info", *self._input, *self._chosen, *output]
        self._process = start_process(command, self._complaints, resources)
        assert self._process.stdout
        self._reader = HeaderReader(self._process.stdout)  # type: ignore[arg-type]  # IO[bytes] is a BinaryIO
        self.header: WavHeader | None = read_wav_header(self._reader)

    def described(self) -> tuple[float | None, list[int]]:
        """Length, and which streams are audio tracks, as ffmpeg writes them before it begins."""
        said = self._said()
        length = re.search(r"Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)", said)
        seconds = None if length is None else 3600 * int(length[1]) + 60 * int(length[2]) + float(length[3])
        inputs = said.split("Output #")[0]
        return seconds, [int(number) for number in re.findall(r"Stream #0:(\d+).*: Audio:", inputs)]

    def default_of(self, tracks: list[int]) -> int:
        """Which of the audio tracks is decoded, from 1, where none was chosen."""
        default = self._default_track()
        return tracks.index(default) + 1 if default in tracks else 1

    def blocks(self) -> Iterator[Block]:
        """Silence up to the first sound, then all that ffmpeg writes."""
        if self.header is None:
            return
        yield from self._lead(self.header)
        yield from samples(self._reader, self.header)

    def _lead(self, header: WavHeader) -> Iterator[Block]:
        import numpy as np

        lead_s = self._lead_s()
        for _ in range(int(lead_s)):
            yield Block(np.zeros((header.rate_hz, header.channels), np.float32), header.rate_hz)
        if rest := round(lead_s % 1 * header.rate_hz):
            yield Block(np.zeros((rest, header.channels), np.float32), header.rate_hz)

    def _lead_s(self) -> float:
        """How long after the beginning of the file its sound begins: the time of the first packet."""
        if len(re.findall(r"Stream #0:\d+", self._said().split("Output #")[0])) < 2:
            return 0.0  # nothing else that could begin earlier
        chosen = ["-map", "0:a:0"] if self._track is None else self._chosen
        # Copying wants the track that is decoded; the default is told by its mark.
        if self._track is None and (default := self._default_track()) is not None:
            chosen = ["-map", f"0:{default}"]
        command = [self._program, "-v", "error", *self._input, *chosen]
        command += ["-c", "copy", "-frames:a", "1", "-f", "framecrc", "pipe:1"]
        asked = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
        )
        base = re.search(r"^#tb 0: (\d+)/(\d+)", asked.stdout, re.M)
        first = re.search(r"^0, *-?\d+, *(-?\d+),", asked.stdout, re.M)
        if not (base and first and int(base[2])):
            return 0.0
        lead_s = int(first[1]) * int(base[1]) / int(base[2])
        return lead_s if 0.1 < lead_s < LEAD_LIMIT_S else 0.0

    def _default_track(self) -> int | None:
        """Number of the stream that ffmpeg decodes, from its own account of it."""
        used = re.search(r"Stream #0:(\d+) -> #0:0", self._said())
        return None if used is None else int(used[1])

    def failed(self) -> bool:
        """True if the program ended with an error."""
        return self._process.wait() != 0

    def complaint(self) -> str:
        """The last error it wrote, "" if none."""
        errors = [text for level, text in self._lines() if level in ("error", "fatal", "panic")]
        return next((_shortened(text) for text in reversed(errors) if not _HARMLESS.search(text)), "")

    def reason(self) -> str:
        """Why there is no audio."""
        said = self._said()
        if self._track is not None and "matches no streams" in said:
            return f"there is no audio track {self._track}: it has {len(self.described()[1])}"
        if "matches no streams" in said or "does not contain any stream" in said:
            return NO_AUDIO_TRACK
        if self.failed() and self._process.returncode < 0:
            return f"ffmpeg was ended by signal {-self._process.returncode}"
        return self.complaint() or "ffmpeg gave no audio"

    def _lines(self) -> list[tuple[str, str]]:
        found = (_LINE.match(line) for line in self._said().splitlines())
        return [(line["level"], line["text"]) for line in found if line]

    def _said(self) -> str:
        return said_in(self._complaints)


def _shortened(text: str) -> str:
    if text.startswith(("file:", "subfile,")):
        text = text.rpartition(": ")[2]
    return "".join(filter(str.isprintable, text))[:REASON_CHARS]
