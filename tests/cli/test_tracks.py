"""`asrctl transcribe` with tracks: who is on which, one transcript, and what is refused."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrctl_tests.scripted import speak
from tests.audio.test_joined import DATA
from tests.streaming.speech import silence

from .commands import Options, run

LEFT = np.concatenate([silence(0.5), speak([1, 2, 3]), silence(3.5), speak([4]), silence(1)])
RIGHT = np.concatenate([silence(1.5), speak([5, 6, 7, 8, 9]), silence(1)])
RIGHT = np.pad(RIGHT, (0, len(LEFT) - len(RIGHT)))
PATIENCE_S = 30


@pytest.fixture
def call(tmp_path: Path) -> Path:
    """Two people, who speak at once for a moment, on a channel each."""
    path = tmp_path / "call.wav"
    soundfile.write(path, np.stack([LEFT, RIGHT], axis=1), 16_000, subtype="FLOAT")
    return path


@pytest.fixture
def tracks(tmp_path: Path) -> list[str]:
    """The same in two files, as options."""
    for name, samples in (("mic", LEFT), ("system", RIGHT)):
        soundfile.write(tmp_path / f"{name}.wav", samples, 16_000, subtype="FLOAT")
    return ["--track", f"{tmp_path / 'mic.wav'}=Me", "--track", f"{tmp_path / 'system.wav'}=Them"]


def test_channels_with_names(call: Path, options: Options, capsys: pytest.CaptureFixture[str]) -> None:
    """A dialogue in the order of time."""
    names = ["--speaker", "left=Anna", "--speaker", "2=Ben"]
    assert run("transcribe", str(call), "--channels", "split", *names, *options()) == 0
    captured = capsys.readouterr()
    assert captured.out == "Anna: w1 w2 w3\nBen: w5 w6 w7 w8 w9\nAnna: w4\n"
    assert captured.err == ""


def test_channels_without_names(call: Path, options: Options, capsys: pytest.CaptureFixture[str]) -> None:
    """They are called what is known of them."""
    assert run("transcribe", str(call), "--channels", "split", "--speaker", "left=Anna", *options()) == 0
    assert "right: w5" in capsys.readouterr().out


def test_a_table_says_who_spoke(call: Path, options: Options, capsys: pytest.CaptureFixture[str]) -> None:
    """With a column from its first line on, also for each word."""
    for way in ([], ["--word-timestamps"]):
        arguments = [str(call), "--channels", "split", "--format", "tsv", *way, *options()]
        assert run("transcribe", *arguments) == 0
        head, *rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
        assert head == ["start", "end", "text", "speaker"]
        sides = ["left", "right", "left"] if not way else [*["left"] * 3, *["right"] * 5, "left"]
        assert [row[3] for row in rows] == sides


@pytest.mark.parametrize("provider", ["scripted", "scripted_stream"])
def test_which_track_was_taken_is_said(
    provider: str, options: Options, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line that `-q` leaves out."""
    if find_spec("av") is None and shutil.which("ffmpeg") is None:
        pytest.skip("nothing that reads Matroska is installed")
    film = ["transcribe", str(DATA / "tracks_default2.mkv"), *options(), "--provider", provider, "--no-vad"]
    line = "tracks_default2.mkv: it has 2 audio tracks: this is track 2, its default; --track N takes another"
    for quiet, count in (([], 1), (["-q"], 0), (["--track", "2"], 0)):
        assert run(*film, *quiet) == 0
        assert capsys.readouterr().err.count(line) == count


def test_which_track_is_played_live_is_said(
    tmp_path: Path, options: Options, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where it is recorded."""
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "film.mkv"), "w") as film:
        streams = [film.add_stream("pcm_s16le", rate=16_000, layout="mono") for _ in range(2)]
        for stream in streams:
            frame = av.AudioFrame.from_ndarray(np.ones((1, 1600), np.int16), format="s16", layout="mono")
            frame.rate = 16_000
            film.mux([*stream.encode(frame), *stream.encode(None)])
    live = ["transcribe", str(tmp_path / "film.mkv"), "--live", "--record", str(tmp_path / "kept.wav")]
    line = "film.mkv: it has 2 audio tracks: this is track 1, its default; --track N takes another"
    for quiet, count in (([], 1), (["-q", "--append"], 0)):
        assert run(*live, *options(), *quiet) == 0
        assert capsys.readouterr().err.count(line) == count


@pytest.mark.parametrize("channels", [1, 2])
def test_where_channels_hide_speech_one_can_be_chosen(
    channels: int, tmp_path: Path, options: Options, capsys: pytest.CaptureFixture[str]
) -> None:
    """Noise on one covers the other when they are mixed; with one channel there is nothing to choose."""
    path = tmp_path / "hum.wav"
    soundfile.write(path, np.zeros((16_000, channels)) + 0.001, 16_000, subtype="FLOAT")
    assert run("transcribe", str(path), *options()) == 0
    assert run("transcribe", str(path), "--channel", "1", *options()) == 0
    said = "no speech found in 1.0 s; its channels were mixed: if one is noise, try --channel N\n"
    assert capsys.readouterr().err.count(said) == channels - 1


def test_files_as_tracks(tracks: list[str], options: Options, capsys: pytest.CaptureFixture[str]) -> None:
    """One document for all of them, with an account for each, which add up."""
    assert run("transcribe", *tracks, "--format", "json", "--word-timestamps", *options()) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["speakers"] == ["Me", "Them"]
    words = [word for segment in document["segments"] for word in segment["words"]]
    assert [word["text"] for word in words if word["speaker"] == "Me"] == ["w1", "w2", "w3", "w4"]
    assert [word["text"] for word in words if word["speaker"] == "Them"] == ["w5", "w6", "w7", "w8", "w9"]
    assert document["duration_s"] == len(LEFT) / 16_000
    for key, value in document["audio"].items():
        assert sum(track["audio"][key] for track in document["tracks"]) == pytest.approx(value)


def test_files_as_tracks_are_written_where_the_first_one_says(
    tracks: list[str], options: Options, tmp_path: Path
) -> None:
    """In a directory, the transcript is called like the first track; a track is never written over."""
    assert run("transcribe", *tracks, "--output-dir", str(tmp_path / "out"), "-f", "md", *options()) == 0
    assert "**Them** (0:00:01): w5" in (tmp_path / "out" / "mic.md").read_text()
    last = tracks[-1].rpartition("=")[0]
    assert run("transcribe", *tracks, "-o", last, "-f", "txt", *options()) == 2


def test_the_number_of_a_track_still_works(
    speech: Path, options: Options, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--track N` means what it always did."""
    assert run("transcribe", str(speech), "--track", "1", *options()) == 0
    assert run("transcribe", str(speech), "--track", "2", *options()) == 1
    assert "there is no audio track 2" in capsys.readouterr().err


def test_one_channel(speech: Path, call: Path, options: Options, capsys: pytest.CaptureFixture[str]) -> None:
    """An input that cannot be split is an error of its own; the others are transcribed."""
    assert run("transcribe", str(speech), str(call), "--channels", "split", *options()) == 1
    captured = capsys.readouterr()
    assert "it has 1 channel: there is nothing to split" in captured.err
    assert "left: w1" in captured.out


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["a.wav", "--speaker", "left=Anna"], "needs --channels split"),
        (["a.wav", "--channels", "split", "--speaker", "Anna"], "takes CHANNEL=NAME"),
        (["a.wav", "--channels", "split", "--speaker", "top=Anna"], "no channel is called 'top'"),
        (["a.wav", "--channels", "split", "--speaker", "1=A", "--speaker", "left=B"], "two speakers"),
        (["a.wav", "--channels", "split", "--channel", "1"], "takes all channels"),
        (["a.wav", "--channels", "split", "--live"], "it takes no tracks"),
        (
            ["a.wav", "--channels", "split", "--server", "ws://127.0.0.1:1"],
            "tracks are put together on this machine",
        ),
        (["--mic", "--channels", "split"], "--mic takes no"),
        (["a.wav", "--track", "x"], "the number of a track, from 1, or FILE=NAME"),
        (["a.wav", "--track", "0"], "from 1"),
        (["a.wav", "--track", "1", "--track", "2"], "FILE=NAME each"),
        (["a.wav", "--track", "b.wav=A", "--track", "c.wav=B"], "no other inputs"),
        (["--track", "b.wav=A"], "two or more"),
        (["--track", "b.wav=A", "--track", "c.wav=A"], "of its own"),
        (["--track", "b.wav=A", "--track", "b.wav=B"], "of its own"),
        (["--track", "b.wav=A", "--track", "=B"], "FILE=NAME each"),
    ],
)
def test_what_makes_no_sense(args: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is said in a line, before anything is read."""
    assert run("transcribe", *args) == 2
    assert reason in " ".join(capsys.readouterr().err.split())


def test_ctrl_c_keeps_what_is_known_of_every_track(tmp_path: Path) -> None:
    """Words already recognised are written, also those that waited for another track's, and it adds up."""
    script = tmp_path / "script.json"
    script.write_text("{}")
    command = [sys.executable, "-m", "asrctl", "transcribe", "-", "--channels", "split", "-f", "jsonl"]
    command += [
        "--provider",
        "scripted",
        "--model",
        str(script),
        "--raw-rate",
        "16000",
        "--raw-channels",
        "2",
    ]
    command += ["--raw-encoding", "f32le", "--no-vad"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin and process.stdout and process.stderr
        for _ in range(10):
            process.stdin.write(np.stack([LEFT, RIGHT], axis=1).tobytes())
        process.stdin.flush()  # and leave it open: there might come more
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, errors = process.stdout.read(), process.stderr.read().decode()
        assert process.wait(PATIENCE_S) == 130
    records = [json.loads(line) for line in (first + rest).splitlines()]
    summary = records[-1]
    audio = summary["audio"]
    assert audio["speech_s"] + audio["silence_s"] + audio["dropped_s"] == pytest.approx(audio["received_s"])
    assert {record["speaker"] for record in records[:-1]} <= {"left", "right"}
    starts = [record["start_s"] for record in records[:-1]]
    assert starts == sorted(starts)
    assert "Traceback" not in errors
