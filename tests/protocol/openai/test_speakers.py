"""Speakers in OpenAI's interface: who is known comes with a sample, others have letters."""

from __future__ import annotations

import base64
from dataclasses import replace
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.protocol.openai.errors import RequestRefused
from asrctl.protocol.openai.request import Fields, FileRequest, file_request
from asrctl.protocol.openai.speakers import Labels, _letters

from .test_request import SERVED

CAPABLE = replace(SERVED, speakers=True)
ANN = f"data:audio/wav;base64,{base64.b64encode(b'ann').decode()}"
BEN = f"data:audio/mpeg;base64,{base64.b64encode(b'ben').decode()}"


def known(*fields: tuple[str, str]) -> Fields:
    return [("response_format", "diarized_json"), *fields]


def test_known_speakers_are_pairs() -> None:
    """Names and data URLs in their order; a comma in either separates nothing."""
    fields = known(
        ("known_speaker_names[]", "Ann, PhD"),
        ("known_speaker_references[]", ANN),
        ("known_speaker_names[]", " Ben "),
        ("known_speaker_references[]", BEN),
    )
    expected = FileRequest("diarized_json", speakers=True, known={"Ann, PhD": b"ann", "Ben": b"ben"})
    assert file_request(fields, CAPABLE) == expected


@pytest.mark.parametrize(
    ("names", "references", "param"),
    [
        (["Ann"], [], "references"),
        ([], [ANN], "references"),
        (["Ann", "Ann"], [ANN, BEN], "names"),
        ([""], [ANN], "names"),
        (["x" * 101], [ANN], "names"),
        (["A\nB"], [ANN], "names"),
        (list("ABCDE"), [ANN] * 5, "names"),
        (["Ann"], ["https://example.org/ann.wav"], "references"),
        (["Ann"], ["data:audio/wav,ann"], "references"),
        (["Ann"], ["data:audio/wav;base64,!!"], "references"),
        (["Ann"], ["data:audio/wav;base64,abc"], "references"),
    ],
)
def test_what_makes_no_sense(names: list[str], references: list[str], param: str) -> None:
    """It is said which of the two is to blame."""
    fields = [("known_speaker_names[]", name) for name in names]
    fields += [("known_speaker_references[]", each) for each in references]
    with pytest.raises(RequestRefused) as raised:
        file_request(known(*fields), CAPABLE)
    assert raised.value.param == f"known_speaker_{param}"


@given(st.lists(st.sampled_from(["", "Speaker 1", "Speaker 2", "Ann", "B"]), max_size=9))
def test_labels_tell_speakers_apart(speakers: list[str]) -> None:
    """Each has one label, two have different ones; known ones their names, also where it is a letter."""
    labels = Labels(["Ann", "B"])
    said = [labels.of(speaker) for speaker in speakers]
    assert len({*zip(speakers, said, strict=True)}) == len({*speakers}) == len({*said})
    assert [labels.of(name) for name in ("Ann", "B", "")] == ["Ann", "B", "unknown"]
    assert {*said} <= {"Ann", "B", "unknown", "A", "C"}


def test_more_speakers_than_letters() -> None:
    """Two letters, as columns of a table."""
    assert [*islice(_letters(), 24, 28)] == ["Y", "Z", "AA", "AB"]
