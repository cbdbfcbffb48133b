"""Which model a server decodes with under load: a smaller one that is here, unless told otherwise."""

from __future__ import annotations

from dataclasses import replace

import pytest

from asrctl.cli.serve import options_of
from asrctl.models.store import ModelStore
from asrctl.policy.ladder import LadderOptions
from asrctl.settings import LadderSettings, ServeSettings, Settings


@pytest.mark.integration
@pytest.mark.parametrize(
    ("main", "chosen", "small"),
    [
        ("tiny.en-q8_0", "auto", None),
        ("tiny.en", "auto", "tiny.en-q8_0"),
        ("tiny.en", "none", None),
        ("tiny.en", "", None),
        ("tiny.en-q8_0", "tiny.en", "tiny.en"),
    ],
)
def test_the_small_model(store: ModelStore, main: str, chosen: str, small: str | None) -> None:
    """By default it is the quantised or next smaller model that needs no download; a name or "none" wins."""
    settings = Settings(model=main, models_dir=store.root, provider="whisper_cpp")
    options = options_of(replace(settings, serve=ServeSettings(small_model=chosen)))
    assert options.models.main.name == main
    assert (options.models.small.name if options.models.small else None) == small


@pytest.mark.integration
def test_the_ladder_can_be_set(store: ModelStore) -> None:
    """The thresholds of the ladder come from the settings, and are by default its own."""
    settings = Settings(models_dir=store.root, provider="whisper_cpp")
    assert options_of(settings).ladder == LadderOptions()
    changed = replace(settings, ladder=LadderSettings(up=(0.5, 0.6, 0.7), down=0.4, calm_s=5.0))
    assert options_of(changed).ladder == LadderOptions(up=(0.5, 0.6, 0.7), down=0.4, calm_s=5.0)
