"""Windows as a stream: when partials, guesses and finals are decoded, and what is said of them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.errors import DecodeError, ProviderError, Superseded
from asrctl.policy.pacing import PacingOptions
from asrctl.policy.priority import Kind, Source
from asrctl.policy.window import Effort
from asrctl.providers.base import DecodeOptions
from asrctl.providers.recognizer import Completed, Failed, Heard, Spoken, StreamRequest
from asrctl.streaming.adapter import WindowedStream
from asrctl.transcript import LanguageEvidence
from asrctl_tests.scripted import speak
from tests.streaming.puppets import Decoder
from tests.streaming.speech import Samples, heard_in, joined, silence, words
from tests.streaming.virtual import VIRTUAL, others, settle

REQUEST = StreamRequest(DecodeOptions(beam_size=5), "s1", Source.SYSTEM, PacingOptions())
PADDING = silence(0.2)


@pytest.fixture(scope="module")
def anyio_backend() -> object:
    """In virtual time."""
    return VIRTUAL


class Rig:
    """A stream over windows whose decodes wait for the test."""

    def __init__(self, request: StreamRequest = REQUEST, *, answering: bool = False) -> None:
        self.decoder = Decoder(answering=answering)
        self.said: list[Spoken] = []
        self.stream = WindowedStream(self.decoder, request, self.said.append, asyncio.get_running_loop().time)

    async def speak(self, *numbers: int, chunk_samples: int = 3200) -> None:
        """Feed words in chunks, letting everything happen after each."""
        await self.feed(speak(numbers), chunk_samples)

    async def feed(self, samples: Samples, chunk_samples: int = 3200) -> None:
        for at in range(0, len(samples), chunk_samples):
            self.stream.feed(samples[at : at + chunk_samples])
            await settle()

    async def pause(self, silence_s: float = 0.3) -> None:
        """Feed the padding and tell of a pause, as the live stream does."""
        for at in range(0, len(PADDING), 640):
            self.stream.feed(PADDING[at : at + 640])
            self.stream.pause((at + 640) / 16_000)
            await settle()
        self.stream.pause(silence_s)
        await settle()

    async def end(self) -> None:
        self.stream.end()
        await settle()

    async def answer(
        self,
        error: Exception | None = None,
        *,
        language: str = "en",
        evidence: tuple[LanguageEvidence, ...] = (),
    ) -> None:
        """Answer the one decode that waits."""
        (call,) = self.decoder.waiting
        call.answer(error, language=language, evidence=evidence)
        await settle()

    def of(self, kind: type[Spoken]) -> list[Spoken]:  # type: ignore[valid-type]
        return [spoken for spoken in self.said if isinstance(spoken, kind)]

    @property
    def finals(self) -> list[str]:
        return [spoken.hypothesis.text for spoken in self.said if isinstance(spoken, Completed)]

    @property
    def heard(self) -> list[Heard]:
        return [spoken for spoken in self.said if isinstance(spoken, Heard)]


@pytest.fixture
async def rig() -> AsyncIterator[Callable[..., Rig]]:
    """Makes rigs, and checks that they leave nothing behind."""
    made: list[Rig] = []

    def make(request: StreamRequest = REQUEST, *, answering: bool = False) -> Rig:
        made.append(Rig(request, answering=answering))
        return made[-1]

    yield make
    await check_closed(made)


async def check_closed(made: Sequence[Rig]) -> None:
    """After close, which may come twice: all decodes are aborted, no task is left, nothing is said."""
    counts = [len(each.said) for each in made]
    waiting = [call for each in made for call in each.decoder.waiting]
    for each in made:
        each.stream.close()
        each.stream.close()
    await settle()
    assert all(call.aborted for call in waiting)
    assert counts == [len(each.said) for each in made]
    assert not [fault for each in made for fault in each.decoder.faults]
    assert not others()


RigOf = Callable[..., Rig]


async def test_a_final_is_decoded_at_the_end(rig: RigOf) -> None:
    """All of the utterance, whole and once, in the request's terms; nothing is said before."""
    run = rig(replace(REQUEST, pacing=None))
    await run.speak(*range(10))
    await run.pause()
    assert not run.decoder.calls
    await run.end()
    (call,) = run.decoder.waiting
    assert call.options == replace(REQUEST.decode, word_timestamps=True, effort=Effort.LIGHT)
    ticket = call.ticket
    assert (ticket.session, ticket.source, ticket.utterance) == ("s1", Source.SYSTEM, 0)
    assert call.is_final and len(call.samples) == 10 * 3200 + len(PADDING)
    await run.answer()
    assert run.said == [Completed(0, heard_in(joined(speak(range(10)), PADDING)))]


async def test_an_utterance_without_audio_is_completed(rig: RigOf) -> None:
    """Whoever ends one waits for it."""
    run = rig()
    run.decoder.decode = lambda *_: _nothing()  # type: ignore[method-assign]
    await run.end()
    assert run.said == [Completed(0, heard_in(silence(0)))]


async def _nothing() -> object:
    return heard_in(silence(0))


async def test_partials_are_decoded_while_it_is_spoken(rig: RigOf) -> None:
    """The first at 0.7 s, then for each second: greedy drafts of all there is."""
    run = rig(answering=True)
    await run.speak(*range(20))
    assert [len(call.samples) / 16_000 for call in run.decoder.calls] == pytest.approx([0.8, 1.8, 2.8, 3.8])
    assert all(
        call.options.beam_size == 1 and call.options.effort is Effort.DRAFT for call in run.decoder.calls
    )
    assert [len(heard.stable) for heard in run.heard] == [0, 4, 9, 14]
    assert [len(heard.stable + heard.unstable) for heard in run.heard] == [4, 9, 14, 19]
    assert [heard.samples for heard in run.heard] == [len(call.samples) for call in run.decoder.calls]
    assert not any(call.is_final for call in run.decoder.calls)


async def test_one_partial_at_a_time(rig: RigOf) -> None:
    """While one is decoded no other is asked for; then the next has all that came meanwhile."""
    run = rig()
    await run.speak(*range(20))
    assert len(run.decoder.calls) == 1
    await run.answer()
    await run.speak(20)
    assert len(run.decoder.waiting[0].samples) == 21 * 3200


async def test_no_partials_in_a_pause(rig: RigOf) -> None:
    """Nothing new is said in the padding that is fed meanwhile; one that was due waits for speech."""
    run = rig()
    await run.speak(0, 1, 2)
    for at in range(0, len(PADDING), 640):
        run.stream.feed(PADDING[at : at + 640])
        run.stream.pause(0.04)
        await settle()
    assert not run.decoder.calls  # at 0.7 s, with the padding, the first partial is due
    await run.speak(3)
    assert [len(call.samples) for call in run.decoder.waiting] == [4 * 3200 + len(PADDING)]


async def test_a_partial_under_way_is_shown_in_a_short_pause(rig: RigOf) -> None:
    """It was asked for while somebody spoke."""
    run = rig()
    await run.speak(*range(5))
    run.stream.pause(0.1)
    await settle()
    await run.answer()
    assert len(run.heard) == 1


async def test_a_final_is_guessed_in_the_pause_and_kept(rig: RigOf) -> None:
    """It is shown meanwhile as a partial; the end needs no other decode, whether it comes before or after."""
    for early in (True, False):
        run = rig()
        await run.speak(*range(8))
        partial = run.decoder.waiting[0]
        await run.pause()
        assert partial.aborted
        (guess,) = run.decoder.waiting
        assert guess.is_final and guess.ticket.is_guess and guess.options.effort is Effort.LIGHT
        if early:
            await run.end()
        await run.answer()
        if not early:
            assert len(run.heard) == 1 and not run.finals
            await run.end()
        assert run.finals == [" ".join(words(*range(8)))]
        assert sum(call.is_final for call in run.decoder.calls) == 1


async def test_a_guess_is_kept_once_it_has_come_and_said_later(rig: RigOf) -> None:
    """Never from within `end`; and not at all if the utterance is dropped, or all closed, at that moment."""
    for undo in (None, "drop", "close"):
        run = rig(answering=True)
        await run.speak(*range(3))
        await run.pause()
        run.stream.end()
        assert not run.finals
        if undo == "drop":
            run.stream.drop(0)
        elif undo == "close":
            run.stream.close()
        await settle()
        assert len(run.finals) == (undo is None)


async def test_a_wrong_guess_is_thrown_away(rig: RigOf) -> None:
    """Speech that goes on is in the final, whether the guess had come, or is still decoded at the end."""
    for answered in (True, False):
        run = rig()
        await run.speak(*range(3))
        await run.pause()
        (guess,) = run.decoder.finals
        if answered:
            await run.answer()
        await run.speak(*range(3, 6))
        assert not answered or run.decoder.calls[-1] is guess
        await run.end()
        assert guess.aborted is not answered
        await run.answer()
        assert run.finals == [" ".join(words(*range(6)))]


async def test_no_partial_is_decoded_beside_a_guess(rig: RigOf) -> None:
    """Speech goes on: the guess, when it comes, is shown as one."""
    run = rig()
    await run.speak(*range(5))
    await run.answer()
    await run.pause()
    await run.speak(*range(5, 20))
    (guess,) = run.decoder.waiting
    assert guess.is_final
    await run.answer()
    assert [heard.samples for heard in run.heard] == [4 * 3200, len(guess.samples)]
    await run.speak(20)
    assert not run.decoder.waiting[0].is_final


async def test_a_second_pause_is_guessed_at_anew(rig: RigOf) -> None:
    """The first guess is aborted; the same pause is guessed at once."""
    run = rig()
    await run.speak(*range(3))
    await run.pause()
    await run.pause(0.4)
    first = run.decoder.calls[0]
    await run.speak(3)
    await run.pause()
    assert first.aborted and len(run.decoder.finals) == 1
    run.stream.pause(0.5)
    await settle()
    assert len(run.decoder.finals) == 1


async def test_a_pause_before_speech_is_nothing(rig: RigOf) -> None:
    """There is nothing to decode."""
    run = rig()
    run.stream.pause(1.0)
    await settle()
    assert not run.decoder.calls


async def test_a_failed_guess_is_decoded_again(rig: RigOf) -> None:
    """Once, at the end; an error that hit the guess does not lose the utterance."""
    run = rig()
    await run.speak(*range(3))
    await run.pause()
    await run.answer(DecodeError("full"))
    run.stream.pause(0.4)
    await settle()
    assert not run.decoder.waiting
    await run.end()
    await run.answer()
    assert run.finals == ["w0 w1 w2"] and not run.of(Failed)


async def test_a_failed_guess_is_no_partial(rig: RigOf) -> None:
    """If speech goes on, one is due at once."""
    run = rig()
    await run.speak(*range(3))
    await run.pause()
    await run.answer(DecodeError("full"))
    await run.speak(3)
    assert [call.is_final for call in run.decoder.waiting] == [False]


async def test_a_partial_in_the_very_turn_of_a_guess_does_not_end_partials(rig: RigOf) -> None:
    """Audio in long pieces: speech, a partial that is due and the pause come at once; later ones follow."""
    run = rig(answering=True)
    run.stream.feed(joined(speak(range(5)), PADDING))
    run.stream.pause(0.3)
    await settle()
    assert [call.is_final for call in run.decoder.calls] == [True]
    await run.speak(*range(5, 15))
    assert [call.is_final for call in run.decoder.calls][1:] == [False, False]


@pytest.mark.parametrize("error", [DecodeError("no"), Superseded("a final"), ZeroDivisionError("a bug")])
async def test_a_partial_that_fails_is_asked_for_again(rig: RigOf, error: Exception) -> None:
    """With the next audio; nothing is said of it, since the final tells if that lasts."""
    run = rig()
    await run.speak(*range(4))
    await run.answer(error)
    assert not run.said
    await run.speak(4)
    assert [len(call.samples) for call in run.decoder.waiting] == [5 * 3200]


@pytest.mark.parametrize("error", [ProviderError("closed"), ZeroDivisionError("a bug")])
async def test_a_final_that_fails_is_told(rig: RigOf, error: Exception) -> None:
    """Whatever went wrong; the next utterance comes as usual."""
    run = rig(replace(REQUEST, pacing=None))
    await run.speak(1)
    await run.end()
    await run.speak(2)
    await run.end()
    first, second = run.decoder.waiting
    first.answer(error)
    second.answer()
    await settle()
    assert run.said == [Failed(0, error), Completed(1, heard_in(speak([2])))]


async def test_an_utterance_that_is_decoded_does_not_hold_up_the_next(rig: RigOf) -> None:
    """It may be fed, have partials and be completed first."""
    run = rig()
    await run.speak(1, 2, 3)
    await run.end()
    await run.speak(*range(4, 9))
    assert [call.ticket.utterance for call in run.decoder.waiting] == [0, 1]
    run.decoder.waiting[1].answer()
    await settle()
    assert [heard.utterance for heard in run.heard] == [1]
    await run.end()
    run.decoder.waiting[1].answer()
    await settle()
    await run.answer()
    assert [spoken.utterance for spoken in run.said if isinstance(spoken, Completed)] == [1, 0]


async def test_a_partial_stops_with_its_utterance(rig: RigOf) -> None:
    """It makes way for the final, and says nothing even if it was answered in that moment."""
    run = rig()
    await run.speak(*range(4))
    partial = run.decoder.waiting[0]
    await run.end()
    assert partial.aborted
    await run.answer()
    await run.speak(*range(4))
    partial = run.decoder.waiting[0]
    partial.answer()
    run.stream.end()
    await settle()
    assert not run.heard


async def test_what_is_dropped_is_aborted(rig: RigOf) -> None:
    """Nothing is said of it; what is unknown or still open cannot be dropped."""
    run = rig()
    await run.speak(1)
    await run.end()
    await run.speak(2)
    await run.end()
    first = run.decoder.waiting[0]
    for number in (0, 0, 2, 99):
        run.stream.drop(number)
    await settle()
    assert first.aborted
    await run.answer()
    assert run.finals == ["w2"] and len(run.said) == 1


async def test_partials_are_as_rare_as_wanted(rig: RigOf) -> None:
    """Not at all for None, twice as rare for 2, and as the request says for 1."""
    run = rig(answering=True)
    run.stream.want_partials(None)
    await run.speak(*range(20))
    assert not run.decoder.calls
    await run.end()
    run.stream.want_partials(2.0)
    run.decoder.calls.clear()
    await run.speak(*range(30))
    lengths_s = [len(call.samples) / 16_000 for call in run.decoder.calls]
    assert lengths_s == pytest.approx([1.4, 3.4, 5.4])
    await run.end()
    run.stream.want_partials(1.0)
    run.decoder.calls.clear()
    await run.speak(*range(10))
    assert len(run.decoder.calls) == 2


async def test_a_partial_that_was_under_way_is_not_said_when_none_is_wanted(rig: RigOf) -> None:
    """Nor a guess, which is decoded all the same since finals come sooner by it."""
    run = rig()
    await run.speak(*range(4))
    run.stream.want_partials(None)
    await run.answer()
    await run.pause()
    await run.answer()
    assert not run.said
    await run.end()
    assert run.finals == ["w0 w1 w2 w3"]


async def test_finals_only_are_finals_only(rig: RigOf) -> None:
    """Where the request says so nothing is decoded on suspicion, whatever is wanted later."""
    run = rig(replace(REQUEST, pacing=None), answering=True)
    run.stream.want_partials(1.0)
    await run.speak(*range(20))
    await run.pause()
    assert not run.decoder.calls


@pytest.mark.parametrize("later", [2.0, None])
async def test_nothing_is_guessed_under_load(rig: RigOf, later: float | None) -> None:
    """Where partials are to be rarer, also when there are to be none at all after that."""
    run = rig(answering=True)
    run.stream.want_partials(2.0)
    run.stream.want_partials(later)
    await run.speak(*range(3))
    await run.pause()
    assert not run.decoder.calls
    await run.end()
    assert run.finals == ["w0 w1 w2"]


async def test_a_slow_recogniser_is_not_guessed_at_and_gets_fewer_partials(rig: RigOf) -> None:
    """Decodes that wait for others thin out partials and end guesses; finals are decoded alike."""
    run = rig()
    await run.speak(*range(5))
    await asyncio.sleep(2.0)
    await run.answer()
    asked = len(run.decoder.calls)
    await run.speak(*range(5, 20))
    await run.pause()
    assert len(run.decoder.calls) == asked
    await run.end()
    assert run.decoder.waiting[0].options.effort is Effort.LIGHT
    await run.answer()
    assert run.finals == [" ".join(words(*range(20)))]


@pytest.mark.parametrize("error", [None, Superseded("a final needs its worker"), DecodeError("broken")])
async def test_a_loop_is_decoded_again_if_nothing_is_in_the_way(rig: RigOf, error: Exception | None) -> None:
    """With more effort, and in the language it was heard in; else the final is what there is."""
    run = rig(replace(REQUEST, pacing=None))
    run.stream.feed(speak([1, 2]))
    await run.end()
    (first,) = run.decoder.waiting
    first.answer(is_loop=True)
    await settle()
    (again,) = run.decoder.waiting
    assert not run.said and len(again.samples) == len(first.samples)
    assert again.options == replace(first.options, effort=Effort.AGAIN, language="en")
    assert again.ticket == replace(first.ticket, kind=Kind.AGAIN)
    await run.answer(error)
    (said,) = run.said
    assert isinstance(said, Completed) and said.hypothesis.is_loop == (error is not None)
    assert run.finals == ["w1 w2"]


EVIDENCE = {code: (LanguageEvidence(4.0, ((code, 0.99),)),) for code in ("de", "fr")}


async def test_the_language_follows_what_is_heard(rig: RigOf) -> None:
    """The next final is asked in the language heard last; one that turns out otherwise is decoded again."""
    run = rig(replace(REQUEST, pacing=None, decode=DecodeOptions(language="auto")))
    for number, asked, heard in ((1, "auto", "de"), (2, "de", "de"), (3, "de", "fr"), (4, "fr", "fr")):
        run.stream.feed(speak([number]))
        await run.end()
        assert run.decoder.waiting[0].options.language == asked
        assert run.decoder.waiting[0].options.wants_evidence
        await run.answer(language=heard if asked == "auto" else asked, evidence=EVIDENCE[heard])
        if asked not in ("auto", heard):
            assert run.decoder.waiting[0].options.language == heard
            assert not run.decoder.waiting[0].options.wants_evidence
            await run.answer(language=heard)
    assert run.finals == ["w1", "w2", "w3", "w4"]


async def test_a_final_without_words_or_evidence_tells_nothing(rig: RigOf) -> None:
    """What is asked stays "auto" until something was heard that tells."""
    run = rig(replace(REQUEST, pacing=None, decode=DecodeOptions(language="auto")))
    for numbers, evidence in (([], EVIDENCE["fr"]), ([1], ()), ([2], EVIDENCE["de"])):
        run.stream.feed(joined(silence(0.1), speak(numbers)))
        await run.end()
        assert run.decoder.waiting[0].options.language == "auto"
        await run.answer(language="fr" if evidence == EVIDENCE["fr"] else "de", evidence=evidence)


async def test_partials_tell_the_language_once(rig: RigOf) -> None:
    """A partial of 2 s and more tells its language, and what follows of the utterance is asked in it."""
    run = rig(replace(REQUEST, decode=DecodeOptions(language="auto")))
    for numbers, asked, told in (
        (range(5), "auto", False),
        (range(5, 15), "auto", True),
        (range(15, 30), "fr", False),
    ):
        run.stream.feed(speak(numbers))
        await settle()
        (call,) = run.decoder.waiting
        assert (call.options.language, call.options.tell_language) == (asked, told)
        await run.answer(language="fr", evidence=EVIDENCE["fr"] if told else ())


async def test_a_decoder_that_is_closed_fails_what_waits(rig: RigOf) -> None:
    """Each utterance is told of, those that end later too."""
    run = rig()
    await run.speak(1)
    await run.end()
    await run.speak(*range(2, 8))
    await run.decoder.close()
    await settle()
    await run.pause()
    await run.end()
    failed = [(spoken.utterance, str(spoken.error)) for spoken in run.said if isinstance(spoken, Failed)]
    assert failed == [(0, "the recogniser is closed"), (1, "the recogniser is closed")]


async def test_a_decoder_that_cancels_fails_what_waits(rig: RigOf) -> None:
    """A cancellation that nobody here wanted is an answer too; others are none."""
    run = rig()
    await run.speak(1)
    await run.end()
    await run.speak(2)
    await run.end()
    run.stream.drop(1)
    run.decoder.calls[0].future.cancel()
    await settle()
    assert [(type(spoken), str(spoken.error)) for spoken in run.said] == [
        (Failed, "the decode was cancelled")
    ]


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["feed", "feed", "feed", "pause", "end", "answer", "fail", "want", "drop"]),
        st.integers(0, 20),
    ),
    max_size=40,
)


@given(actions=ACTIONS, seed=st.integers(0, 2**32))
async def test_every_utterance_is_answered_once_with_all_its_words(
    actions: list[tuple[str, int]], seed: int
) -> None:
    """Whatever comes in one turn of the loop, whatever fails, and in any order of answers."""
    dice, run, spoken, dropped = random.Random(seed), Rig(), [list[int]()], set[int]()
    for action, amount in actions:
        if action == "feed":
            numbers = [dice.randrange(4096) for _ in range(amount)]
            run.stream.feed(joined(speak(numbers), silence(0.05)))
            spoken[-1] += numbers
        elif action == "pause":
            run.stream.pause(amount / 20)
        elif action == "end":
            run.stream.feed(silence(0.1))
            run.stream.end()
            spoken.append([])
        elif action == "want":
            run.stream.want_partials(dice.choice([None, 1.0, 2.0]))
        elif action == "drop" and len(spoken) > 1:
            dropped.add(number := dice.randrange(len(spoken) - 1))
            run.stream.drop(number)
        elif action in ("answer", "fail") and run.decoder.waiting:
            dice.choice(run.decoder.waiting).answer(DecodeError("no") if action == "fail" else None)
        if dice.random() < 0.7:
            await settle()
    await settle()
    while run.decoder.waiting:
        run.decoder.waiting[0].answer()
        await settle()
    answered = [said.utterance for said in run.said if isinstance(said, Completed | Failed)]
    assert len(set(answered)) == len(answered)
    assert {*answered, *dropped} == set(range(len(spoken) - 1))
    for said in run.said:
        if isinstance(said, Completed):
            assert said.hypothesis.text.split() == words(*spoken[said.utterance])
        elif isinstance(said, Heard):
            texts = [*said.stable, *said.unstable]
            assert texts == words(*spoken[said.utterance])[: len(texts)]
    assert np.all([not isinstance(said, Failed) or str(said.error) == "no" for said in run.said])
    await check_closed([run])
