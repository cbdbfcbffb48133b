"""Results to text, subtitles, tables, records: `render.formats.WRITERS` has a writer for each format."""

from typing import Literal

Format = Literal["txt", "srt", "vtt", "ass", "json", "jsonl", "tsv", "rttm", "md"]
"""The formats' names, which are also their files' extensions."""

SUBTITLES: tuple[Format, ...] = ("srt", "vtt", "ass")
"""Those that are shown with a film, for which the times of words are needed."""
