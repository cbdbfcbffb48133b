"""The command line's shell: help, version, errors, exit codes, completion."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from asrctl import __version__, errors
from asrctl.cli import main as cli
from asrctl.cli import view
from asrctl.cli.help import COMMANDS
from asrctl.errors import AsrctlError, ModelError

from .commands import asrctl, run


def failing(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code when a command raises `error`."""

    def app(*_args: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr(cli, "app", app)
    return run()


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """One line on stdout."""
    assert run("--version") == 0
    assert capsys.readouterr().out == f"asrctl {__version__}\n"


def test_help_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """Both spellings of help work, and list what there is."""
    for option in ("--help", "-h"):
        assert run(option) == 0
        assert "config" in capsys.readouterr().out


def test_help_is_enough_to_start_with(capsys: pytest.CaptureFixture[str]) -> None:
    """An example, every exit code, and no line that is cut."""
    assert run("--help") == 0
    shown = capsys.readouterr().out
    assert "asrctl transcribe meeting.mp3" in shown
    assert "..." not in shown.replace("[ARGS]...", "")
    codes = {kind.exit_code for kind in vars(errors).values() if hasattr(kind, "exit_code")}
    for code in {0, *codes, errors.EXIT_INTERRUPTED, cli.EXIT_BUG}:
        assert re.search(rf"^ +{code} +\w", shown, re.MULTILINE), code


def test_options_are_in_groups(capsys: pytest.CaptureFixture[str]) -> None:
    """Each of transcribe's once, the general ones last."""
    assert run("transcribe", "--help") == 0
    shown = capsys.readouterr().out
    titles = re.findall(r"^([A-Z][a-z ]+):$", shown, re.MULTILINE)
    assert titles == ["Arguments", "Inputs", "Recognition", "Output", "Live audio", "Server", "Options"]
    assert shown.count("  --skip-existing ") == shown.count(" --record FILE") == shown.count(" --help ") == 1


def test_every_commands_help_is_light() -> None:
    """No command's help imports numpy or rich, so that it comes at once.

    Nor does `asrctl --help` import pydantic; typer 0.29 does for the options of sub-commands.
    """
    code = (
        "import sys, typer\n"
        "from asrctl.cli.main import app\n"
        "def walk(command, path):\n"
        "    for name in getattr(command, 'commands', ()):\n"
        "        yield from walk(command.get_command(None, name), [*path, name])\n"
        "    yield path\n"
        "def show_help(*path):\n"
        "    try: app([*path, '--help'])\n"
        "    except SystemExit as exit_: assert exit_.code == 0\n"
        "show_help()\n"
        "assert 'pydantic' not in sys.modules\n"
        "for path in walk(typer.main.get_command(app), []):\n"
        "    show_help(*path)\n"
        "print(sorted({'numpy', 'rich', 'soundfile'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert done.stdout.count("Usage:") >= 4


def test_a_mistyped_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, on stderr."""
    assert run("confg") == 2
    assert run("config", "show", "--nope") == 2
    captured = capsys.readouterr()
    assert captured.out == "" and "Did you mean 'config'?" in captured.err and "--nope" in captured.err


def test_help_of_all_imports_no_command() -> None:
    """What each does stands in one table, so that the first thing people type comes at once."""
    code = "import sys; from asrctl.cli.main import app; app(['--help'])"
    shown = "import atexit, sys; atexit.register(lambda: print(*sys.modules)); " + code
    done = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=True)
    *_, modules = done.stdout.splitlines()
    assert not {f"asrctl.cli.{name}" for name in COMMANDS} & set(modules.split())
    assert all(f"\n  {name} " in done.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_described_alike(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The line in the table is the first of the command's own help."""
    assert run(name, "--help") == 0
    first = capsys.readouterr().out.split("\n\n")[1]
    assert " ".join(first.split()) == COMMANDS[name]


def test_an_error_of_ours_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The class says the exit code, the message is on stderr, even if it came with line breaks."""
    assert failing(ModelError("no such model:\n  tiny"), monkeypatch) == 3
    assert failing(AsrctlError("bad"), monkeypatch) == 1
    captured = capsys.readouterr()
    assert captured.err == "asrctl: error: no such model: tiny\nasrctl: error: bad\n"
    assert captured.out == ""


def test_trouble_of_the_machine_is_not_called_a_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A full disk is one plain line, wherever it is met."""
    assert failing(OSError(28, "No space left on device"), monkeypatch) == 1
    assert capsys.readouterr().err == "asrctl: error: [Errno 28] No space left on device\n"


def test_a_bug_is_one_line_that_says_how_to_report_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback unless it is asked for; an exit code that no input can cause."""
    assert failing(KeyError("x"), monkeypatch) == cli.EXIT_BUG == 70
    said = capsys.readouterr().err
    assert said.startswith("asrctl: error: KeyError: 'x'; this is a bug") and said.count("\n") == 1


def test_debugging_shows_the_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With ASRCTL_DEBUG the traceback comes before the line."""
    monkeypatch.setenv("ASRCTL_DEBUG", "1")
    failing(KeyError("x"), monkeypatch)
    said = capsys.readouterr().err
    assert said.startswith("Traceback") and said.splitlines()[-1].startswith("asrctl: error: KeyError")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")
def test_interrupts_exit_with_130(number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM alike reach a command as KeyboardInterrupt, and exit without a traceback."""
    code = (
        "import sys, time\n"
        "from asrctl.cli import main as cli\n"
        "@cli.app.command()\n"
        "def wait() -> None:\n"
        "    try:\n"
        "        print('ready', flush=True); time.sleep(60)\n"
        "    finally:\n"
        "        print('flushed', flush=True)\n"
        "cli.main(['wait'])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout and child.stdout.readline() == "ready\n"
        child.send_signal(number)
        out, err = child.communicate(timeout=30)
    assert (child.returncode, out, err) == (130, "flushed\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")
def test_an_interrupt_while_a_worker_is_started() -> None:
    """Ctrl-C in the first tenth of a second: no traceback, and the worker is gone."""
    code = (
        "import os, signal, subprocess, sys\n"
        "class Popen(subprocess.Popen):\n"
        "    def __init__(self, *args, **options):\n"
        "        super().__init__(*args, **options)\n"
        "        print(self.pid, flush=True)\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "subprocess.Popen = Popen\n"
        "sys.argv = ['asrctl', 'transcribe', 'a.wav']\n"
        "from asrctl.__main__ import main\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (130, "asrctl: interrupted\n")
    with pytest.raises(ProcessLookupError):
        os.kill(int(done.stdout), 0)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes")
def test_a_reader_that_goes_away_is_no_error() -> None:
    """`asrctl … | true` ends with 1 and says nothing."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "asrctl", "config", "show"],
            stdout=write_end,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    finally:
        os.close(write_end)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.skipif(sys.platform == "win32", reason="a redirection of POSIX shells")
@pytest.mark.parametrize("args, code", [("config show", 0), ("transcribe /nowhere/a.wav --provider none", 4)])
def test_a_closed_stderr_changes_nothing(args: str, code: int) -> None:
    """With `2>&-` a message has nowhere to go: it does not land on standard output, and nothing breaks."""
    command = ["sh", "-c", f'"{sys.executable}" -m asrctl {args} 2>&-']
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == code
    assert "error" not in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="a redirection of POSIX shells")
@pytest.mark.parametrize("args", ["models list", "detect --quick", "config show"])
def test_a_closed_stdout_takes_what_is_printed(args: str, no_settings: Path) -> None:
    """With `>&-` nobody wants to see it; that is no mistake of ours."""
    command = ["sh", "-c", f'"{sys.executable}" -m asrctl {args} >&-']
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 0 and "error" not in done.stderr


def test_a_closed_stdout_beside_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bars are drawn on the terminal that standard error is."""
    monkeypatch.setattr(sys, "stdout", None)
    assert not view.stdout_is_terminal() and not view.FileView().shares_terminal


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_behind_stdout_is_one_line() -> None:
    """Python's own complaint at exit does not follow."""
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "asrctl", "config", "show"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr == "asrctl: error: [Errno 28] No space left on device\n"


def test_config_show_is_toml_that_sets_what_is_in_force(
    no_settings: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its output can be kept as a config file; each line says where the value comes from."""
    no_settings.write_text('prompt = "a \\"b\\" # c"\nmodels_dir = "/models"')
    monkeypatch.setenv("ASRCTL_VAD__ONSET", "0.75")
    assert run("config", "show") == 0
    shown = capsys.readouterr().out
    values = tomllib.loads(shown)
    assert values["prompt"] == 'a "b" # c'
    assert values["models_dir"] == "/models"
    assert values["providers"] == ["whisper_cpp", "faster_whisper"]
    assert values["vad"]["onset"] == 0.75
    origins = {line.split(" =")[0]: line.rpartition(" # ")[2] for line in shown.splitlines() if "=" in line}
    assert origins["prompt"] == str(no_settings)
    assert origins["onset"] == "ASRCTL_VAD__ONSET"
    assert origins["model"] == "default"


def test_config_show_without_a_models_dir_is_still_toml(capsys: pytest.CaptureFixture[str]) -> None:
    """What has no value is a comment."""
    assert run("config", "show") == 0
    shown = capsys.readouterr().out
    assert "models_dir" in shown and "models_dir" not in tomllib.loads(shown)


def test_config_show_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], no_settings: Path
) -> None:
    """Values keep their types, by dotted key, with their origin."""
    monkeypatch.setenv("ASRCTL_THREADS", "3")
    assert run("config", "show", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["path"]) == (1, str(no_settings))
    assert document["settings"]["threads"] == {"value": 3, "origin": "ASRCTL_THREADS"}
    assert document["settings"]["models_dir"] == {"value": None, "origin": "default"}


def test_config_path_needs_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says where to write one; the option wins over the variable, the variable over the platform."""
    assert run("config", "path", "--config", "other.toml") == 0
    assert run("config", "path") == 0
    monkeypatch.delenv("ASRCTL_CONFIG")
    assert run("config", "path") == 0
    option, variable, platform = capsys.readouterr().out.splitlines()
    assert (option, variable) == ("other.toml", str(tmp_path / "config.toml"))
    assert platform.endswith("config.toml")


def test_a_mistake_in_the_config_is_one_line_and_a_usage_error(
    no_settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Never a dump of the checking library."""
    no_settings.write_text("threads = 'many'")
    assert run("config", "show") == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"asrctl: error: {no_settings}: threads is 'many'")
    assert captured.err.count("\n") == 1 and captured.out == ""


def test_python_dash_m_runs_the_command_line() -> None:
    """`python -m asrctl` calls itself asrctl."""
    done = asrctl(["config", "--help"])
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: asrctl config")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_can_be_shown(shell: str) -> None:
    """Each shell gets a script that asks asrctl for the words."""
    done = asrctl([], _ASRCTL_COMPLETE=f"source_{shell}")
    assert done.returncode == 0
    assert f"_ASRCTL_COMPLETE=complete_{shell}" in done.stdout


@pytest.mark.parametrize(
    "shell, question",
    [
        ("bash", {"COMP_WORDS": "asrctl config sh", "COMP_CWORD": "2"}),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "asrctl config sh"}),
        ("fish", {"_TYPER_COMPLETE_ARGS": "asrctl config sh", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}),
    ],
)
def test_commands_are_completed(shell: str, question: dict[str, str]) -> None:
    """What a shell asks with a half-typed command is answered with the whole of it."""
    done = asrctl([], _ASRCTL_COMPLETE=f"complete_{shell}", **question)
    assert done.returncode == 0
    assert "show" in done.stdout and "path" not in done.stdout


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_config_show_keeps_secrets(
    option: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is pasted into a bug report holds no key."""
    monkeypatch.setenv("ASRCTL_SERVE__API_KEY", "swordfish")
    assert run("config", "show", *option) == 0
    captured = capsys.readouterr()
    assert "swordfish" not in captured.out and "..." in captured.out


def test_a_file_whose_name_looks_like_an_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said how it is written; a file that is called like an option does not disable that."""
    monkeypatch.chdir(tmp_path)
    for name in ("-talk.wav", "-o.wav", "--help"):
        Path(name).touch()
    for name in ("-talk.wav", "-o.wav"):
        assert run("transcribe", name) == 2
        assert f"write ./{name} if the file is meant" in capsys.readouterr().err
    assert run("transcribe", "--help") == 0
    assert run("transcribe", "--", "-talk.wav") == 1
    assert "-talk.wav: it is empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["serve", "-m", "nothing"], 3, "there is no model"),
        (["serve", "-l", "xx"], 2, "there is no language 'xx'"),
        (["bench", "stream", "-m", "nothing"], 3, "there is no model"),
        (["bench", "coldstart", "-m", "nothing"], 3, "there is no model"),
    ],
)
def test_short_options_are_the_same_for_all_commands(
    args: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `transcribe` has them."""
    assert run(*args) == code
    assert message in capsys.readouterr().err
