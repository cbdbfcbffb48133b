"""Streams that hear whether a pause ends a turn: what is asked, and what an answer changes."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from asrctl.events import Final, SpeechEnded
from asrctl.policy.end_of_turn import WINDOW_SAMPLES, TurnOptions
from asrctl.policy.endpointing import EndpointerOptions
from asrctl.streaming.commands import AskTurn, Pause
from asrctl.streaming.pauses import hearing_turns
from asrctl.streaming.session import Session
from asrctl.streaming.stream import Stream, StreamOptions
from asrctl.transcript import SAMPLE_RATE_HZ
from asrctl_tests.scripted import speak
from tests.streaming.puppets import Decoder, Listener, assert_accounted, windowed
from tests.streaming.speech import LevelDetector, Samples, joined, silence, words
from tests.streaming.virtual import VIRTUAL

TURN = TurnOptions(ask_s=0.16, finished=0.8, unfinished=0.2, unfinished_silence_s=2.0)
OPTIONS = StreamOptions(turn=TURN)
SPEECH = speak(range(10))


@pytest.fixture(scope="module")
def anyio_backend() -> object:
    """In virtual time."""
    return VIRTUAL


def asked(stream: Stream, samples: Samples) -> list[AskTurn]:
    """What is asked while samples come as from a microphone."""
    found = list[AskTurn]()
    for at in range(0, len(samples), 512):
        found += [each for each in stream.feed(samples[at : at + 512]) if isinstance(each, AskTurn)]
    return found


def test_each_pause_is_asked_about_once() -> None:
    """When it has lasted for a while, with all that was heard of the utterance up to then."""
    stream = Stream(LevelDetector(), hearing_turns(OPTIONS))
    (first,) = asked(stream, joined(SPEECH, silence(0.4)))
    assert len(first.samples) == first.pause_sample + round(0.16 * SAMPLE_RATE_HZ)
    assert np.array_equal(first.samples[: len(SPEECH)], SPEECH)
    (second,) = asked(stream, joined(SPEECH, silence(3)))
    assert second.pause_sample > first.pause_sample + len(SPEECH)
    assert len(second.samples) > len(first.samples) + len(SPEECH)


def test_no_more_is_asked_than_the_network_hears() -> None:
    """Of a long utterance the last 8 s; the rest is not kept."""
    stream = Stream(LevelDetector(), hearing_turns(OPTIONS))
    (question,) = asked(stream, joined(speak(range(60)), silence(0.4)))
    assert len(question.samples) == WINDOW_SAMPLES
    assert stream._buffer.end_sample - stream._buffer.start_sample < WINDOW_SAMPLES + 1024


@pytest.mark.parametrize("answered_after_s", [0.0, 0.2])
@pytest.mark.parametrize(
    ("probability", "silence_s"), [(0.9, None), (0.5, 0.5), (0.1, 2.0)], ids=["over", "unclear", "not over"]
)
def test_what_an_answer_changes(probability: float, silence_s: float | None, answered_after_s: float) -> None:
    """What sounds finished ends at once, where its padding ends, what does not much later."""
    stream = Stream(LevelDetector(), hearing_turns(OPTIONS))
    (question,) = asked(stream, joined(SPEECH, silence(0.2)))
    asked(stream, silence(answered_after_s))
    ended = [each for each in stream.hear_turn(question.pause_sample, probability) if is_end(each)]
    fed_s = 0.2 + answered_after_s
    while not ended:
        ended = [each for each in stream.feed(silence(0.032)) if is_end(each)]
        fed_s += 0.032
    (end,) = ended
    assert isinstance(end, SpeechEnded)
    assert end.end_s == pytest.approx(question.pause_sample / SAMPLE_RATE_HZ + TURN.ask_s)
    assert fed_s == pytest.approx(silence_s or 0.2 + answered_after_s, abs=0.064)


def is_end(output: object) -> bool:
    return isinstance(output, SpeechEnded)


def test_an_answer_about_a_pause_that_is_over_changes_nothing() -> None:
    """Neither in speech, nor in the next pause, nor when the utterance has ended."""
    stream = Stream(LevelDetector(), hearing_turns(OPTIONS))
    (question,) = asked(stream, joined(SPEECH, silence(0.3), SPEECH))
    assert not stream.hear_turn(question.pause_sample, 1.0)
    asked(stream, silence(0.3))
    assert not stream.hear_turn(question.pause_sample, 1.0)
    (question,) = asked(stream, joined(SPEECH, silence(1)))
    assert not stream.hear_turn(question.pause_sample, 1.0)


def test_the_final_is_decoded_when_the_question_is_asked() -> None:
    """Of the same audio that the utterance has if it ends at once; other options stay as they are."""
    options = hearing_turns(StreamOptions(turn=TURN))
    assert (
        options.pacing is not None and options.pacing.speculate_s == options.endpointing.pad_after_s == 0.16
    )
    short = StreamOptions(endpointing=EndpointerOptions(pad_after_s=0.1), pacing=None, turn=TURN)
    assert hearing_turns(short) == short
    long = StreamOptions(endpointing=EndpointerOptions(trailing_silence_s=3.0), turn=TURN)
    assert (heard := hearing_turns(long).turn) is not None and heard.unfinished_silence_s == 3.0


class Ear:
    """A `TurnListener` that answers after a while."""

    def __init__(self, probability: float | None, after_s: float = 0.1) -> None:
        self.probability = probability
        self.after_s = after_s
        self.started = self.asked = self.answered = 0

    def start(self) -> None:
        self.started += 1

    async def finished(self, samples: Samples) -> float | None:
        self.asked += 1
        await asyncio.sleep(self.after_s)
        self.answered += 1
        return self.probability


class Hearing:
    """A session with an ear, fed as from a microphone."""

    def __init__(self, ear: Ear | None, options: StreamOptions = OPTIONS) -> None:
        self.decoder, self.said = Decoder(), Listener()
        self.session = Session(LevelDetector(), options, windowed(self.decoder), self.said, turns=ear)

    async def play(self, samples: Samples) -> None:
        for at in range(0, len(samples), 512):
            self.session.feed(samples[at : at + 512])
            await asyncio.sleep(512 / SAMPLE_RATE_HZ)
            for call in self.decoder.waiting:
                call.answer()

    async def finals_after(self, silence_s: float) -> int:
        """How many finals there are so long after speech."""
        await self.play(joined(SPEECH, silence(silence_s)))
        return len(self.said.of(Final))


async def test_a_session_that_hears_a_finished_turn() -> None:
    """Its final comes after 0.3 s of silence, of the audio that was decoded meanwhile: once."""
    ear = Ear(0.9)
    run = Hearing(ear)
    assert await run.finals_after(0.35) == 1 and run.said.words == words(*range(10))
    finals = [call for call in run.decoder.calls if call.ticket.kind.name == "FINAL"]
    assert (ear.started, ear.asked, len(finals)) == (1, 1, 1)
    run.session.finish()
    await run.session.wait_ended()
    assert_accounted(run.said.events, run.session.account.received_samples)


@pytest.mark.parametrize("ear", [Ear(None), Ear(0.9, after_s=60.0), Ear(0.5), None])
async def test_without_an_answer_all_pauses_are_alike(ear: Ear | None) -> None:
    """Also where it comes too late; at the end nobody waits for it."""
    run = Hearing(ear)
    assert await run.finals_after(0.4) == 0
    await run.play(silence(0.3))
    assert len(run.said.of(Final)) == 1
    run.session.stop()
    await asyncio.sleep(120)
    assert ear is None or ear.answered == (ear.after_s < 1)


async def test_what_is_not_to_be_heard_is_not_asked() -> None:
    """Neither under load nor where the options do not say how."""
    ear = Ear(0.9)
    run = Hearing(ear)
    run.session.hear_turns(False)
    assert await run.finals_after(0.4) == 0 and not ear.asked
    await run.play(silence(1))
    run.session.hear_turns(True)
    assert await run.finals_after(0.35) == 2 and ear.asked == 1
    deaf = Hearing(ear, replace(OPTIONS, turn=None))
    assert await deaf.finals_after(0.4) == 0 and ear.asked == 1


async def test_options_are_the_usual_ones_where_nobody_listens() -> None:
    """A session whose options say how pauses are heard, but without an ear, cuts as all do."""
    run = Hearing(None)
    await run.play(joined(SPEECH, silence(1)))
    (final,) = run.said.of(Final)
    alike = Hearing(None, StreamOptions())
    await alike.play(joined(SPEECH, silence(1)))
    assert final.end_sample == alike.said.of(Final)[0].end_sample
    assert not any(isinstance(each, Pause) for each in run.said.events)
