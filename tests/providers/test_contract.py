"""What every provider keeps, whatever is behind it: see `asrctl.providers.recognizer`.

`Ear` checks with each word that is said: not from within a call, nothing after `Lost`, each utterance over
once and only after its end, and partials of those alone that are not over.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asrctl.errors import AsrctlError, ModelError, ProviderError
from asrctl.providers.recognizer import Failed, Lost

from .contestants import CONTESTANTS, DEAD, LOCAL, Contestant, Make, parameters
from .ears import SOON_S, Ear, Stream, in_loop, request

Test = Callable[[Contestant], Coroutine[Any, Any, None]]


class Stage:
    """An event loop in a thread of its own, with providers that several tests use, one after the other."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._contestants: dict[str, Contestant] = {}
        self._stack = AsyncExitStack()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def _do(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def show(self, test: Test, name: str, request: pytest.FixtureRequest) -> None:
        """Run a test with a provider, which is made for the first one."""

        async def run() -> None:
            if name not in self._contestants:
                (path := self._directory / name).mkdir()
                self._contestants[name] = await LOCAL[name](self._stack, path, request)
            await test(self._contestants[name])

        self._do(run())

    def close(self) -> None:
        """Close all providers, and the loop."""
        try:
            self._do(self._stack.aclose())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """For tests that do a provider no harm: starting one and loading its model costs most of their time."""
    stage = Stage(tmp_path_factory.mktemp("stage"))
    yield stage
    stage.close()


@in_loop
async def alone(test: Test, make: Make, path: Path, request: pytest.FixtureRequest) -> None:
    async with AsyncExitStack() as stack:
        await test(await make(stack, path, request))


def for_each(makers: dict[str, Make]) -> Callable[[Test], Callable[..., None]]:
    """Run a test with each of some providers, made for it and closed after it."""

    def decorate(test: Test) -> Callable[..., None]:
        @pytest.mark.parametrize("name", list(parameters(makers)))
        def run(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
            alone(test, makers[name], tmp_path, request)

        run.__name__, run.__doc__ = test.__name__, test.__doc__  # not `wraps`, whose signature pytest reads
        return run

    return decorate


def harmless(test: Test) -> Callable[..., None]:
    """Run a test with every provider; those on this machine are shared by all such tests."""

    @pytest.mark.parametrize("name", list(parameters(CONTESTANTS)))
    def run(name: str, stage: Stage, tmp_path: Path, request: pytest.FixtureRequest) -> None:
        if name in LOCAL:
            stage.show(test, name, request)
        else:
            alone(test, CONTESTANTS[name], tmp_path, request)

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


async def stream_of(contestant: Contestant) -> Stream:
    await contestant.recognizer.wait_ready()
    return Stream(contestant.recognizer)


async def texts_of(contestant: Contestant, stream: Stream, count: int) -> list[list[str]]:
    return [contestant.sure(text) for text in await stream.ear.wait_completed(count)]


@harmless
async def test_utterances_are_completed(contestant: Contestant) -> None:
    """Each once, under its number, with all its words, and times within its audio."""
    stream = await stream_of(contestant)
    for utterance in contestant.utterances:
        stream.feed(utterance)
        stream.stream.pause(0.3)
        stream.end()
    assert await texts_of(contestant, stream, 2) == contestant.texts
    for number, (completed, audio) in enumerate(
        zip(stream.ear.completed, contestant.utterances, strict=True)
    ):
        assert completed.utterance == number
        assert 0 <= completed.hypothesis.confidence <= 1
        for segment in completed.hypothesis.segments:
            assert -0.1 <= segment.start_s <= segment.end_s <= len(audio) / 16_000 + 0.5
        for heard in stream.ear.heard(number):
            assert 0 < heard.samples <= len(audio)
    stream.close()


@harmless
async def test_utterances_without_audio_count(contestant: Contestant) -> None:
    """They are completed without text, and the next has the next number."""
    stream = await stream_of(contestant)
    stream.end()
    stream.feed(contestant.utterances[0])
    stream.end()
    stream.end()
    texts = await texts_of(contestant, stream, 3)
    assert texts == [[], contestant.texts[0], []]
    assert [completed.utterance for completed in stream.ear.completed] == [0, 1, 2]
    stream.close()


@harmless
async def test_close_is_the_end(contestant: Contestant) -> None:
    """In the middle of an utterance: nothing is said any more, and the next stream is not held up."""
    stream = await stream_of(contestant)
    first, second = contestant.utterances
    stream.feed(first)
    stream.end()
    stream.feed(second[: len(second) // 2])
    stream.close()
    stream.close()
    said = len(stream.ear.spoken)
    again = await stream_of(contestant)
    again.feed(first)
    again.end()
    assert await texts_of(contestant, again, 1) == contestant.texts[:1]
    assert len(stream.ear.spoken) == said
    again.close()


@harmless
async def test_a_stream_can_be_closed_by_what_it_says(contestant: Contestant) -> None:
    """From within `say`, which is the last then."""
    await contestant.recognizer.wait_ready()
    said, over = list[object](), asyncio.Event()

    def say(spoken: object) -> None:
        said.append(spoken)
        stream.close()
        over.set()

    stream = contestant.recognizer.open(request(), say)
    for utterance in contestant.utterances:
        stream.feed(utterance)
        stream.end()
    await over.wait()
    await asyncio.sleep(0.05)
    assert len(said) == 1


@harmless
async def test_nothing_is_said_of_dropped_utterances(contestant: Contestant) -> None:
    """Those behind them are completed."""
    stream = await stream_of(contestant)
    first, second = contestant.utterances
    stream.feed(first)
    stream.end()
    stream.drop(0)
    said = len(stream.ear.spoken)
    stream.feed(second)
    stream.end()
    assert await texts_of(contestant, stream, 1) == contestant.texts[1:]
    assert stream.ear.over == {1}
    assert not [each for each in stream.ear.spoken[said:] if getattr(each, "utterance", None) == 0]
    stream.close()


@harmless
async def test_no_partials_where_none_are_wanted(contestant: Contestant) -> None:
    """Neither for a request without them, nor while they are declined; finals come."""
    await contestant.recognizer.wait_ready()
    finals = Stream(contestant.recognizer, request(pacing=None))
    finals.stream.want_partials(1.0)
    await contestant.recognizer.wait_ready()
    declined = Stream(contestant.recognizer)
    declined.stream.want_partials(None)
    for stream in (finals, declined):
        stream.feed(contestant.utterances[0])
        stream.end()
        assert await texts_of(contestant, stream, 1) == contestant.texts[:1]
        assert not stream.ear.heard(0)
        stream.close()


@harmless
async def test_two_streams_at_once(contestant: Contestant) -> None:
    """Each gets its own words."""
    streams = [await stream_of(contestant) for _ in range(2)]
    for stream, utterance in zip(streams, contestant.utterances, strict=True):
        stream.feed(utterance)
        stream.end()
    for stream, text in zip(streams, contestant.texts, strict=True):
        assert await texts_of(contestant, stream, 1) == [text]
        stream.close()


@for_each(CONTESTANTS)
async def test_harm_in_the_middle_of_an_utterance(contestant: Contestant) -> None:
    """It goes on by itself, or says `Lost` as the last; what is not over then can be asked again."""
    stream = await stream_of(contestant)
    first, second = contestant.utterances
    stream.feed(first[: len(first) // 2])
    await asyncio.sleep(0.05)
    contestant.harm()
    stream.feed(first[len(first) // 2 :])
    stream.end()
    stream.feed(second)
    stream.end()
    await stream.ear.over_or_lost(2)
    while stream.ear.lost is not None:  # again if it was given what was harmed as well
        assert isinstance(stream.ear.lost.error, ProviderError)
        assert stream.ear.lost.utterance in {None, 0, 1} - stream.ear.over
        stream.close()
        stream = await stream_of(contestant)
        for utterance in contestant.utterances:
            stream.feed(utterance)
            stream.end()
        await stream.ear.over_or_lost(2)
    assert await texts_of(contestant, stream, 2) == contestant.texts
    stream.close()


@harmless
async def test_it_says_what_it_is(contestant: Contestant) -> None:
    """A name, a model and a place to show; windows for those that decode them."""
    recognizer = contestant.recognizer
    await recognizer.wait_ready()
    assert recognizer.name and recognizer.model and recognizer.description
    assert all(isinstance(pid, int) for pid in recognizer.pids())
    assert recognizer.windows is None or recognizer.windows.width >= 1


@for_each(CONTESTANTS)
async def test_closing_the_provider_ends_everything(contestant: Contestant) -> None:
    """Nobody waits for ever, and no stream can be opened."""
    stream = await stream_of(contestant)
    stream.feed(contestant.utterances[0])
    waiting = asyncio.create_task(contestant.recognizer.wait_ready())
    await contestant.recognizer.close()
    await asyncio.wait([waiting], timeout=5.0)
    assert waiting.done()
    waiting.exception()
    assert contestant.recognizer.pids() == []
    try:
        late = Stream(contestant.recognizer)
    except ProviderError:
        return
    late.feed(np.zeros(16_000, np.float32))
    late.end()
    await late.ear.over_or_lost(1)  # a stream of windows learns it with its first
    assert not late.ear.texts
    late.close()


@for_each(DEAD)
async def test_a_provider_of_no_use_says_so_soon(dead: Contestant) -> None:
    """Before a stream is opened, when one is, or by it; with the reason, and within two seconds of trying."""
    with pytest.raises((ProviderError, ModelError)) as caught:
        await dead.recognizer.wait_ready()
    assert str(caught.value) and "\n" not in str(caught.value)
    began_s, ear = time.monotonic(), Ear()
    try:
        stream = dead.recognizer.open(request(), ear)
    except ProviderError:
        return
    stream.feed(dead.utterances[0])
    ear.ended += 1
    stream.end()
    await ear.over_or_lost(1)
    assert time.monotonic() - began_s < SOON_S
    (said,) = ear.spoken
    assert isinstance(said, Lost | Failed) and isinstance(said.error, AsrctlError)
    stream.close()
