"""The benchmark of languages: what it calls an utterance, and how it counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from asrctl.transcript import LanguageEvidence
from benchmarks.common import CLEAN, Clip, write_wav
from benchmarks.languages import (
    WHOLE,
    Judged,
    Utterance,
    alone,
    by_length,
    in_streams,
    right_percent,
    utterances,
)

RATE_HZ = 16_000


def clip(directory: Path, name: str, language: str, seconds: float, *, synthetic: bool = False) -> Clip:
    write_wav(directory / f"{name}.wav", [np.full(round(seconds * RATE_HZ), 1000, np.int16)])
    return Clip(name, f"{name}.wav", seconds, "", "", "", synthetic, language, CLEAN, name)


def judged(language: str, heard: str, speech_s: float = 4.0, length_s: float = WHOLE) -> Judged:
    utterance = Utterance(language, False, length_s, np.zeros(0, np.float32))
    return Judged(utterance, (LanguageEvidence(speech_s, ((heard, 0.9), ("nl", 0.05))),), heard)


def test_utterances_are_cut_to_their_lengths(tmp_path: Path) -> None:
    """From clips in a row, none of them twice; whole clips stay; real speech is taken where there is some."""
    clips = [clip(tmp_path, f"es-{number}", "es", 1.5) for number in range(6)]
    clips += [
        clip(tmp_path, "es-tts", "es", 9.0, synthetic=True),
        clip(tmp_path, "pl-tts", "pl", 2.5, synthetic=True),
    ]
    found = list(utterances(tmp_path, clips, count=4))
    lengths = {(each.language, each.length_s, len(each.samples) / RATE_HZ, each.synthetic) for each in found}
    assert lengths == {
        ("es", WHOLE, 1.5, False),
        ("es", 1.0, 1.0, False),
        ("es", 2.0, 2.0, False),
        ("es", 4.0, 4.0, False),
        ("es", 8.0, 8.0, False),
        ("pl", WHOLE, 2.5, True),
        ("pl", 1.0, 1.0, True),
        ("pl", 2.0, 2.0, True),
    }
    counts = [
        sum(each.language == "es" and each.length_s == one for each in found) for one in (1.0, 2.0, 4.0, 8.0)
    ]
    assert counts == [4, 3, 2, 1]


def test_memory_puts_right_what_is_doubtful() -> None:
    """One short utterance among long ones that was taken for another language is right in a stream only."""
    given = [*(judged("es", "es") for _ in range(3)), judged("es", "ru", speech_s=0.5)]
    assert alone(given) == ["es", "es", "es", "ru"] and right_percent(given, alone(given)) == 75.0
    followed = [in_streams(given, np.random.default_rng(seed)) for seed in range(8)]
    assert ["es"] * 4 in followed
    assert all(each[:3] == ["es"] * 3 for each in followed)


def test_each_length_has_its_row() -> None:
    """With utterances of all languages, and with those of real speech alone."""
    given = [judged(*pair, length_s=length_s) for length_s in (1.0, 2.0, 4.0, 8.0, WHOLE) for pair in _PAIRS]
    shown = by_length(given)
    assert [row[0] for row in shown.rows][:2] == ["1 s, all", "1 s, real speech"] and len(shown.rows) == 10
    assert {row[1] for row in shown.rows} == {"2"} and {row[5] for row in shown.rows} == {"50.0"}


_PAIRS = (("es", "es"), ("fr", "es"))


@pytest.mark.parametrize("given", [[judged("de", "de")], [judged("de", "en")]])
def test_shares_are_percent(given: list[Judged]) -> None:
    """Of utterances whose language is right."""
    assert right_percent(given, [each.theirs for each in given]) == (
        100.0 if given[0].theirs == "de" else 0.0
    )
