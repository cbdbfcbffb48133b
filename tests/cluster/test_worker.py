"""Tasks in threads of this process: the same transcripts as on one machine, whatever is lost on the way."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrctl import AsyncEngine, __version__
from asrctl.audio.files import OpenAudio
from asrctl.audio.tracks import Tracks
from asrctl.cli.sources import InputOptions, open_tracks
from asrctl.cluster import worker
from asrctl.cluster.batch import Batch
from asrctl.cluster.pieces import PieceDecoder
from asrctl.cluster.work import Failed, Work
from asrctl.errors import AudioError, ModelError, ProviderError, UsageError
from asrctl.settings import Settings
from asrctl.transcript import Transcript
from asrctl_tests.scripted import speak
from tests.cli.commands import Options
from tests.streaming.speech import silence

from .executors import Threads

SENTENCES = 24
WORDS_EACH = 9


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """Sentences with pauses of every length: about a minute."""
    rng = np.random.default_rng(7)
    parts = [silence(0.4)]
    for n in range(SENTENCES):
        parts += [speak(range(WORDS_EACH * n, WORDS_EACH * (n + 1))), silence(float(rng.uniform(0.2, 1.5)))]
    path = tmp_path / "talk.wav"
    soundfile.write(path, np.concatenate(parts), 16_000, subtype="FLOAT")
    return path


@pytest.fixture
def in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is long, and a piece holds 20 s."""
    monkeypatch.setattr(worker, "LONG_S", 0.0)
    monkeypatch.setattr(worker, "PieceDecoder", partial(PieceDecoder, piece_s=20))


def work(script: list[str], reading: InputOptions | None = None, **changes: object) -> Work:
    """Work with the scripted provider."""
    settings = Settings(provider="scripted", model=script[-1], workers=1, threads=1)
    opener = partial(open_tracks, options=reading or InputOptions())
    return replace(Work(settings, opener, __version__), **changes)  # type: ignore[arg-type]


async def on_one_machine(task: Work, path: Path) -> Transcript:
    """What the engine makes of it."""
    async with AsyncEngine(settings=task.settings) as engine:
        return await engine.transcribe(path, vad=task.vad)


def said(transcript: Transcript) -> Transcript:
    """All but how long it took."""
    return replace(transcript, timing=transcript.timing.__class__(0, 0, 0))


@pytest.mark.parametrize("vad", [True, False])
async def test_pieces_change_nothing(talk: Path, options: Options, in_pieces: None, vad: bool) -> None:
    """Segments, times and the account are those of one machine, also if a piece and its reader are lost."""
    task = work(options(), vad=vad)
    executor = Threads(slots=2, decode=1, transcribe_in_pieces=1)
    batch = Batch(task, executor)
    done = await batch.transcribe(str(talk))
    alone = await on_one_machine(task, talk)
    assert said(done.transcript) == said(alone)
    assert done.transcript.text.split() == [f"w{n}" for n in range(SENTENCES * WORDS_EACH)]
    assert done.transcript.audio.pending_samples == 0
    assert executor.ran.count("decode") > 2 and executor.ran.count("transcribe_in_pieces") == 2
    assert batch.resubmitted == 1 + done.resubmitted


async def test_a_recording_of_usual_length_is_not_cut(talk: Path, options: Options) -> None:
    """One task, the same transcript."""
    task, executor = work(options()), Threads()
    done = await Batch(task, executor).transcribe(str(talk))
    assert executor.ran == ["transcribe"]
    assert said(done.transcript) == said(await on_one_machine(task, talk))


async def test_what_else_could_be_heard_comes_back(talk: Path, options: Options) -> None:
    """Which of several audio tracks a machine took is for the one that asked to say."""

    def opened(path: str) -> OpenAudio | Tracks:
        audio = open_tracks(path, InputOptions())
        audio.hint = "it has 2 audio tracks"
        return audio

    done = await Batch(work(options(), open=opened), Threads()).transcribe(str(talk))
    assert done.hint == "it has 2 audio tracks"


async def test_a_window_that_cannot_be_decoded_is_declared(
    talk: Path, options: Options, in_pieces: None
) -> None:
    """The others of its piece are decoded, and the account says what was dropped, as on one machine."""
    task = work(options(refuse_on=["w50"]))
    done = await Batch(task, Threads()).transcribe(str(talk))
    alone = await on_one_machine(task, talk)
    assert said(done.transcript) == said(alone)
    assert done.transcript.audio.dropped_samples and len(done.lost) == 1 and "refused" in done.lost[0]


async def test_tracks_go_along(tmp_path: Path, options: Options, in_pieces: None) -> None:
    """Each channel has its speaker, and its account."""
    path = tmp_path / "call.wav"
    left, right = speak(range(5)), speak(range(5, 10))
    sides = np.stack([np.concatenate([left, silence(1.5)]), np.concatenate([silence(1.5), right])], axis=1)
    soundfile.write(path, sides, 16_000, subtype="FLOAT")
    task = work(options(), InputOptions(split=True, speakers={"left": "Anna"}))
    transcript = (await Batch(task, Threads()).transcribe(str(path))).transcript
    assert transcript.speakers == ("Anna", "right") and len(transcript.tracks) == 2


@pytest.mark.parametrize(
    ("changes", "faults", "kind", "why"),
    [
        ({"version": "0.0"}, {}, ProviderError, "it has asrctl .*, and not 0.0"),
        ({}, {"fail_load": "broken weights"}, ModelError, "broken weights"),
    ],
)
async def test_what_a_machine_cannot_do_is_said_with_its_name(
    speech: Path,
    options: Options,
    changes: dict[str, str],
    faults: dict[str, str],
    kind: type[Exception],
    why: str,
) -> None:
    """So that it can be put right there."""
    with pytest.raises(kind, match=f"{worker.socket.gethostname()}: .*{why}"):
        await Batch(work(options(**faults), **changes), Threads()).transcribe(str(speech))


async def test_a_recording_that_a_machine_does_not_find(tmp_path: Path, options: Options) -> None:
    """It is an error of the recording."""
    with pytest.raises(AudioError, match=r"nowhere\.wav: no such file"):
        await Batch(work(options()), Threads()).transcribe(str(tmp_path / "nowhere.wav"))


def test_a_provider_that_only_listens_is_refused(speech: Path) -> None:
    """It takes no windows."""
    settings = Settings(provider="scripted_stream", workers=1, threads=1)
    answer = worker.transcribe(
        Work(settings, partial(open_tracks, options=InputOptions()), __version__), str(speech)
    )
    worker.forget()
    assert isinstance(answer, Failed) and isinstance(answer.error, UsageError)
    assert "does not go with --cluster" in str(answer.error)
