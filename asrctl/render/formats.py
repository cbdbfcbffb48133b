"""Which writer makes which format."""

from __future__ import annotations

from collections.abc import Mapping
from io import StringIO
from pathlib import PurePath

from asrctl.errors import UsageError
from asrctl.render import Format
from asrctl.render.ass import AssWriter
from asrctl.render.minutes import MinutesWriter
from asrctl.render.options import RenderOptions
from asrctl.render.plain import TextWriter, TsvWriter
from asrctl.render.records import JsonLinesWriter, JsonWriter
from asrctl.render.rttm import RttmWriter
from asrctl.render.subtitles import SrtWriter, VttWriter
from asrctl.render.writer import Writer
from asrctl.transcript import Transcript

WRITERS: Mapping[Format, type[Writer]] = {
    "txt": TextWriter,
    "srt": SrtWriter,
    "vtt": VttWriter,
    "ass": AssWriter,
    "json": JsonWriter,
    "jsonl": JsonLinesWriter,
    "tsv": TsvWriter,
    "rttm": RttmWriter,
    "md": MinutesWriter,
}
"""`WRITERS[name](sink, options)` makes a writer for one input; `options` are `RenderOptions`."""


def named(name: str) -> Format | None:
    """The format of this name, if there is one."""
    return next((known for known in WRITERS if known == name), None)


def rendered(transcript: Transcript, name: Format) -> str:
    """A whole transcript in a format."""
    sink = StringIO()
    writer = WRITERS[name](sink, RenderOptions(speakers=bool(transcript.speakers)))
    for segment in transcript.segments:
        writer.segment(segment)
    writer.finish(transcript)
    return sink.getvalue()


def format_of(output: PurePath | None) -> Format | None:
    """The format that a file's extension names; None without a file, or if it has no extension.

    Raises:
        UsageError: The extension is of a format that there is not.
    """
    extension = output.suffix.lower().lstrip(".") if output else ""
    if not extension or extension.isdigit():  # "minutes 12.5" has none
        return None
    if (known := named(extension)) is None:
        names = ", ".join(f".{name}" for name in WRITERS)
        raise UsageError(f"{output}: no format is called {extension!r}; known are {names}, or say --format")
    return known
