"""Plain text and TSV."""

from __future__ import annotations

import io
import math

import pytest
from hypothesis import given

from asrctl.errors import UsageError
from asrctl.render.options import RenderOptions
from asrctl.render.plain import TextWriter, TsvWriter
from asrctl.render.text import milliseconds, one_line
from asrctl.transcript import Segment
from tests.render.samples import rendered, segment, segment_lists


def test_txt_writes_a_line_for_each_segment_as_it_comes() -> None:
    """The first line is there before the second segment is known."""
    sink = io.StringIO()
    writer = TextWriter(sink)
    writer.segment(segment(" Hello\nworld. ", 0, 1))
    assert sink.getvalue() == "Hello world.\n"
    writer.segment(segment("Bye.", 1, 2))
    assert sink.getvalue() == "Hello world.\nBye.\n"


def test_txt_has_paragraphs_where_they_are_wanted() -> None:
    """A long pause makes an empty line, a short one and silence at the start do not."""
    sink = io.StringIO()
    writer = TextWriter(sink, RenderOptions(paragraph_pause_s=2.0))
    for item in (
        segment("One.", 9, 10),
        segment("Two.", 11, 12),
        segment(" ", 13, 14),
        segment("Three.", 14, 15),
    ):
        writer.segment(item)
    assert sink.getvalue() == "One.\nTwo.\n\nThree.\n"


def test_a_pause_of_nothing_makes_no_paragraphs() -> None:
    """It would make one of each line."""
    with pytest.raises(UsageError, match="paragraph_pause_s"):
        RenderOptions(paragraph_pause_s=0.0)


def test_tsv_has_words_where_they_are_wanted() -> None:
    """A row for each word; a segment without words keeps its own."""
    sink = io.StringIO()
    writer = TsvWriter(sink, RenderOptions(words=True))
    writer.segment(segment("Hello world.", 1, 2))
    writer.segment(segment("No words.", 3, 4, timed_words=False))
    assert sink.getvalue() == (
        "start\tend\ttext\n1000\t1500\tHello\n1500\t2000\tworld.\n3000\t4000\tNo words.\n"
    )


def test_txt_of_silence_is_empty() -> None:
    """Segments without text leave no empty lines."""
    assert rendered("txt", []) == ""
    assert rendered("txt", [segment("  ", 0, 1)]) == ""


def test_one_line_drops_what_could_move_the_cursor() -> None:
    """Control characters, an escape sequence's included, never reach a terminal."""
    assert one_line("a\x1b[2Jb\tc\r\nd\x00\u2028e\x9b") == "a [2Jb c d e"


def test_tsv_has_whispers_columns_in_milliseconds() -> None:
    """A header, whole milliseconds, and text that cannot break a row."""
    assert rendered("tsv", [segment("a\tb\nc", 0.0004, 1.2345), segment("d", 2, 3)]) == (
        "start\tend\ttext\n0\t1234\ta b c\n2000\t3000\td\n"
    )


def test_tsv_without_segments_is_its_header() -> None:
    """A reader finds the columns even if nothing was said."""
    assert rendered("tsv", []) == "start\tend\ttext\n"


@given(segment_lists())
def test_tsv_rows_are_whole(segments: list[Segment]) -> None:
    """Every row has three fields, and ends no earlier than it starts."""
    rows = [row.split("\t") for row in rendered("tsv", segments).split("\n")[1:-1]]
    assert len(rows) == len(segments)
    assert all(len(row) == 3 and 0 <= int(row[0]) <= int(row[1]) for row in rows)


@pytest.mark.parametrize("time_s", [math.nan, math.inf, -math.inf, -1.0, 0.0])
def test_times_that_are_none_become_zero(time_s: float) -> None:
    """A broken time from a recogniser costs no text."""
    assert milliseconds(time_s) == 0
