"""Sessions whose speakers are told apart: labels in finals or after them, never in their way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from asrctl.errors import ModelError
from asrctl.events import Event, Final, Finished, SpeakerChanged, SpeakersLost
from asrctl.policy.labels import KnownTurns
from asrctl.policy.turns import Turn
from asrctl.transcript import SAMPLE_RATE_HZ
from asrctl_tests.scripted import speak
from tests.streaming.puppets import assert_accounted
from tests.streaming.rig import Rig
from tests.streaming.speech import Samples, joined, silence, words
from tests.streaming.virtual import VIRTUAL, others, settle

TWO = joined(speak(range(5)), silence(1), speak(range(5, 10)), silence(1))
BOTH = (Turn(0.0, 2.0, "low"), Turn(2.0, 9.0, "high"))


@pytest.fixture(scope="module")
def anyio_backend() -> object:
    """In virtual time."""
    return VIRTUAL


class Scripted:
    """Knows all turns from the beginning, and says them when it may."""

    known: Sequence[str] = ()

    def __init__(self, turns: Sequence[Turn], at_the_end: Sequence[Turn] | None = None) -> None:
        self.turns_known, self.at_the_end = turns, turns if at_the_end is None else at_the_end
        self.samples = 0
        self.asked: list[float] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.failure: ModelError | None = None
        self.waits_below: list[int] = []
        self.is_closed = False
        self.least_s = 0.0
        """Until so much was fed, it has looked at nothing."""

    def feed(self, samples: Samples) -> None:
        self.samples += len(samples)

    def skip(self, count: int) -> None:
        self.samples += count

    async def wait_behind_below(self, samples: int) -> None:
        self.waits_below.append(samples)

    async def turns(self, since_s: float) -> KnownTurns:
        self.asked.append(since_s)
        return await self._said(self.turns_known, since_s)

    async def conclude(self) -> KnownTurns:
        return await self._said(self.at_the_end, 0.0)

    async def _said(self, turns: Sequence[Turn], since_s: float) -> KnownTurns:
        heard_s = self.samples / SAMPLE_RATE_HZ
        heard_s = heard_s if heard_s >= self.least_s else 0.0
        await self.may_answer.wait()
        if self.failure is not None:
            raise self.failure
        return KnownTurns(tuple(turn for turn in turns if turn.start_s < heard_s), since_s, heard_s)

    def close(self) -> None:
        self.is_closed = True


async def _played(
    speakers: Scripted, meanwhile: Callable[[Rig], None] = lambda run: None
) -> tuple[Rig, list[Event]]:
    run = Rig(("windows",), speakers=speakers)
    await run.play(TWO)
    meanwhile(run)
    await run.finish()
    assert run.said.words == words(*range(10)), "labels cost words"
    assert speakers.samples == len(TWO) and speakers.is_closed and not others()
    assert_accounted(run.said.events, len(TWO))
    return run, run.said.events


def _labels(run: Rig) -> list[str]:
    return [final.segment.speaker for final in run.said.of(Final)]


async def test_what_is_known_in_the_pause_is_in_the_final() -> None:
    """It is asked about before the utterance ends; finals and their words carry it, and nothing changes."""
    run, _ = await _played(Scripted(BOTH))
    assert _labels(run) == ["Speaker 1", "Speaker 2"]
    assert all(word.speaker == "Speaker 1" for word in run.said.of(Final)[0].segment.words)
    assert not run.said.of(SpeakerChanged)


async def test_a_final_does_not_wait_for_its_label() -> None:
    """What is known later is said later, with the number of the final and a name for each word."""
    speakers = Scripted(BOTH)
    speakers.may_answer.clear()

    def later(run: Rig) -> None:
        assert _labels(run) == ["", ""] and not run.said.of(SpeakerChanged)
        speakers.may_answer.set()

    run, events = await _played(speakers, later)
    assert run.said.of(SpeakerChanged) == [
        SpeakerChanged(0, "Speaker 1", ("Speaker 1",) * 5),
        SpeakerChanged(1, "Speaker 2", ("Speaker 2",) * 5),
    ]
    assert isinstance(events[-1], Finished)


async def test_what_was_not_looked_at_in_the_pause_is_asked_about_again() -> None:
    """Without another utterance, when enough audio has come for a window."""
    speakers = Scripted(BOTH)
    speakers.least_s = len(TWO) / SAMPLE_RATE_HZ + 3.0
    run = Rig(("windows",), speakers=speakers)
    await run.play(TWO)
    assert _labels(run) == ["", ""] and not run.said.of(SpeakerChanged)
    await run.play(silence(6))
    assert [(each.utterance, each.speaker) for each in run.said.of(SpeakerChanged)] == [
        (0, "Speaker 1"),
        (1, "Speaker 2"),
    ]
    asked = len(speakers.asked)
    await run.play(silence(6))
    assert len(speakers.asked) == asked, "asked though all is known"
    await run.finish()


async def test_labels_are_corrected_at_the_end() -> None:
    """When all audio was looked at; the end itself comes after."""
    run, events = await _played(Scripted(BOTH, [Turn(0.0, 9.0, "low")]))
    assert _labels(run) == ["Speaker 1", "Speaker 2"]
    assert events[-2] == SpeakerChanged(1, "Speaker 1", ("Speaker 1",) * 5)


@pytest.mark.parametrize("at_the_end", [False, True])
async def test_a_death_costs_labels_and_is_said_once(at_the_end: bool) -> None:
    """Words go on; what was said of speakers before stands."""
    speakers = Scripted(BOTH)

    def fail(run: Rig) -> None:
        speakers.failure = ModelError("it crashed")

    if not at_the_end:
        speakers.failure = ModelError("it crashed")
    run, _ = await _played(speakers, fail)
    assert _labels(run) == (["Speaker 1", "Speaker 2"] if at_the_end else ["", ""])
    assert run.said.of(SpeakersLost) == [SpeakersLost("it crashed")]


async def test_the_end_does_not_wait_for_ever() -> None:
    """Labels that do not come in time are given up, and that is said."""
    speakers = Scripted(BOTH)
    run, events = await _played(speakers, lambda run: speakers.may_answer.clear())
    assert _labels(run) == ["Speaker 1", "Speaker 2"]
    assert [type(event) for event in events[-2:]] == [SpeakersLost, Finished]


async def test_lost_audio_counts_and_room_is_waited_for() -> None:
    """Positions of turns stay those of the stream; a source that can wait does so for labels as for words."""
    speakers = Scripted(BOTH)
    run = Rig(("windows",), speakers=speakers)
    run.session.skip(8000, "lost")
    await settle()
    assert speakers.samples == 8000
    await run.session.wait_pending_below(16_000)
    assert speakers.waits_below == [16_000]
    await run.session.close()
    assert speakers.is_closed and not others()


async def test_silence_is_not_asked_about() -> None:
    """Nor is a pause asked about more than once."""
    speakers = Scripted(BOTH)
    run = Rig(("windows",), speakers=speakers)
    await run.play(joined(silence(3), TWO, silence(3)))
    assert len(speakers.asked) == 2
    await run.session.close()
