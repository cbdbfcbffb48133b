"""Blocking sources read in a thread: in order, not too far ahead, and never waited for without end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from asrctl.errors import AudioError
from asrctl.streaming import source as module
from asrctl.streaming.source import Reader, in_thread
from tests.streaming.speech import PATIENCE_S, until

SHORT_S = 0.05


class Numbers:
    """Gives what an iterator gives, and counts how often it is closed."""

    def __init__(self, items: Iterator[int], on_close: Callable[[], None] = lambda: None) -> None:
        self._items = items
        self._on_close = on_close
        self.closed_in: list[str] = []

    def __iter__(self) -> Iterator[int]:
        return self._items

    def close(self) -> None:
        self.closed_in.append(threading.current_thread().name)
        self._on_close()


class Stoppable(Numbers):
    """Ends after what it has given when it is told to."""

    def __init__(self) -> None:
        self.stopped = threading.Event()
        super().__init__(self._until_stopped())

    def _until_stopped(self) -> Iterator[int]:
        yield 1
        assert self.stopped.wait(PATIENCE_S)
        yield 2

    def stop(self) -> None:
        self.stopped.set()


async def all_of(reader: Reader[int]) -> list[int]:
    async with asyncio.timeout(PATIENCE_S):
        return [item async for item in reader]


async def test_everything_in_order() -> None:
    """To the end, again and again if one asks; the source is closed in its thread."""
    source = Numbers(iter(range(100)))
    reader = Reader(source)
    assert await all_of(reader) == list(range(100))
    assert await all_of(reader) == []
    assert source.closed_in == ["reader"]
    await reader.close()


async def test_it_does_not_read_far_ahead() -> None:
    """A slow reader holds the source back."""
    read: list[int] = []

    def endless() -> Iterator[int]:
        for number in range(10**9):
            read.append(number)
            yield number

    source = Numbers(endless())
    reader = Reader(source, ahead=3)
    await until(lambda: len(read) == 4)
    for _ in range(50):
        await asyncio.sleep(0.001)
    assert len(read) == 4
    assert await anext(reader) == 0
    await until(lambda: len(read) == 5)
    await reader.close()
    assert source.closed_in


@pytest.mark.parametrize("error", [AudioError("the cable was pulled"), ZeroDivisionError("a bug")])
async def test_what_it_raises_comes_after_what_it_gave(error: Exception) -> None:
    """Once; then it has ended."""

    def breaks() -> Iterator[int]:
        yield 1
        yield 2
        raise error

    source = Numbers(breaks())
    reader = Reader(source)
    await until(lambda: source.closed_in)
    assert [await anext(reader), await anext(reader)] == [1, 2]
    with pytest.raises(type(error)):
        await anext(reader)
    assert await all_of(reader) == []


async def test_a_source_that_cannot_be_closed_ends_too() -> None:
    """With that error; nobody waits for more."""

    def refuse() -> None:
        raise OSError("cannot close")

    reader = Reader(Numbers(iter([1]), refuse))
    assert await anext(reader) == 1
    with pytest.raises(OSError, match="cannot close"):
        await anext(reader)
    await reader.close()


async def test_close_stops_reading() -> None:
    """What was read and not taken may still be, and then it has ended."""
    source = Numbers(iter(range(10**9)))
    reader = Reader(source)
    assert await anext(reader) == 0
    await reader.close()
    await reader.close()
    assert source.closed_in == ["reader"]
    assert len(await all_of(reader)) <= 4


async def test_a_source_that_can_be_stopped_gives_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """And ends by itself; one that cannot says so."""
    source = Stoppable()
    reader = Reader(source)
    taking = asyncio.create_task(all_of(reader))
    await asyncio.sleep(0)
    await reader.close()
    assert await taking == [1, 2] and source.closed_in
    other = Reader(Numbers(iter([1])))
    assert not other.stop()
    await other.close()


async def test_stopping_needs_nobody_to_wait() -> None:
    """The items still come."""
    reader = Reader(Stoppable())
    assert reader.stop()
    assert await all_of(reader) == [1, 2]


async def test_a_source_that_blocks_for_ever_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing takes no longer than the grace; whoever waits for the next item hears the end; what comes
    later goes nowhere, and closes the source."""
    monkeypatch.setattr(module, "_CLOSE_GRACE_S", SHORT_S)
    release = threading.Event()

    def stuck() -> Iterator[int]:
        yield 1
        release.wait(PATIENCE_S)
        yield 2

    source = Numbers(stuck())
    reader = Reader(source)
    taking = asyncio.create_task(all_of(reader))
    await asyncio.sleep(0)
    started_s = time.monotonic()
    await reader.close()
    assert SHORT_S <= time.monotonic() - started_s < PATIENCE_S / 2
    assert await taking == [1] and not source.closed_in
    release.set()
    await until(lambda: source.closed_in)
    assert await all_of(reader) == []


async def test_a_source_that_does_not_stop_is_closed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the grace."""
    monkeypatch.setattr(module, "_CLOSE_GRACE_S", SHORT_S)

    class Deaf(Numbers):
        def stop(self) -> None: ...

    source = Deaf(iter(range(10**9)))
    reader = Reader(source)
    await reader.close()
    assert source.closed_in


def test_a_loop_that_has_ended_is_no_trouble() -> None:
    """The thread ends without a word when it has nobody left to give to."""
    release, source = threading.Event(), None

    def late() -> Iterator[int]:
        release.wait(PATIENCE_S)
        yield 1

    async def leave() -> None:
        nonlocal source
        source = Numbers(late())
        Reader(source)

    asyncio.run(leave())
    release.set()
    deadline_s = time.monotonic() + PATIENCE_S
    while any(thread.name == "reader" for thread in threading.enumerate()):
        assert time.monotonic() < deadline_s
        time.sleep(0.001)
    assert source is not None and source.closed_in


# Single calls


async def test_a_blocking_call() -> None:
    """Its result, or what it raised, while the loop goes on."""
    go = threading.Event()
    task = asyncio.create_task(in_thread(lambda: go.wait(PATIENCE_S)))
    await asyncio.sleep(0.01)
    assert not task.done()
    go.set()
    assert await task is True
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 / 0)


async def test_a_blocking_call_that_nobody_waits_for_any_more() -> None:
    """What becomes of it goes nowhere."""
    go, done = threading.Event(), threading.Event()

    def slow() -> None:
        go.wait(PATIENCE_S)
        done.set()

    task = asyncio.create_task(in_thread(slow))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    go.set()
    await until(done.is_set)
    await until(lambda: not any(thread.name == "blocking" for thread in threading.enumerate()))
    assert task.cancelled()


def test_a_blocking_call_outlives_its_loop() -> None:
    """And is no trouble."""
    go = threading.Event()

    async def leave() -> None:
        task = asyncio.create_task(in_thread(lambda: go.wait(PATIENCE_S)))
        await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(leave())
    go.set()
    deadline_s = time.monotonic() + PATIENCE_S
    while any(thread.name == "blocking" for thread in threading.enumerate()):
        assert time.monotonic() < deadline_s
        time.sleep(0.001)
