"""`asrctl transcribe` on files: formats, places, several inputs, interruption; with the scripted provider."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrctl.audio.sample import sample_speech
from asrctl.render.formats import WRITERS
from asrctl_tests.scripted import speak

from .commands import Options, asrctl, run

PATIENCE_S = 30


WORDS = " ".join(f"w{n}" for n in range(10))


def test_text(speech: Path, options: Options, capsys: pytest.CaptureFixture[str]) -> None:
    """Text on stdout, a line for each segment, nothing else anywhere."""
    assert run("transcribe", str(speech), *options()) == 0
    captured = capsys.readouterr()
    assert captured.out.split() == WORDS.split()
    assert captured.err == ""


@pytest.mark.parametrize("format", WRITERS)
def test_formats(format: str, speech: Path, options: Options, tmp_path: Path) -> None:
    """Each format can be chosen, by the output's name too, and holds all words, but for RTTM."""
    by_name = tmp_path / f"by_name.{format}"
    by_option = tmp_path / "by_option"
    assert run("transcribe", str(speech), *options(), "-o", str(by_name)) == 0
    assert run("transcribe", str(speech), *options(), "-o", str(by_option), "--format", format) == 0
    shown = ["SPEAKER"] if format == "rttm" else WORDS.split()
    assert all(each in by_name.read_text() for each in shown)
    if format not in ("json", "jsonl"):  # which tell the time it took
        assert by_name.read_text() == by_option.read_text()


def test_json_accounts_for_every_sample(
    speech: Path, options: Options, capsys: pytest.CaptureFixture[str]
) -> None:
    """received = speech + silence + dropped, and times are those of the file."""
    assert run("transcribe", str(speech), *options(), "-f", "json", "--word-timestamps") == 0
    document = json.loads(capsys.readouterr().out)
    audio = document["audio"]
    assert audio["received_s"] == document["duration_s"] == 4.0
    assert audio["speech_s"] + audio["silence_s"] + audio["dropped_s"] == pytest.approx(4.0, abs=1e-6)
    words = [word for segment in document["segments"] for word in segment["words"]]
    assert [word["text"] for word in words] == WORDS.split()
    assert words[5]["start_s"] == pytest.approx(2.5, abs=0.01)
    assert (document["provider"], document["model"]) == ("scripted", "script.json")


def test_several_inputs(
    speech: Path, options: Options, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each gets its file; one that fails costs exit code 1 and nothing else."""
    other = tmp_path / "other.wav"
    other.write_bytes(speech.read_bytes())
    out = tmp_path / "out"
    files = [str(speech), str(tmp_path / "missing.wav"), str(other)]
    assert run("transcribe", *files, *options(), "--output-dir", str(out)) == 1
    assert {path.name for path in out.iterdir()} == {"speech.txt", "other.txt"}
    assert "missing.wav: no such file" in capsys.readouterr().err


@pytest.mark.parametrize("format", ["srt", "vtt", "tsv"])
def test_several_inputs_do_not_mix_in_one_file(
    format: str, speech: Path, options: Options, capsys: pytest.CaptureFixture[str]
) -> None:
    """Formats that are one file each want a directory."""
    assert run("transcribe", str(speech), str(speech), *options(), "-f", format) == 2
    assert "--output-dir" in capsys.readouterr().err


def test_dropped_audio_is_declared(
    long_speech: Path, options: Options, capsys: pytest.CaptureFixture[str]
) -> None:
    """A window that the recogniser refuses is a warning, and dropped in the account."""
    assert run("transcribe", str(long_speech), *options(refuse_on=["w7"]), "-f", "json") == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert document["text"].endswith("w199")
    assert "dropped" in captured.err and "refused by the script" in captured.err
    assert document["audio"]["dropped_s"] > 0
    parts = sum(document["audio"][key] for key in ("speech_s", "silence_s", "dropped_s"))
    assert parts == pytest.approx(document["duration_s"])


def test_an_input_of_which_all_is_lost_has_failed(
    speech: Path, options: Options, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is written, and it is told why."""
    out = tmp_path / "out.txt"
    assert run("transcribe", str(speech), *options(refuse_on=["w7"]), "-o", str(out)) == 4
    said = capsys.readouterr().err
    assert said == f"asrctl: error: {speech}: nothing could be transcribed: refused by the script\n"
    assert not out.exists()


def test_a_crash_of_native_code_is_survived(speech: Path, options: Options, tmp_path: Path) -> None:
    """A worker that dies is replaced and its window decoded again."""
    counter = tmp_path / "crashes"
    counter.write_text("2")
    out = tmp_path / "out.txt"
    faults = options(crash_on=["w3"], crashes=str(counter))
    assert run("transcribe", str(speech), *faults, "-o", str(out)) == 0
    assert out.read_text().split() == WORDS.split()


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        ([], 2, "nothing to transcribe"),
        (["{speech}", "--model", "no-such-model"], 3, "there is no model"),
        (["{speech}", "--model", "/nowhere/m.bin"], 3, "/nowhere/m.bin"),
        (["{speech}", "--provider", "nobody"], 4, "no provider called 'nobody'"),
        (["{speech}", "--language", "xx"], 2, "there is no language 'xx'"),
        (["{speech}", "--output", "a", "--output-dir", "b"], 2, "exclude each other"),
        (["{speech}", "--output", "/nowhere/a.txt"], 1, "cannot write /nowhere/a.txt"),
        (["{speech}", "--output", "{speech}"], 2, "overwrite"),
        (["{speech}", "--raw-rate", "3"], 2, "raw format"),
        (["{speech}", "--wait-for-server", "nan"], 2, "--wait-for-server: nan is not a finite number"),
        (["{speech}", "--paragraph-pause", "inf"], 2, "--paragraph-pause: inf is not a finite number"),
        (["{speech}", "--language", ","], 2, "a language is missing: give a code such as en"),
        (["{speech}", "--language", "en,auto"], 2, '"auto" is any language'),
        (["{speech}", "--config", "/nowhere/c.toml"], 2, "/nowhere/c.toml"),
    ],
)
def test_mistakes(
    arguments: list[str],
    code: int,
    message: str,
    speech: Path,
    options: Options,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line that says what is wrong, and the contract's exit code."""
    given = [argument.format(speech=speech) for argument in arguments]
    defaults = options() if not {"--model", "--provider"} & set(given) else []
    assert run("transcribe", *given, *defaults) == code
    captured = capsys.readouterr()
    assert message in captured.err and captured.err.count("\n") == 1
    assert captured.err.startswith("asrctl: error: ") and captured.out == ""


def test_weights_that_do_not_load(speech: Path, options: Options, capsys: pytest.CaptureFixture[str]) -> None:
    """The reason, and exit code 3."""
    assert run("transcribe", str(speech), *options(fail_load="these are not weights")) == 3
    assert "these are not weights" in capsys.readouterr().err


def test_weights_that_crash_the_loader(
    speech: Path, options: Options, capsys: pytest.CaptureFixture[str]
) -> None:
    """A core dump in the worker is one line here, and exit code 3."""
    assert run("transcribe", str(speech), *options(crash_load=True)) == 3
    captured = capsys.readouterr()
    assert "killed by signal 6" in captured.err and captured.err.count("\n") == 1


def test_the_environment_and_flags(
    speech: Path, options: Options, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A variable sets the format, a flag overrides it."""
    monkeypatch.setenv("ASRCTL_FORMAT", "tsv")
    assert run("transcribe", str(speech), *options()) == 0
    assert capsys.readouterr().out.startswith("start\tend\ttext\n")
    assert run("transcribe", str(speech), *options(), "-f", "txt") == 0
    assert capsys.readouterr().out.split() == WORDS.split()


def test_without_vad_all_is_decoded(
    tmp_path: Path, speech: Path, options: Options, capsys: pytest.CaptureFixture[str]
) -> None:
    """--no-vad gives every sample to the recogniser."""
    assert run("transcribe", str(speech), *options(), "--no-vad", "-f", "json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["text"].split() == WORDS.split()
    assert document["audio"]["speech_s"] == 4.0


def interrupted(tmp_path: Path, *arguments: str) -> tuple[int, str, str]:
    """Run `transcribe` on endless speech, Ctrl-C after its first line; exit code, stdout, stderr."""
    script = tmp_path / "script.json"
    script.write_text("{}")
    command = [sys.executable, "-m", "asrctl", "transcribe", "-", "--raw-rate", "16000", "--no-vad"]
    command += ["--raw-encoding", "f32le", "--provider", "scripted", "--model", str(script), *arguments]
    words = speak([n % 4096 for n in range(100)]).tobytes()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin and process.stdout and process.stderr
        for _ in range(5):
            process.stdin.write(words)
        process.stdin.flush()  # and leave it open: there might come more
        first = process.stdout.readline().decode()
        process.send_signal(signal.SIGINT)
        rest, errors = process.stdout.read().decode(), process.stderr.read().decode()
        return process.wait(PATIENCE_S), first + rest, errors


def test_ctrl_c_keeps_what_there_is(tmp_path: Path) -> None:
    """Lines that were written stay whole, it is said where they end, and no traceback is shown."""
    code, out, errors = interrupted(tmp_path, "--format", "jsonl")
    assert code == 130
    records = [json.loads(line) for line in out.splitlines()]
    assert records[0]["type"] == "segment" and records[-1]["type"] == "summary"
    audio = records[-1]["audio"]
    known = audio["speech_s"] + audio["silence_s"] + audio["dropped_s"]
    assert known == pytest.approx(audio["received_s"]) and known > 0
    # A pipe's length is not known.
    said = re.findall(r"stopped: not transcribed from ([\d.]+) s on, where ([\d.]+) s may be speech", errors)
    assert [float(each) for each in said[0]] == pytest.approx(
        [audio["speech_s"], audio["dropped_s"]], abs=0.01
    )
    assert "Traceback" not in errors and "Fatal" not in errors


@pytest.mark.parametrize("reader", ["true", "head -n 1"])
def test_a_reader_that_goes_away_ends_it_quietly(reader: str, long_speech: Path, tmp_path: Path) -> None:
    """`| head` is no error to shout about, and what it does not want is no loss."""
    script = tmp_path / "script.json"
    script.write_text('{"delay_s": 0.5}')
    command = (
        f"{sys.executable} -m asrctl transcribe {long_speech} --no-vad --provider scripted --model {script}"
    )
    done = subprocess.run(f"{command} | {reader}", shell=True, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""


def test_help_shows_examples_and_exit_codes() -> None:
    """`--help` is enough to start with."""
    done = asrctl(["transcribe", "--help"], COLUMNS="100")
    assert done.returncode == 0
    assert "asrctl transcribe meeting.mp3" in done.stdout and "130" in done.stdout


@pytest.mark.integration
def test_real_speech(tiny_en: Path, tmp_path: Path) -> None:
    """The real recogniser on the sample sentence, in a process as a user runs it: words, times, silence."""
    monday = Path(__file__).parents[2] / "asrctl/assets/monday.wav"
    arguments = ["transcribe", str(monday), "--model", str(tiny_en), "--format", "json", "--word-timestamps"]
    done = asrctl(arguments)
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert document["text"] == "Please call me on Monday morning about the meeting."
    assert [word["text"].lower() for word in document["segments"][0]["words"]][:3] == ["please", "call", "me"]


@pytest.mark.integration
def test_a_far_speaker_beside_a_near_one(tiny_en: Path, tmp_path: Path) -> None:
    """45 dB quieter, in the same window: heard as well."""
    speech, pause, noise = sample_speech(), np.zeros(32_000, np.float32), np.random.default_rng(1)
    audio = np.concatenate([pause, speech * np.float32(10 ** (-45 / 20)), pause, speech, pause])
    soundfile.write(
        tmp_path / "two.wav", audio + noise.normal(0, 10 ** (-85 / 20), len(audio)), 16_000, "PCM_24"
    )
    done = asrctl(["transcribe", str(tmp_path / "two.wav"), "--model", str(tiny_en)])
    assert done.stdout == 2 * "Please call me on Monday morning about the meeting.\n"


@pytest.mark.integration
def test_standard_input_in_another_container(tiny_en: Path) -> None:
    """A FLAC on standard input, at another rate, in stereo."""
    import io

    import soxr

    monday = Path(__file__).parents[2] / "asrctl/assets/monday.wav"
    samples, rate_hz = soundfile.read(monday, dtype="float32")
    stereo = np.repeat(soxr.resample(samples, rate_hz, 44_100)[:, None], 2, axis=1)
    flac = io.BytesIO()
    soundfile.write(flac, stereo, 44_100, format="FLAC")
    done = asrctl(["transcribe", "-", "--model", str(tiny_en)], flac.getvalue())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Please call me on Monday morning about the meeting.\n"


@pytest.mark.integration
def test_hallucinations_in_silence(tiny_en: Path, tmp_path: Path) -> None:
    """Silence and hum are never decoded, so nobody says "Thank you." in them."""
    rng = np.random.default_rng(1)
    time_s = np.arange(20 * 16_000) / 16_000
    hum = 0.05 * np.sin(2 * np.pi * 50 * time_s) + rng.normal(0, 0.005, len(time_s))
    soundfile.write(tmp_path / "hum.wav", hum, 16_000)
    done = asrctl(["transcribe", str(tmp_path / "hum.wav"), "--model", str(tiny_en)])
    assert (done.returncode, done.stdout) == (0, "")
    assert "no speech found in 20.0 s" in done.stderr


@pytest.mark.integration
def test_what_was_decoded_and_has_no_words(tiny_en: Path, tmp_path: Path) -> None:
    """Where nobody looked for speech, it is not said that there was none."""
    soundfile.write(tmp_path / "zeros.wav", np.zeros(32_000), 16_000)
    done = asrctl(["transcribe", str(tmp_path / "zeros.wav"), "--no-vad", "--model", str(tiny_en)])
    assert (done.returncode, done.stdout) == (0, "")
    assert "no words were recognised in 2.0 s" in done.stderr


@pytest.mark.integration
@pytest.mark.parametrize("content", [b"", b"ggml", os.urandom(100_000)], ids=["empty", "magic", "random"])
def test_bad_weights(content: bytes, tmp_path: Path, speech: Path) -> None:
    """A file that is no model is one clear line and exit code 3."""
    path = tmp_path / "bad.bin"
    path.write_bytes(content)
    done = asrctl(["transcribe", str(speech), "--model", str(path)])
    assert done.returncode == 3
    assert done.stderr.startswith("asrctl: error: ") and done.stderr.count("\n") == 1
