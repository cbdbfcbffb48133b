"""The scripted recogniser: words in, the same words out, and faults exactly when the script says."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.errors import DecodeError, ModelError
from asrctl.providers.base import Aborted, DecodeOptions, ModelSpec
from asrctl_tests.scripted import WORD_SAMPLES, Scripted, listen, speak


def scripted(tmp_path: Path, **script: Any) -> Scripted:
    path = tmp_path / "script.json"
    path.write_text(json.dumps(script))
    return Scripted(ModelSpec("scripted", path))


def never() -> bool:
    return False


@given(st.lists(st.integers(0, 4095), max_size=30), st.integers(0, 5000), st.integers(0, 5000))
def test_words_come_back(numbers: list[int], before: int, after: int) -> None:
    """What was spoken is heard, in order and in its place, wherever in silence it lies."""
    audio = np.concatenate([np.zeros(before, np.float32), speak(numbers), np.zeros(after, np.float32)])
    words = listen(audio)
    assert [word.text for word in words] == [f"w{number}" for number in numbers]
    starts = [before + at * WORD_SAMPLES for at in range(len(numbers))]
    assert [round(word.start_s * 16_000) for word in words] == starts


@given(st.integers(0, 4095), st.integers(0, WORD_SAMPLES))
def test_cut_word_counts_on_one_side(number: int, at: int) -> None:
    """A word that is cut in two is heard on the side with most of it, on no account on both."""
    audio = speak([number])
    heard = [word.text for side in (audio[:at], audio[at:]) for word in listen(side)]
    assert heard in ([f"w{number}"], []) or at == WORD_SAMPLES // 2


def test_transcribe(tmp_path: Path) -> None:
    """One segment with the words' text and times, in the language that was asked for."""
    with closing(scripted(tmp_path)) as model:
        hypothesis = model.transcribe(speak([3, 5]), DecodeOptions(language="fr"), never)
        assert model.description() == "scripted"
    assert (hypothesis.text, hypothesis.language) == ("w3 w5", "fr")
    assert [word.text for word in hypothesis.segments[0].words] == ["w3", "w5"]


def test_silence(tmp_path: Path) -> None:
    """No words, no segment."""
    model = scripted(tmp_path)
    assert model.transcribe(np.zeros(16_000, np.float32), DecodeOptions(), never).segments == ()
    assert model.transcribe(np.zeros(0, np.float32), DecodeOptions(), never).segments == ()


def test_refusal(tmp_path: Path) -> None:
    """A word on the list is refused, others are not."""
    model = scripted(tmp_path, refuse_on=["w1"])
    with pytest.raises(DecodeError, match="refused"):
        model.transcribe(speak([0, 1]), DecodeOptions(), never)
    assert model.transcribe(speak([0, 2]), DecodeOptions(), never).text == "w0 w2"


def test_hang_and_delay_can_be_aborted(tmp_path: Path) -> None:
    """Neither a hang nor a delay outlasts an abort."""
    for script in ({"hang_on": ["w1"]}, {"delay_s": 1e9}):
        answers = iter([False, True])
        with pytest.raises(Aborted):
            scripted(tmp_path, **script).transcribe(speak([1]), DecodeOptions(), lambda: next(answers))  # noqa: B023


def test_faults_count_down(tmp_path: Path) -> None:
    """With a counter, a fault happens that often and then no more."""
    counter = tmp_path / "count"
    counter.write_text("2")
    model = scripted(tmp_path, hang_on=["w1"], crashes=str(counter))
    for _ in range(2):
        with pytest.raises(Aborted):
            model.transcribe(speak([1]), DecodeOptions(), lambda: True)
    assert model.transcribe(speak([1]), DecodeOptions(), lambda: True).text == "w1"
    assert counter.read_text() == "0"


@pytest.mark.parametrize(
    ("script", "code"), [({"crash_load": True}, -6), ({"crash_on": ["w1"]}, -9), ({"crash_on": ["w2"]}, 0)]
)
def test_crash(tmp_path: Path, script: dict[str, Any], code: int) -> None:
    """A crash takes the process down, when it loads or when its word comes."""
    path = tmp_path / "script.json"
    path.write_text(json.dumps(script))
    program = (
        "from pathlib import Path; from asrctl_tests.scripted import *;"
        f"m = Scripted(ModelSpec('scripted', Path({str(path)!r})));"
        "m.transcribe(speak([1]), DecodeOptions(), lambda: False)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == code


def test_bad_scripts(tmp_path: Path) -> None:
    """A script that says so does not load, nor does what is no script."""
    with pytest.raises(ModelError, match="out of luck"):
        scripted(tmp_path, fail_load="out of luck")
    (tmp_path / "noise").write_text("{")
    with pytest.raises(ModelError, match="not a script"):
        Scripted(ModelSpec("scripted", tmp_path / "noise"))
