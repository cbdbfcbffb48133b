"""Who spoke, in every format."""

from __future__ import annotations

import html
import io
import json
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.render import Format
from asrctl.render.cues import SubtitleOptions, columns
from asrctl.render.formats import WRITERS
from asrctl.render.options import RenderOptions
from asrctl.render.plain import TsvWriter
from asrctl.render.subtitles import SrtWriter
from asrctl.render.text import one_line
from asrctl.transcript import Segment, Word
from tests.render.samples import SPEECH, rendered, segment, segment_lists, transcript

ANNA = segment("Hello there, Ben.", 0, 2).said_by("Anna")
BEN = segment("How are you?", 2.5, 4).said_by("Ben")
HOSTILE = "<b>&\n\n2\n--> **x**\t[a](b)\x1b[31m"

both = segment_lists().flatmap(
    lambda segments: st.lists(
        st.sampled_from(["", "Anna", HOSTILE]), min_size=len(segments), max_size=len(segments)
    ).map(lambda names: [each.said_by(name) for each, name in zip(segments, names, strict=True)])
)


def mixed() -> Segment:
    """One segment with the words of two speakers."""
    words = (*ANNA.words, *(word.shifted(0) for word in BEN.words))
    return Segment(0, 4, "Hello there, Ben. How are you?", 0.9, words, "Anna")


def test_a_segment_is_cut_where_its_speaker_changes() -> None:
    """Each turn has its own words, times and text; a word without a speaker has the segment's."""
    one, other = mixed().turns()
    assert (one.speaker, one.text, one.start_s, one.end_s) == ("Anna", "Hello there, Ben.", 0, 2)
    assert (other.speaker, other.text, other.start_s, other.end_s) == ("Ben", "How are you?", 2.5, 4)
    unknown = Segment(0, 1, "a b", 1.0, (Word(0, 0.5, "a", 1.0), Word(0.5, 1, "b", 1.0, "Ben")), "Anna")
    assert [(turn.speaker, turn.text) for turn in unknown.turns()] == [("Anna", "a"), ("Ben", "b")]
    assert BEN.turns() == (BEN,)
    assert segment("", 0, 1, timed_words=False).turns() == (segment("", 0, 1, timed_words=False),)


def test_a_turn_is_spaced_as_the_whole_text_is() -> None:
    """A script without spaces gets none; words that the text does not hold are joined by them."""
    words = (Word(0, 1, "今日", 1.0, "a"), Word(1, 2, "は", 1.0, "a"), Word(2, 3, "良い", 1.0, "b"))
    assert [turn.text for turn in Segment(0, 3, "今日は良い", 1.0, words).turns()] == ["今日は", "良い"]
    assert [turn.text for turn in Segment(0, 3, "else", 1.0, words).turns()] == ["今日 は", "良い"]


def test_a_segment_is_parted_at_pauses() -> None:
    """Where nothing was said for so long, whoever spoke; without words nothing is known of it."""
    pause = Segment(0, 5, "a b c", 0.9, (Word(0, 1, "a", 1.0), Word(1.5, 2, "b", 1.0), Word(4, 5, "c", 1.0)))
    assert [(part.start_s, part.end_s, part.text) for part in pause.parted(1.0)] == [
        (0, 2, "a b"),
        (4, 5, "c"),
    ]
    assert pause.parted(3.0) == (pause,)
    assert segment("x", 0, 9, timed_words=False).parted(1.0) == (segment("x", 0, 9, timed_words=False),)


def test_a_transcript_knows_its_speakers() -> None:
    """In the order of their first words; nobody is invented."""
    assert transcript([mixed(), segment("x", 5, 6)]).speakers == ("Anna", "Ben")
    assert transcript([segment("x", 0, 1)]).speakers == ()


def test_text_is_a_dialogue() -> None:
    """A line for each turn, with the name before it; without a name, the line is as it was."""
    assert rendered("txt", [ANNA, BEN, segment("Well.", 5, 6)]) == (
        "Anna: Hello there, Ben.\nBen: How are you?\nWell.\n"
    )
    assert rendered("txt", [mixed()]) == "Anna: Hello there, Ben.\nBen: How are you?\n"


def test_tsv_has_a_column_of_speakers() -> None:
    """A row for each turn; who is unknown has an empty one, and a name cannot break a row."""
    assert rendered("tsv", [ANNA, BEN.said_by(HOSTILE), segment("Well.", 5, 6)]) == (
        "start\tend\ttext\tspeaker\n0\t2000\tHello there, Ben.\tAnna\n"
        f"2500\t4000\tHow are you?\t{one_line(HOSTILE)}\n5000\t6000\tWell.\t\n"
    )
    assert rendered("tsv", [mixed()]) == (
        "start\tend\ttext\tspeaker\n0\t2000\tHello there, Ben.\tAnna\n2500\t4000\tHow are you?\tBen\n"
    )


@pytest.mark.parametrize("words", [False, True])
def test_tsv_has_the_column_from_the_beginning_where_speakers_will_come(words: bool) -> None:
    """The first to speak may be unknown; words have the speaker of their turn."""
    sink = io.StringIO()
    writer = TsvWriter(sink, RenderOptions(words=words, speakers=True))
    for each in (segment("Well.", 0, 1), BEN.labelled("Ben", ["Ben", "", "Anna"])):
        writer.segment(each)
    rows = [line.split("\t")[2:] for line in sink.getvalue().splitlines()]
    said = (
        [["How", "Ben"], ["are", "Ben"], ["you?", "Anna"]]
        if words
        else [["How are", "Ben"], ["you?", "Anna"]]
    )
    assert rows == [["text", "speaker"], ["Well.", ""], *said]


def test_srt_has_names_before_the_text() -> None:
    """Each cue has one speaker and says who, since a viewer may start anywhere."""
    assert rendered("srt", [ANNA, BEN]) == (
        "1\n00:00:00,000 --> 00:00:02,420\nAnna: Hello there, Ben.\n\n"
        "2\n00:00:02,500 --> 00:00:04,000\nBen: How are you?\n\n"
    )


def test_vtt_has_voices() -> None:
    """The standard's own tag; a name cannot end it."""
    assert "\n<v Anna>Hello there, Ben.\n" in rendered("vtt", [ANNA, BEN])
    hostile = rendered("vtt", [ANNA.said_by("<b>&\n-->")])
    assert "\n<v &lt;b&gt;&amp; --&gt;>Hello there, Ben.\n" in hostile


def test_a_name_leaves_lines_within_their_width() -> None:
    """Lines are broken shorter where a name goes before them."""
    for line in rendered("srt", [segment(SPEECH, 0, 30).said_by("Annabella")]).split("\n"):
        assert columns(line) <= 42
    sink = io.StringIO()
    SrtWriter(sink, RenderOptions(subtitles=SubtitleOptions(max_line_width=4))).segment(ANNA)


def test_those_who_speak_at_once_are_shown_at_once() -> None:
    """Cues of two speakers overlap where their words did, in the order of their starts."""
    long = segment("one two three four five six seven eight nine ten. " * 3, 0, 12).said_by("Anna")
    short = segment("Yes, indeed.", 5, 6.5).said_by("Ben")
    text = rendered("vtt", [long, short, segment("And so on.", 13, 15).said_by("Anna")])
    cues = re.findall(r":(\d\d)\.(\d\d\d) --> 00:00:(\d\d)\.(\d\d\d)\n<v (\w+)>", text)
    spans = [(int(a + b), int(c + d), who) for a, b, c, d, who in cues]
    assert [span[0] for span in spans] == sorted(span[0] for span in spans)
    (ben,) = [span for span in spans if span[2] == "Ben"]
    assert ben[0] == 5000
    assert any(start < ben[1] and ben[0] < end for start, end, who in spans if who == "Anna")
    annas = [span for span in spans if span[2] == "Anna"]
    assert all(one[1] <= other[0] for one, other in pairwise(annas))


@given(segments=both)
def test_subtitles_hold_every_word_of_every_speaker(segments: list[Segment]) -> None:
    """Whatever the names are: cues are parted by empty lines, start in order, and keep each one's words."""
    blocks = rendered("vtt", segments).split("\n\n")[1:-1]
    starts = [block.split(" --> ", 1)[0] for block in blocks]
    assert starts == sorted(starts, key=lambda time: (len(time), time))
    for name in {one_line(each.speaker) for each in segments}:
        said = "".join(one_line(each.text) for each in segments if one_line(each.speaker) == name)
        tag = f"<v {html.escape(name, quote=False)}>" if name else ""
        shown = ""
        for block in blocks:
            text = block.split("\n", 1)[1].replace("\n", "")
            if text.startswith(tag) and (tag or not text.startswith("<v ")):
                shown += html.unescape(text.removeprefix(tag))
        assert shown.replace(" ", "") == said.replace(" ", "")


def test_json_names_speakers_only_where_there_are_some() -> None:
    """On segments and words, and all of them in a list; else no key of theirs is there."""
    found = json.loads(rendered("json", [ANNA, segment("x", 5, 6)]))
    assert found["speakers"] == ["Anna"]
    assert [each.get("speaker") for each in found["segments"]] == ["Anna", None]
    assert {word["speaker"] for word in found["segments"][0]["words"]} == {"Anna"}
    lines = [json.loads(line) for line in rendered("jsonl", [ANNA, BEN]).splitlines()]
    assert [line.get("speaker") for line in lines] == ["Anna", "Ben", None]
    assert lines[-1]["speakers"] == ["Anna", "Ben"]
    assert "speaker" not in rendered("json", [segment("x", 0, 1)])


def test_rttm_has_a_line_for_each_turn() -> None:
    """Ten fields parted by spaces, whatever names hold; nobody is `<NA>`."""
    assert rendered("rttm", [mixed()]) == (
        "SPEAKER a 1 0.000 2.000 <NA> <NA> Anna <NA> <NA>\nSPEAKER a 1 2.500 1.500 <NA> <NA> Ben <NA> <NA>\n"
    )
    for line in rendered("rttm", [ANNA.said_by(HOSTILE), segment("x", 5, 6)]).splitlines():
        assert len(line.split(" ")) == 10


def test_minutes_say_who_spoke_how_long_and_what() -> None:
    """Stretches of one speaker are paragraphs with a time; a pause, or a minute, starts the next."""
    again = segment("Fine weather.", 4.5, 6).said_by("Ben")
    later = segment("Well.", 20, 21).said_by("Ben")
    assert rendered("md", [ANNA, BEN, again, later]) == (
        "# Minutes of a.wav\n\n- Length: 0:00:21\n- Language: en\n- **Anna**: spoke 0:00:02\n"
        "- **Ben**: spoke 0:00:04\n\n**Anna** (0:00:00): Hello there, Ben.\n\n"
        "**Ben** (0:00:02): How are you? Fine weather.\n\n**Ben** (0:00:20): Well.\n"
    )
    lecture = [segment("On and on.", 10 * n, 10 * n + 10) for n in range(7)]
    assert rendered("md", lecture).count("\n(0:0") == 2


def test_minutes_of_nothing() -> None:
    """The heading says so much at least."""
    assert rendered("md", [], duration_s=3) == "# Minutes of a.wav\n\n- Length: 0:00:03\n- Language: en\n"


def test_markdown_in_names_and_words_stays_text() -> None:
    """Everything that could be markup has a backslash, and no line break is left."""
    text = rendered("md", [segment("<script> [x](http://y) `a` # b", 0, 2).said_by(HOSTILE)])
    assert "\\<script\\> \\[x\\](http://y) \\`a\\` \\# b" in text
    assert "**\\<b\\>\\& 2 --\\> \\*\\*x\\*\\* \\[a\\](b) \\[31m** (0:00:00): " in text


@pytest.mark.parametrize("name", WRITERS)
def test_speakers_change_nothing_where_there_are_none(name: Format) -> None:
    """A segment that nobody is known to have said is written as before there were speakers."""
    assert "Anna" not in rendered(name, [segment(SPEECH, 0, 12)])
    assert rendered(name, [segment(SPEECH, 0, 12)]) == rendered(name, [segment(SPEECH, 0, 12).said_by("")])
