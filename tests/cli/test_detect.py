"""`asrctl detect` as people run it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asrctl.cli.detect import _progress
from asrctl.detect.calibrate import Calibration, Unmeasured
from asrctl.policy import recommend
from asrctl.policy.capacity import Costs
from asrctl.policy.recommend import Candidate, Capacity, Measurement
from asrctl.settings import load
from tests.cli.commands import run
from tests.detect.conftest import HANG, Tool, tool

assert tool  # the fixture

LIMIT_S = 240
"""A measurement that takes two seconds alone took a minute beside ten other programs on two cores."""


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty model directory."""
    directory = tmp_path / "models"
    monkeypatch.setenv("ASRCTL_MODELS_DIR", str(directory))
    return directory


@pytest.fixture
def real_models(tiny_en: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with real weights."""
    monkeypatch.setenv("ASRCTL_MODELS_DIR", str(tiny_en.parent))
    return tiny_en.parent


def test_a_glance_writes_a_config_that_loads(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table goes to standard output, the rest to standard error; the file is one of the others'."""
    path = tmp_path / "new.toml"
    assert run("detect", "--quick", "--output", str(path)) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("This machine\n") and "Recommended" in captured.out
    assert captured.err == f"{path} is written\n"
    settings = load(path, {}).settings
    assert settings.threads >= 1 and settings.workers == 1


def test_without_a_model_there_is_one_command(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It gets the model that the config names."""
    assert run("detect", "--quick", "--json", "--dry-run") == 0
    found = json.loads(capsys.readouterr().out)["recommendation"]
    assert found["command"] == f"asrctl models pull {found['model']}"
    assert run("detect", "--quick", "--dry-run") == 0
    assert found["command"] in capsys.readouterr().out


def test_a_measurement_without_a_model_guesses(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing to measure with: no error, but a guess that says so."""
    assert run("detect", "--json", "--dry-run") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["calibration"] is None
    assert document["recommendation"]["reasons"][0].startswith("nothing was measured")
    assert document["machine"]["whisper"]["simd"]


TINY = Candidate("whisper_cpp", "tiny.en-q8_0", 2, 1)
CRAWL = Capacity(Measurement(TINY, Costs(5.0, 3.0, 0.8), 4.0, 10**8, 3.0), sessions=0)
NOT_DONE = Unmeasured(TINY, "it was not done in time")


@pytest.mark.parametrize("flags", [(), ("--json",)])
@pytest.mark.parametrize(
    ("calibration", "says"),
    [
        (Calibration((), (NOT_DONE,), 25.0, 0.95), "nothing could be measured"),
        (Calibration((CRAWL,), (NOT_DONE,), 25.0, 0.95), "sustains a live session, but"),
    ],
)
def test_a_machine_too_busy_to_measure_writes_no_config(
    flags: tuple[str, ...],
    calibration: Calibration,
    says: str,
    models: Path,
    no_settings: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing larger is guessed: exit code 1, one line on what to do, and everything else is told first."""
    monkeypatch.setattr("asrctl.detect.survey.calibrated", lambda *_: calibration)
    assert run("detect", *flags) == 1
    captured = capsys.readouterr()
    assert "tiny.en-q8_0" in captured.out and "it was not done in time" in captured.out
    assert captured.err.startswith(f"asrctl: error: {no_settings} is not written: nothing ")
    assert len(captured.err.splitlines()) == 1
    assert says in captured.err and "95% of the processors were busy" in captured.err
    assert no_settings.read_text(encoding="utf-8") == ""


@pytest.mark.parametrize(("busy_share", "sessions"), [(0.1, 0), (0.95, 1)])
def test_what_says_something_of_the_machine_makes_a_config(
    busy_share: float,
    sessions: int,
    models: Path,
    no_settings: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A quiet machine that is too slow for live audio is that; a busy one that keeps up does even so."""
    calibration = Calibration((replace(CRAWL, sessions=sessions),), (), 9.0, busy_share)
    monkeypatch.setattr("asrctl.detect.survey.calibrated", lambda *_: calibration)
    assert run("detect", "--json") == 0
    assert json.loads(capsys.readouterr().out)["recommendation"]["sessions"] == sessions
    assert load(no_settings).settings.model == "tiny.en-q8_0"


def test_the_limit_is_what_was_asked_for(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The probes' share of it is spent already."""
    limits: list[float] = []
    monkeypatch.setattr("asrctl.detect.survey.calibrated", lambda *given: limits.append(given[3]))
    assert run("detect", "--limit", "90") == 0
    assert run("detect") == 0
    assert 25.0 < limits[0] < 90.0 and limits[1] < 25.0


@pytest.mark.integration
@pytest.mark.timeout(LIMIT_S + 180)
def test_a_real_run(
    real_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Probed, measured with real weights, recommended, written; then `config show` has it in force.

    The machine may be as busy as other tests make it: it is given time, and a target that it meets even so.
    One layout is measured; `test_calibrate` has several candidates.
    """
    path = tmp_path / "real.toml"
    monkeypatch.setenv("ASRCTL_CONFIG", str(path))
    monkeypatch.setattr(recommend, "layouts", lambda *_: [(1, 1)])
    patient = ("--limit", str(LIMIT_S), "--target-latency", "60")
    assert run("detect", "--json", "--output", str(path), *patient) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1
    left_out = {each["reason"] for each in document["calibration"]["unmeasured"]}
    assert left_out <= {"smaller ones are too slow here already"}  # where other tests take the time
    measured = document["calibration"]["measured"]
    found = next(each for each in measured if each["candidate"]["provider"] == "whisper_cpp")
    assert found["rtf"] > 0 and found["load_s"] > 0 and found["costs"]["fixed_s"] >= 0
    assert 50e6 < found["memory_bytes"] < 1e9 and found["sessions"] >= 1
    assert 0 < found["costs"]["draft_factor"] <= 1 and found["costs"]["detection_share"] > 0
    assert "1 thread" in found["where"]
    recommended = document["recommendation"]
    assert recommended["sessions"] >= 1
    assert document["machine"]["whisper"]["in_use"]
    assert document["config"] == {
        "path": str(path),
        "written": True,
        "backup": None,
        "text": path.read_text(encoding="utf-8"),
    }
    assert run("config", "show", "--json") == 0
    settings = json.loads(capsys.readouterr().out)["settings"]
    chain = [recommended["provider"], *recommended["stand_ins"]]
    assert settings["provider"]["value"] == "auto"
    assert settings["providers"] == {"value": chain, "origin": str(path)}
    assert set(chain) <= {each["candidate"]["provider"] for each in measured}
    for name in ("model", "threads", "workers"):
        assert settings[name] == {"value": recommended[name], "origin": str(path)}


def test_a_config_that_is_there_is_shown_and_kept(
    models: Path, no_settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file that the other commands read is the one that is written: diff, backup, the user's own keys."""
    no_settings.write_text('model = "medium"\nprompt = "Zoë"\n', encoding="utf-8")
    assert run("detect", "--quick") == 0
    err = capsys.readouterr().err
    backup = no_settings.with_name("config.toml.bak")
    assert '-model = "medium"' in err and "+model = " in err
    assert err.endswith(f"{no_settings} is written; the previous config is kept as {backup}\n")
    assert backup.read_text(encoding="utf-8") == 'model = "medium"\nprompt = "Zoë"\n'
    settings = load(no_settings, {}).settings
    assert settings.prompt == "Zoë" and settings.model != "medium"


def test_a_second_run_has_nothing_to_do(
    models: Path, no_settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No diff, no backup, no new file."""
    assert run("detect", "--quick") == 0
    before = no_settings.stat().st_mtime_ns, sorted(no_settings.parent.iterdir())
    capsys.readouterr()
    assert run("detect", "--quick") == 0
    assert capsys.readouterr().err == f"{no_settings} is up to date\n"
    assert (no_settings.stat().st_mtime_ns, sorted(no_settings.parent.iterdir())) == before


def test_a_dry_run_writes_nothing(
    models: Path, no_settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It shows what would change."""
    no_settings.write_text('model = "medium"\n')
    assert run("detect", "--quick", "--dry-run", "--json") == 0
    captured = capsys.readouterr()
    assert '-model = "medium"' in captured.err and "dry run" in captured.err
    assert json.loads(captured.out)["config"]["written"] is False
    assert no_settings.read_text() == 'model = "medium"\n'
    assert not no_settings.with_name("config.toml.bak").exists()


def test_a_broken_config_does_not_stop_it(
    models: Path, no_settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """That is a reason to write a new one: told, kept as a backup, replaced by one that loads."""
    no_settings.write_text("model = ")
    assert run("detect", "--quick") == 0
    err = capsys.readouterr().err
    assert "is not valid TOML" in err and "none of its settings are preserved" in err
    assert load(no_settings, {}).settings
    assert no_settings.with_name("config.toml.bak").read_text() == "model = "


def test_a_key_that_does_not_exist_is_dropped(models: Path, no_settings: Path) -> None:
    """The old file was an error to every other command; the new one is not."""
    no_settings.write_text('colour = "red"\nlanguage = "de"\n')
    assert run("detect", "--quick") == 0
    assert load(no_settings, {}).settings.language == "de"


@pytest.mark.skipif(sys.platform != "linux", reason="these places are Linux's")
def test_a_place_that_can_never_be_written(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line says why, exit code 1; what was found out is shown all the same, in both forms."""
    place = "/proc/asrctl/config.toml"
    assert run("detect", "--quick", "--output", place) == 1
    captured = capsys.readouterr()
    assert captured.out.startswith("This machine")
    assert captured.err.startswith(f"asrctl: error: cannot write the config {place}: ")
    assert run("detect", "--quick", "--json", "--output", place) == 1
    assert json.loads(capsys.readouterr().out)["config"]["written"] is False


def test_a_place_below_a_file(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistake of the user's is told before half a minute is spent."""
    (tmp_path / "file").touch()
    assert run("detect", "--output", str(tmp_path / "file" / "config.toml")) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and "cannot read the config file" in captured.err


def test_a_hanging_tool(tool: Tool, models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A glance waits for nobody: it is not asked, the rest is there, the exit code is good."""
    tool("nvidia-smi", HANG)
    assert run("detect", "--quick", "--json", "--dry-run") == 0
    document = json.loads(capsys.readouterr().out)
    assert "CUDA" not in {each["probe"] for each in document["machine"]["troubles"]}
    assert document["machine"]["cpu"]["model"]


def test_the_language_bounds_the_model(
    models: Path, no_settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the config says is spoken, or the flag: a model that knows English only is not proposed."""
    for flags, config in ((["--language", "de"], ""), ([], 'language = "de"\n')):
        no_settings.write_text(config)
        assert run("detect", "--quick", "--json", "--dry-run", *flags) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["wish"]["language"] == "de"
        assert ".en" not in document["recommendation"]["model"]


@pytest.mark.parametrize(
    "flags", [["--sessions", "0"], ["--sessions", "many"], ["--target-latency", "0"], ["extra"]]
)
def test_usage(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Values that make no sense are refused by name."""
    assert run("detect", "--quick", *flags) == 2


def test_a_terminal_sees_what_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half a minute is long without a word; elsewhere nobody is told."""
    with _progress() as tell:
        assert tell is None
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    with _progress() as tell:
        assert tell is not None
        tell(Candidate("whisper_cpp", "base-q8_0", 1, 2), 3, 6)
    assert "measuring 3 of 6: base-q8_0 with whisper_cpp, 2 x 1" in capsys.readouterr().err


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    """How it is used."""
    assert run("detect", "--help") == 0
    out = capsys.readouterr().out
    assert "asrctl detect --quick --dry-run" in out and "--target-latency" in out


@pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo-terminals")
def test_a_glance_imports_nothing_heavy(models: Path) -> None:
    """It is to be over in a blink: no numpy, no rich, none of psutil's, and no child of Python."""
    code = (
        "import sys\nfrom asrctl.cli.main import main\n"
        "try:\n    main(['detect', '--quick', '--dry-run', '--json'])\n"
        "except SystemExit:\n"
        "    print(sorted({'numpy', 'rich', 'soundfile', 'huggingface_hub', 'gguf'} & set(sys.modules)),"
        " file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


def test_defaults_import_nothing_heavy() -> None:
    """Commands without a config look at the machine before they do anything else."""
    code = (
        "import sys\nfrom asrctl.detect.quick import defaults\ndefaults()\n"
        "heavy = {'numpy', 'rich', 'pydantic', 'psutil', 'soundfile', 'subprocess', 'huggingface_hub'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("flags", "config", "sessions"),
    [([], "", 5), (["--max-sessions", "7"], "", 7), ([], "[serve]\nmax_sessions = 9\n", 9)],
)
def test_a_server_without_a_config_lets_in_what_its_cores_bear(
    flags: list[str],
    config: str,
    sessions: int,
    no_settings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By a glance at the machine, here of one core, and by trying; what somebody has set counts for more."""
    started: list[Any] = []
    monkeypatch.setattr("asrctl.detect.quick.available_cpus", lambda: 1)
    monkeypatch.setattr("asrctl.cli.serve._run", lambda options, *_: started.append(options))
    no_settings.write_text(config)
    script = tmp_path / "script.json"
    script.write_text("{}")
    assert run("serve", "--provider", "scripted", "--model", str(script), *flags) == 0
    (options,) = started
    assert options.admission.max_sessions == sessions
    assert options.tries_pace is (sessions == 5)
    assert options.models.main.spec.threads == 1
