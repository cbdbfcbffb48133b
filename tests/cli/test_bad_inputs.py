"""Every kind of bad input through `asrctl transcribe`: message, exit code, and that other inputs are done."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.audio.samples import BAD_INPUTS, GOOD, BadInput

from .commands import asrctl, run

ROWS = [pytest.param(row, id=name) for name, row in BAD_INPUTS.items()]


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A model for the scripted provider."""
    path = tmp_path / "script.json"
    path.write_text("{}")
    return path


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe that stays silent is given up at once."""
    monkeypatch.setattr("asrctl.audio.sources.FIFO_WAIT_S", 0.01)


@pytest.mark.parametrize("row", ROWS)
def test_bad_input(
    row: BadInput, script: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], request: object
) -> None:
    """An error is one line on stderr and exit code 1, a warning one line and 0; stdout stays clean.

    A good input beside it is transcribed in any case.
    """
    (tmp_path / "in").mkdir()
    (tmp_path / "good.wav").write_bytes(GOOD)
    spec = row.build(tmp_path / "in")
    raw = ["--raw-rate", str(row.raw_rate_hz)] if row.raw_rate_hz else []
    options = ["--provider", "scripted", "--model", str(script), "--output-dir", str(tmp_path / "out")]
    code = run("transcribe", spec, str(tmp_path / "good.wav"), *raw, *options)
    captured = capfd.readouterr()
    assert code == (1 if row.kind == "error" else 0)
    assert captured.out == ""
    assert (tmp_path / "out/good.txt").exists()
    *lines, summary = [line for line in captured.err.splitlines() if "good.wav" not in line]
    assert f"{1 if row.kind == 'error' else 2} of 2 inputs transcribed" in summary
    assert all(line.startswith(("asrctl: error: ", "asrctl: warning: ")) for line in lines), lines
    assert row.message in "; ".join(lines)
    assert sum(line.startswith("asrctl: error: ") for line in lines) == (row.kind == "error")
    assert "Traceback" not in captured.err
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert len(written) == (1 if row.kind == "error" else 2), "a failed input leaves no file"


@pytest.mark.parametrize("data", [b"", b"hello\n", b"RIFF"], ids=["empty", "text", "cut"])
def test_bad_standard_input(data: bytes, script: Path) -> None:
    """Standard input is called stdin in the message, and exits as any other."""
    done = asrctl(["transcribe", "-", "--provider", "scripted", "--model", str(script)], data)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("asrctl: error: stdin: ") and done.stderr.count("\n") == 1
