"""`asrctl transcribe --mic` with other devices beside the microphone: one transcript in the order of time."""

from __future__ import annotations

import json
import os
import signal
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from asrctl.audio import devices, echo
from asrctl.cli import live
from asrctl_tests.scripted import speak
from tests.audio.microphones import FakePortAudio, Stream, entry
from tests.streaming.speech import silence

from .commands import Options, run

DEVICES = (
    entry("Speakers", inputs=0),
    entry("Built-in Microphone"),
    entry("Monitor of Speakers", inputs=2),
    entry("Monitor of Headphones", inputs=2),
    entry("Line In"),
)
MIC, MONITOR, LINE = 1, 2, 4
S = 16_000
MINE = np.concatenate([silence(0.5), speak(range(3)), silence(4.5), speak(range(3, 5)), silence(2)])
THEIRS = np.concatenate([silence(2.5), speak(range(10, 13)), silence(5)])
TALK = ["Me: w0 w1 w2", "Them: w10 w11 w12", "Me: w3 w4"]

Says = dict[int, NDArray[np.float32]]
Machine = Callable[[Says], FakePortAudio]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine whose devices hear these all at once; when the last has begun, somebody presses Ctrl-C."""

    def make(said: Says) -> FakePortAudio:
        begun = set[int]()

        def start(stream: Stream) -> None:
            stream.hear_all(said[stream.device])
            begun.add(stream.device)
            if begun == {*said}:
                os.kill(os.getpid(), signal.SIGINT)

        portaudio = FakePortAudio(DEVICES, on_start=start)
        monkeypatch.setattr(devices, "load_portaudio", lambda: portaudio)
        monkeypatch.setattr(live, "STOP_GRACE_S", 60.0)  # all was said at once, which takes its time to hear
        return portaudio

    return make


def test_both_sides_of_a_call(machine: Machine, options: Options, capsys: pytest.CaptureFixture[str]) -> None:
    """In the order of time, with names; the monitor is that of the default output."""
    portaudio = machine({MIC: MINE, MONITOR: THEIRS})
    assert run("transcribe", "--mic", "--system", *options()) == 0
    assert capsys.readouterr() == ("\n".join(TALK) + "\n", "")
    assert all(stream.closed for stream in portaudio.streams)


def test_the_document_and_the_recording(machine: Machine, options: Options, tmp_path: Path) -> None:
    """Speakers, an account of each track that adds up, and a channel for each."""
    machine({MIC: MINE, MONITOR: THEIRS})
    text, kept = tmp_path / "talk.json", tmp_path / "talk.wav"
    tracks = ["--track", "mic=Anna", "--track", "system=Ben"]
    assert run("transcribe", "--mic", *tracks, *options(), "-o", str(text), "--record", str(kept)) == 0
    document = json.loads(text.read_text())
    assert document["speakers"] == ["Anna", "Ben"]
    assert [track["speaker"] for track in document["tracks"]] == ["Anna", "Ben"]
    for key in ("received_s", "speech_s", "silence_s", "dropped_s"):
        total = sum(track["audio"][key] for track in document["tracks"])
        assert document["audio"][key] == pytest.approx(total)
    heard_s = document["audio"]["received_s"]
    assert heard_s == pytest.approx((len(MINE) + len(THEIRS)) / S)
    assert document["duration_s"] == pytest.approx(heard_s / 2, abs=0.001)
    with wave.open(str(kept)) as wav:
        assert (wav.getnchannels(), wav.getnframes()) == (2, max(len(MINE), len(THEIRS)))
        pcm = np.frombuffer(wav.readframes(wav.getnframes()), "<i2").reshape(-1, 2)
    assert np.allclose(pcm[: len(THEIRS), 1] / 32768, THEIRS, atol=1e-4)
    assert not pcm[len(THEIRS) :, 1].any()


def test_a_recording_of_tracks_is_transcribed_again(
    machine: Machine, options: Options, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its channels, with the same result."""
    machine({MIC: MINE, MONITOR: THEIRS})
    kept = tmp_path / "talk.wav"
    assert run("transcribe", "--mic", "--system", *options(), "--record", str(kept)) == 0
    names = ["--speaker", "left=Me", "--speaker", "right=Them"]
    capsys.readouterr()
    assert run("transcribe", str(kept), "--channels", "split", *names, *options()) == 0
    assert capsys.readouterr().out.splitlines() == TALK


@pytest.mark.parametrize("looked_for", [True, False])
def test_echo_is_written_once(
    machine: Machine,
    options: Options,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    looked_for: bool,
) -> None:
    """The microphone hears the loudspeaker: that is nobody's speech, unless echo is not looked for."""
    turns = [np.r_[2 * speak(range(n, n + 10)), silence(0.6)] for n in (0, 10, 20)]
    far = np.concatenate([silence(0.5), *turns])
    machine({MIC: (0.6 * np.r_[silence(0.05), far[:-800]]).astype(np.float32), MONITOR: far})
    if not looked_for:
        monkeypatch.setattr(echo, "MOST_TRACKS", 0)
    assert run("transcribe", "--mic", "--system", "--format", "json", *options()) == 0
    mine, theirs = json.loads(capsys.readouterr().out)["tracks"]
    assert theirs["audio"]["speech_s"] > 6
    assert (mine["audio"]["speech_s"] < 1.5) is looked_for


def test_a_gap_of_one_track(
    machine: Machine, options: Options, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is declared with the speaker's name; the other track goes on, and the account balances."""
    portaudio = machine({MIC: MINE, MONITOR: THEIRS})
    start = portaudio.on_start

    def missing(stream: Stream) -> None:
        if stream.device == MIC:
            stream.hear_all(speak([7]))
            stream.miss(S)
            stream.hear(silence(0.05), overflow=True)
        start(stream)

    portaudio.on_start = missing
    assert run("transcribe", "--mic", "--system", "--format", "json", *options()) == 0
    out, err = capsys.readouterr()
    assert "Me: the device's own buffer overflowed" in err
    audio = json.loads(out)["audio"]
    assert audio["dropped_s"] == pytest.approx(1.0)
    assert audio["received_s"] == pytest.approx(audio["speech_s"] + audio["silence_s"] + audio["dropped_s"])


def test_any_devices(machine: Machine, options: Options, capsys: pytest.CaptureFixture[str]) -> None:
    """By name or number, beside the microphone that --device names."""
    machine({LINE: MINE, MIC: THEIRS})
    chosen = ["--mic", "--device", "line", "--track", f"{MIC}=Ben"]
    assert run("transcribe", *chosen, *options()) == 0
    assert capsys.readouterr().out.splitlines() == [line.replace("Them", "Ben") for line in TALK]


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["--system"], "it needs --mic"),
        (["--mic", "--system", "--track", "system=Ben"], "each track has a file and a name of its own"),
        (["--mic", "--track", "built-in=Ben"], "each track has a device and a name of its own"),
        (["--mic", "--track", "line=Me"], "each track has a device and a name of its own"),
        (["--mic", "--track", "radio=Ben"], "no audio input is called 'radio'"),
        (["--mic", "--system", "--server", "ws://127.0.0.1:1"], "tracks are put together on this machine"),
        (["--mic", "--track", "2"], "--mic takes no inputs"),
    ],
)
def test_mistakes(args: list[str], reason: str, machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, and usage."""
    machine({})
    assert run("transcribe", *args) == 2
    assert reason in " ".join(capsys.readouterr().err.split())


def test_no_monitor(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    """It is said how a machine can have one; of several that do not belong to the output, one is named."""
    machine({}).entries = DEVICES[:2]
    assert run("transcribe", "--mic", "--system") == 1
    assert "BlackHole" in capsys.readouterr().err
    machine({}).entries = (entry("HDMI", inputs=0), *DEVICES[1:])
    assert run("transcribe", "--mic", "--system") == 2
    assert "2 (Monitor of Speakers), 3 (Monitor of Headphones); give the number" in " ".join(
        capsys.readouterr().err.split()
    )
