"""Transcripts to render: fixed ones, and hypothesis strategies for any that a recogniser could give."""

from __future__ import annotations

import io
from collections.abc import Sequence

from hypothesis import strategies as st

from asrctl.render import Format
from asrctl.render.formats import WRITERS
from asrctl.transcript import SAMPLE_RATE_HZ, AudioAccount, Segment, Timing, Transcript, Word

SPEECH = (
    "And so, my fellow Americans, ask not what your country can do for you; ask what you can do for your "
    "country. My fellow citizens of the world: ask not what America will do for you, but what together we "
    "can do for the freedom of man."
)


def segment(text: str, start_s: float, end_s: float, timed_words: bool = True) -> Segment:
    """A segment whose words, if wanted, share its time evenly."""
    texts = text.split() if timed_words else []
    step_s = (end_s - start_s) / max(1, len(texts))
    words = tuple(
        Word(start_s + index * step_s, start_s + (index + 1) * step_s, word, 0.9)
        for index, word in enumerate(texts)
    )
    return Segment(start_s, end_s, text, 0.9, words)


def transcript(segments: Sequence[Segment] = (), duration_s: float | None = None) -> Transcript:
    """A transcript of the segments, with a tenth of the audio judged silent."""
    if duration_s is None:
        duration_s = segments[-1].end_s if segments else 1.0
    samples = int(max(duration_s, 0) * SAMPLE_RATE_HZ)
    account = AudioAccount(samples, samples - samples // 10, samples // 10, 0)
    timing = Timing(load_s=0.12345, inference_s=1.5, wall_s=duration_s / 4)
    return Transcript("a.wav", "tiny.en", "whisper_cpp", "en", duration_s, tuple(segments), account, timing)


def rendered(name: Format, segments: Sequence[Segment], duration_s: float | None = None) -> str:
    """The whole text of a format."""
    sink = io.StringIO()
    writer = WRITERS[name](sink)
    for item in segments:
        writer.segment(item)
    writer.finish(transcript(segments, duration_s))
    return sink.getvalue()


_texts = st.one_of(
    st.lists(st.text("abcdefghijklmnopqrstuvwxyz.,;?!-<>&'\"éß", min_size=1, max_size=14), max_size=60).map(
        " ".join
    ),
    st.text(max_size=200),
    st.text("今日は良い天気ですね。、「」ー한국어 word", max_size=200),
    st.text("x", max_size=120),
)


@st.composite
def segment_lists(draw: st.DrawFn) -> list[Segment]:
    """Segments in the order of their starts, which may overlap, be empty, or be far too short or long."""
    segments, start_s = [], 0.0
    for text in draw(st.lists(_texts, max_size=5)):
        start_s += draw(st.floats(0, 400_000 if draw(st.booleans()) else 2))
        end_s = start_s + draw(st.floats(0, 40))
        segments.append(segment(text, start_s, end_s, draw(st.booleans())))
    return segments
