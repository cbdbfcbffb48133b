"""What a voxtral process prints: text that may be torn anywhere, marks, and lines for people."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.errors import ProviderError
from asrctl.providers.voxtral.printed import Printed
from asrctl.providers.voxtral.status import Status

TEXT = st.text(st.characters(exclude_categories=("C", "Z")) | st.just(" "), max_size=40)


@given(st.lists(TEXT, min_size=1, max_size=5), st.data())
def test_text_is_the_same_however_it_is_torn(texts: list[str], data: st.DataObject) -> None:
    """The pieces of each utterance joined are its text, but for spaces; nothing leaks into the next."""
    printed = Printed()
    for text in texts:
        raw = text.encode()
        cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=5)))
        edges = [0, *cuts, len(raw)]
        pieces = [printed.take(raw[a:b], 1000) for a, b in itertools.pairwise(edges)]
        assert "".join(pieces) == text.lstrip()
        assert printed.finish() == " ".join(text.split())


def test_half_a_character_ends_with_its_utterance() -> None:
    """It is shown as one that is missing, and does not spoil the next."""
    printed = Printed()
    assert printed.take(b"caf\xc3", 100) == "caf"
    assert printed.finish() == "caf\N{REPLACEMENT CHARACTER}"
    assert printed.take("été".encode(), 100) == "été"


def test_a_few_odd_bytes_are_forgiven() -> None:
    """A model may write a broken character now and then."""
    printed = Printed()
    printed.take(b"a word \xff another \xfe and more text\n", 100)
    assert printed.finish().count("\N{REPLACEMENT CHARACTER}") == 2


@pytest.mark.parametrize("rubbish", [b"\xff" * 20, b"\0" * 20, b"ok \x01\x02\x03\x04\x05\x06\x07\x08\x0e"])
def test_what_is_no_text_is_refused(rubbish: bytes) -> None:
    """Many bytes that are no characters, or none that can be shown."""
    with pytest.raises(ProviderError, match="not text"):
        Printed().take(rubbish, 100)


def test_there_is_no_more_text_than_tokens() -> None:
    """Each step of the decoder may make some letters, not thousands."""
    printed = Printed()
    printed.take(b"word " * 500, 100)
    with pytest.raises(ProviderError, match="more than the audio can hold"):
        for _ in range(20):
            printed.take(b"word " * 100, 100)


def said(*pieces: str) -> Status:
    """A status after some output, a byte at a time."""
    status = Status()
    for byte in "".join(pieces).encode():
        status.take(bytes([byte]))
    return status


@pytest.mark.parametrize(
    ("marks", "age_steps", "silence_steps"),
    [
        ("", 5000, 0),
        ("▶·▪▶▪▫", 100, 0),
        ("▶·▪▶▪▫", 1600, 68),
        ("▶·▪▶▫⚠", 100, 36),
        ("▶·▪▶▫☠", 100, 36),
        ("▶·▪▶▫⚠▶▪", 100, 0),
        ("▶·▪↺✂", 100, 43),
        ("▶·▪↺✂⌛", 1600, 43),
        ("▶·▪↺✂▶·", 100, 0),
        ("▶·▫☠↯♻", 100, 0),
        ("▶·▪⟳♻▶⌛", 100, 0),
    ],
)
def test_silence_is_asked_for_when_its_decoder_is_not_at_ease(
    marks: str, age_steps: int, silence_steps: int
) -> None:
    """As long as it takes a prompt, or is about to forget; never if there are no marks."""
    assert said(marks).silence_steps(age_steps) == silence_steps


def test_starts_and_restarts_are_counted() -> None:
    """Each mark once."""
    status = said("▶·▪↺✂▶·▪▶▫☠↯♻▶·")
    assert (status.starts, status.restarts) == (3, 2)


def test_the_quote_has_the_last_lines_without_marks() -> None:
    """One line, bounded, however much there was."""
    status = said("old\n" * 3000, "▶·▪ggml: no memory▪\n\n  Failed to load \n▶")
    assert status.quote().endswith("ggml: no memory; Failed to load")
    assert len(status.quote()) <= 300
    assert said("▶·▪").quote() == ""


@pytest.mark.parametrize(
    ("complaint", "refused"),
    [
        ("Unknown option: --monitor\nUsage: voxtral -d DIR\n" + "  -x  what it does\n" * 500, True),
        ("voxtral: unrecognized option '--monitor'", True),
        ("  usage: voxtral [options]", True),
        ("vox_load: cannot open the model, memory usage: 8 GB", False),
        ("", False),
    ],
)
def test_a_refused_option_is_recognised(complaint: str, refused: bool) -> None:
    """By the beginning of what it says, however long its usage is; other complaints are none."""
    assert said(complaint).refused_option is refused
