"""Times in a window become times in the source, where speech was heard."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.policy.endpointing import Span
from asrctl.policy.packing import Window
from asrctl.policy.placing import place
from asrctl.transcript import Segment, Word

RATE_HZ = 16_000


def seconds(*bounds: tuple[float, float]) -> tuple[Span, ...]:
    """Spans given in seconds."""
    return tuple(Span(round(start * RATE_HZ), round(end * RATE_HZ)) for start, end in bounds)


def segment(start_s: float, end_s: float, text: str, *words: tuple[float, float]) -> Segment:
    """A segment, and the times of its words if there are some."""
    told = zip(words, text.split(), strict=True) if words else ()
    return Segment(start_s, end_s, text, 1.0, tuple(Word(*times, word, 1.0) for times, word in told))


def times(segments: tuple[Segment, ...]) -> list[tuple[float, float]]:
    """Starts and ends, to a hundredth."""
    return [(round(each.start_s, 2), round(each.end_s, 2)) for each in segments]


def word_times(segments: tuple[Segment, ...]) -> list[tuple[float, float]]:
    """Those of all words."""
    return [(round(word.start_s, 2), round(word.end_s, 2)) for each in segments for word in each.words]


WINDOW = Window(seconds((11.74, 14.75), (26.94, 29.28), (37.89, 39.1)), RATE_HZ // 5)
VOICED = seconds((11.94, 14.55), (27.14, 29.08), (38.09, 38.9))


def test_boundaries_go_into_the_pauses_they_are_near() -> None:
    """As real decoders give them: a start is the end before it, rounded to half a second."""
    decoded = (
        segment(0.0, 3.0, "The quick brown fox jumps over the lazy dog."),
        segment(3.0, 5.0, "And so am I fellow America."),
        segment(5.0, 6.96, "Hello world."),
    )
    assert times(place(decoded, WINDOW, VOICED)) == [(11.94, 14.55), (27.14, 29.08), (38.09, 38.9)]
    starts = [start_s for start_s, _ in times(place(decoded, WINDOW))]
    assert starts == [11.74, 26.94, 37.89]


def test_pauses_that_were_not_cut_out_count_as_well() -> None:
    """One long utterance, or a window decoded as it was recorded."""
    window = Window(seconds((10, 30)), 0)
    voiced = seconds((10.2, 13), (25, 29.8))
    decoded = (segment(0.0, 3.2, "Please call."), segment(3.2, 20.0, "The quick brown fox jumps."))
    assert times(place(decoded, window, voiced)) == [(10.2, 13.0), (25.0, 29.8)]


def test_a_stretched_word_is_as_long_as_a_word() -> None:
    """A first word stretched back over a pause ends where it did; a last one stretched on starts so."""
    window = Window(seconds((0, 30)), 0)
    voiced = seconds((1, 4), (20, 24))
    first = (segment(3.9, 24, "And so it goes", (3.9, 20.3), (20.3, 21), (21, 22), (22, 24)),)
    assert word_times(place(first, window, voiced))[0] == (20.0, 20.3)
    last = (segment(1, 20.1, "for you", (1, 3.6), (3.6, 20.1)),)
    assert word_times(place(last, window, voiced)) == [(1.0, 3.6), (3.6, 4.0)]
    assert times(place(last, window, voiced)) == [(1.0, 4.0)]


def test_words_on_the_wrong_side_get_time_on_the_right_one() -> None:
    """Words that the boundary pushed out of their stretch share time with their neighbours."""
    decoded = (
        segment(0.0, 3.0, "The quick dog.", (0.2, 1.0), (1.0, 2.0), (2.0, 3.0)),
        segment(3.0, 5.4, "And so America.", (2.9, 3.0), (3.0, 3.1), (3.2, 5.2)),
    )
    placed = word_times(place(decoded, WINDOW, VOICED))[3:]
    assert placed[0][0] == 27.14
    assert all(end_s - start_s >= 0.04 for start_s, end_s in placed)
    assert placed == sorted(placed)


def test_words_that_fill_a_stretch_start_with_it() -> None:
    """Word times that lie at its end only are no reason for a sentence to start when it is over."""
    decoded = (segment(0.2, 2.0, "Hello world.", (1.9, 1.95), (1.95, 2.0)),)
    placed = place(decoded, Window(seconds((10, 12)), 0), seconds((10.2, 11)))
    assert times(placed) == [(10.2, 11.0)]
    assert word_times(placed)[1][0] < 10.8


def test_a_segment_starts_with_its_first_word() -> None:
    """Where words have times they are better than the segment's."""
    decoded = (segment(0.0, 3.0, "Please call.", (0.6, 1.0), (1.0, 2.4)),)
    window = Window(seconds((10, 13)), 0)
    assert times(place(decoded, window, seconds((10.1, 12.9)))) == [(10.6, 12.4)]


def test_a_moment_of_sound_is_no_beginning_of_a_sentence() -> None:
    """Something in the music long before does not pull it back; a word with a full stop of its own does."""
    window = Window(seconds((0.5, 1.0), (20, 24)), RATE_HZ // 5)
    voiced = seconds((0.7, 0.85), (20.2, 23.8))
    music = (segment(0.0, 4.6, "And so my fellow Americans ask not."),)
    assert times(place(music, window, voiced)) == [(20.2, 23.8)]
    said = (segment(0.0, 4.6, "No. And so my fellow Americans ask not."),)
    assert times(place(said, window, voiced))[0][0] == 0.7


def test_a_moment_of_sound_is_no_end_of_a_sentence() -> None:
    """The same of what comes long after."""
    window = Window(seconds((20, 24), (40, 40.5)), RATE_HZ // 5)
    voiced = seconds((20.2, 23.8), (40.2, 40.35))
    assert times(place((segment(0, 4.7, "And so my fellow Americans."),), window, voiced)) == [(20.2, 23.8)]
    assert times(place((segment(0, 4.7, "And so it is. No."),), window, voiced))[-1][1] == 40.35


def test_sentences_of_one_segment_are_parted_at_a_long_pause() -> None:
    """Each has its own times then, and its own words."""
    window = Window(seconds((1, 4), (12, 13)), RATE_HZ // 5)
    text = "Please call me on Monday morning. Hello world."
    whole = (segment(0.0, 4.2, text),)
    assert [(each.text, *times((each,))) for each in place(whole, window)] == [
        ("Please call me on Monday morning.", (1.0, 4.0)),
        ("Hello world.", (12.0, 13.0)),
    ]
    words = [(at * 0.5, at * 0.5 + 0.5) for at in range(6)] + [(3.2, 3.7), (3.7, 4.2)]
    parts = place((segment(0.0, 4.2, text, *words),), window)
    assert [[word.text for word in each.words] for each in parts] == [
        ["Please", "call", "me", "on", "Monday", "morning."],
        ["Hello", "world."],
    ]


def test_clauses_are_parted_at_a_longer_pause() -> None:
    """Where a decoder puts a comma for the pause, each has its own times all the same; a short one is breath.

    The end of a sentence goes before that of a clause which is a little nearer.
    """
    text = "Hello world, the quick brown fox jumps over the lazy dog."
    window = Window(seconds((1, 2), (10, 12.5)), RATE_HZ // 5)
    assert [(each.text, *times((each,))) for each in place((segment(0.0, 3.7, text),), window)] == [
        ("Hello world,", (1.0, 2.0)),
        ("the quick brown fox jumps over the lazy dog.", (10.0, 12.5)),
    ]
    window = Window(seconds((1, 2), (4, 6.5)), RATE_HZ // 5)
    assert times(place((segment(0.0, 3.7, text),), window)) == [(1.0, 6.5)]

    text = "One two three four. Yes, five six seven eight nine."
    window = Window(seconds((1, 3.1), (10, 13)), RATE_HZ // 5)
    parts = place((segment(0.0, 5.3, text),), window)
    assert [each.text for each in parts] == ["One two three four.", "Yes, five six seven eight nine."]


def test_a_sentence_with_a_pause_in_it_stays_whole() -> None:
    """Nothing ends there."""
    window = Window(seconds((1, 4), (12, 15)), RATE_HZ // 5)
    (whole,) = place((segment(0.0, 6.2, "Ask not what your country can do for you. Good."),), window)
    assert times((whole,)) == [(1.0, 15.0)]


def test_speech_that_the_detector_did_not_hear_keeps_its_time() -> None:
    """Quiet words in what was taken for a pause are not moved to where they were not."""
    window = Window(seconds((0, 30)), 0)
    decoded = (segment(1, 4, "Loud."), segment(10, 12, "quiet words", (10, 11), (11, 12)))
    placed = place(decoded, window, seconds((1, 4), (20, 24)))
    assert times(placed) == [(1.0, 4.0), (10.0, 12.0)]
    assert word_times(placed) == [(10.0, 11.0), (11.0, 12.0)]


def test_a_quiet_word_between_stretches_keeps_its_time() -> None:
    """Though the detector missed it: it lies far from all that was heard, and is as long as a word."""
    window = Window(seconds((0, 30)), 0)
    words = (0.2, 0.6), (0.6, 1.0), (10.0, 10.4), (20.2, 20.6), (20.6, 21.0)
    decoded = (segment(0.2, 21.0, "one two three four five", *words),)
    assert word_times(place(decoded, window, seconds((0, 2), (20, 22))))[2] == (10.0, 10.4)


def test_a_word_in_a_pause_that_was_put_in_was_not_spoken_there() -> None:
    """There is no such time in the source: it goes to speech that there is."""
    window = Window(seconds((0, 2), (20, 22)), RATE_HZ)
    words = (0.2, 0.6), (0.6, 1.0), (2.4, 2.6), (3.2, 3.6), (3.6, 4.0)
    decoded = (segment(0.2, 4.0, "one two three four five", *words),)
    placed = word_times(place(decoded, window, seconds((0, 2), (20, 22))))
    assert placed[2][1] <= 2.0 or placed[2][0] >= 20.0


def test_a_segment_that_begins_at_the_end_of_a_stretch_has_no_share_in_it() -> None:
    """Starts are rough, too."""
    window = Window(seconds((0, 30)), 0)
    voiced = seconds((1, 4), (20, 24))
    decoded = segment(1.0, 3.0, "before"), segment(3.95, 24.0, "for you")
    assert times(place(decoded, window, voiced))[1] == (20.0, 24.0)


def test_a_segment_that_ends_just_inside_a_stretch_has_no_share_in_it() -> None:
    """Ends are rough: the words stay in the stretch that they fill."""
    window = Window(seconds((0, 30)), 0)
    voiced = seconds((1, 4), (20, 24))
    assert times(place((segment(1.0, 20.05, "for you"),), window, voiced)) == [(1.0, 4.0)]


def test_a_first_word_that_is_late_starts_with_its_stretch() -> None:
    """Where the words are all that was said there, and enough for it."""
    window = Window(seconds((10, 14)), 0)
    decoded = (segment(0.2, 1.5, "Absolutely wonderful", (0.6, 1.0), (1.0, 1.2)),)
    assert word_times(place(decoded, window, seconds((10.2, 11.5))))[0][0] == 10.2
    assert word_times(place(decoded, window, seconds((10.2, 11.6))))[-1][1] == 11.6


@pytest.mark.parametrize("segments", [(), (segment(0, 0, ""),), (segment(5, 3, "odd"),)])
def test_nothing_and_nonsense(segments: tuple[Segment, ...]) -> None:
    """No segments, no text and no length are no error."""
    assert len(place(segments, WINDOW, VOICED)) == len(segments)


@st.composite
def decoded(draw: st.DrawFn) -> tuple[Segment, ...]:
    """Segments in order with words in order, as `tidy` leaves them, wherever they lie."""
    made, at = list[Segment](), 0.0
    for text in draw(
        st.lists(st.sampled_from(["a b c", "No. Yes, it is.", "Well then. Go. Go on."]), max_size=4)
    ):
        cuts = sorted(
            draw(st.lists(st.floats(at, 7), min_size=2 * len(text.split()), max_size=2 * len(text.split())))
        )
        words = list(zip(cuts[::2], cuts[1::2], strict=True))
        made.append(segment(cuts[0], cuts[-1], text, *(words if draw(st.booleans()) else ())))
        at = cuts[-1]
    return tuple(made)


@given(decoded(), st.booleans())
def test_no_text_is_lost_and_times_are_in_the_source(segments: tuple[Segment, ...], known: bool) -> None:
    """Whatever the times: all words stay, in order, inside the window's stretch of the source."""
    placed = place(segments, WINDOW, VOICED if known else ())
    assert " ".join(each.text for each in placed) == " ".join(each.text for each in segments)
    words = [word for each in placed for word in each.words]
    assert [word.text for word in words] == [word.text for each in segments for word in each.words]
    for each in (*placed, *words):
        assert 11.74 <= each.start_s <= each.end_s <= 39.1
    for each in placed:
        starts = [word.start_s for word in each.words]
        assert starts == sorted(starts)
