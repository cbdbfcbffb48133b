"""The formats together."""

from __future__ import annotations

from typing import get_args

import pytest

from asrctl.render import Format
from asrctl.render.formats import WRITERS
from tests.render.samples import SPEECH, rendered, segment


def test_every_format_has_a_writer() -> None:
    """The names that options and settings accept are the formats that there are."""
    assert set(WRITERS) == set(get_args(Format))


def test_only_subtitles_need_word_times() -> None:
    """Word times cost decoding time, so only formats that are better for them ask."""
    assert {name for name, writer in WRITERS.items() if writer.needs_words} == {"srt", "vtt"}


@pytest.mark.parametrize("name", get_args(Format))
def test_every_format_ends_its_last_line(name: Format) -> None:
    """Several inputs can be written one after the other."""
    assert rendered(name, [segment(SPEECH, 0, 12)]).endswith("\n")
