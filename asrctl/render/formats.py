"""Which writer makes which format."""

from __future__ import annotations

from collections.abc import Mapping

from asrctl.render import Format
from asrctl.render.records import JsonLinesWriter, JsonWriter
from asrctl.render.subtitles import SrtWriter, VttWriter
from asrctl.render.text import TextWriter, TsvWriter
from asrctl.render.writer import Writer

WRITERS: Mapping[Format, type[Writer]] = {
    "txt": TextWriter,
    "srt": SrtWriter,
    "vtt": VttWriter,
    "json": JsonWriter,
    "jsonl": JsonLinesWriter,
    "tsv": TsvWriter,
}
"""`WRITERS[name](sink)` makes a writer for one input."""
