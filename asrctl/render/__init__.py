"""Results to text, subtitles, tables, records: `render.formats.WRITERS` has a writer for each format."""

from typing import Literal

Format = Literal["txt", "srt", "vtt", "json", "jsonl", "tsv", "rttm", "md"]
"""The formats' names, which are also their files' extensions."""
