"""Turns of threads at a library, and what is done in one call."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from asrctl.providers.base import Aborted
from asrctl.providers.lanes import Lanes

PATIENCE_S = 20


class Work:
    """Adds one to each number once it may; keeps the calls. Negative numbers are refused."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.began = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)

    def __call__(self, given: Sequence[int]) -> Sequence[int]:
        self.calls.append([*given])
        self.began.release()
        assert self.may_end.acquire(timeout=PATIENCE_S)
        if min(given) < 0:
            raise ValueError(f"refused: {given[0]}")
        return [number + 1 for number in given]


class Crowd:
    """Threads that ask, in the order in which they were told to."""

    def __init__(self, lanes: Lanes, threads: ThreadPoolExecutor) -> None:
        self.lanes, self.threads = lanes, threads

    def ask(self, key: object, number: int, work: Work, abort: threading.Event | None = None) -> Future[int]:
        before = len(self.lanes._waiting)
        calls = len(work.calls)
        should_abort = abort.is_set if abort else bool
        asked = self.threads.submit(lambda: self.lanes.run(key, number, work, should_abort)[0])
        while len(self.lanes._waiting) == before and len(work.calls) == calls:
            pass
        return asked


@pytest.fixture
def threads() -> ThreadPoolExecutor:
    """More than ask."""
    return ThreadPoolExecutor(16)


def test_what_waits_and_is_alike_is_one_call(threads: ThreadPoolExecutor) -> None:
    """Up to so many at once, the first come first; each has its own answer."""
    work, crowd = Work(), Crowd(Lanes(1, most=3), threads)
    asked = [crowd.ask("a", 0, work)]
    asked += [crowd.ask(key, number, work) for number, key in enumerate("abaabaa", 1)]
    work.may_end.release(99)
    assert [each.result(PATIENCE_S) for each in asked] == [*range(1, 9)]
    assert work.calls == [[0], [1, 3, 4], [2, 5], [6, 7]]


def test_several_calls_at_a_time(threads: ThreadPoolExecutor) -> None:
    """As many as there are lanes, and no more."""
    work, crowd = Work(), Crowd(Lanes(2, most=1), threads)
    asked = [crowd.ask("a", number, work) for number in range(3)]
    assert all(work.began.acquire(timeout=PATIENCE_S) for _ in range(2))
    assert sorted(work.calls) == [[0], [1]]
    work.may_end.release(99)
    assert [each.result(PATIENCE_S) for each in asked] == [1, 2, 3]


def test_the_share_of_a_call(threads: ThreadPoolExecutor) -> None:
    """What is done together is paid by all alike."""
    work, lanes = Work(), Lanes(1, most=2)
    crowd = Crowd(lanes, threads)
    first = crowd.ask("first", 0, work)
    shares = [threads.submit(lanes.run, "a", number, work) for number in (1, 2)]
    while len(lanes._waiting) < 2:
        pass
    work.may_end.release(99)
    assert first.result(PATIENCE_S) == 1
    (one, one_s), (other, other_s) = (each.result(PATIENCE_S) for each in shares)
    assert {one, other} == {2, 3} and one_s == other_s > 0


def test_whoever_is_aborted_leaves(threads: ThreadPoolExecutor) -> None:
    """Before its turn, at the next change; what is under way is done."""
    work, crowd, abort = Work(), Crowd(Lanes(1, most=4), threads), threading.Event()
    first = crowd.ask("a", 0, work)
    leaving = crowd.ask("a", 1, work, abort)
    staying = crowd.ask("a", 2, work)
    abort.set()
    work.may_end.release(99)
    with pytest.raises(Aborted):
        leaving.result(PATIENCE_S)
    assert (first.result(PATIENCE_S), staying.result(PATIENCE_S)) == (1, 3)
    assert work.calls == [[0], [2]]


def test_an_error_is_raised_to_whose_it_is(threads: ThreadPoolExecutor) -> None:
    """What fails for several is done for each by itself."""
    work, crowd = Work(), Crowd(Lanes(1, most=4), threads)
    first = crowd.ask("b", 0, work)
    asked = [crowd.ask("a", number, work) for number in (1, -1, 2)]
    work.may_end.release(99)
    assert first.result(PATIENCE_S) == 1
    assert [asked[at].result(PATIENCE_S) for at in (0, 2)] == [2, 3]
    with pytest.raises(ValueError, match="refused: -1"):
        asked[1].result(PATIENCE_S)
    assert work.calls == [[0], [1, -1, 2], [1], [-1], [2]]


def test_who_is_aborted_has_no_turn() -> None:
    """Though a lane is free, or somebody whose turn it is would take it along."""
    work, lanes = Work(), Lanes(1, most=4)
    with pytest.raises(Aborted):
        lanes.run("a", 1, work, lambda: True)
    assert work.calls == [] and not lanes._waiting
    work.may_end.release(9)
    assert lanes.run("a", 1, work)[0] == 2
