"""The options for how live audio is cut: what they set here, and what they need."""

from __future__ import annotations

from pathlib import Path

import pytest

import asrctl
from asrctl.cli.endpointing import wished, with_endpointing
from asrctl.protocol.endpointing import Endpointing
from asrctl.settings import Settings

from .commands import run

MONDAY = Path(asrctl.__file__).parent / "assets" / "monday.wav"


def test_what_they_set() -> None:
    """Here settings, on a server wishes; nothing where they are not given."""
    settings = with_endpointing(Settings(), 0.3, True)
    assert (settings.vad.trailing_silence_s, settings.live.end_of_turn) == (0.3, True)
    assert wished(0.3, True) == Endpointing(trailing_silence_s=0.3, end_of_turn=True)
    assert with_endpointing(settings, None, None) == settings
    assert wished(None, None) is None
    assert wished(None, False) == Endpointing(end_of_turn=False)


@pytest.mark.parametrize("args", [["transcribe", str(MONDAY), "--live"], ["serve", "--port", "0"]])
def test_the_end_of_turns_without_its_package(
    args: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is asked for and not there is said before anything is heard."""
    monkeypatch.setattr("asrctl.models.turn_weights.find_spec", lambda _: None)
    monkeypatch.setenv("ASRCTL_CONFIG", str(tmp_path / "config.toml"))
    (tmp_path / "config.toml").touch()
    assert run(*args, "--end-of-turn") == 2
    assert "pip install 'asrctl[turn]'" in capsys.readouterr().err
