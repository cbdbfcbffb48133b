"""Live audio from source to output: all that was said is written or declared, however it ends."""

from __future__ import annotations

import asyncio
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import asrctl
from asrctl.api import AsyncEngine
from asrctl.assembly import Plan, health_check
from asrctl.audio.live import LiveSource, Lost
from asrctl.audio.mic import Microphone
from asrctl.cli import live as live_module
from asrctl.cli.in_turn import in_turn
from asrctl.cli.interrupts import Interrupts
from asrctl.cli.live_view import LiveView, Status
from asrctl.cli.local import listen
from asrctl.cli.task import Task
from asrctl.errors import EXIT_INTERRUPTED, AsrctlError, AudioError, ModelError
from asrctl.from_settings import stream_options
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.render import Format
from asrctl.render.parts import left_of, part_of
from asrctl.settings import LiveSettings, Settings, VadSettings
from asrctl.streaming.live import level_db
from asrctl_tests.scripted import speak
from tests.audio.microphones import USB, FakePortAudio, Stream
from tests.streaming.speech import LevelDetector, silence

MONDAY = Path(asrctl.__file__).parent / "assets" / "monday.wav"
MONDAY_TEXT = "Please call me on Monday morning about the meeting."
DEADLINE_S = 60.0

Run = Callable[..., int]


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of the person who runs the tests."""
    for name in os.environ:
        if name.startswith("ASRCTL_"):
            monkeypatch.delenv(name)
    (tmp_path / "config.toml").touch()
    monkeypatch.setenv("ASRCTL_CONFIG", str(tmp_path / "config.toml"))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Listens to a source with the scripted recogniser; keyword arguments are the task's, and `faults`."""

    def listen_to(
        source: LiveSource,
        view: LiveView | None = None,
        faults: dict[str, Any] | None = None,
        output: Path | None = None,
        format: Format = "txt",
        words: bool = False,
        is_microphone: bool = False,
        name: str = "-",
    ) -> int:
        script = tmp_path / "script.json"
        script.write_text(json.dumps(faults or {}))
        spec = ModelSpec("scripted", script, use_gpu=False)
        plan = Plan("script.json", spec, DecodeOptions(), workers=1)

        names = [] if is_microphone else [name]
        settings = Settings(word_timestamps=words)
        task = Task(names, [output], format, settings, open_source=lambda: source)

        async def main() -> int:
            async with AsyncEngine.of(plan, Settings()) as engine:
                return await listen(engine, lambda: source, task, view or LiveView(), LevelDetector)

        return asyncio.run(main())

    return listen_to


def microphone(on_start: Callable[[Stream], None], **options: Any) -> Microphone:
    """A microphone that hears what `on_start` says to its stream, all at once."""
    return Microphone(FakePortAudio(on_start=on_start), USB, **{"vanished_s": DEADLINE_S, **options})


def says(*pieces: NDArray[np.float32], then: Callable[[Stream], None]) -> Callable[[Stream], None]:
    """A device that hears this, and after it something happens."""

    def start(stream: Stream) -> None:
        for piece in pieces:
            stream.hear_all(piece)
        then(stream)

    return start


def ctrl_c(_stream: Stream) -> None:
    """Sent from the pump's thread; the main thread handles it."""
    os.kill(os.getpid(), signal.SIGINT)


def unplug(stream: Stream) -> None:
    stream.finished()


SENTENCES = (speak(range(5)), silence(1), speak(range(5, 9)), silence(1))
TEXT = "w0 w1 w2 w3 w4\nw5 w6 w7 w8\n"


def test_what_is_said_before_the_model_is_loaded_is_written(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of this is said before a worker process can even start; one Ctrl-C is the way to end it."""
    mic = microphone(says(*SENTENCES, then=ctrl_c))
    assert run(mic, is_microphone=True) == 0
    assert capsys.readouterr() == (TEXT, "")


def test_ctrl_c_finishes_the_last_utterance(run: Run, tmp_path: Path) -> None:
    """It comes in the middle of a sentence, whose last word is there; the account balances."""
    said = (speak(range(5)), silence(1), speak(range(5, 9)))
    path = tmp_path / "out.json"
    mic = microphone(says(*said, then=ctrl_c))
    assert run(mic, faults={"delay_s": 0.01}, output=path, format="json") == 130
    document = json.loads(path.read_text())
    assert document["text"] == "w0 w1 w2 w3 w4 w5 w6 w7 w8"
    audio = document["audio"]
    assert audio["received_s"] == document["duration_s"] == sum(map(len, said)) / 16_000
    assert audio["received_s"] == pytest.approx(audio["speech_s"] + audio["silence_s"])
    assert document["source"] == "microphone USB Headset" and document["timing"]["inference_s"] > 0


@pytest.mark.parametrize("format, start", [("srt", "1\n00:00:00,000 -->"), ("vtt", "WEBVTT\n\n00:00:00.000")])
def test_subtitles_are_complete_at_the_exit(run: Run, tmp_path: Path, format: str, start: str) -> None:
    """The cue that is held back comes with the end of the format."""
    path = tmp_path / "out"
    assert run(microphone(says(*SENTENCES, then=ctrl_c)), output=path, format=format, is_microphone=True) == 0
    text = path.read_text()
    assert text.startswith(start) and text.endswith("w5 w6 w7 w8\n\n")


@pytest.mark.parametrize("words", [True, False])
def test_words_have_times_if_they_were_asked_for(run: Run, tmp_path: Path, words: bool) -> None:
    """The recogniser gives them in any case, to find stable text."""
    path = tmp_path / "out.json"
    run(microphone(says(*SENTENCES, then=ctrl_c)), output=path, format="json", words=words)
    assert [len(segment["words"]) for segment in json.loads(path.read_text())["segments"]] == (
        [5, 4] if words else [0, 0]
    )


def test_losses_are_told_and_in_the_account(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A device that loses 0.5 s between two sentences; times after it are right."""

    def start(stream: Stream) -> None:
        stream.hear_all(np.concatenate(SENTENCES[:2]))
        stream.miss(8000)
        stream.hear(SENTENCES[2], overflow=True)
        ctrl_c(stream)

    path = tmp_path / "out.json"
    run(microphone(start), output=path, format="json")
    document = json.loads(path.read_text())
    assert document["audio"]["dropped_s"] == 0.5 and document["duration_s"] == 3.3
    assert document["segments"][1]["start_s"] == 2.5
    said = capsys.readouterr().err
    assert said == (
        "asrctl: warning: microphone USB Headset: dropped 2.00-2.50 s: the device's own buffer overflowed\n"
    )


def test_many_losses_do_not_flood_the_terminal(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """The first ten are told one by one, then only their sum."""

    def start(stream: Stream) -> None:
        for _ in range(50):
            stream.miss(160)
            stream.hear(np.full(800, 0.005, np.float32), overflow=True)
        ctrl_c(stream)

    run(microphone(start))
    lines = capsys.readouterr().err.splitlines()
    assert sum("overflowed" in line for line in lines) == 10
    assert lines[10].endswith("dropped 0.54 s in 50 places in all")


def test_audio_the_recogniser_refuses_is_a_loss(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """The rest is written."""
    run(microphone(says(*SENTENCES, then=ctrl_c)), faults={"refuse_on": ["w2"]})
    captured = capsys.readouterr()
    assert captured.out == "w5 w6 w7 w8\n" and "dropped 0.00-1" in captured.err


def test_a_device_that_vanishes_ends_it_after_what_was_heard(run: Run, tmp_path: Path) -> None:
    """The finals and the end of the format are written, then it is an error."""
    path = tmp_path / "out.json"
    with pytest.raises(AudioError, match="stopped giving audio"):
        run(microphone(says(*SENTENCES, then=unplug)), output=path, format="json")
    assert json.loads(path.read_text())["text"] == TEXT.replace("\n", " ").strip()


def test_a_device_that_gives_nothing_leaves_no_output(run: Run, tmp_path: Path) -> None:
    """There is nothing to show for it."""
    path = tmp_path / "out.json"
    mic = Microphone(FakePortAudio(broken_start=True), USB)
    with pytest.raises(AudioError, match="does not start"):
        run(mic, output=path, format="json")
    assert not path.exists()


class Attentive(LiveView):
    """A person who presses Ctrl-C on seeing the first partial."""

    shown = True
    seen = ""

    def partial(self, utterance: int, stable: str, unstable: str) -> None:
        if not self.seen:
            signal.raise_signal(signal.SIGINT)
        self.seen = f"{stable} {unstable}".strip()


def test_partials_are_shown_while_somebody_watches(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """They come while the utterance is open; what is written is its final."""
    view = Attentive()
    assert run(microphone(says(speak(range(5)), then=lambda stream: None)), view) == 130
    assert view.seen.startswith("w0 w1")
    assert capsys.readouterr().out == "w0 w1 w2 w3 w4\n"


def test_speech_without_words_is_no_text(run: Run, tmp_path: Path) -> None:
    """An utterance that turns out to be a noise is in the account and nowhere else."""
    path = tmp_path / "out.json"
    noise = np.full(16_000, 0.05, np.float32)
    run(microphone(says(noise, silence(1), then=ctrl_c)), output=path, format="json")
    document = json.loads(path.read_text())
    assert document["segments"] == [] and document["audio"]["speech_s"] > 1


class Impatient(LiveView):
    """A person who presses Ctrl-C again on seeing that it is about to finish."""

    def __init__(self, once: Callable[[], bool] = lambda: True) -> None:
        super().__init__()
        self._once = once

    def refresh(self, status: Status) -> None:
        if "finishing" in status.note and self._once():
            signal.raise_signal(signal.SIGINT)


def test_a_second_ctrl_c_ends_it_at_once(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The recogniser hangs; what there is is written, the rest declared, and the exit code is 130."""
    path = tmp_path / "out.json"
    mic = microphone(says(*SENTENCES, then=ctrl_c))
    faults = {"hang_on": ["w6"]}
    assert run(mic, Impatient(), faults, output=path, format="json", is_microphone=True) == 130
    document = json.loads(path.read_text())
    audio = document["audio"]
    assert "w6" not in document["text"]
    assert audio["dropped_s"] >= 0.8
    assert audio["received_s"] == pytest.approx(
        audio["speech_s"] + audio["silence_s"] + audio["dropped_s"], abs=1e-6
    )
    assert "are not transcribed" in capsys.readouterr().err


def test_an_interrupted_replay_leaves_an_older_transcript(run: Run, tmp_path: Path) -> None:
    """A file can be heard again: what there is of it is a part, as if it were not live."""
    path = tmp_path / "out.txt"
    for older in (None, "complete"):
        if older:
            path.write_text(older)
        assert run(microphone(says(*SENTENCES, then=ctrl_c)), output=path, name="talk.wav") == 130
        assert left_of(path) == [part_of(path)] and part_of(path).read_text() == TEXT
        assert (path.read_text() if path.exists() else None) == older


def test_the_end_of_a_microphone_replaces_an_older_transcript(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C is how to end it; but nothing replaces nothing, and a second Ctrl-C leaves a part."""
    path = tmp_path / "out.vtt"
    path.write_text("older")
    quiet = microphone(says(silence(1), then=ctrl_c))
    assert run(quiet, output=path, format="vtt", is_microphone=True) == 0
    assert path.read_text() == "older" and left_of(path) == []
    assert f"microphone USB Headset: {path} stays as it was" in capsys.readouterr().err

    mic, view = microphone(says(*SENTENCES, then=ctrl_c)), Impatient(once=lambda: left_of(path) != [])
    assert run(mic, view, {"hang_on": ["w6"]}, output=path, is_microphone=True) == 130
    assert path.read_text() == "older" and part_of(path).read_text() == "w0 w1 w2 w3 w4\n"

    assert run(microphone(says(*SENTENCES, then=ctrl_c)), output=path, is_microphone=True) == 0
    assert path.read_text() == TEXT and left_of(path) == []


def test_it_is_said_where_the_text_of_a_microphone_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where it was cut short, it is a part."""
    part = tmp_path / "out.txt.part"
    part.write_text("so far")

    async def cut_short(open_source: Callable[[], LiveSource], task: Task) -> int:
        return EXIT_INTERRUPTED

    task = Task([], [tmp_path / "out.txt"], "txt", Settings(), open_source=Deaf)
    assert asyncio.run(in_turn(task, cut_short, LiveView())) == 130
    assert capsys.readouterr().err == f"asrctl: interrupted: microphone begun; partial text: {part}\n"


def test_handlers_of_signals_are_put_back(run: Run) -> None:
    """Whoever runs it has them again afterwards."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    run(microphone(says(*SENTENCES, then=ctrl_c)))
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_third_interrupt_is_an_ordinary_one() -> None:
    """Two are counted, and told; should that not help, Ctrl-C works as ever."""
    told = []
    with Interrupts(lambda: told.append(1)) as interrupts:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert interrupts.count == len(told) == 2


class Deaf:
    """A source that hangs: it neither gives anything nor ends when it is told to."""

    def __init__(self) -> None:
        self.name = "deaf"
        self.warnings: list[str] = []
        self.release: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.closed = False

    def __iter__(self) -> Iterator[NDArray[np.float32] | Lost]:
        yield SENTENCES[0]
        os.kill(os.getpid(), signal.SIGINT)
        self.release.get(timeout=DEADLINE_S)

    def stop(self) -> None:
        """Nothing comes of it."""

    def close(self) -> None:
        self.closed = True


def test_a_source_that_hangs_is_not_waited_for(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pipe nobody writes to, a driver that does not return: what it gave is written."""
    monkeypatch.setattr(live_module, "STOP_GRACE_S", 0.0)
    monkeypatch.setattr("asrctl.streaming.source._CLOSE_GRACE_S", 0.0)
    source = Deaf()
    assert run(source) == 130
    assert capsys.readouterr().out == "w0 w1 w2 w3 w4\n"
    source.release.put(None)


class Late(Deaf):
    """A source that gives something more when it is told to stop for the second time."""

    def __iter__(self) -> Iterator[NDArray[np.float32] | Lost]:
        yield from super().__iter__()
        yield SENTENCES[2]
        yield Lost(160, "the source was late")

    def stop(self) -> None:
        self.stops = getattr(self, "stops", 0) + 1
        if self.stops == 2:
            self.release.put(None)


def test_what_comes_too_late_is_declared(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The session is over, so it is not transcribed, but it did come."""
    monkeypatch.setattr(live_module, "STOP_GRACE_S", 0.0)
    monkeypatch.setattr("asrctl.streaming.source._CLOSE_GRACE_S", DEADLINE_S)
    path, source = tmp_path / "out.json", Late()
    assert run(source, output=path, format="json") == 130
    audio = json.loads(path.read_text())["audio"]
    assert (audio["received_s"], audio["speech_s"], audio["dropped_s"]) == (1.81, 1.0, 0.81)
    assert source.closed and "the last 0.81 of 1.81 s are not transcribed" in capsys.readouterr().err


def test_a_start_that_fails_closes_the_source(run: Run) -> None:
    """Signals can be had in the main thread only; elsewhere it cannot run."""
    source, errors = Deaf(), list[ValueError]()

    def elsewhere() -> None:
        try:
            run(source)
        except ValueError as error:
            errors.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join(DEADLINE_S)
    assert errors and source.closed


def test_a_model_that_does_not_load_ends_it(run: Run) -> None:
    """Though the source would go on for ever; it is closed."""
    mic = microphone(says(*SENTENCES, then=lambda stream: None))
    with pytest.raises(ModelError, match="broken weights"):
        run(mic, faults={"fail_load": "broken weights"})


def test_an_output_that_cannot_be_written_closes_the_source(run: Run, tmp_path: Path) -> None:
    """Known before anything is heard."""
    source = Deaf()
    with pytest.raises(AsrctlError, match="cannot write"):
        run(source, output=tmp_path)
    assert source.closed


def test_silence_is_told(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing on standard output, and two lines that say why."""
    run(microphone(says(silence(2), then=ctrl_c)))
    out, err = capsys.readouterr()
    assert out == "" and "silent: nothing but zeros" in err and "no speech found in 2.0 s" in err


def test_settings_become_options() -> None:
    """Thresholds, lengths and paces arrive where they work."""
    vad = VadSettings(onset=0.6, offset=0.7, trailing_silence_s=0.8, min_speech_s=0.3, speech_pad_s=0.4)
    live = LiveSettings(partial_interval_s=20.0, max_utterance_s=9.0)
    options = stream_options(DecodeOptions(), vad, live)
    cut = options.endpointing
    assert (cut.onset_threshold, cut.offset_threshold) == (0.6, 0.6)
    assert (cut.trailing_silence_s, cut.min_speech_s, cut.pad_before_s) == (0.8, 0.3, 0.4)
    assert (cut.overlong_s, options.pacing and options.pacing.interval_s) == (9.0, 20.0)
    assert stream_options(DecodeOptions(), None, live).endpointing.min_speech_s == 0


def test_models_of_the_catalog_must_understand_the_sample() -> None:
    """Others may know another language: of them it is only asked that they decode."""
    options = DecodeOptions(language="de", translate=True, prompt="Wie")

    def check(model: str) -> tuple[bool, str]:
        health = health_check(Plan(model, ModelSpec("whisper_cpp", Path(model)), options, 1))
        return bool(health.words), health.options.language

    assert check("tiny.en-q8_0") == check("tiny.en") == (True, "en")
    assert check("my-german.bin") == (False, "en")


def test_levels_are_in_db_of_full_scale() -> None:
    """A square wave at full scale is 0 dB, digital silence has no level."""
    assert level_db(np.ones(8, np.float32)) == 0
    assert level_db(np.full(8, 0.1, np.float32)) == pytest.approx(-20, abs=0.01)
    assert level_db(np.zeros(8, np.float32)) == level_db(np.zeros(0, np.float32)) == -np.inf


# The command line


FAKE_SOUNDDEVICE = """
import sys, threading, wave
import numpy as np
sys.path.insert(0, {root!r})
from tests.audio.microphones import FakePortAudio, PortAudioError

_stopped = threading.Event()

def speak(stream):
    with wave.open({wav!r}) as wav:
        pcm = np.frombuffer(wav.readframes(wav.getnframes()), np.int16)
    stream.hear_all(np.concatenate([pcm / np.float32(32768), np.zeros(16000, np.float32)]))
    threading.Thread(target=stay_silent, args=(stream,), daemon=True).start()

def stay_silent(stream):
    while not _stopped.wait(stream.blocksize / stream.rate_hz):
        stream.hear(np.zeros(stream.blocksize, np.float32))

_fake = FakePortAudio(on_start=speak, on_stop=lambda _: _stopped.set())
default, query_devices, query_hostapis = _fake.default, _fake.query_devices, _fake.query_hostapis
RawInputStream = _fake.RawInputStream
"""


@pytest.fixture
def sounddevice(tmp_path: Path) -> dict[str, str]:
    """An environment in which `sounddevice` has a microphone that says MONDAY_TEXT and then is silent."""
    root = Path(__file__).parents[2]
    directory = tmp_path / "fake"
    directory.mkdir()
    (directory / "sounddevice.py").write_text(FAKE_SOUNDDEVICE.format(root=str(root), wav=str(MONDAY)))
    return {**os.environ, "PYTHONPATH": str(directory)}


def transcribe(*args: str, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run `asrctl transcribe` in a process of its own."""
    command = [sys.executable, "-m", "asrctl", "transcribe", *args]
    return subprocess.run(command, capture_output=True, text=True, env=environ, timeout=DEADLINE_S)


def hear_interrupts() -> None:
    """In the child: a test run in the background of a shell has SIGINT ignored, which children inherit."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def started(*args: str, environ: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Start `asrctl transcribe` in a process of its own."""
    command = [sys.executable, "-m", "asrctl", "transcribe", *args]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command,
        stdout=pipe,
        stderr=pipe,
        text=True,
        env=environ or {**os.environ},
        preexec_fn=hear_interrupts,
    )


@pytest.mark.parametrize(
    "args, complaint",
    [
        (["--mic", "a.wav"], "--mic takes no inputs"),
        (["--mic", "--live"], "--mic takes no inputs"),
        (["--live", "a.wav", "b.wav"], "exactly one input"),
        (["--device", "2", "a.wav"], "needs --mic"),
        (["--mic", "--device", "bluetooth"], "no audio input is called 'bluetooth'"),
    ],
)
def test_options_that_contradict_each_other(
    args: list[str], complaint: str, sounddevice: dict[str, str]
) -> None:
    """One line, exit code 2."""
    done = transcribe(*args, environ=sounddevice)
    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr and done.stderr.count("\n") == 1


def test_devices_are_listed(sounddevice: dict[str, str]) -> None:
    """A table on standard output; nothing is recorded, no model is looked for."""
    done = transcribe("--list-devices", environ=sounddevice)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[-1] for line in done.stdout.splitlines()] == ["API", "ALSA", "ALSA"]


def test_a_microphone_without_portaudio_is_one_line(tmp_path: Path) -> None:
    """It says what to install; exit code 2, as for every option that needs something more."""
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    done = transcribe("--mic", environ={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert (done.returncode, done.stdout) == (2, "")
    assert "apt install libportaudio2" in done.stderr and done.stderr.count("\n") == 1


def test_a_file_that_does_not_exist_is_one_line(tmp_path: Path) -> None:
    """As without --live."""
    script = tmp_path / "script.json"
    script.write_text("{}")
    done = transcribe("--live", "nowhere.wav", "--provider", "scripted", "--model", str(script))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "asrctl: error: nowhere.wav: no such file\n"


def wait_until_read(pipe: int) -> None:
    """Block until somebody has read all that is in a pipe."""
    import fcntl
    import termios

    deadline_s = time.monotonic() + DEADLINE_S
    while any(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4))):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")
def test_ctrl_c_while_standard_input_gives_nothing(tmp_path: Path) -> None:
    """A thread waits in `read` then, which must not make Python abort at its exit."""
    script = tmp_path / "script.json"
    script.write_text("{}")
    command = [sys.executable, "-m", "asrctl", "transcribe", "-", "--raw-rate", "16000"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*command, "--provider", "scripted", "--model", str(script)],
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        preexec_fn=hear_interrupts,
    ) as child:
        assert child.stdin and child.stdout and child.stderr
        child.stdin.write(bytes(1 << 20))  # no multiple of a block: at its end, more is waited for
        child.stdin.flush()
        wait_until_read(child.stdin.fileno())
        child.send_signal(signal.SIGINT)
        err = child.stderr.read().decode()
        assert child.wait(DEADLINE_S) == 130
    assert "interrupted: standard input begun" in err and "Traceback" not in err


@pytest.mark.integration
def test_a_file_is_transcribed_live(tiny_en: Path, tmp_path: Path) -> None:
    """At its own pace, with the account and the times of its audio."""
    path = tmp_path / "out.json"
    done = transcribe("--live", str(MONDAY), "--model", str(tiny_en), "--output", str(path))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    document = json.loads(path.read_text())
    audio, timing = document["audio"], document["timing"]
    assert document["text"] == MONDAY_TEXT and document["language"] == "en"
    assert audio["received_s"] == pytest.approx(audio["speech_s"] + audio["silence_s"], abs=1e-6)
    assert audio["dropped_s"] == 0 and timing["wall_s"] >= document["duration_s"]


@pytest.mark.integration
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")
def test_ctrl_c_ends_the_microphone(tiny_en: Path, sounddevice: dict[str, str]) -> None:
    """Sent when the first final is there; that is no failure: exit code 0, the end of the format comes."""
    args = ("--mic", "--device", "usb", "--format", "jsonl", "--model", str(tiny_en))
    with started(*args, environ=sounddevice) as child:
        assert child.stdout
        segment = json.loads(child.stdout.readline())
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=DEADLINE_S)
    assert (child.returncode, err) == (0, "")
    summary = json.loads(out)
    assert segment["text"] == MONDAY_TEXT and summary["segment_count"] == 1
    assert summary["source"] == "microphone USB Headset"


@pytest.mark.integration
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")
def test_ctrl_c_cuts_a_replay_short(tiny_en: Path, tmp_path: Path) -> None:
    """Sent when the first of many utterances is final: what was said until then comes, and 130."""
    path = tmp_path / "long.wav"
    with wave.open(str(MONDAY)) as one, wave.open(str(path), "wb") as many:
        many.setparams(one.getparams())
        pcm = one.readframes(one.getnframes()) + bytes(2 * 16_000)
        for _ in range(15):
            many.writeframes(pcm)
    with started("--live", str(path), "--format", "jsonl", "--model", str(tiny_en)) as child:
        assert child.stdout
        assert json.loads(child.stdout.readline())["text"] == MONDAY_TEXT
        child.send_signal(signal.SIGINT)
        out, _ = child.communicate(timeout=DEADLINE_S)
    summary = json.loads(out.splitlines()[-1])
    audio = summary["audio"]
    assert child.returncode == 130 and summary["duration_s"] < 45
    assert audio["received_s"] == pytest.approx(audio["speech_s"] + audio["silence_s"], abs=1e-6)
