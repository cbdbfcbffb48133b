"""Directories as inputs, and long jobs: what is found, left out, under way at once, and gone on with."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import soundfile

from asrctl.cli.folders import Found, look_through
from asrctl_tests.scripted import speak

from .commands import Options, run

PATIENCE_S = 60
WORDS = [f"w{n}" for n in range(10)]


@pytest.fixture
def recordings(tmp_path: Path, speech: Path) -> Path:
    """Two recordings, one more in a directory below, and what is none."""
    folder = tmp_path / "in"
    (folder / "below" / ".hidden").mkdir(parents=True)
    (folder / "empty").mkdir()
    for name in ("b.wav", "a.WAV", "below/c.wav", ".d.wav", "below/.hidden/e.wav"):
        (folder / name).write_bytes(speech.read_bytes())
    (folder / "notes.txt").write_text("no audio")
    return folder


def below(folder: Path) -> list[str]:
    """All files there, by their paths in it."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_what_a_directory_holds(recordings: Path) -> None:
    """Recordings by extension, sorted, nothing hidden; `recursive` looks further down."""
    direct = look_through(["x.mp3", str(recordings), "-"], print, recursive=False)
    names = [os.path.relpath(each.name, recordings) if os.sep in each.name else each.name for each in direct]
    assert names == ["x.mp3", "a.WAV", "b.wav", "-"]
    all_of_it = look_through([str(recordings)], print, recursive=True)
    assert [str(each.folder) for each in all_of_it] == [".", ".", "below"]


MANY = """
    3ga bwf divx ds2 dss dv eac3 ec3 f4v g722 gsm latm m2t m4r mp1 mpa mpc mxf nist nut oma qt
    qta sln sph tak ulaw voc wavex weba wtv
"""


@pytest.mark.parametrize("extension", MANY.split())
def test_what_is_read_by_its_name_is_read_from_a_directory(extension: str, tmp_path: Path) -> None:
    """Recorders, cameras, telephones and broadcasters have extensions of their own."""
    path = tmp_path / f"talk.{extension.upper()}"
    path.touch()
    assert look_through([str(tmp_path)], pytest.fail, recursive=False) == [Found(str(path))]


def test_what_else_a_directory_holds_is_told(tmp_path: Path) -> None:
    """In one line, without what nobody takes for a recording, hidden files and what lies below."""
    (tmp_path / "below").mkdir()
    for name in ("a.wav", "b.xyz", "c.XYZ", "d", "e.txt", "f.srt", "g.jpg", ".h.xyz", "below/i.abc"):
        (tmp_path / name).touch()
    said: list[str] = []
    assert look_through([str(tmp_path)], said.append, recursive=False) == [Found(str(tmp_path / "a.wav"))]
    assert said == [
        f"asrctl: {tmp_path}: left out 3 other files (.xyz, no extension); to try them, name them"
    ]
    look_through([str(tmp_path)], said.append, recursive=True)
    assert "left out 4 other files (.xyz, no extension, .abc)" in said[1]


def test_of_many_kinds_left_out_a_few_are_named(tmp_path: Path) -> None:
    """The line stays one."""
    for kind in "abcdefg":
        (tmp_path / f"file.{kind}1").touch()
    said: list[str] = []
    look_through([str(tmp_path)], said.append, recursive=False)
    assert "left out 7 other files (.a1, .b1, .c1, .d1, .e1, …); " in said[0]


@pytest.mark.parametrize("name", ["talk", "talk No.5", "Mr. Smith, whole", "a.\x1b[31m"])
def test_a_dot_in_a_title_begins_no_extension(name: str, tmp_path: Path) -> None:
    """Nor does anything get to a terminal that could move the cursor."""
    (tmp_path / name).touch()
    said: list[str] = []
    look_through([str(tmp_path)], said.append, recursive=False)
    assert "left out 1 other file (no extension); " in said[0]


def test_a_directory_without_recordings_says_what_it_holds(
    options: Options, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may be audio under another name."""
    (tmp_path / "talk.xyz").touch()
    assert run("transcribe", str(tmp_path), *options()) == 1
    said = capsys.readouterr().err
    assert "left out 1 other file (.xyz); to try it, name it" in said
    assert "no file in it has an extension of audio or video" in said


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_a_link_back_up_ends(recordings: Path) -> None:
    """A directory that contains itself is looked through once."""
    (recordings / "below" / "up").symlink_to(recordings)
    assert len(look_through([str(recordings)], print, recursive=True)) == 3


def test_a_directory_that_cannot_be_read_is_told(
    recordings: Path,
    options: Options,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is in it would be missing without a word; the others are done."""
    scandir = os.scandir

    def forbidding(path: str = ".") -> object:
        if os.path.basename(path) == "below":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", forbidding)
    out = tmp_path / "out"
    assert run("transcribe", str(recordings), "-r", *options(), "--output-dir", str(out)) == 1
    assert below(out) == ["a.txt", "b.txt"]
    assert "below: it is a directory that cannot be read: Permission denied" in capsys.readouterr().err


def test_a_directory_is_transcribed(
    recordings: Path, options: Options, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its own recordings without --recursive; a summary at the end."""
    out = tmp_path / "out"
    assert run("transcribe", str(recordings), *options(), "--output-dir", str(out)) == 0
    assert below(out) == ["a.txt", "b.txt"]
    said = capsys.readouterr().err
    assert said.startswith("asrctl: 2 of 2 inputs transcribed; 8.0 s of audio in ") and said.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in directories")
def test_a_pipe_in_a_directory_is_not_waited_for(tmp_path: Path) -> None:
    """Nobody may ever write to it; a link to nothing stays, so that it is told as missing."""
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "link.wav").symlink_to(tmp_path / "nothing.wav")
    (tmp_path / "file.wav").touch()
    found = [Path(each.name).name for each in look_through([str(tmp_path)], print, recursive=False)]
    assert found == ["file.wav", "link.wav"]


@pytest.mark.parametrize("jobs", ["1", "3"])
def test_the_output_mirrors_the_tree(jobs: str, recordings: Path, options: Options, tmp_path: Path) -> None:
    """Each transcript is complete and where its input is, also if several are under way at once."""
    out = tmp_path / "out"
    arguments = ["transcribe", str(recordings), "-r", *options(), "--output-dir", str(out), "--jobs", jobs]
    assert run(*arguments) == 0
    assert below(out) == ["a.txt", "b.txt", "below/c.txt"]
    assert all((out / name).read_text().split() == WORDS for name in below(out))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in directories")
def test_jobs_are_under_way_at_once(tmp_path: Path, options: Options, speech: Path) -> None:
    """The first pipe is filled only once the second was read: one after the other would wait for ever."""
    first, second = tmp_path / "1.wav", tmp_path / "2.wav"
    for pipe in (first, second):
        os.mkfifo(pipe)

    def fill() -> None:
        for pipe in (second, first):
            with pipe.open("wb") as sink:  # waits for a reader
                sink.write(speech.read_bytes())

    filling = threading.Thread(target=fill, daemon=True)
    filling.start()
    arguments = [str(first), str(second), *options(), "--jobs", "2", "--output-dir", str(tmp_path / "out")]
    assert run("transcribe", *arguments) == 0
    filling.join(PATIENCE_S)
    assert [path.read_text().split() for path in sorted((tmp_path / "out").iterdir())] == [WORDS, WORDS]


def test_a_broken_input_does_not_stop_other_jobs(
    recordings: Path, options: Options, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told, counted, and costs exit code 1."""
    (recordings / "a0.wav").write_text("no audio")
    out = tmp_path / "out"
    arguments = [str(recordings), str(recordings / "empty"), *options(), "--jobs", "2"]
    assert run("transcribe", *arguments, "--output-dir", str(out)) == 1
    assert below(out) == ["a.txt", "b.txt"]
    said = capsys.readouterr().err
    assert "a0.wav: " in said and "empty: it is a directory, and no file in it has an extension" in said
    assert "2 of 4 inputs transcribed, 2 failed" in said


def test_existing_transcripts_are_skipped(
    recordings: Path, options: Options, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They stay as they are; what is missing is done; with nothing left, no model is loaded."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.txt").write_text("corrected by hand")
    arguments = ["transcribe", str(recordings), "--output-dir", str(out), "--skip-existing"]
    assert run(*arguments, *options()) == 0
    assert (out / "a.txt").read_text() == "corrected by hand"
    assert (out / "b.txt").read_text().split() == WORDS
    assert "1 of 1 inputs transcribed, 1 skipped" in capsys.readouterr().err
    assert run(*arguments, *options(fail_load="nobody needs it")) == 0
    assert "nothing to do: 2 inputs skipped" in capsys.readouterr().err


def test_a_namesake_that_came_later_is_not_skipped(
    recordings: Path, options: Options, tmp_path: Path, speech: Path
) -> None:
    """`a.flac` beside `a.WAV` comes after it and has its own transcript; `a.AIFF` would come before it."""
    out = tmp_path / "out"
    arguments = ["transcribe", str(recordings), "--output-dir", str(out), "--skip-existing"]
    assert run(*arguments, *options()) == 0
    (out / "a.txt").write_text("of a.WAV")
    (recordings / "a.AIFF").write_bytes(speech.read_bytes())
    assert run(*arguments, *options()) == 0
    assert below(out) == ["a-2.txt", "a.txt", "b.txt"]
    assert [(out / name).read_text().split() for name in below(out)] == [WORDS, WORDS, WORDS]
    (out / "a-2.txt").write_text("corrected by hand")
    assert run(*arguments, *options(fail_load="nobody needs it")) == 0
    assert (out / "a-2.txt").read_text() == "corrected by hand"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--skip-existing"], "--skip-existing needs"),
        (["--jobs", "2"], "--jobs would mix"),
    ],
)
def test_mistakes(
    arguments: list[str],
    message: str,
    recordings: Path,
    options: Options,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line, and usage."""
    assert run("transcribe", str(recordings), *options(), *arguments) == 2
    assert message in capsys.readouterr().err


def test_quiet_says_errors_and_losses_only(
    long_speech: Path, options: Options, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No summary; audio that is lost and an input that failed are still told."""
    arguments = [str(long_speech), "missing.wav", *options(refuse_on=["w7"]), "-q"]
    assert run("transcribe", *arguments, "--output-dir", str(tmp_path / "out")) == 1
    *losses, error = capsys.readouterr().err.splitlines()
    assert losses and all("warning: " in line and " dropped " in line for line in losses)
    assert error == "asrctl: error: missing.wav: no such file"


@pytest.mark.parametrize("option, hint", [([], True), (["-r"], False)])
def test_looking_further_down_is_no_advice_after_it(
    option: list[str], hint: bool, recordings: Path, options: Options, capsys: pytest.CaptureFixture[str]
) -> None:
    """A directory that holds nothing is told either way."""
    assert run("transcribe", str(recordings / "empty"), *options(), *option) == 1
    said = capsys.readouterr().err
    assert "no file in it has an extension" in said and ("--recursive" in said) == hint


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")
def test_an_interrupted_output_does_not_pass_for_done(tmp_path: Path) -> None:
    """Whatever options the first run had: with --skip-existing the same command does it."""
    output, script = tmp_path / "talk.txt", tmp_path / "script.json"
    soundfile.write(tmp_path / "talk.wav", speak(range(600)), 16_000, subtype="FLOAT")
    script.write_text('{"delay_s": 0.3}')
    command = [sys.executable, "-m", "asrctl", "transcribe", str(tmp_path / "talk.wav"), "--no-vad"]
    command += ["--provider", "scripted", "--model", str(script), "--output", str(output)]
    part = tmp_path / "talk.txt.part"
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        deadline_s = time.monotonic() + PATIENCE_S
        while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline_s:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert f"; partial text: {part}; the same command begins it again" in said
    assert "--skip-existing" not in said
    assert re.search(r"stopped: not transcribed from [\d.]+ s of [\d.]+ s on\n", said)
    assert part.read_text().startswith("w0 w1") and not output.exists()
    script.write_text("{}")
    assert subprocess.run([*command, "--skip-existing"], timeout=PATIENCE_S).returncode == 0
    assert len(output.read_text().split()) == 600 and not part.exists()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")
def test_an_interrupted_run_is_gone_on_with(name: str, tmp_path: Path) -> None:
    """It says what is done, current and missing; with --skip-existing the same command does the rest.

    What was transcribed of the current input is in a part, which does not count as its transcript.
    """
    folder, out, script = tmp_path / "in", tmp_path / "out", tmp_path / "script.json"
    folder.mkdir()
    for talk in ("a", "b", "c"):
        n_words = 1 if talk == "a" else 600
        words = speak([n % 4096 for n in range(n_words)])
        soundfile.write(folder / f"{talk}.wav", words, 16_000, subtype="FLOAT")
    script.write_text('{"delay_s": 0.3}')
    command = [sys.executable, "-m", "asrctl", "transcribe", str(folder), "--no-vad", "--workers", "1"]
    command += ["--provider", "scripted", "--model", str(script), "--output-dir", str(out)]
    part = out / "b.txt.part"
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        deadline_s = time.monotonic() + PATIENCE_S
        while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline_s:
            time.sleep(0.02)
        process.send_signal(getattr(signal, name))
        signalled_s = time.monotonic()
        _, said = process.communicate(timeout=PATIENCE_S)
    assert time.monotonic() - signalled_s < PATIENCE_S / 4
    assert process.returncode == 130
    assert "interrupted: 1 of 3 inputs done; b.wav up to " in said and "not begun: c.wav" in said
    rest = "the same command with --skip-existing begins b.wav anew and goes on"
    assert f"; partial text: {part}; {rest}\n" in said
    assert below(out) == ["a.txt", "b.txt.part"] and part.read_text().startswith("w0 w1")
    script.write_text("{}")
    done = subprocess.run([*command, "--skip-existing"], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0 and "2 of 2 inputs transcribed, 1 skipped" in done.stderr
    assert below(out) == ["a.txt", "b.txt", "c.txt"]
    assert len((out / "b.txt").read_text().split()) == 600


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_outputs_that_cannot_be_written(recordings: Path, options: Options, tmp_path: Path) -> None:
    """As on a full disk: each is told, since it may be another disk for the next."""
    limited = ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", sys.executable, "-m", "asrctl", "transcribe"]
    command = [*limited, str(recordings), "--output-dir", str(tmp_path / "out"), "-f", "json", *options()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 1
    first, second, summary = done.stderr.splitlines()
    assert first.endswith("a.json: File too large") and second.endswith("b.json: File too large")
    assert summary == "asrctl: 0 of 2 inputs transcribed, 2 failed"


@pytest.mark.parametrize("provider", ["scripted", "scripted_stream"])
def test_an_output_that_cannot_be_written_does_not_stop_the_others(
    provider: str, recordings: Path, options: Options, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Something is in its way: one line, exit code 1, and the others are done."""
    out = tmp_path / "out"
    (out / "a.txt").mkdir(parents=True)
    (out / "below").touch()
    arguments = [str(recordings), "-r", *options(), "--provider", provider]
    assert run("transcribe", *arguments, "--output-dir", str(out)) == 1
    assert below(out) == ["b.txt", "below"] and (out / "b.txt").read_text().split() == WORDS
    said = capsys.readouterr().err
    assert said.count("error: cannot write ") == 2 and "a.txt: Is a directory" in said
    assert "c.txt: Not a directory" in said and "1 of 3 inputs transcribed, 2 failed" in said


def test_a_dash_is_standard_output(
    speech: Path, options: Options, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As an output too."""
    monkeypatch.chdir(speech.parent)
    assert run("transcribe", str(speech), *options(), "-o", "-") == 0
    assert capsys.readouterr().out.split() == WORDS and not Path("-").exists()


@pytest.mark.parametrize("where", ["--output-dir", "-o"])
def test_a_place_where_nothing_can_be_written_is_told_at_once(
    where: str, speech: Path, options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a model is fetched or loaded."""
    monkeypatch.setattr("asrctl.render.output.os.access", lambda path, mode: path != tmp_path / "out")
    (tmp_path / "out").mkdir()
    place = tmp_path / "out" / ("talk.txt" if where == "-o" else "")
    missing = ["--model", str(tmp_path / "missing")]
    assert run("transcribe", str(speech), *options(), *missing, where, str(place)) == 1
    assert run("transcribe", str(speech), *options(), *missing, "-o", str(tmp_path / "no" / "a.txt")) == 1
