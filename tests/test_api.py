"""The Python API: the same words as the command line, from files, samples and live audio, sync and async."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import soundfile
from numpy.typing import NDArray

import asrctl
from asrctl.assembly import health_check, prepare
from asrctl.end_of_turn import process
from asrctl.errors import AudioError, ModelError, NothingTranscribed, ProviderError, UsageError
from asrctl.providers.registry import PROVIDERS
from asrctl.settings import Settings
from asrctl_tests.scripted import speak
from tests.end_of_turn import children
from tests.streaming.speech import LevelDetector, silence
from tests.workers.conftest import Script

MONDAY = Path(asrctl.__file__).parent / "assets" / "monday.wav"
MONDAY_TEXT = "Please call me on Monday morning about the meeting."
SPEECH = np.concatenate([silence(0.5), speak([1, 2, 3]), silence(1), speak([4, 5]), silence(1)])
WORDS = "w1 w2 w3 w4 w5"


@pytest.fixture(autouse=True)
def levels_are_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the scripted provider understands is no speech to the usual detector."""
    monkeypatch.setattr("asrctl.audio.vad.SileroVad", lambda _weights: LevelDetector())


@pytest.fixture
def scripted(script: Script) -> dict[str, Any]:
    """Options of an engine over the scripted provider."""
    return {"model": str(script().path), "provider": "scripted"}


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    """The speech in a file."""
    path = tmp_path / "speech.wav"
    soundfile.write(path, SPEECH, 16_000, subtype="FLOAT")
    return path


def text_of(events: list[asrctl.Event]) -> str:
    return " ".join(event.segment.text for event in events if isinstance(event, asrctl.Final))


def test_a_file_in_one_call(scripted: dict[str, Any], wav: Path) -> None:
    """All words, with the account of the audio."""
    transcript = asrctl.transcribe(wav, **scripted)
    assert transcript.text == WORDS
    assert transcript.source == str(wav) and transcript.provider == "scripted"
    audio = transcript.audio
    assert audio.received_samples == len(SPEECH)
    assert audio.pending_samples == audio.dropped_samples == 0


def test_channels_are_speakers(scripted: dict[str, Any], tmp_path: Path) -> None:
    """Each is transcribed on its own, one transcript comes out, and the tracks' accounts add up to it."""
    call = np.stack([SPEECH, np.roll(SPEECH, 8000)], axis=1)
    soundfile.write(tmp_path / "call.wav", call, 16_000, subtype="FLOAT")
    for source in (tmp_path / "call.wav", call):
        transcript = asrctl.transcribe(source, channels="split", speakers={"left": "Anna"}, **scripted)
        assert transcript.speakers == ("Anna", "right")
        for speaker in transcript.speakers:
            said = [segment.text for segment in transcript.segments if segment.speaker == speaker]
            assert " ".join(said) == WORDS
        assert [track.speaker for track in transcript.tracks] == ["Anna", "right"]
        whole = transcript.tracks[0].audio + transcript.tracks[1].audio
        assert whole == transcript.audio and whole.pending_samples == 0
        assert transcript.duration_s == len(SPEECH) / 16_000


def test_files_are_tracks(scripted: dict[str, Any], wav: Path) -> None:
    """By the names of those who speak; a track may be samples, and end before the others."""
    with asrctl.Engine(**scripted) as engine:
        segments = [*engine.segments({"Me": wav, "Them": SPEECH[: len(SPEECH) // 2]})]
    assert {segment.speaker for segment in segments} == {"Me", "Them"}
    assert [segment.start_s for segment in segments] == sorted(segment.start_s for segment in segments)


@pytest.mark.parametrize(
    ("source", "options", "reason"),
    [
        (SPEECH, {"channels": "split"}, r"shape \(n, channels\)"),
        (SPEECH, {"channels": "both"}, "mix or split"),
        (SPEECH, {"speakers": {"left": "Anna"}}, "need channels"),
        ({"Anna": SPEECH}, {}, "2 to 16"),
        ({"Anna": SPEECH, "": SPEECH}, {}, "cannot be called"),
        ({"Anna": SPEECH, "Ben": SPEECH}, {"channels": "split"}, "not split"),
        (SPEECH[:, None], {"channels": "split", "speakers": {"middle": "Anna"}}, "no channel is called"),
        (SPEECH[:, None], {"channels": "split", "speakers": {"1": "Anna", "left": "Ben"}}, "two speakers"),
        (SPEECH[:, None], {"channels": "split", "speakers": {"1": "A", "2": "A"}}, "same speaker"),
    ],
)
def test_tracks_that_make_no_sense(
    scripted: dict[str, Any], source: Any, options: dict[str, Any], reason: str
) -> None:
    """They are refused before anything is decoded."""
    with pytest.raises(UsageError, match=reason):
        asrctl.transcribe(source, **options, **scripted)


@pytest.mark.parametrize(
    ("channels", "speakers", "reason"),
    [(1, {}, "nothing to split"), (17, {}, "at most 16"), (2, {"3": "Carl"}, "no channel 3: it has 2")],
)
def test_channels_that_there_are_not(
    scripted: dict[str, Any], channels: int, speakers: dict[str, str], reason: str
) -> None:
    """What a file turns out not to hold is an error of the input."""
    with pytest.raises(AudioError, match=reason):
        asrctl.transcribe(
            np.zeros((16_000, channels), np.float32), channels="split", speakers=speakers, **scripted
        )


def test_an_input_of_which_all_is_lost(script: Script, wav: Path) -> None:
    """That is an error, with its reason; where some is left, the account says how much is not."""
    lossy = {"model": str(script(refuse_on=["w4"]).path), "provider": "scripted"}
    longer = np.concatenate([SPEECH, silence(40), speak([9]), silence(1)])
    transcript = asrctl.transcribe(longer, **lossy)
    assert transcript.text == "w9" and 0 < transcript.audio.dropped_samples < len(SPEECH)
    with asrctl.Engine(**lossy) as engine:
        with pytest.raises(NothingTranscribed, match=r"nothing could be transcribed: refused by"):
            engine.transcribe(wav)
        with pytest.raises(NothingTranscribed):
            list(engine.segments(wav))


def test_samples_instead_of_a_file(scripted: dict[str, Any]) -> None:
    """An array is as good as a file."""
    assert asrctl.transcribe(SPEECH, **scripted).text == WORDS


@pytest.mark.parametrize(
    "samples",
    [SPEECH.astype(np.float64), (SPEECH * 32767).astype(np.int16), np.stack([SPEECH, SPEECH])],
    ids=["float64", "int16", "stereo"],
)
def test_samples_that_are_something_else(scripted: dict[str, Any], samples: NDArray[Any]) -> None:
    """They are refused with what is wanted, since guessing would transcribe noise."""
    with pytest.raises(UsageError, match=r"float32 of shape \(n,\), mono at 16 kHz, not "):
        asrctl.transcribe(samples, **scripted)


def test_an_engine_keeps_its_model(scripted: dict[str, Any], wav: Path) -> None:
    """Two calls are served by the same process, which is gone afterwards."""
    with asrctl.Engine(**scripted) as engine:
        engine.wait_ready()
        (pid,) = engine._engine.recognizer.pids()
        assert [engine.transcribe(source).text for source in (wav, SPEECH)] == [WORDS, WORDS]
        assert engine._engine.recognizer.pids() == [pid]
    assert not psutil.pid_exists(pid)


def test_segments_one_by_one(scripted: dict[str, Any], wav: Path) -> None:
    """They come as they are found; leaving early stops the work."""
    with asrctl.Engine(**scripted) as engine:
        assert " ".join(segment.text for segment in engine.segments(wav)) == WORDS
        for segment in engine.segments(wav):
            assert segment.text.startswith("w1")
            break
        assert engine.transcribe(wav).text == WORDS


def test_live_audio_without_asyncio(scripted: dict[str, Any]) -> None:
    """Chunks from any iterable; a gap that is declared is in the account."""
    chunks: list[Any] = [SPEECH[at : at + 800] for at in range(0, len(SPEECH), 800)]
    chunks.insert(3, asrctl.Lost(1600, "late"))
    with asrctl.Engine(**scripted) as engine:
        events = list(engine.stream(chunks))
    assert text_of(events) == WORDS
    finished = events[-1]
    assert isinstance(finished, asrctl.Finished)
    assert finished.account.dropped_samples == 1600 and finished.account.pending_samples == 0


async def test_live_audio_as_it_comes(scripted: dict[str, Any]) -> None:
    """An asynchronous source; speech starts, is shown, ends, and is final, in this order."""

    async def chunks() -> AsyncIterator[NDArray[np.float32]]:
        for at in range(0, len(SPEECH), 1600):
            yield SPEECH[at : at + 1600]
            await asyncio.sleep(0)

    kinds: list[type] = []
    events: list[asrctl.Event] = []
    async for event in asrctl.stream(chunks(), **scripted):
        kinds.append(type(event))
        events.append(event)
    assert text_of(events) == WORDS
    order = [kinds.index(kind) for kind in (asrctl.SpeechStarted, asrctl.SpeechEnded, asrctl.Final)]
    assert order == sorted(order) and kinds[-1] is asrctl.Finished


async def _from_a_microphone(samples: NDArray[np.float32]) -> AsyncIterator[NDArray[np.float32]]:
    for at in range(0, len(samples), 800):
        yield samples[at : at + 800]
        await asyncio.sleep(0)


async def test_a_stream_is_cut_as_it_is_wished(scripted: dict[str, Any]) -> None:
    """Of one engine, each in its own way."""
    samples = np.concatenate((speak([1, 2]), silence(0.3), speak([3, 4]), silence(1)))
    async with asrctl.AsyncEngine(**scripted) as engine:
        for silence_s, utterances in ((0.2, 2), (0.5, 1)):
            wish = asrctl.Endpointing(trailing_silence_s=silence_s)
            events = [event async for event in engine.stream(_from_a_microphone(samples), endpointing=wish)]
            assert sum(isinstance(event, asrctl.Final) for event in events) == utterances
            assert text_of(events) == "w1 w2 w3 w4"


async def test_the_end_of_a_turn_is_heard_where_that_is_wished(
    scripted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a process for all streams of the engine, which ends with it; a recording needs none. That it fails
    is told once, and the stream goes on."""
    monkeypatch.setattr(process, "COMMAND", children.saying(1.0))
    monkeypatch.setattr(process, "_PATIENCE_S", 30.0)
    wish = asrctl.Endpointing(end_of_turn=True)
    samples = np.concatenate((speak([1, 2]), silence(0.4)))
    async with asrctl.AsyncEngine(**scripted) as engine:
        assert text_of([event async for event in engine.stream(SPEECH, endpointing=wish)]) == WORDS
        assert engine._turns and not engine._turns.pids()
        async with engine.live(endpointing=wish) as live:
            live.feed(samples)
            async for event in live:
                if isinstance(event, asrctl.Final):
                    break
        assert event.segment.text == "w1 w2"
        (pid,) = engine._turns.pids()
    assert not psutil.pid_exists(pid)
    monkeypatch.setattr(process, "COMMAND", children.refusing())
    told: list[str] = []
    async with asrctl.AsyncEngine(**scripted) as engine:
        engine.warn = told.append
        for _ in range(2):
            audio = _from_a_microphone(SPEECH)
            assert text_of([event async for event in engine.stream(audio, endpointing=wish)]) == WORDS
            while not told:
                await asyncio.sleep(0.01)
    assert told == ["the ends of turns are not heard: no weights"]


async def test_many_at_once(scripted: dict[str, Any], wav: Path) -> None:
    """Files and live audio share an engine."""

    async def live() -> str:
        return text_of([event async for event in engine.stream(SPEECH)])

    async with asrctl.AsyncEngine(**scripted) as engine:
        files = [engine.transcribe(wav) for _ in range(3)]
        texts = await asyncio.gather(live(), live(), *files)
    assert texts[:2] == [WORDS, WORDS] and [each.text for each in texts[2:]] == [WORDS] * 3


async def test_a_stream_that_is_left_early(scripted: dict[str, Any]) -> None:
    """Nothing goes on behind the caller's back; the engine can be used again."""
    async with asrctl.AsyncEngine(**scripted) as engine:
        events = engine.stream(SPEECH)
        async for event in events:
            if isinstance(event, asrctl.Final):
                break
        await events.aclose()
        names = {task.get_name() for task in asyncio.all_tasks()}
        assert not names & {"feeder", "session live", "end", "ready"}
        assert (await engine.transcribe(SPEECH)).text == WORDS


async def test_a_source_that_fails(scripted: dict[str, Any]) -> None:
    """What it gave is said first, then its error is raised."""

    def chunks() -> Iterator[NDArray[np.float32]]:
        yield SPEECH
        raise AudioError("the microphone was unplugged")

    events: list[asrctl.Event] = []
    with pytest.raises(AudioError, match="unplugged"):
        async for event in asrctl.stream(chunks(), **scripted):
            events.append(event)
    assert text_of(events) == WORDS


async def test_weights_that_do_not_load(script: Script, wav: Path) -> None:
    """The loader's reason, from files and from live audio, and no wait."""
    options = {"model": str(script(fail_load="broken weights").path), "provider": "scripted"}
    async with asrctl.AsyncEngine(**options) as engine:
        with pytest.raises(ModelError, match="broken weights"):
            await engine.transcribe(wav)
        with pytest.raises(ModelError, match="broken weights"):
            async for _ in engine.stream(SPEECH):
                pass


def test_mistakes_have_names(wav: Path, scripted: dict[str, Any]) -> None:
    """A misspelt option, a provider that does not exist, a file that is not there."""
    with pytest.raises(UsageError, match=r"there is no setting langauge; there are .*language"):
        asrctl.Engine(langauge="de")
    with pytest.raises(ProviderError, match="no provider called 'nobody'"):
        asrctl.transcribe(wav, provider="nobody")
    with pytest.raises(AudioError, match=r"nowhere\.wav: no such file"):
        asrctl.transcribe("nowhere.wav", **scripted)


def test_settings_can_be_given_whole(scripted: dict[str, Any], wav: Path) -> None:
    """As a program does that has a config of its own."""
    settings = Settings().overridden(**scripted)
    with asrctl.Engine(settings=settings) as engine:
        assert engine.transcribe(wav).text == WORDS


def test_importing_it_is_cheap() -> None:
    """`import asrctl` loads nothing of weight; a name is imported when it is used."""
    heavy = "{'numpy', 'asyncio', 'pydantic', 'rich', 'typer', 'soundfile'}"
    code = f"import sys, asrctl; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_every_name_is_there() -> None:
    """What `__all__` promises can be had, and is the same for type checkers."""
    assert all(getattr(asrctl, name) is not None for name in asrctl.__all__)
    assert set(asrctl.__all__) == set(asrctl._HOME_OF)
    source = Path(asrctl.__file__).read_text()
    checked = set(re.findall(r"\b[A-Za-z]+\b", source.split("if TYPE_CHECKING:")[1].split("__version__")[0]))
    assert set(asrctl.__all__) <= checked
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = asrctl.nonsense


@pytest.mark.integration
def test_the_example_of_the_documentation(tiny_en: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With real weights and the usual detector."""
    monkeypatch.undo()
    assert asrctl.transcribe(MONDAY, str(tiny_en)).text == MONDAY_TEXT


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """See `tests.workers.conftest.script`."""
    from tests.workers.conftest import script as make

    return make.__wrapped__(tmp_path)  # type: ignore[attr-defined, no-any-return]


def test_a_vocabulary_for_the_engine_or_one_call(script: Script, wav: Path) -> None:
    """Recognisers are told the terms of a call, else those of the engine; in files and in live audio."""
    options = {"model": str(script(says_vocabulary=True).path), "provider": "scripted"}
    with asrctl.Engine(**options, vocabulary=["Ada"]) as engine:
        assert "Ada" in engine.transcribe(wav).text
        called = engine.transcribe(wav, vocabulary=["Bo", "Cy"]).text
        assert "Bo Cy" in called and "Ada" not in called
        assert "Bo" in " ".join(segment.text for segment in engine.segments(wav, vocabulary=["Bo"]))
        assert text_of(list(engine.stream(SPEECH, vocabulary=["Bo"]))).count("Bo") == 2
        assert engine.transcribe(wav, vocabulary=[]).text == WORDS
        with pytest.raises(UsageError, match="a list of terms"):
            engine.transcribe(wav, vocabulary="Ada")


def test_what_a_vocabulary_cannot_do_is_said(
    script: Script, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Terms that there is no room for are named, and a provider that takes none; the rest goes on."""
    terms = [f"Term number {number}" for number in range(60)]
    settings = Settings(model=str(script().path), provider="scripted", vocabulary=tuple(terms))
    plan = prepare(settings)
    assert 10 < len(plan.decode.vocabulary) < 60
    (record,) = caplog.records
    assert record.getMessage().endswith("Term number 58, Term number 59")
    assert plan.decode.vocabulary[-1] not in record.getMessage().split("for ")[1].split(", ")
    caplog.clear()
    deaf = replace(PROVIDERS["scripted"], no_vocabulary=lambda setup: "a script has none")
    monkeypatch.setattr("asrctl.assembly.line_up", lambda *_: [deaf])
    assert prepare(settings.overridden(vocabulary=("Ada",)))
    assert caplog.messages == ["vocabulary: scripted works without: a script has none"]
    assert health_check(plan).options.vocabulary == ()
