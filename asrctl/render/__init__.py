"""Results to text: txt, SRT, VTT, JSON, JSON Lines, TSV. `render.formats.WRITERS` has a writer for each."""

from typing import Literal

Format = Literal["txt", "srt", "vtt", "json", "jsonl", "tsv"]
"""The formats' names, which are also their files' extensions."""
