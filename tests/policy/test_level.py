"""The level that follows: quiet audio is raised, loud audio and noise are not."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.policy.level import LevelFollower

FRAME_S = 0.032


def gains(levels_db: Iterable[float]) -> list[float]:
    follower = LevelFollower()
    return [follower.gain_db(level_db, FRAME_S) for level_db in levels_db]


SYLLABLE_DB = (-25.0, -8.0, 0.0, 0.0, -5.0, -20.0)
BETWEEN_DB = -94.0


def speech(level_db: float, seconds: float = 4.0) -> list[float]:
    """Syllables of this level that rise and fall, with next to nothing between them."""
    syllable = [*(level_db + each for each in SYLLABLE_DB), BETWEEN_DB, BETWEEN_DB]
    return syllable * round(seconds / FRAME_S / len(syllable))


@pytest.mark.parametrize("level_db", [-20.0, -26.0])
def test_ordinary_speech_stays(level_db: float) -> None:
    """Once it has begun it is not raised, but for what little the level falls within it."""
    assert max(gains(speech(level_db))[2:]) < 2.5


@pytest.mark.parametrize("quieter_db", [10.0, 20.0, 30.0])
def test_quiet_speech_is_raised(quieter_db: float) -> None:
    """As much as it is quieter."""
    found = gains(speech(-26.0 - quieter_db))
    loudest = [gain_db for at, gain_db in enumerate(found) if at % 8 in (2, 3)]
    assert loudest[2:] == pytest.approx([quieter_db] * len(loudest[2:]))


@pytest.mark.parametrize("level_db", [-50.0, -40.0, -30.0])
def test_noise_is_not_raised(level_db: float) -> None:
    """A steady level is noise: it is not raised above the bound, however long it lasts."""
    assert max(gains([level_db] * 2000)) == 0.0


def test_faint_noise_is_raised_to_the_bound_at_most() -> None:
    """So that what is spoken above it is heard."""
    assert max(gains([-80.0] * 500)) == pytest.approx(30.0)


def test_after_loud_speech_quiet_speech_is_raised_soon() -> None:
    """The level falls by 10 dB a second, so that somebody far away is heard after somebody near."""
    found = gains([*speech(-20.0), *[BETWEEN_DB] * round(2 / FRAME_S), -50.0])
    assert found[-1] == pytest.approx(16.0, abs=2.5)


@given(st.lists(st.floats(-120, 0), max_size=200))
def test_gains_are_bounded(levels_db: list[float]) -> None:
    """Whatever comes: never lowered, never raised by more than 40 dB."""
    assert all(0.0 <= gain_db <= 40.0 for gain_db in gains(levels_db))
