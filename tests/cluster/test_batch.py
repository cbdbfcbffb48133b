"""Recordings as tasks, answered by a script: what is submitted, and again, and what comes of it."""

from __future__ import annotations

import asyncio

import pytest

from asrctl.cluster.batch import Batch, pieces_ahead
from asrctl.cluster.pieces import MOST_AHEAD
from asrctl.cluster.resubmitting import ATTEMPTS
from asrctl.cluster.work import Done, Failed, TaskLost, TooLong, Work
from asrctl.errors import AudioError, ModelError
from asrctl.settings import Settings
from asrctl.transcript import AudioAccount, Timing, Transcript

from .executors import Scripted

WORK = Work(Settings(), open=lambda path: pytest.fail(path), version="0")


def done(path: str, **changes: int) -> Done:
    """What a task answers."""
    transcript = Transcript(path, "m", "p", "en", 1.0, (), AudioAccount(), Timing(0, 0, 0))
    return Done(transcript, **changes)


async def test_a_short_recording_is_one_task() -> None:
    """Its answer is the result."""
    executor = Scripted(transcribe=done)
    batch = Batch(WORK, executor)
    assert (await batch.transcribe("a")).transcript.source == "a"
    assert executor.submitted == [("transcribe", "a")] and batch.resubmitted == 0


async def test_a_long_one_is_decoded_in_pieces() -> None:
    """Whoever opens it says so; pieces that were submitted again are counted."""
    executor = Scripted(
        transcribe=lambda _: TooLong(), transcribe_in_pieces=lambda path: done(path, resubmitted=2)
    )
    batch = Batch(WORK, executor)
    assert (await batch.transcribe("a")).transcript.source == "a"
    assert [name for name, _ in executor.submitted] == ["transcribe", "transcribe_in_pieces"]
    assert batch.resubmitted == 2


async def test_a_lost_task_is_submitted_again() -> None:
    """As often as it takes, within bounds; the recording has one result."""
    losses = [TaskLost("a machine is gone")] * (ATTEMPTS - 1)
    executor = Scripted(transcribe=lambda path: losses.pop() if losses else done(path))
    batch = Batch(WORK, executor)
    assert (await batch.transcribe("a")).transcript.source == "a"
    assert len(executor.submitted) == ATTEMPTS and batch.resubmitted == ATTEMPTS - 1


async def test_a_task_that_is_always_lost_is_given_up() -> None:
    """It is an error of that recording, so that the others go on."""
    executor = Scripted(transcribe=lambda _: TaskLost("out of memory"))
    batch = Batch(WORK, executor)
    with pytest.raises(AudioError, match=f"a: its task was lost {ATTEMPTS} times: out of memory"):
        await batch.transcribe("a")
    assert len(executor.submitted) == ATTEMPTS and batch.resubmitted == ATTEMPTS - 1


async def test_an_error_that_is_answered_is_raised() -> None:
    """It is not tried again: elsewhere it would be the same."""
    executor = Scripted(transcribe=lambda _: Failed(ModelError("no such model")))
    with pytest.raises(ModelError, match="no such model"):
        await Batch(WORK, executor).transcribe("a")
    assert len(executor.submitted) == 1


async def test_few_long_recordings_are_read_at_once() -> None:
    """One for each slot; a cluster that has grown reads more."""
    go_on = asyncio.Event()

    async def reading(path: str) -> Done:
        await go_on.wait()
        return done(path)

    def under_way() -> int:
        return sum(name == "transcribe_in_pieces" for name, _ in executor.submitted)

    executor = Scripted(transcribe=lambda _: TooLong(), transcribe_in_pieces=reading)
    executor.count = 2
    batch = Batch(WORK, executor)
    tasks = [asyncio.create_task(batch.transcribe(str(n))) for n in range(5)]
    for _ in range(50):
        await asyncio.sleep(0)
    assert under_way() == 2
    executor.count = 8
    go_on.set()
    results = await asyncio.gather(*tasks)
    assert [each.transcript.source for each in results] == ["0", "1", "2", "3", "4"]


async def test_who_cancels_makes_room() -> None:
    """A long recording that is given up does not keep the next one waiting."""

    async def forever(_: str) -> Done:
        await asyncio.Event().wait()
        raise AssertionError

    executor = Scripted(transcribe=lambda _: TooLong(), transcribe_in_pieces=forever)
    batch = Batch(WORK, executor)
    first = asyncio.create_task(batch.transcribe("a"))
    while len(executor.submitted) < 2:
        await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    executor.answers["transcribe_in_pieces"] = done
    assert (await asyncio.wait_for(batch.transcribe("b"), 5)).transcript.source == "b"


@pytest.mark.parametrize(
    ("slots", "readers", "ahead"), [(2, 1, 4), (2, 2, 2), (8, 1, 16), (2000, 1, MOST_AHEAD), (0, 1, 2)]
)
def test_pieces_ahead_keep_all_slots_at_work(slots: int, readers: int, ahead: int) -> None:
    """Few recordings have many under way, many have few, and memory is bounded."""
    assert pieces_ahead(slots, readers) == ahead
