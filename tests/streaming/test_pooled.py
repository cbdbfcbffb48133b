"""Recognisers over pools and services, and recognisers that are made when they are first needed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from asrctl.errors import DecodeError, ModelError, ProviderError
from asrctl.policy.pacing import PacingOptions
from asrctl.policy.priority import Kind, Ticket
from asrctl.providers.base import DecodeOptions
from asrctl.providers.recognizer import Completed, Failed, Recognizer, Spoken, StreamRequest
from asrctl.streaming.pooled import DeferredRecognizer, ServiceRecognizer
from asrctl_tests.scripted import speak
from tests.streaming.puppets import Decoder, Puppet, windowed
from tests.streaming.speech import heard_in
from tests.streaming.virtual import VIRTUAL, others, settle

OPTIONS = DecodeOptions(word_timestamps=True)
AUTO = DecodeOptions(language="auto", word_timestamps=True)
TICKET = Ticket("file", Kind.FINAL)
REQUEST = StreamRequest(OPTIONS, pacing=PacingOptions())


@pytest.fixture(scope="module")
def anyio_backend() -> object:
    """In virtual time."""
    return VIRTUAL


async def test_a_pool_is_a_recogniser() -> None:
    """It decodes windows, opens streams over them, tells times and processes, and closes with it."""
    decoder, said = Decoder(answering=True), list[Spoken]()
    pooled = windowed(decoder)
    assert isinstance(pooled, Recognizer)
    assert (pooled.name, pooled.model, pooled.description) == ("windows", "windows-model", "windows here")
    assert (pooled.load_s, pooled.inference_s, pooled.pids()) == (1.5, 2.5, [4711])
    assert pooled.windows is decoder
    await pooled.wait_ready()
    stream = pooled.open(REQUEST, said.append)
    stream.feed(speak([1]))
    stream.end()
    await settle()
    assert said == [Completed(0, heard_in(speak([1])))]
    stream.close()
    await pooled.close()
    assert decoder.closed


async def test_a_pool_that_does_not_load_is_not_ready() -> None:
    """The reason is the pool's."""
    decoder = Decoder()
    decoder.load_error = ModelError("no weights")
    with pytest.raises(ModelError, match="no weights"):
        await windowed(decoder).wait_ready()


class Service:
    """A provider that only decodes windows."""

    name, model, description = "service", "m", "far away"

    def __init__(self) -> None:
        self.windows = Decoder(answering=True)
        self.ready = False

    async def wait_ready(self) -> None:
        self.ready = True

    def pids(self) -> list[int]:
        return []

    async def close(self) -> None:
        await self.windows.close()


async def test_a_service_is_a_recogniser_without_partials() -> None:
    """Each of which would be a request; finals come as from a pool."""
    service, said = Service(), list[Spoken]()
    recognizer = ServiceRecognizer(service)
    assert isinstance(recognizer, Recognizer)
    assert (recognizer.name, recognizer.model, recognizer.description) == ("service", "m", "far away")
    assert recognizer.windows is service.windows and recognizer.pids() == []
    await recognizer.wait_ready()
    stream = recognizer.open(REQUEST, said.append)
    stream.want_partials(1.0)
    for number in range(20):
        stream.feed(speak([number]))
        stream.pause(0.3)
        await settle()
    assert service.ready and not service.windows.calls
    stream.end()
    await settle()
    assert len(said) == 1 and isinstance(said[0], Completed)
    stream.close()
    await recognizer.close()
    assert service.windows.closed


# Made when needed

Make = Callable[[], Awaitable[tuple[Recognizer, str]]]


class Maker:
    """Makes recognisers over a decoder, as slowly and as badly as the test wants."""

    def __init__(self, *errors: Exception, streaming: bool = False, takes_s: float = 1.0) -> None:
        self.errors = list(errors)
        self.decoder = Decoder(answering=True)
        self.puppet = Puppet("reserve")
        self.streaming = streaming
        self.takes_s = takes_s
        self.begun = 0
        self.made = 0

    async def __call__(self) -> tuple[Recognizer, str]:
        self.begun += 1
        await asyncio.sleep(self.takes_s)
        if self.errors:
            raise self.errors.pop(0)
        self.made += 1
        return (self.puppet if self.streaming else windowed(self.decoder, "reserve")), "en"


def deferred(make: Maker) -> DeferredRecognizer:
    return DeferredRecognizer("reserve", make, windowed=not make.streaming)


async def test_nothing_is_made_before_the_first_window() -> None:
    """Windows that come while it is made are decoded, and it is closed with what stands for it."""
    make = Maker()
    reserve = deferred(make)
    assert isinstance(reserve, Recognizer) and reserve.windows is reserve and reserve.width == 1
    assert (reserve.model, reserve.description, reserve.pids()) == ("", "not started", [])
    await asyncio.sleep(10)
    assert not make.begun
    tasks = [asyncio.create_task(reserve.decode(speak([n]), OPTIONS, TICKET)) for n in (1, 2)]
    assert [(await task).text for task in tasks] == ["w1", "w2"]
    assert (await reserve.decode(speak([3]), OPTIONS, TICKET)).text == "w3"
    make.decoder.width = 3
    assert (reserve.width, reserve.pids()) == (3, [4711])
    assert (reserve.model, reserve.description) == ("reserve-model", "reserve here")
    await reserve.wait_ready()
    await reserve.close()
    assert make.made == 1 and make.decoder.closed
    with pytest.raises(ProviderError, match="closed"):
        await reserve.decode(speak([4]), OPTIONS, TICKET)


async def test_it_decodes_in_the_language_it_has() -> None:
    """Where that is to be detected, since it may know fewer; one that is given stays."""
    make = Maker()
    reserve = deferred(make)
    await reserve.decode(speak([1]), AUTO, TICKET)
    await reserve.decode(speak([1]), DecodeOptions(language="de", word_timestamps=True), TICKET)
    assert [call.options.language for call in make.decoder.calls] == ["en", "de"]


async def test_it_can_be_started_ahead_of_need() -> None:
    """Once; what goes wrong then is heard by whoever needs it."""
    make = Maker(ModelError("gone"))
    reserve = deferred(make)
    reserve.start()
    reserve.start()
    await asyncio.sleep(2)
    assert make.begun == 1
    with pytest.raises(ModelError, match="gone"):
        await reserve.decode(speak([1]), OPTIONS, TICKET)
    assert make.begun == 1


@pytest.mark.parametrize("error", [ModelError("gone"), KeyError("gone")])
async def test_what_cannot_be_made_fails_and_is_tried_again_after_a_while(error: Exception) -> None:
    """With the reason, also for whoever needs it until then; nothing is tried with each need."""
    make = Maker(error)
    reserve = deferred(make)
    told = ModelError if isinstance(error, ModelError) else ProviderError
    for _ in range(3):
        with pytest.raises(told, match="gone"):
            await reserve.decode(speak([1]), OPTIONS, TICKET)
    with pytest.raises(told, match="gone"):
        await reserve.wait_ready()
    with pytest.raises(told, match="gone"):
        reserve.open(REQUEST, lambda _: None)
    assert make.begun == 1
    await asyncio.sleep(6)
    assert (await reserve.decode(speak([2]), OPTIONS, TICKET)).text == "w2"
    await reserve.close()


async def test_a_window_of_a_reserve_can_be_aborted() -> None:
    """While it is made, which goes on for others, and while it is decoded."""
    make = Maker()
    make.decoder.answering = False
    reserve = deferred(make)
    early, late = (asyncio.create_task(reserve.decode(speak([n]), OPTIONS, TICKET)) for n in (1, 2))
    await settle()
    early.cancel()
    await asyncio.sleep(2)
    (call,) = make.decoder.waiting
    late.cancel()
    await settle()
    assert early.cancelled() and late.cancelled() and call.aborted
    await reserve.close()


async def test_errors_are_passed_on() -> None:
    """As they are."""
    make = Maker()
    make.decoder.answering = False
    reserve = deferred(make)
    task = asyncio.create_task(reserve.decode(speak([1]), OPTIONS, TICKET))
    await asyncio.sleep(2)
    make.decoder.waiting[0].answer(DecodeError("refused"))
    with pytest.raises(DecodeError, match="refused"):
        await task


async def test_a_stream_over_windows_is_fed_while_it_is_made() -> None:
    """Nothing of it is lost; and it fails if it cannot be made."""
    for errors in ([], [ModelError("gone")]):
        make, said = Maker(*errors), list[Spoken]()
        reserve = deferred(make)
        stream = reserve.open(REQUEST, said.append)
        stream.feed(speak([1, 2]))
        stream.end()
        await asyncio.sleep(2)
        assert len(said) == 1 and isinstance(said[0], Failed if errors else Completed)
        stream.close()
        await reserve.close()


async def test_a_streaming_reserve_is_made_for_the_first_stream() -> None:
    """Who asks meanwhile is told that it starts, and has a stream later."""
    make = Maker(streaming=True)
    reserve = deferred(make)
    assert reserve.windows is None and reserve.width == 1
    for _ in range(2):
        with pytest.raises(ProviderError, match="reserve is starting"):
            reserve.open(REQUEST, lambda _: None)
        await settle()
    assert make.begun == 1
    await reserve.wait_ready()
    assert reserve.open(REQUEST, lambda _: None) is make.puppet.stream
    assert reserve.width == 1
    await reserve.close()
    assert make.puppet.closed


async def test_a_streaming_reserve_that_cannot_be_made_says_why() -> None:
    """And is tried again after a while, not each time that somebody asks."""
    make = Maker(ModelError("gone"), streaming=True, takes_s=0.0)
    reserve = deferred(make)
    with pytest.raises(ProviderError, match="starting"):
        reserve.open(REQUEST, lambda _: None)
    for _ in range(20):
        await asyncio.sleep(0.2)
        with pytest.raises(ModelError, match="gone"):
            reserve.open(REQUEST, lambda _: None)
    assert make.begun == 1
    await asyncio.sleep(2)
    with pytest.raises(ProviderError, match="starting"):
        reserve.open(REQUEST, lambda _: None)
    await asyncio.sleep(1)
    reserve.open(REQUEST, lambda _: None)
    await reserve.close()


@pytest.mark.parametrize("after_s", [0.0, 0.5, 2.0])
async def test_closing_ends_what_is_being_made(after_s: float) -> None:
    """Whoever waits is told, no task is left, nothing is made later."""
    make = Maker()
    reserve = deferred(make)
    task = asyncio.create_task(reserve.decode(speak([1]), OPTIONS, TICKET))
    if after_s < 1:
        make.decoder.answering = False
    await asyncio.sleep(after_s)
    await reserve.close()
    await reserve.close()
    if after_s < 1:
        with pytest.raises(ProviderError, match="closed"):
            await task
        assert not make.made
    for call in (lambda: reserve.open(REQUEST, lambda _: None), reserve.start):
        with pytest.raises(ProviderError, match="closed"):
            call()
    await asyncio.sleep(10)
    assert make.begun <= 1 and not others()


async def test_an_utterance_is_answered_when_what_it_waits_for_is_closed() -> None:
    """It fails, instead of waiting for something that is not made any more."""
    said: list[Spoken] = []
    reserve = deferred(Maker())
    stream = reserve.open(REQUEST, said.append)
    stream.feed(speak([1]))
    stream.end()
    await settle()
    await reserve.close()
    await settle()
    assert [type(spoken) for spoken in said] == [Failed]
    stream.close()


async def test_closing_what_was_never_needed_makes_nothing() -> None:
    """It costs nothing."""
    make = Maker()
    await deferred(make).close()
    assert not make.begun
