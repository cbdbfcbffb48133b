"""The formats together."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from asrctl.errors import UsageError
from asrctl.render import SUBTITLES, Format
from asrctl.render.formats import WRITERS, format_of
from tests.render.samples import SPEECH, rendered, segment


def test_every_format_has_a_writer() -> None:
    """The names that options and settings accept are the formats that there are."""
    assert set(WRITERS) == set(get_args(Format))


def test_only_subtitles_need_word_times() -> None:
    """Word times cost decoding time, so only formats that are better for them ask."""
    assert {name for name, writer in WRITERS.items() if writer.needs_words} == {*SUBTITLES}


@pytest.mark.parametrize("name", get_args(Format))
def test_every_format_ends_its_last_line(name: Format) -> None:
    """Several inputs can be written one after the other."""
    assert rendered(name, [segment(SPEECH, 0, 12)]).endswith("\n")


@pytest.mark.parametrize(
    ("output", "name"),
    [("a.srt", "srt"), ("b/a.JSON", "json"), ("a", None), ("/dev/stdout", None), ("talk 12.5", None)],
)
def test_the_extension_names_the_format(output: str, name: Format | None) -> None:
    """In either case; without one, something else decides."""
    assert format_of(Path(output)) == name
    assert format_of(None) is None


@pytest.mark.parametrize("output", ["out.docx", "a.pdf", "talk.srt.bak"])
def test_an_unknown_extension_is_refused(output: str) -> None:
    """Plain text in a file that claims to be something else helps nobody; the known ones are listed."""
    with pytest.raises(UsageError, match=r"known are \.txt, \.srt, .*--format"):
        format_of(Path(output))
