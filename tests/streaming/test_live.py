"""Live audio with its events as an iterator, and what carries audio to it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from asrctl.audio.live import Lost
from asrctl.errors import AudioError, ModelError
from asrctl.events import Dropped, Event, Final, Finished, Flushed, SpeechStarted
from asrctl.streaming.fallback import Fallback
from asrctl.streaming.live import Feeder, LiveStream, level_db
from asrctl.streaming.source import Reader
from asrctl.streaming.stream import StreamOptions
from asrctl_tests.scripted import speak
from tests.streaming.puppets import Decoder, Puppet, windowed
from tests.streaming.speech import PATIENCE_S, LevelDetector, Samples, joined, silence, until
from tests.streaming.virtual import others

UTTERANCE = joined(speak(range(5)), silence(1))


def live_over(decoder: Decoder, **options: float) -> LiveStream:
    return LiveStream(LevelDetector(), StreamOptions(pacing=None), Fallback([windowed(decoder)]), **options)  # type: ignore[arg-type]


async def all_of(live: LiveStream) -> list[Event]:
    async with asyncio.timeout(PATIENCE_S):
        return [event async for event in live]


async def test_feed_and_iterate() -> None:
    """The last event is the end; then nothing is left."""
    async with live_over(Decoder(answering=True)) as live:
        live.feed(UTTERANCE)
        live.flush()
        live.skip(1000, "overflow")
        live.finish()
        events = await all_of(live)
        assert live.pending_samples == 0 and not live.is_loading
    kinds = [type(event) for event in events]
    assert kinds[0] is SpeechStarted and kinds[-4:] == [Final, Flushed, Dropped, Finished]
    assert live.account.received_samples == len(UTTERANCE) + 1000
    assert not others()


async def test_who_leaves_early_gets_what_was_said() -> None:
    """The events that were not iterated over."""
    async with live_over(Decoder(answering=True)) as live:
        live.feed(UTTERANCE)
        await until(lambda: not live.pending_samples > 16_000)
        assert isinstance(live.waiting()[0], SpeechStarted)
        assert live.waiting() == []
    assert live.waiting() == []


async def test_it_waits_for_room() -> None:
    """As long as too much is pending."""
    decoder = Decoder()
    async with live_over(decoder, ahead_s=1.0) as live:
        await live.wait_for_room()
        live.feed(UTTERANCE)
        room = asyncio.create_task(live.wait_for_room())
        await until(lambda: decoder.waiting)
        assert not room.done()
        decoder.waiting[0].answer()
        async with asyncio.timeout(PATIENCE_S):
            await room


async def test_weights_that_do_not_load_are_told() -> None:
    """To whoever iterates, also if no audio ever comes."""
    decoder = Decoder()
    decoder.load_error = ModelError("no weights")
    async with live_over(decoder) as live:
        with pytest.raises(ModelError, match="no weights"):
            await all_of(live)
        assert [event for event in live.waiting()] == []


async def test_it_says_while_it_loads() -> None:
    """Until a provider is ready; closing ends the wait."""

    class Slow(Puppet):
        async def wait_ready(self) -> None:
            await asyncio.Event().wait()

    live = LiveStream(LevelDetector(), StreamOptions(), Fallback([Slow()]))
    await asyncio.sleep(0)
    assert live.is_loading
    await live.close()
    assert not live.is_loading and not others()


async def test_a_mistake_of_ours_is_raised() -> None:
    """Whoever iterates never waits for an end that does not come."""

    class Broken(LevelDetector):
        def probabilities(self, samples: Samples) -> Samples:
            raise ZeroDivisionError("a bug")

    async with LiveStream(Broken(), StreamOptions(), Fallback([Puppet()])) as live:
        live.feed(UTTERANCE)
        with pytest.raises(ZeroDivisionError, match="a bug"):
            await all_of(live)
    assert not others()


async def test_iterating_over_what_is_closed_ends() -> None:
    """Without an end being said."""
    live = live_over(Decoder())
    live.feed(UTTERANCE)
    await until(lambda: live.session.awaits_finals)
    iterating = asyncio.create_task(all_of(live))
    await live.close()
    assert not any(isinstance(event, Finished) for event in await iterating)


# Feeding


class Source:
    """Gives what it is made of."""

    def __init__(self, *items: object) -> None:
        self._items = items
        self.stopped = False

    def __iter__(self) -> Iterator[object]:
        for item in self._items:
            if isinstance(item, Exception):
                raise item
            if callable(item):
                item()
            else:
                yield item

    def stop(self) -> None:
        self.stopped = True

    def close(self) -> None: ...


class Taker:
    """A transcriber that takes notes."""

    def __init__(self) -> None:
        self.taken: list[object] = []
        self.room: Callable[[], None] = lambda: None

    def feed(self, samples: Samples) -> None:
        self.taken.append(len(samples))

    def skip(self, count: int, reason: str) -> None:
        self.taken.append((count, reason))

    def finish(self) -> None:
        self.taken.append("end")

    async def wait_for_room(self) -> None:
        self.room()


def feeder_of(taker: Taker, *items: object) -> Feeder:
    return Feeder(Reader(Source(*items)), taker)  # type: ignore[arg-type]


async def test_audio_and_losses_are_carried() -> None:
    """In order, to the end, which is told once; the level is that of the last chunk."""
    taker = Taker()
    feeder = feeder_of(taker, np.ones(10, np.float32), Lost(5, "overflow"), np.full(20, 0.1, np.float32))
    assert feeder.level_db == -math.inf
    await feeder.run()
    assert taker.taken == [10, (5, "overflow"), 20, "end"]
    assert (feeder.heard_samples, feeder.unheard_samples, feeder.complete) == (35, 0, True)
    assert feeder.level_db == pytest.approx(-20) and feeder.failure is None
    feeder.end()
    assert taker.taken[-2:] == [20, "end"]


async def test_a_source_that_fails_half_way_is_heard_to_there() -> None:
    """The failure is kept, and the transcriber told that this was all."""
    taker = Taker()
    feeder = feeder_of(taker, np.ones(10, np.float32), AudioError("unplugged"))
    await feeder.run()
    assert taker.taken == [10, "end"] and not feeder.complete
    assert isinstance(feeder.failure, AudioError)


@pytest.mark.parametrize("while_waiting", [True, False])
async def test_what_comes_after_the_end_is_counted_and_not_heard(while_waiting: bool) -> None:
    """Whether it had come before the end and waited for room, or came later."""
    taker = Taker()
    feeder = feeder_of(taker, np.ones(10, np.float32), Lost(5, "overflow"))
    if while_waiting:
        taker.room = feeder.end
    else:
        feeder.end()
    await feeder.run()
    assert taker.taken == ["end"] and (feeder.heard_samples, feeder.unheard_samples) == (0, 15)
    assert feeder.complete


async def test_a_transcriber_that_fails_ends_it() -> None:
    """It is told of the end all the same."""
    taker = Taker()

    def fail() -> None:
        raise ZeroDivisionError("a bug")

    taker.room = fail
    feeder = feeder_of(taker, np.ones(10, np.float32))
    await feeder.run()
    assert isinstance(feeder.failure, ZeroDivisionError) and taker.taken == ["end"]


async def test_stop_ends_the_source() -> None:
    """Not the transcriber, which gets what was heard."""
    source = Source(np.ones(10, np.float32))
    feeder = Feeder(Reader(source), Taker())  # type: ignore[arg-type]
    feeder.stop()
    await feeder.run()
    assert source.stopped and feeder.heard_samples == 10


def test_levels() -> None:
    """In dB of full scale; silence, and nothing at all, have none."""
    assert level_db(np.ones(4, np.float32)) == 0.0
    assert level_db(silence(0.1)) == level_db(silence(0)) == -math.inf
