"""Every kind of bad input has an answer: one clear line, and whatever audio there is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from asrctl.audio.files import open_audio
from asrctl.errors import AudioError, UsageError
from tests.audio.samples import BAD_INPUTS, GOOD, BadInput, wav_bytes

ROWS = [pytest.param(row, id=name) for name, row in BAD_INPUTS.items()]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe that stays silent is given up at once."""
    monkeypatch.setattr("asrctl.audio.sources.FIFO_WAIT_S", 0.01)


def read(row: BadInput, directory: Path) -> tuple[int, list[str]]:
    """Samples that came out, and the warnings."""
    spec = row.build(directory)
    with open_audio(spec, raw_rate_hz=row.raw_rate_hz) as reader:
        n_samples = 0
        for chunk in reader:
            assert chunk.dtype == np.float32 and 0 < len(chunk) <= 16_000
            assert np.isfinite(chunk).all() and np.abs(chunk).max() <= 1
            n_samples += len(chunk)
        return n_samples, reader.warnings


@pytest.mark.parametrize("row", ROWS)
def test_bad_input_is_answered(row: BadInput, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """An error raises one line that says why; a warning comes with samples; no library prints anything."""
    if row.kind == "error":
        with pytest.raises(AudioError) as caught:
            read(row, tmp_path)
        lines = [str(caught.value)]
    else:
        n_samples, lines = read(row, tmp_path)
        assert n_samples > 0
    assert bool(lines) == (row.kind != "accepted"), lines
    assert row.message in "; ".join(lines)
    for line in lines:
        assert line.isprintable() and len(line) < 500
    assert capfd.readouterr() == ("", "")


def test_there_are_rows_of_every_kind() -> None:
    """The table covers at least 30 bad inputs, and errors, warnings and false alarms."""
    assert len(BAD_INPUTS) >= 30
    assert {row.kind for row in BAD_INPUTS.values()} == {"error", "warning", "accepted"}


@contextmanager
def unprivileged() -> Iterator[None]:
    """As a user who may not read everything; root becomes nobody for the time."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_unreadable_file_is_an_error(tmp_path: Path) -> None:
    """A file without read permission says so."""
    path = tmp_path / "secret.wav"
    path.write_bytes(GOOD)
    path.chmod(0)
    with unprivileged(), pytest.raises(AudioError, match=r"secret\.wav: no permission to read it"):
        open_audio(str(path))


def test_the_error_names_the_input() -> None:
    """Every error begins with the input's name, so that among many inputs it is clear which."""
    with pytest.raises(AudioError, match=r"^/nowhere/a\.wav: no such file$"):
        open_audio("/nowhere/a.wav")


@pytest.mark.parametrize("rate_hz, channels", [(0, 1), (4_000_000_000, 1), (16_000, 0), (16_000, 65)])
def test_impossible_raw_format_is_a_usage_error(rate_hz: int, channels: int) -> None:
    """The user's options are wrong, not the file, which is not even looked at."""
    with pytest.raises(UsageError, match="raw format"):
        open_audio("/nowhere/a.raw", raw_rate_hz=rate_hz, raw_channels=channels)


def test_a_long_recording_cut_by_one_percent_is_reported(tmp_path: Path) -> None:
    """A WAV header is exact: minutes missing from hours are said, however small a share they are."""
    path = tmp_path / "long.wav"
    path.write_bytes(wav_bytes(bytes(198 * 32_000), data_size=200 * 32_000))
    with open_audio(str(path)) as reader:
        assert sum(map(len, reader)) == 198 * 16_000
        assert any("promised 200.0 s, got 198.0 s" in line for line in reader.warnings)


def test_a_file_can_be_closed_before_its_end(tmp_path: Path) -> None:
    """Stopping early, as on Ctrl-C, and closing twice are fine."""
    path = tmp_path / "a.wav"
    path.write_bytes(GOOD)
    reader = open_audio(str(path))
    assert len(next(iter(reader))) > 0
    reader.close()
    reader.close()
