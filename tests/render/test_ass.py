"""ASS subtitles, read back by pysubs2 and drawn by nobody."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from pysubs2 import SSAEvent, SSAFile

from asrctl.render.ass import AssWriter
from asrctl.render.cues import SubtitleOptions
from asrctl.render.options import RenderOptions
from asrctl.render.text import one_line
from asrctl.transcript import Segment, Word
from tests.render.samples import SPEECH, rendered, segment, segment_lists, transcript

TIMES = {"well": (1.0, 1.25), "hello": (1.5, 1.9), "there": (2.0, 2.5)}
SPOKEN = Segment(1.0, 2.5, "well hello there", 0.9, tuple(Word(*at, text, 0.9) for text, at in TIMES.items()))


READABLE = segment_lists().filter(lambda found: all(each.end_s < 350_000 for each in found))
"""pysubs2 reads two digits of hours."""


def events(text: str) -> list[SSAEvent]:
    return list(SSAFile.from_string(text, "ass"))


def test_a_day_is_not_too_long() -> None:
    """Hours grow past the one digit that the format wants."""
    assert "Dialogue: 0,25:00:01.00,25:00:02.00,Default,," in rendered(
        "ass", [segment("Late.", 90_001, 90_002)]
    )


def shown(event: SSAEvent) -> str:
    """What a player draws of a text whose braces are escaped."""
    return event.text.replace(r"\N", " ").replace(r"\{", "{").replace(r"\}", "}").replace("\u2060", "")


def karaoke(*segments: Segment) -> str:
    sink = io.StringIO()
    writer = AssWriter(sink, RenderOptions(subtitles=SubtitleOptions(karaoke=True)))
    for each in segments:
        writer.segment(each)
    writer.finish(transcript(segments))
    return sink.getvalue()


@given(READABLE)
def test_cues_are_those_of_srt(segments: list[Segment]) -> None:
    """The same times, to a hundredth of a second, and the same words."""
    found = events(rendered("ass", segments))
    srt = rendered("srt", segments)
    expected = list(SSAFile.from_string(srt, "srt")) if srt else []
    assert [(each.start // 10, each.end // 10) for each in expected] == [
        (each.start // 10, each.end // 10) for each in found
    ]


@given(READABLE)
def test_all_words_are_shown(segments: list[Segment]) -> None:
    said = "".join(one_line(each.text) for each in segments)
    drawn = "".join(shown(each) for each in events(rendered("ass", segments)))
    assert drawn.replace(" ", "") == said.replace(" ", "").replace("\u2060", "")


def test_speech_without_cues_is_a_file_all_the_same() -> None:
    assert events(rendered("ass", [])) == [] and "[Events]" in rendered("ass", [])


def test_speakers_have_a_field_and_are_shown() -> None:
    (event,) = events(rendered("ass", [replace(segment("Hello.", 1, 2), speaker="Anna, at home")]))
    assert event.name == "Anna  at home" and event.text.startswith("Anna  at home: Hello.")


def test_braces_and_backslashes_are_no_commands() -> None:
    (event,) = events(rendered("ass", [segment(r"a {\b1} \N c", 1, 2)]))
    assert shown(event) == r"a {\b1} \N c"
    assert "{" not in event.text.replace(r"\{", "")


def test_karaoke_lights_each_word_when_it_is_said() -> None:
    (event,) = events(karaoke(SPOKEN))
    assert event.text == r"{\k50}well {\k50}hello {\k50}there"


@given(READABLE)
def test_karaoke_lasts_no_longer_than_the_cue(segments: list[Segment]) -> None:
    for event in events(karaoke(*segments)):
        lit = [int(part.split("}")[0]) for part in event.text.split(r"{\k")[1:]]
        assert all(each >= 0 for each in lit) and 10 * sum(lit) <= event.duration + 10


def test_cues_come_as_they_are_known() -> None:
    """So that a live run that is killed leaves a file that can be shown."""
    sink = io.StringIO()
    writer = AssWriter(sink)
    grown = []
    for at in range(5):
        writer.segment(segment(SPEECH, 12 * at, 12 * at + 12))
        grown.append(sink.getvalue())
    assert all(late.startswith(early) for early, late in pairwise(grown))
    assert events(grown[-1])
