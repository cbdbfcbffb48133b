"""Recognisers that do what the test says, and a listener that checks what every stream must hold."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from asrctl.errors import ProviderError
from asrctl.events import Dropped, Event, Final, Finished, Partial, ProviderChanged
from asrctl.policy.priority import Kind, Ticket
from asrctl.providers.base import DecodeOptions
from asrctl.providers.recognizer import Completed, Failed, Heard, Lost, Spoken, StreamRequest, WindowDecoder
from asrctl.streaming.pooled import PooledRecognizer
from asrctl.transcript import Hypothesis, LanguageEvidence
from asrctl_tests.scripted import listen
from tests.streaming.speech import Samples, heard_in, until

E = TypeVar("E", bound=Event)


# Windows


@dataclass(eq=False)
class Decode:
    """A window that somebody waits for, until the test answers."""

    samples: Samples
    options: DecodeOptions
    ticket: Ticket
    future: asyncio.Future[Hypothesis]
    aborted: bool = False

    @property
    def is_final(self) -> bool:
        """Whether it is for a final, or a guess at one."""
        return self.ticket.kind is Kind.FINAL

    def answer(
        self,
        error: Exception | None = None,
        *,
        language: str = "en",
        evidence: tuple[LanguageEvidence, ...] = (),
        is_loop: bool = False,
    ) -> None:
        """End it with what is in it, or with an error."""
        if error is None:
            heard = replace(heard_in(self.samples, language), evidence=evidence, is_loop=is_loop)
            self.future.set_result(heard)
        else:
            self.future.set_exception(error)


class Decoder:
    """A `WindowDecoder` whose decodes wait for the test, or are answered at once."""

    def __init__(self, *, width: int = 1, answering: bool = False) -> None:
        self.width = width
        self.answering = answering
        self.calls: list[Decode] = []
        self.closed = False
        self.faults: list[str] = []
        """What was asked for that must not be."""
        self.load_error: Exception | None = None
        self.load_s = 1.5
        self.inference_s = 2.5

    async def decode(self, samples: Samples, options: DecodeOptions, ticket: Ticket) -> Hypothesis:
        if self.closed:
            raise ProviderError("the recogniser is closed")
        if not (options.word_timestamps and len(samples)):
            self.faults.append(f"nothing to decode, or without words: {options}, {len(samples)} samples")
        for other in self.waiting:
            if replace(other.ticket, source=ticket.source) == ticket:
                self.faults.append(f"decoded twice at a time: {ticket}")
        call = Decode(samples.copy(), options, ticket, asyncio.get_running_loop().create_future())
        self.calls.append(call)
        if self.answering:
            call.answer()
        try:
            result = await call.future
        except asyncio.CancelledError:
            call.aborted = True
            raise
        if not np.array_equal(call.samples, samples):
            self.faults.append("the samples changed meanwhile")
        return result

    @property
    def waiting(self) -> list[Decode]:
        """Decodes that are not answered."""
        return [call for call in self.calls if not call.future.done()]

    @property
    def finals(self) -> list[Decode]:
        """Those of them that are for finals."""
        return [call for call in self.waiting if call.is_final]

    async def wait_ready(self) -> None:
        if self.load_error is not None:
            raise self.load_error

    def pids(self) -> list[int]:
        return [4711]

    async def close(self) -> None:
        self.closed = True
        for call in self.waiting:
            call.answer(ProviderError("the recogniser is closed"))


def windowed(decoder: Decoder, name: str = "windows") -> PooledRecognizer:
    """A recogniser over a decoder."""
    return PooledRecognizer(name, f"{name}-model", decoder, lambda: f"{name} here")


# Streams


class PuppetStream:
    """An `UtteranceStream` that hears all, and says what it is made to say."""

    def __init__(self, request: StreamRequest, say: Callable[[Spoken], None]) -> None:
        self.request = request
        self.say = say
        self.closed = False
        self.pieces: list[list[Samples]] = [[]]
        self.waiting: list[int] = []
        """Utterances that ended and are not completed."""
        self.dropped: list[int] = []
        self.pauses_s: list[float] = []
        self.factor: float | None = -1.0
        self.breaks_on = ""
        """A method that raises."""
        self.error: Exception = ProviderError("the pipe is full")

    def _do(self, method: str) -> None:
        assert not self.closed, f"{method} after close"
        if method == self.breaks_on:
            raise self.error

    def feed(self, samples: Samples) -> None:
        self._do("feed")
        assert len(samples)
        self.pieces[-1].append(samples)

    def pause(self, silence_s: float) -> None:
        self._do("pause")
        self.pauses_s.append(silence_s)

    def end(self) -> None:
        self._do("end")
        self.waiting.append(len(self.pieces) - 1)
        self.pieces.append([])

    def drop(self, utterance: int) -> None:
        self._do("drop")
        self.waiting.remove(utterance)
        self.dropped.append(utterance)

    def want_partials(self, interval_factor: float | None) -> None:
        self._do("want_partials")
        self.factor = interval_factor

    def close(self) -> None:
        self.closed = True
        if self.breaks_on == "close":
            raise self.error

    # What the test makes it say

    @property
    def turn(self) -> int:
        """The utterance that is next to be completed."""
        return self.waiting[0] if self.waiting else len(self.pieces) - 1

    def audio(self, number: int | None = None) -> Samples:
        """What it has of an utterance."""
        pieces = self.pieces[self.turn if number is None else number]
        return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)

    @property
    def fed_samples(self) -> int:
        """What it was fed of all utterances."""
        return sum(len(piece) for pieces in self.pieces for piece in pieces)

    def hear(self, settled: int = 1000, number: int | None = None) -> None:
        """Say the words that came so far, of which so many are settled; the last may still be on its way."""
        number = self.turn if number is None else number
        texts = tuple(word.text for word in listen(self.audio(number)))
        stable = texts[: min(settled, len(texts) - 1)] if texts else ()
        self.say(Heard(number, stable, texts[len(stable) :], len(self.audio(number))))

    def complete(self, number: int | None = None) -> None:
        """Complete an utterance that has ended."""
        number = self.turn if number is None else number
        self.waiting.remove(number)
        self.say(Completed(number, heard_in(self.audio(number))))

    def fail(self, error: Exception, number: int | None = None) -> None:
        """Fail with an utterance that has ended."""
        number = self.turn if number is None else number
        self.waiting.remove(number)
        self.say(Failed(number, error))

    def lose(self, reason: str = "broken", number: int | None = None) -> None:
        """Be lost."""
        self.say(Lost(ProviderError(reason), number))


@dataclass(eq=False)
class Puppet:
    """A streaming `Recognizer` that opens a stream, unless the test has given it a reason why not."""

    name: str = "stream"
    refusal: Exception | None = None
    streams: list[PuppetStream] = field(default_factory=list)
    asked: int = 0
    closed: bool = False
    windows: WindowDecoder | None = None
    load_error: Exception | None = None

    @property
    def model(self) -> str:
        return f"{self.name}-model"

    @property
    def description(self) -> str:
        return f"{self.name} here"

    def open(self, request: StreamRequest, say: Callable[[Spoken], None]) -> PuppetStream:
        self.asked += 1
        if self.refusal is not None:
            raise self.refusal
        self.streams.append(PuppetStream(request, say))
        return self.streams[-1]

    async def wait_ready(self) -> None:
        if self.load_error is not None:
            raise self.load_error

    def pids(self) -> list[int]:
        return []

    async def close(self) -> None:
        self.closed = True

    @property
    def live(self) -> list[PuppetStream]:
        """Streams that are open."""
        return [stream for stream in self.streams if not stream.closed]

    @property
    def stream(self) -> PuppetStream:
        """The one that is open."""
        (stream,) = self.live
        return stream


# What is said


@dataclass
class Listener:
    """Takes a session's events and checks what must hold whatever happens."""

    events: list[Event] = field(default_factory=list)
    _stable: dict[int, str] = field(default_factory=dict)
    _end_sample: int = 0

    def __call__(self, event: Event) -> None:
        assert not self.of(Finished), "something is said after the end"
        if isinstance(event, Partial):
            assert event.stable.startswith(self._stable.get(event.utterance, ""))
            self._stable[event.utterance] = event.stable
        elif isinstance(event, Final | Dropped):
            assert self._end_sample <= event.start_sample < event.end_sample
            self._end_sample = event.end_sample
        self.events.append(event)

    def of(self, kind: type[E]) -> list[E]:
        """The events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def words(self) -> list[str]:
        """All words of all finals, in order."""
        return " ".join(final.segment.text for final in self.of(Final)).split()

    @property
    def changes(self) -> list[tuple[str, str]]:
        """Who took over from whom, and why."""
        return [(event.provider, event.reason) for event in self.of(ProviderChanged)]

    async def wait_for(self, kind: type[E], count: int = 1) -> E:
        """Wait until so many of a kind have come; the last of them."""
        await until(lambda: len(self.of(kind)) >= count)
        return self.of(kind)[-1]


def assert_accounted(events: list[Event], received_samples: int) -> None:
    """The last event's account balances, and agrees with all that was said."""
    end = events[-1]
    assert isinstance(end, Finished)
    account = end.account
    assert (account.pending_samples, account.received_samples) == (0, received_samples)
    finals = [event for event in events if isinstance(event, Final)]
    drops = [event for event in events if isinstance(event, Dropped)]
    assert account.speech_samples == sum(final.end_sample - final.start_sample for final in finals)
    assert account.dropped_samples == sum(drop.end_sample - drop.start_sample for drop in drops)
    assert account.silence_samples >= 0


def act_at_random(puppets: list[Puppet], dice: random.Random, *, lose: bool = True) -> None:
    """Let one open stream say something, or break."""
    live = [stream for puppet in puppets for stream in puppet.live]
    if not live:
        return
    stream, roll = dice.choice(live), dice.random()
    if roll < 0.5:
        stream.hear(dice.randint(0, 9))
    elif roll < 0.9:
        if stream.waiting:
            stream.complete(dice.choice(stream.waiting))
    elif lose:
        stream.lose(f"loss {dice.randrange(1000)}", dice.choice([None, stream.turn]))
