"""Cutting segments into cues."""

from __future__ import annotations

import pytest
from hypothesis import given

from asrctl.errors import UsageError
from asrctl.render.breaking import cue_of, cue_sizes
from asrctl.render.cues import CUE_MAX_MS, Cue, SubtitleOptions, atoms_of, columns
from asrctl.render.text import one_line
from asrctl.transcript import Segment, Word
from tests.render.samples import SPEECH, segment, segment_lists

LINE_COLUMNS = SubtitleOptions().max_line_width


def cues(item: Segment, options: SubtitleOptions | None = None) -> list[Cue]:
    """A segment's cues, before they are held for reading."""
    options = options or SubtitleOptions()
    atoms, found = atoms_of(item, options.max_line_width), []
    for size in cue_sizes(atoms, options) if atoms else ():
        found.append(cue_of(atoms[:size], options))
        atoms = atoms[size:]
    return found


def lines_of(item: Segment) -> list[tuple[str, ...]]:
    """The lines of all cues."""
    return [cue.lines for cue in cues(item)]


def test_a_short_segment_is_one_line_with_its_own_times() -> None:
    """Nothing is changed that need not be."""
    assert cues(segment("Hello there.", 1.5, 2.75)) == [Cue(1500, 2750, ("Hello there.",))]


def test_empty_text_gives_no_cue() -> None:
    """Silence is not shown."""
    assert not lines_of(segment(" \n ", 0, 1))


def test_cues_end_with_sentences_and_clauses_where_they_fit() -> None:
    """A reader is not left in mid-clause if that can be helped."""
    assert lines_of(segment(SPEECH, 0, 16))[:2] == [
        ("And so, my fellow Americans,", "ask not what your country can do for you;"),
        ("ask what you can do for your country.",),
    ]


def test_phrases_stay_together() -> None:
    """What leans on the next word does not end a cue or a line: "some of | the victims"."""
    text = (
        "Medical examinations of some of the victims bore out the fact that they had been partially devoured "
        "by creatures who feast upon the flesh of the people that they have met in all parts of the country"
    )
    lines = [line for cue in lines_of(segment(text, 0, 14)) for line in cue]
    leaning = {"of", "the", "that", "by", "in", "who", "they", "had", "been", "have", "some", "all"}
    assert not [line for line in lines[:-1] if line.split()[-1] in leaning]


def test_words_that_are_said_too_fast_share_a_cue_with_slower_ones() -> None:
    """A cue alone would be gone before it is read."""
    fast = Segment(
        0,
        4,
        "Yes of course. I will see to it that nothing happens here.",
        1,
        (
            *(Word(at / 10, (at + 1) / 10, text, 1) for at, text in enumerate(("Yes", "of", "course."))),
            *(
                Word(0.3 + at * 0.35, 0.65 + at * 0.35, text, 1)
                for at, text in enumerate(
                    ("I", "will", "see", "to", "it", "that", "nothing", "happens", "here.")
                )
            ),
        ),
    )
    assert len(lines_of(fast)) == 1


def test_lines_and_widths_are_as_wanted() -> None:
    """One line of thirty columns, or three of twenty."""
    for width, most in ((30, 1), (20, 3)):
        found = cues(segment(SPEECH, 0, 16), SubtitleOptions(max_line_width=width, max_lines=most))
        assert max(len(cue.lines) for cue in found) == most
        assert max(len(line) for cue in found for line in cue.lines) <= width


@pytest.mark.parametrize(
    "wrong",
    [{"max_line_width": 3}, {"max_lines": 0}, {"max_cps": 0.5}, {"min_gap_s": -1.0}, {"min_duration_s": 9.0}],
)
def test_senseless_options_are_refused(wrong: dict[str, float]) -> None:
    """The message names the option."""
    with pytest.raises(UsageError, match=next(iter(wrong))):
        SubtitleOptions(**wrong)  # type: ignore[arg-type]


def test_cues_are_cut_at_word_times() -> None:
    """With word times, a cue starts when its first word is said."""
    item = segment(SPEECH, 10, 26)
    starts_ms = {round(word.start_s * 1000) for word in item.words}
    assert all(cue.start_ms in starts_ms for cue in cues(item))


def test_a_cue_is_cut_at_a_pause() -> None:
    """Words after a long silence are not shown before they are said."""
    words = (Word(0, 0.4, "Wait", 1), Word(0.4, 0.8, "here", 1), Word(9, 9.5, "now", 1))
    assert list(cues(Segment(0, 9.5, "Wait here now", 1, words))) == [
        Cue(0, 800, ("Wait here",)),
        Cue(9000, 9500, ("now",)),
    ]


def test_without_word_times_the_text_shares_the_time_by_its_length() -> None:
    """The second half of the text starts about half-way."""
    first, second = cues(segment("aaaa " * 11 + "bbbb " * 11, 0, 8, timed_words=False))
    assert first.start_ms == 0
    assert first.end_ms == second.start_ms == pytest.approx(4000, abs=300)
    assert second.end_ms == 8000


def test_little_text_in_a_long_segment_is_not_spread_over_it() -> None:
    """Recognisers stretch segments over silence; a few words stay one cue at the start."""
    assert list(cues(segment("Thank you all.", 0, 28, timed_words=False))) == [
        Cue(0, 2333, ("Thank you all.",))
    ]


def test_words_that_do_not_fit_the_text_are_not_trusted() -> None:
    """The segment's text is what was recognised; words that tell another story lose, not the text."""
    odd = Segment(0, 2, "Hello there", 1, (Word(0, 1, "Goodbye", 1),))
    short = Segment(0, 2, "Hello there", 1, (Word(0, 1, "Hello", 1),))
    assert lines_of(odd) == lines_of(short) == [("Hello there",)]


def test_words_without_spaces_between_them_stay_together() -> None:
    """Where the text has no space between two words, the cue has none."""
    words = (Word(0, 1, "今日", 1), Word(1, 2, "は", 1))
    assert lines_of(Segment(0, 2, "今日は", 1, words)) == [("今日は",)]


def test_text_without_spaces_wraps_and_keeps_punctuation_with_its_word() -> None:
    """Japanese breaks between any two characters, but no line starts with a comma or a full stop."""
    text = "今日はとても良い天気ですね。「散歩」に行きましょう、公園で遊んでから、家に帰ってご飯を食べます。"
    lines = [line for cue in lines_of(segment(text, 0, 12, timed_words=False)) for line in cue]
    assert "".join(lines) == text
    assert len(lines) > 2
    assert not [line for line in lines if line[0] in "。、」" or line[-1] == "「"]


def test_korean_breaks_at_its_spaces() -> None:
    """Korean characters are wide, but its words have spaces between them."""
    text = "안녕하세요 여러분 오늘은 날씨가 정말 좋습니다 그래서 우리는 공원에 갑니다"
    assert " ".join(line for cue in lines_of(segment(text, 0, 6, False)) for line in cue) == text


def test_a_word_longer_than_a_line_is_broken() -> None:
    """Better a broken address than a line that leaves the screen; accents stay with their letter."""
    lines = [line for cue in lines_of(segment("e\u0301" * 50, 0, 5, False)) for line in cue]
    assert "".join(lines) == "e\u0301" * 50
    assert all(line.startswith("e") and columns(line) <= LINE_COLUMNS for line in lines)


@given(segment_lists())
def test_every_cue_can_be_read_and_no_text_is_lost(segments: list[Segment]) -> None:
    """Two lines at most, none too long, none empty; times in order; the text is all there, in order."""
    for item in segments:
        found = list(cues(item))
        for cue in found:
            assert 1 <= len(cue.lines) <= 2
            assert all(line == line.strip() and 0 < columns(line) <= LINE_COLUMNS for line in cue.lines)
            assert 0 <= cue.end_ms - cue.start_ms <= CUE_MAX_MS
        starts = [cue.start_ms for cue in found]
        assert starts == sorted(starts)
        text = "".join(line for cue in found for line in cue.lines)
        assert text.replace(" ", "") == one_line(item.text).replace(" ", "")
