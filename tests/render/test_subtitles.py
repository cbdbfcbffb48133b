"""SRT and WebVTT, parsed back by a small parser of the tests' own."""

from __future__ import annotations

import html
import io
import re
from itertools import pairwise
from typing import Literal, NamedTuple

import pytest
from hypothesis import example, given

from asrctl.render.cue_line import SHORTEST_MS
from asrctl.render.cues import Cue, SubtitleOptions
from asrctl.render.options import RenderOptions
from asrctl.render.subtitles import BrokenLimits, SrtWriter, VttWriter, clock
from asrctl.render.text import one_line
from asrctl.transcript import Segment
from tests.render.samples import SPEECH, rendered, segment, segment_lists, transcript

Subtitles = Literal["srt", "vtt"]
TIMES = re.compile(r"(\d{2,}):([0-5]\d):([0-5]\d)[.,](\d{3}) --> (\d{2,}):([0-5]\d):([0-5]\d)[.,](\d{3})")


class Shown(NamedTuple):
    """A cue as a player sees it."""

    start_ms: int
    end_ms: int
    lines: list[str]


def parsed(name: Subtitles, text: str) -> list[Shown]:
    """Read SRT or VTT back, strictly: numbering, separators and escapes are checked."""
    assert text == "" or text.endswith("\n\n")
    blocks = text.split("\n\n")[:-1]
    if name == "vtt":
        assert blocks.pop(0) == "WEBVTT"
    shown = []
    for number, block in enumerate(blocks, start=1):
        lines = block.split("\n")
        if name == "srt":
            assert lines.pop(0) == str(number)
        times = TIMES.fullmatch(lines.pop(0))
        assert times
        hours, minutes, seconds, millis, *end = map(int, times.groups())
        start_ms = ((hours * 60 + minutes) * 60 + seconds) * 1000 + millis
        end_ms = ((end[0] * 60 + end[1]) * 60 + end[2]) * 1000 + end[3]
        if name == "vtt":
            assert not [line for line in lines if "<" in line or "-->" in line]
            lines = [html.unescape(line) for line in lines]
        shown.append(Shown(start_ms, end_ms, lines))
    return shown


def words_of(shown: list[Shown]) -> str:
    """All text without spaces, which is where lines may be broken."""
    return "".join(line for cue in shown for line in cue.lines).replace(" ", "")


@pytest.mark.parametrize("name", ["srt", "vtt"])
@given(segments=segment_lists())
@example(segments=[segment("a b c", 5, 5), segment("d", 5, 5), segment("e", 4, 4.5)])
@example(segments=[segment(SPEECH, 20, 2)])
@example(segments=[segment("&lt; --> <b>&amp;", 0, 1), segment("1\n\n2", 1, 2)])
def test_cues_hold_all_words_in_order_and_never_overlap(name: Subtitles, segments: list[Segment]) -> None:
    """What a player shows is what was recognised: every word, in order, one cue at a time."""
    shown = parsed(name, rendered(name, segments))
    assert words_of(shown) == "".join(one_line(item.text) for item in segments).replace(" ", "")
    assert all(cue.end_ms - cue.start_ms >= SHORTEST_MS for cue in shown)
    assert all(earlier.end_ms <= later.start_ms for earlier, later in pairwise(shown))


def test_srt_looks_like_srt() -> None:
    """Number, times with a comma, text, empty line."""
    assert rendered("srt", [segment("Hello there.", 0, 1.25), segment("Bye.", 3601.5, 3602.5)]) == (
        "1\n00:00:00,000 --> 00:00:01,250\nHello there.\n\n2\n01:00:01,500 --> 01:00:02,500\nBye.\n\n"
    )


def test_vtt_looks_like_vtt() -> None:
    """The header, times with a point, and no number."""
    assert rendered("vtt", [segment("Hello there.", 0, 1.25)]) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.250\nHello there.\n\n"
    )


def test_vtt_escapes_markup() -> None:
    """Text cannot become a tag, an entity or a time line."""
    assert "&lt;i&gt; &amp;amp; a --&gt; b\n" in rendered("vtt", [segment("<i> &amp; a --> b", 0, 2)])


def test_nothing_said_gives_valid_files() -> None:
    """An SRT without cues is empty; a VTT has its header."""
    assert rendered("srt", []) == ""
    assert rendered("vtt", []) == "WEBVTT\n\n"


def test_a_cue_is_written_as_soon_as_the_next_is_known() -> None:
    """Subtitles grow while the rest is decoded, one cue behind."""
    sink = io.StringIO()
    writer = SrtWriter(sink)
    writer.segment(segment("One.", 0, 1))
    writer.segment(segment("Two.", 1, 2))
    assert [cue.lines for cue in parsed("srt", sink.getvalue())] == [["One."]]
    writer.finish(transcript(duration_s=2))
    assert [cue.lines for cue in parsed("srt", sink.getvalue())] == [["One."], ["Two."]]


def test_a_short_cue_stays_until_it_can_be_read() -> None:
    """A word said in a moment stays longer where nothing follows, and joins what does."""
    alone, close = segment("Yes.", 1, 1.2), segment("No.", 1.5, 3)
    assert parsed("srt", rendered("srt", [alone], duration_s=9))[0].end_ms == 1830
    assert len(parsed("srt", rendered("srt", [alone, close]))) == 1  # too short alone, it is shown with it


def test_there_are_two_frames_between_cues() -> None:
    """Players and viewers need a gap to see the change; a longer one that only flickers is closed to it."""
    for pause_s in (0.0, 0.3):
        items = [segment("One is enough.", 1, 3), segment("Two are not.", 3 + pause_s, 5)]
        one, two = parsed("srt", rendered("srt", items))
        assert two.start_ms - one.end_ms == 80


def written(writer: SrtWriter | VttWriter, sink: io.StringIO, items: list[Segment]) -> str:
    """All that a writer makes of the segments."""
    for item in items:
        writer.segment(item)
    writer.finish(transcript(items))
    return sink.getvalue()


def test_a_phrase_that_was_cut_in_two_is_shown_whole() -> None:
    """With a space where its script has spaces."""
    (cue,) = parsed("srt", rendered("srt", [segment("being committed", 0, 1), segment("by creatures", 1, 2)]))
    assert cue.lines == ["being committed by creatures"]
    (cue,) = parsed("srt", rendered("srt", [segment("今日は", 0, 0.6), segment("良い天気", 0.6, 1.2)]))
    assert cue.lines == ["今日は良い天気"]


def test_words_one_by_one() -> None:
    """A cue for each word, in both formats."""
    sink = io.StringIO()
    writer = SrtWriter(sink, RenderOptions(subtitles=SubtitleOptions(word_by_word=True)))
    shown = parsed("srt", written(writer, sink, [segment("Hello there, world.", 0, 3)]))
    assert [(cue.start_ms, cue.lines) for cue in shown] == [
        (0, ["Hello"]),
        (1000, ["there,"]),
        (2000, ["world."]),
    ]


def test_karaoke_has_a_time_for_each_word() -> None:
    """The first word has the cue's own time; markup in the text stays text."""
    sink = io.StringIO()
    writer = VttWriter(sink, RenderOptions(subtitles=SubtitleOptions(karaoke=True)))
    assert written(writer, sink, [segment("Hello <b> world.", 1, 4)]) == (
        "WEBVTT\n\n00:00:01.000 --> 00:00:04.000\n"
        "<c>Hello</c> <00:00:02.000><c>&lt;b&gt;</c> <00:00:03.000><c>world.</c>\n\n"
    )


def test_a_cue_does_not_outlast_the_audio() -> None:
    """Text at the very end is not held after the last sample."""
    assert parsed("srt", rendered("srt", [segment("Yes.", 1, 1.2)], duration_s=1.25))[0].end_ms == 1250


def test_fast_speech_is_held_for_reading_where_there_is_room() -> None:
    """Seventeen characters a second is what people read."""
    shown = parsed("srt", rendered("srt", [segment(SPEECH[:80], 0, 2)], duration_s=30))
    characters = len(words_of(shown))
    assert characters / (shown[-1].end_ms / 1000) < 21


def test_segments_that_overlap_are_shown_one_after_the_other() -> None:
    """A recogniser's overlap cuts the earlier cue short."""
    shown = parsed("srt", rendered("srt", [segment("First.", 0, 3), segment("Second.", 2, 4)]))
    assert [(cue.start_ms, cue.end_ms) for cue in shown] == [(0, 1920), (2000, 4000)]


def test_clock_goes_past_two_digits_of_hours() -> None:
    """A recording of a hundred hours keeps its times."""
    assert clock(0) == "00:00:00.000"
    assert clock(100 * 3_600_000 + 59_999) == "100:00:59.999"


def warnings(*segments: Segment, **options: float | bool) -> list[str]:
    writer = SrtWriter(io.StringIO(), RenderOptions(subtitles=SubtitleOptions(**options)))  # type: ignore[arg-type]
    for each in segments:
        writer.segment(each)
    writer.finish(transcript(segments))
    return writer.warnings


def test_limits_that_are_kept_are_not_spoken_of() -> None:
    """Nor is the length of cues where each word is to be one."""
    slow = Segment(1.0, 5.0, "As slow as this.", 1.0)
    assert warnings(slow) == []
    assert warnings(Segment(1.0, 1.2, "A fast word.", 1.0), word_by_word=True) == []


def test_limits_that_cannot_be_kept_are_told_in_one_line() -> None:
    """How many cues break them, and where the first one is."""
    slow = Segment(1.0, 5.0, "As slow as this.", 1.0)
    fast = segment("As fast as nobody can read it. " * 2 + "And more of it.", 10.0, 10.5)
    after = segment("And that was all that there was to say, slowly.", 12.0, 18.0)
    assert warnings(slow, fast, after) == [
        "subtitles: 1 of 3 go faster than 20 characters a second (first at 10.0 s)"
    ]
    assert warnings(slow, max_cps=2) == [
        "subtitles: 1 of 1 go faster than 2 characters a second (first at 1.0 s)"
    ]
    wide = Segment(2.0, 9.0, "Hippopotamus.", 1.0)
    assert warnings(wide, max_line_width=8) == [
        "subtitles: 1 of 1 part a word wider than 8 columns (first at 2.0 s)"
    ]


def test_a_cue_that_is_shown_too_shortly_is_counted() -> None:
    """However little it says."""
    limits = BrokenLimits(SubtitleOptions())
    for start_ms, end_ms in ((0, 830), (1000, 1829), (2000, 2200)):
        limits.look_at(Cue(start_ms, end_ms, ("Yes.",)))
    assert limits.told() == "subtitles: 1 of 3 stay less than 0.83 s (first at 2.0 s)"
