"""Rich Transcription Time Marked (RTTM): who spoke when, for the tools that score diarization."""

from __future__ import annotations

from pathlib import PurePath

from asrctl.render.text import milliseconds, one_line
from asrctl.render.writer import Writer
from asrctl.transcript import Segment, Transcript

_UNKNOWN = "<NA>"
"""What the format writes for a value that is not available."""


class RttmWriter(Writer):
    """A `SPEAKER` line for each turn, written when the input ends, since each line names the recording."""

    def segment(self, segment: Segment) -> None:
        """Nothing yet."""

    def finish(self, transcript: Transcript) -> None:
        """Write the lines; the recording is called like its file, without folder and extension."""
        recording = _field(PurePath(transcript.source).stem)
        for segment in transcript.segments:
            for turn in segment.turns():
                start_ms = milliseconds(turn.start_s)
                length_ms = max(0, milliseconds(turn.end_s) - start_ms)
                times = f"{start_ms / 1000:.3f} {length_ms / 1000:.3f}"
                name = _field(turn.speaker)
                self._sink.write(
                    f"SPEAKER {recording} 1 {times} {_UNKNOWN} {_UNKNOWN} {name} {_UNKNOWN} {_UNKNOWN}\n"
                )


def _field(text: str) -> str:
    """A text as one field: fields are parted by spaces, and cannot be empty."""
    return one_line(text).replace(" ", "_") or _UNKNOWN
