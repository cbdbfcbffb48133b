"""Audio through a server: what comes out, what is said, and how it ends."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import wave
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from asrctl.audio.live import LiveSource, Lost
from asrctl.cli import task
from asrctl.cli.live_view import LiveView, Status
from asrctl.cli.remote import RemoteRequest, _RemoteTranscriber, transcribe_remotely
from asrctl.cli.result_writer import ResultWriter
from asrctl.cli.task import Task
from asrctl.client import ClientOptions
from asrctl.errors import AudioError
from asrctl.policy.backoff import BackoffOptions
from asrctl.protocol.endpointing import Endpointing
from asrctl.render import Format
from asrctl.render.formats import WRITERS
from asrctl.render.options import RenderOptions
from asrctl.settings import Settings
from asrctl.transcript import SAMPLE_RATE_HZ, Segment
from tests.audio.samples import wav_bytes
from tests.cli.commands import asrctl, run
from tests.client.server import (
    Cut,
    Refuse,
    Restart,
    ScriptedServer,
    Stall,
    pcm,
    sound,
    words,
)

SAMPLES = 50_000
DEADLINE_S = 60.0
QUICK = ClientOptions(backoff=BackoffOptions(first_s=0.01, max_s=0.02))
"""Waits that are too short to be worth a fake clock."""

Serve = Callable[..., ScriptedServer]


@contextmanager
def serving(server: ScriptedServer) -> Iterator[ScriptedServer]:
    """A server in a thread of its own, since the command line has a loop of its own."""
    loop = asyncio.new_event_loop()
    started, stop = threading.Event(), asyncio.Event()

    async def main() -> None:
        async with server.running():
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    assert started.wait(DEADLINE_S)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(DEADLINE_S)
        loop.close()


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers, and stops them."""
    with ExitStack() as stack:
        yield lambda *faults, **options: stack.enter_context(serving(ScriptedServer(*faults, **options)))


@pytest.fixture
def spoken(tmp_path: Path) -> Path:
    """A WAV of what the scripted server understands."""
    path = tmp_path / "spoken.wav"
    with wave.open(str(path), "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(16_000)
        wav.writeframes(pcm(0, SAMPLES).tobytes())
    return path


class Heard:
    """A live source that gives what it has, and then stays until it is stopped if it should."""

    name = "heard"

    def __init__(self, items: Sequence[NDArray[np.float32] | Lost], *, stays: bool = False) -> None:
        self.warnings: list[str] = []
        self.closed = False
        self._items = items
        self._stays = stays
        self._stopped = threading.Event()

    def __iter__(self) -> Iterator[NDArray[np.float32] | Lost]:
        yield from self._items
        if self._stays:
            assert self._stopped.wait(DEADLINE_S)

    def stop(self) -> None:
        self._stopped.set()

    def close(self) -> None:
        self.closed = True


class Broken(Heard):
    """One that fails after what it gave."""

    def __iter__(self) -> Iterator[NDArray[np.float32] | Lost]:
        yield from self._items
        raise AudioError("heard: the microphone was unplugged")


class Screen(LiveView):
    """A view that remembers what it was to show, as if there were a terminal."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []
        self.partials: list[str] = []
        self.seen: Callable[[Status], None] = lambda status: None

    @property
    def shown(self) -> bool:
        return True

    @property
    def shares_terminal(self) -> bool:
        return False

    def start(self) -> None:
        pass

    def refresh(self, status: Status) -> None:
        if not self.notes or self.notes[-1] != status.note:
            self.notes.append(status.note)
        self.seen(status)

    def partial(self, utterance: int, stable: str, unstable: str) -> None:
        self.partials.append(unstable)


def listen(
    server: ScriptedServer,
    source: LiveSource,
    view: LiveView | None = None,
    client: ClientOptions = QUICK,
    format: Format = "txt",
) -> int:
    """Have one live source transcribed."""
    task = Task([], [None], format, Settings(), open_source=lambda: source)
    asked = RemoteRequest(server.url, client, task)
    return asyncio.run(transcribe_remotely(asked, view or LiveView()))


def test_a_file(serve: Serve, spoken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file goes to the server, and its words to standard output; nothing else is said."""
    assert run("transcribe", "--server", serve().url, str(spoken)) == 0
    out, err = capsys.readouterr()
    assert out.split() == words(SAMPLES)
    assert err == ""


def test_standard_input(serve: Serve) -> None:
    """`-` works as it does without a server."""
    done = asrctl(
        ["transcribe", "--server", serve().url, "-", "--raw-rate", "16000"], pcm(0, SAMPLES).tobytes()
    )
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, words(SAMPLES), "")


@pytest.mark.parametrize(("asked", "language"), [("en", "en"), ("auto", "de"), ("en,de", "de")])
def test_json(
    asked: str, language: str, serve: Serve, spoken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The JSON is that of schema 1, with the server's model, the language that was asked for or else heard
    first, and an account that balances to the sample."""
    assert run("transcribe", "--server", serve().url, str(spoken), "-f", "json", "--language", asked) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["schema"], found["model"], found["language"]) == (1, "scripted", language)
    assert found["text"].split() == words(SAMPLES)
    assert found["segments"][1]["start_s"] == 0.1
    audio = found["audio"]
    assert audio["received_s"] == SAMPLES / 16_000
    assert audio["received_s"] == audio["speech_s"] + audio["silence_s"] + audio["dropped_s"]
    assert found["timing"]["inference_s"] is None and found["timing"]["wall_s"] > 0


def test_live(serve: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--live` plays one input at its own pace."""
    raw = tmp_path / "short"
    raw.write_bytes(pcm(0, 5000).tobytes())
    assert run("transcribe", "--server", serve().url, "--live", str(raw), "--raw-rate", "16000") == 0
    assert capsys.readouterr().out.split() == words(5000)


def test_several_files(
    serve: Serve, spoken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each has a session and a file of its own; one that cannot be read fails alone."""
    out = tmp_path / "out"
    server = serve()
    code = run("transcribe", "--server", server.url, "missing.wav", str(spoken), "--output-dir", str(out))
    assert code == 1
    assert (out / "spoken.txt").read_text().split() == words(SAMPLES)
    assert not (out / "missing.txt").exists()
    assert "missing.wav: no such file" in capsys.readouterr().err
    assert len(server.starts) == 1


def test_asks_for_what_was_asked(serve: Serve, spoken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options reach the server; the model of this machine's settings does not; the key may be a variable."""
    monkeypatch.setenv("ASRCTL_API_KEY", "secret")
    server = serve()
    assert run("transcribe", "--server", server.url, str(spoken), "--prompt", "Anna", "-f", "srt") == 0
    assert (
        run("transcribe", "--server", server.url, str(spoken), "--model", "base", "--source", "system") == 0
    )
    live = ["--live", "--endpoint-silence", "0.3", "--no-end-of-turn"]
    assert run("transcribe", "--server", server.url, str(spoken), *live) == 0
    first, second, third = server.starts
    assert third.endpointing == Endpointing(trailing_silence_s=0.3, end_of_turn=False)
    assert first.endpointing is None
    assert (first.model, first.prompt, first.words, first.partials) == (None, "Anna", True, False)
    assert (second.model, second.source, second.words) == ("base", "system", False)
    assert server.keys == ["Bearer secret"] * 3


def test_cuts_and_restarts(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    """Connections break, the server restarts: the text is whole; without a terminal each outage is a line."""
    source = Heard([sound(at, at + 1000) for at in range(0, SAMPLES, 1000)])
    assert listen(serve([Cut(10_000), Restart(10_000), Cut(9_000)]), source) == 0
    out, err = capsys.readouterr()
    assert out.split() == words(SAMPLES)
    assert "the connection was lost; trying again, at most 15 times" in err
    assert "connected again" in err
    assert source.closed


def test_gives_up(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 5, one line with the path of a WAV of what was not transcribed, and what was is written."""
    monkeypatch.setenv("ASRCTL_CLIENT__MAX_WAIT_S", "0.01")
    server = serve([Restart(20_000), Refuse(401)])
    args = ["transcribe", "--server", server.url, "-", "--raw-rate", "16000"]
    monkeypatch.chdir(tmp_path)
    done = asrctl(args, pcm(0, SAMPLES).tobytes())
    out, err = done.stdout, done.stderr
    heard = out.split()
    assert done.returncode == 5
    assert heard == words(SAMPLES)[: len(heard)] and heard
    assert re.search(r"stdin: stopped: the last \d\.\d\d of \d\.\d\d s are not transcribed", err)
    (saved,) = tmp_path.glob("asrctl-unsent-*.wav")
    last = err.splitlines()[-1]
    assert last.startswith("asrctl: error: ws://127.0.0.1") and last.endswith(f"kept in {saved}")
    with wave.open(str(saved)) as wav:
        data = np.frombuffer(wav.readframes(wav.getnframes()), "<i2")
    start = len(heard) * 1600
    assert np.array_equal(data, pcm(start, start + len(data)))


def test_a_file_is_not_copied_when_the_server_is_given_up(
    serve: Serve, spoken: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is on the disk anyway: the error says how far it was transcribed, and nothing is left beside it."""
    monkeypatch.chdir(spoken.parent)
    monkeypatch.setenv("ASRCTL_CLIENT__MAX_WAIT_S", "0.01")
    assert run("transcribe", "--server", serve([Restart(20_000), Refuse(401)]).url, str(spoken)) == 5
    err = capsys.readouterr().err
    assert re.search(r"transcribed up to \d\.\d s\n", err)
    assert not list(spoken.parent.glob("asrctl-unsent-*"))


def test_attempts_are_a_setting(
    serve: Serve, spoken: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    """How often it is tried can be set; the error says how often it was."""
    monkeypatch.chdir(spoken.parent)
    monkeypatch.setenv("ASRCTL_CLIENT__MAX_ATTEMPTS", "2")
    monkeypatch.setenv("ASRCTL_CLIENT__MAX_WAIT_S", "0.01")
    assert run("transcribe", "--server", serve([Refuse(503)] * 2).url, str(spoken)) == 5
    assert "gave up after 2 attempts" in capsys.readouterr().err


def test_states_on_the_screen(serve: Serve) -> None:
    """A person sees how the link is, and which attempt of how many; and partials, which are asked for."""
    screen = Screen()
    server = serve([Refuse(503), Cut(5_000)])
    listening = threading.Event()
    source = Heard([sound(0, SAMPLES)], stays=True)

    def seen(status: Status) -> None:
        if status.note == "live" and status.lag_s < 0.1 and status.heard_s > 3:
            listening.set()
            source.stop()

    screen.seen = seen
    options = ClientOptions(backoff=BackoffOptions(first_s=0.5, max_s=0.5))
    assert listen(server, source, screen, client=options) == 0
    assert listening.is_set()
    assert any(note.startswith("reconnecting 2/15") and "the server is full" in note for note in screen.notes)
    assert screen.partials and server.starts[0].partials


def test_a_source_that_fails_at_once(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    """Where nothing was heard, nothing is written but the failure."""
    assert listen(serve(), Broken([]), format="json") == 1
    out, err = capsys.readouterr()
    assert (out, err) == ("", "asrctl: error: heard: the microphone was unplugged\n")


def test_load_is_shown(serve: Serve) -> None:
    """A server that does less says so, and so does the screen."""
    screen = Screen()
    source = Heard([sound(0, SAMPLES)], stays=True)

    def seen(status: Status) -> None:
        if status.note == "live; the server is under load, level 2":
            source.stop()

    screen.seen = seen
    assert listen(serve(level=2), source, screen) == 0


def test_a_source_that_fails(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    """What it had given is written before the failure is told."""
    server = serve()
    assert listen(server, Broken([sound(0, 16_000)])) == 1
    out, err = capsys.readouterr()
    assert out.split() == words(16_000)
    assert "unplugged" in err


def test_losses_of_the_source(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    """What the microphone lost is declared with its place and reason, and in the account."""
    source = Heard([sound(0, 4800), Lost(1600, "overflow"), sound(6400, 16_000)])
    assert listen(serve(), source, format="json") == 0
    out, err = capsys.readouterr()
    assert "heard: dropped 0.30-0.40 s: overflow" in err
    audio = json.loads(out)["audio"]
    assert (audio["received_s"], audio["dropped_s"]) == (1.0, 0.1)


def test_no_speech(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    """A source with nothing in it is said to have nothing in it."""
    assert listen(serve(), Heard([])) == 0
    assert "no speech found in 0.0 s" in capsys.readouterr().err


def interrupted(
    server: ScriptedServer,
    wanted: Callable[[str], bool],
    source: Sequence[str] = ("-", "--raw-rate", "16000"),
) -> tuple[int, str, str]:
    """A client, on endless standard input unless told, that gets a Ctrl-C once its output is as wanted."""
    args = [sys.executable, "-m", "asrctl", "transcribe", "--server", server.url, *source]
    child = subprocess.Popen(
        args,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    watchdog = threading.Timer(DEADLINE_S, child.kill)
    watchdog.start()
    try:
        assert child.stdin is not None and child.stdout is not None and child.stderr is not None
        if source[0] == "-":
            child.stdin.write(pcm(0, SAMPLES).tobytes())
            child.stdin.flush()
        heard = ""
        while not wanted(heard):
            line = child.stdout.readline().decode()
            assert line, child.stderr.read().decode()
            heard += line
        child.send_signal(signal.SIGINT)
        heard += child.stdout.read().decode()
        return child.wait(), heard, child.stderr.read().decode()
    finally:
        watchdog.cancel()
        child.kill()
        child.communicate()


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_one_interrupt(serve: Serve) -> None:
    """Ctrl-C ends the input: what was read is transcribed, and the exit code says that it was cut short."""
    server = serve()
    code, out, err = interrupted(server, lambda heard: "w29" in heard)
    (session,) = server.sessions.values()
    told, account = err.splitlines()
    assert code == 130 and told == "asrctl: finishing what was read; another Ctrl-C stops now"
    assert account.startswith("asrctl: interrupted: ") and " up to " in account
    assert out.split() == words(session.state.received)
    assert session.state.finish_offset == session.state.received >= 48_000


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_an_interrupt_in_the_middle_of_a_file(serve: Serve, tmp_path: Path) -> None:
    """How much of it was not read is told by its length, which the server cannot know."""
    path = tmp_path / "long.wav"
    path.write_bytes(wav_bytes(pcm(0, SAMPLES).tobytes() + bytes(2 * 1800 * SAMPLE_RATE_HZ)))
    code, _, err = interrupted(serve(), lambda heard: "w29" in heard, [str(path)])
    assert code == 130
    assert re.search(r"long\.wav: stopped: not read beyond \d+\.\d\d of 18\d\d\.\d s", err), err


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_two_interrupts(serve: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Twice stops even where no server answers: what is lost is told, and live audio is kept in a file."""
    server = serve([Stall(0)])
    source = Heard([sound(0, SAMPLES)], stays=True)
    screen = Screen()
    sent: list[int] = []

    def seen(status: Status) -> None:
        if status.heard_s > 3 and "connecting" in status.note and len(sent) < 2:
            sent.append(signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    screen.seen = seen
    options = ClientOptions(salvage_dir=tmp_path)
    assert listen(server, source, screen, client=options) == 130
    err = capsys.readouterr().err
    assert "stopped: the last 3.12 of 3.12 s are not transcribed" in err
    (saved,) = tmp_path.glob("asrctl-unsent-*.wav")
    assert f"the audio from 0.0 to 3.1 s is not transcribed; it is kept in {saved}" in err


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_one_interrupt_where_the_server_hangs(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that says nothing any more is not waited for, which is said, as is what is lost."""
    monkeypatch.setattr("asrctl.cli.live.SILENCE_S", 0.25, raising=False)
    answers = iter(range(20))  # what still comes after the interrupt
    come = lambda live: next(answers, None) if live._interrupts.count else 0  # noqa: E731
    monkeypatch.setattr("asrctl.cli.live.Live._answers", come, raising=False)
    server = serve([Stall(32_000)])
    source = Heard([sound(0, SAMPLES)], stays=True)
    screen = Screen()
    sent: list[int] = []

    def seen(status: Status) -> None:
        if not sent and any(session.state.received > 48_000 for session in server.sessions.values()):
            sent.append(signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    screen.seen = seen
    options = ClientOptions(salvage_dir=tmp_path, finish_timeout_s=10.0)
    assert listen(server, source, screen, client=options) == 130
    err = capsys.readouterr().err
    assert not [*answers]
    assert "heard: the server said nothing for 0.25 s" in err and "s are not transcribed" in err
    assert len([*tmp_path.glob("asrctl-unsent-*.wav")]) == 1


def test_files_that_no_server_heard_are_one_line(tmp_path: Path) -> None:
    """Nothing is written, and the error says how to wait longer; what was not begun is named."""
    path = tmp_path / "long.wav"
    with wave.open(str(path), "wb") as wav:
        wav.setparams((1, 2, 16_000, 0, "NONE", ""))
        wav.writeframes(bytes(2 * 60 * 16_000))
    done = asrctl(
        ["transcribe", "--server", "ws://127.0.0.1:9", "--wait-for-server", "0.5", str(path), "other.wav"]
    )
    lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (5, "")
    assert lines[0] == "asrctl: stopped: long.wav begun; not begun: other.wav"
    assert "gave up after 0.5 s (--wait-for-server waits longer)" in lines[1] and len(lines) == 2


@pytest.mark.parametrize("model, doubted", [("tiny.en-q8_0", True), ("tiny-q8_0", False), ("theirs", False)])
def test_another_language_is_noticed_by_the_servers_model(
    model: str, doubted: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where it knows English only, and is unsure of all that it wrote."""
    view = LiveView()
    client = SimpleNamespace(
        ready=SimpleNamespace(model=model, provider="whisper_cpp"), feed=0, skip=0, finish=0
    )
    task = Task(["heard"], [None], "txt", Settings(), open_source=lambda: Heard([]))
    transcriber = _RemoteTranscriber(client, Heard([]), view, RemoteRequest("", QUICK, task))  # type: ignore[arg-type]
    results = ResultWriter("heard", view, WRITERS["txt"](io.StringIO(), RenderOptions()))
    for number in range(8):
        results.write(Segment(2.0 * number, 2.0 * number + 2, "Go to modern, the tefamun", 0.1))
    transcriber.conclude(results, 0, 0, True)
    assert ("seems not to be English" in capsys.readouterr().err) == doubted


def test_a_mistake_spares_the_output(spoken: Path, tmp_path: Path) -> None:
    """An address that is none is found before the file of an earlier run is emptied."""
    kept = tmp_path / "kept.txt"
    kept.write_text("earlier\n")
    assert run("transcribe", "--server", "localhost", str(spoken), "-o", str(kept)) == 2
    assert kept.read_text() == "earlier\n"


@pytest.mark.skipif(os.name == "nt", reason="head")
def test_a_reader_that_goes_away(serve: Serve, spoken: Path) -> None:
    """`| head -1` ends the client, quietly."""
    command = f"{sys.executable} -m asrctl transcribe --server {serve().url} {spoken} | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=DEADLINE_S)
    assert (done.stdout, done.stderr) == ("w0\n", "")


def test_many_losses(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    """A source that stutters does not flood the screen: the rest is told as a sum."""
    items: list[NDArray[np.float32] | Lost] = []
    for at in range(0, 15 * 3200, 3200):
        items += [sound(at, at + 1600), Lost(1600, "overflow")]
    assert listen(serve(), Heard(items)) == 0
    err = capsys.readouterr().err
    assert err.count("overflow") == 10
    assert "dropped 1.50 s in 15 places in all" in err


@pytest.mark.parametrize("option", [("--api-key", "k"), ("--source", "system")])
def test_options_for_nobody(
    spoken: Path, capsys: pytest.CaptureFixture[str], option: tuple[str, str]
) -> None:
    """What only a server wants to know is a mistake without one, and not ignored."""
    assert run("transcribe", str(spoken), *option) == 2
    assert "it needs --server" in capsys.readouterr().err


def test_the_library_is_not_there(
    spoken: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the extra, it is said what to install."""
    monkeypatch.setattr(task, "find_spec", lambda name: None)
    assert run("transcribe", "--server", "ws://127.0.0.1:1", str(spoken)) == 2
    assert "pip install 'asrctl[client]'" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--threads", "2"], ["--no-vad"], ["--translate"], ["--beam-size", "2"]])
def test_options_of_this_machine(spoken: Path, option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What is up to the server is refused, and not ignored."""
    assert run("transcribe", "--server", "ws://127.0.0.1:1", str(spoken), *option) == 2
    assert f"{option[0]} is up to the server" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["--server", "localhost:8765"], "should look like ws://"),
        (["--server", "ws://127.0.0.1:1", "--language", "klingon"], "there is no language"),
    ],
)
def test_mistakes(spoken: Path, args: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    """They are told in a line, before anything is tried."""
    assert run("transcribe", str(spoken), *args) == 2
    assert reason in capsys.readouterr().err
