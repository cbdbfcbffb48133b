"""Tracks of a recording: every word once, with its speaker, in order of time; every sample accounted for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

import numpy as np
import pytest

from asrctl.errors import AudioError, DecodeError, ModelError
from asrctl.policy.endpointing import EndpointerOptions
from asrctl.policy.packing import PackingOptions
from asrctl.providers.base import DecodeOptions
from asrctl.providers.recognizer import WindowDecoder
from asrctl.streaming.files import FileOptions, FileTranscription
from asrctl.streaming.tracks import TracksTranscription
from asrctl.transcript import SAMPLE_RATE_HZ, Segment
from tests.streaming.puppets import Decoder
from tests.streaming.speech import PATIENCE_S, LevelDetector, Samples, joined, silence, speak, until, words
from tests.streaming.test_files import Faulty, assert_nothing_left

OPTIONS = FileOptions(
    DecodeOptions(word_timestamps=True),
    EndpointerOptions(overlong_s=3.0, max_utterance_s=3.0),
    PackingOptions(max_window_s=3, first_window_s=1),
)
NAMES = ["Anna", "Ben", "Carl"]


async def in_step(tracks: Sequence[Samples], size: int = SAMPLE_RATE_HZ) -> AsyncIterator[list[Samples]]:
    for at in range(0, max(len(track) for track in tracks), size):
        yield [track[at : at + size] for track in tracks]


def transcription(parts: AsyncIterator[list[Samples]], decoder: WindowDecoder) -> TracksTranscription:
    return TracksTranscription(
        parts,
        lambda count: NAMES[:count],
        lambda track, gate: FileTranscription(track, decoder, gate(LevelDetector()), OPTIONS, "test"),
    )


async def all_of(work: TracksTranscription) -> list[Segment]:
    async with asyncio.timeout(PATIENCE_S), aclosing(work.segments()) as segments:
        return [segment async for segment in segments]


def said(segments: list[Segment], speaker: str) -> list[str]:
    return [word.text for each in segments for word in each.words if word.speaker == speaker == each.speaker]


async def test_every_word_has_its_speaker() -> None:
    """In turns, at once, and where one is silent for long and another speaks without end."""
    anna = joined(speak(range(5)), silence(2), speak(range(5, 10)), silence(30), speak(range(10, 12)))
    ben = joined(silence(2), speak(range(20, 60)), silence(1))
    carl = silence(60)
    work = transcription(in_step([anna, ben, carl]), Faulty())
    segments = await all_of(work)
    assert said(segments, "Anna") == words(*range(12))
    assert said(segments, "Ben") == words(*range(20, 60))
    assert [each.start_s for each in segments] == sorted(each.start_s for each in segments)
    received = [track.audio.received_samples for track in work.tracks]
    assert received == [len(anna), len(ben), len(carl)]
    assert work.account.received_samples == sum(received) and not work.account.pending_samples
    assert work.length_samples == work.done_samples == len(carl) or work.done_samples <= len(carl)
    assert (work.language, work.providers, work.lost) == ("en", [], [])
    await assert_nothing_left()


async def test_segments_come_before_the_end() -> None:
    """A segment is given as soon as no track can have an earlier one, though another track is silent."""
    more = asyncio.Event()

    async def parts() -> AsyncIterator[list[Samples]]:
        async for each in in_step([joined(speak(range(4)), silence(10)), silence(14)]):
            yield each
        await more.wait()

    async with asyncio.timeout(PATIENCE_S), aclosing(transcription(parts(), Faulty()).segments()) as found:
        first = await anext(found)
        assert (first.speaker, first.text) == ("Anna", "w0 w1 w2 w3")
        more.set()
        assert [each async for each in found] == []


async def test_a_window_that_is_lost_is_said_with_its_speaker() -> None:
    """The track's own account has it as dropped, and the other is whole."""
    tracks = [joined(speak([1]), silence(2)), joined(speak([2]), silence(2))]
    work = transcription(in_step(tracks), Faulty(w1=DecodeError("no")))
    assert said(await all_of(work), "Ben") == ["w2"]
    (line,) = work.lost
    assert line.startswith("Anna: dropped 0.0-")
    assert work.tracks[0].audio.dropped_samples and not work.tracks[1].audio.dropped_samples


@pytest.mark.parametrize("failure", [ModelError("bad weights"), AudioError("gone")])
async def test_a_failure_ends_all_after_what_is_known(failure: Exception) -> None:
    """The error comes as it is, and no task is left."""
    if isinstance(failure, ModelError):
        work = transcription(in_step([speak([1]), speak([2])]), Faulty(w2=failure))
    else:

        async def parts() -> AsyncIterator[list[Samples]]:
            yield [np.zeros(10, np.float32)] * 2
            raise failure

        work = transcription(parts(), Faulty())
    with pytest.raises(type(failure), match=str(failure)):
        await all_of(work)
    await assert_nothing_left()


async def test_who_leaves_early_gets_what_is_known() -> None:
    """Words that wait for another track's are not lost with an interrupt, and the account counts the rest."""
    decoder = Decoder(width=2)
    tracks = [joined(speak([1, 2]), silence(2)), joined(silence(1), speak([3, 4]), silence(2))]
    work = transcription(in_step(tracks), decoder)
    task = asyncio.create_task(all_of(work))
    await until(lambda: len(decoder.waiting) == 2)
    late = max(decoder.waiting, key=lambda call: min(call.samples.size, 1) and "w3" in _heard(call.samples))
    late.answer()
    await until(lambda: work.account.speech_samples)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [each.text for each in work.waiting()] == ["w3 w4"]
    assert work.tracks[0].audio.pending_samples == 0 and work.tracks[0].audio.dropped_samples
    await assert_nothing_left()


def _heard(samples: Samples) -> str:
    from asrctl_tests.scripted import listen

    return " ".join(word.text for word in listen(samples))


async def test_nothing_is_read_of_a_recording_without_samples() -> None:
    """No tracks, no segments, an account of zeros."""
    work = transcription(in_step([silence(0)]), Faulty())
    assert await all_of(work) == []
    assert (work.tracks, work.length_samples, work.done_samples, work.language) == ((), 0, 0, "")
