"""The real voxtral.c with its weights, where its program is on PATH; elsewhere there is nothing to skip."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from asrctl.audio.sample import SAMPLE_TEXT
from asrctl.models.store import ModelStore
from asrctl.policy.words import words_of
from asrctl.providers.voxtral.locate import locate

from ..cli.commands import run

MONDAY = str(Path(__file__).parents[2] / "asrctl" / "assets" / "monday.wav")
PROGRAM = locate([ModelStore().root])

if PROGRAM.binary and PROGRAM.weights:

    @pytest.mark.integration
    @pytest.mark.timeout(600)
    @pytest.mark.parametrize("options", [(), ("--live",)], ids=["file", "live"])
    def test_voxtral_hears_the_sample(options: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
        """Every word once, and every sample in the account."""
        assert run("transcribe", MONDAY, "--provider", "voxtral", "--format", "json", *options) == 0
        document = json.loads(capsys.readouterr().out)
        assert words_of(document["text"]) == words_of(SAMPLE_TEXT)
        assert document["audio"]["dropped_s"] == 0
