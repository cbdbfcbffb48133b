"""Which model transcribes files where none was named."""

from __future__ import annotations

from pathlib import Path

import pytest

from asrctl.detect.best_model import best_cached
from asrctl.models.catalog import CATALOG
from asrctl.models.files import Record

from .commands import run


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that seems to hold tiny.en-q8_0 and base-q8_0, and an unfinished small one."""
    directory = tmp_path / "models"
    directory.mkdir()
    for name in ("tiny.en-q8_0", "base-q8_0", "small-q8_0"):
        entry = CATALOG[name]
        path = directory / entry.file_name
        path.write_bytes(b"no weights")
        if not name.startswith("small"):
            Record.of(path, entry.sha1).save(path)
    monkeypatch.setenv("ASRCTL_MODELS_DIR", str(directory))
    monkeypatch.setattr("asrctl.detect.best_model.available_cpus", lambda: 2)
    return directory


def test_only_what_is_there_and_right_counts(cache: Path) -> None:
    """A file without its record is none; without files there is no best."""
    assert best_cached(cache, "auto") == "base-q8_0"
    (cache / CATALOG["base-q8_0"].file_name).unlink()
    assert best_cached(cache, "auto") == "tiny.en-q8_0"
    assert best_cached(cache, "de") is None
    assert best_cached(cache, "auto", translate=True) is None
    assert best_cached(cache / "nowhere", "auto") is None


@pytest.mark.parametrize(
    ("options", "settings", "taken"),
    [
        ([], "", "base-q8_0"),
        (["--language", "en"], "", "base-q8_0"),
        (["--model", "tiny.en-q8_0"], "", "tiny.en-q8_0"),
        ([], 'model = "tiny.en-q8_0"\n', "tiny.en-q8_0"),
        (["--provider", "faster_whisper"], "", "tiny.en"),
    ],
)
def test_files_get_the_best_model_unless_one_is_named(
    options: list[str],
    settings: str,
    taken: str,
    cache: Path,
    no_settings: Path,
    speech: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """By an option or the config; there is no speech in it for the real detector, and nothing to decode."""
    no_settings.write_text(settings)
    assert run("transcribe", "-v", str(speech), *options) == 0
    said = capsys.readouterr().err
    assert f"model {taken} (" in said
    assert ("the best in the cache" in said) == (taken == "base-q8_0")
