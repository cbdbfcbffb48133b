"""Minutes in Markdown: who was heard for how long, and what was said, in paragraphs with times."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from asrctl.render.text import milliseconds, one_line
from asrctl.render.writer import Writer
from asrctl.transcript import Segment, Transcript, join_text

_PAUSE_S = 2.0
"""Silence that ends a paragraph, unless the options say how long."""
_PARAGRAPH_S = 60.0
"""A paragraph that is longer ends with its segment: each starts with a time, which readers look for."""
_MARKUP = re.compile(r"([\\`*_\[\]<>&~#|$])")
"""What could mean something inside a line; none of our lines starts with foreign text."""


class MinutesWriter(Writer):
    """A heading, the speakers, and a paragraph for each stretch of one speaker; written at the end."""

    def segment(self, segment: Segment) -> None:
        """Nothing yet: the speakers come first, and are known at the end."""

    def finish(self, transcript: Transcript) -> None:
        """Write the document."""
        turns = [turn for segment in transcript.segments for turn in segment.turns() if turn.text.strip()]
        lines = [f"# Minutes of {_escaped(transcript.source) or 'a recording'}", ""]
        lines.append(f"- Length: {_clock(transcript.duration_s)}")
        if transcript.language:
            lines.append(f"- Language: {_escaped(transcript.language)}")
        for speaker in transcript.speakers:
            spoken_s = sum(max(0.0, turn.end_s - turn.start_s) for turn in turns if turn.speaker == speaker)
            lines.append(f"- {_bold(speaker)}: spoke {_clock(spoken_s)}")
        for part in self._paragraphs(turns):
            time = f"({_clock(part.start_s)})"
            who = f"{_bold(part.speaker)} {time}:" if part.speaker else time
            lines += ["", f"{who} {_escaped(part.text)}"]
        self._sink.write("\n".join(lines) + "\n")

    def _paragraphs(self, turns: list[Segment]) -> Iterator[Segment]:
        pause_s = self._options.paragraph_pause_s or _PAUSE_S
        part: Segment | None = None
        for turn in turns:
            if part is not None and _goes_on(part, turn, pause_s):
                text = join_text((part.text, turn.text))
                part = replace(part, text=text, end_s=max(part.end_s, turn.end_s))
                continue
            if part is not None:
                yield part
            part = turn
        if part is not None:
            yield part


def _goes_on(part: Segment, turn: Segment, pause_s: float) -> bool:
    is_close = turn.start_s - part.end_s < pause_s and turn.end_s - part.start_s <= _PARAGRAPH_S
    return turn.speaker == part.speaker and is_close


def _bold(name: str) -> str:
    return f"**{_escaped(name)}**"


def _escaped(text: str) -> str:
    """The text on one line, with a backslash before all that could be markup."""
    return _MARKUP.sub(r"\\\1", one_line(text))


def _clock(time_s: float) -> str:
    """`H:MM:SS`."""
    minutes, seconds = divmod(milliseconds(time_s) // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
