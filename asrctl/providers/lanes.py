"""Turns at a library that does so many calls at a time; what several threads ask alike is one call."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from asrctl.providers.base import Aborted

G = TypeVar("G")
A = TypeVar("A")


@dataclass(slots=True, eq=False)
class _Wish(Generic[G, A]):
    key: Hashable
    given: G
    should_abort: Callable[[], bool]
    answer: A | None = None
    share_s: float = 0.0
    is_done: bool = False


class Lanes:
    """Whoever asked first has the first turn, and takes along what waits and is alike.

    A thread waits while others compute, and no longer: a call that has begun ends, or the process does.
    """

    def __init__(self, count: int, most: int) -> None:
        """`count` calls run at a time, each for at most `most` who asked."""
        self._free = count
        self._most = most
        self._waiting: list[_Wish[Any, Any]] = []
        self._changed = threading.Condition()

    def run(
        self,
        key: Hashable,
        given: G,
        work: Callable[[Sequence[G]], Sequence[A]],
        should_abort: Callable[[], bool] = bool,
    ) -> tuple[A, float]:
        """Have something done, perhaps together with what others ask.

        Args:
            key: What can be done in one call has the same.
            given: What to do it with.
            work: Does it for several at once, with an answer for each. If it raises an error for several, it
                is called for each of them by itself: whose error it was hears of it.
            should_abort: Asked before its turn, and when another's has come or is over.

        Returns:
            The answer, and this caller's share of the seconds that the call took.

        Raises:
            Aborted: It was to be aborted before its turn came.
        """
        wish = _Wish[G, A](key, given, should_abort)
        with self._changed:
            self._waiting.append(wish)
            while not wish.is_done:
                if wish in self._waiting and should_abort():
                    self._waiting.remove(wish)
                    self._changed.notify_all()
                    raise Aborted
                if self._free and self._waiting[:1] == [wish]:
                    break
                self._changed.wait()
            group = [] if wish.is_done else self._turn_of(wish)
        if group:
            self._do(group, work)
        assert wish.answer is not None
        return wish.answer, wish.share_s

    def _turn_of(self, wish: _Wish[Any, Any]) -> list[_Wish[Any, Any]]:
        """Whose wishes are done in this turn; the lock is held."""
        alike = [each for each in self._waiting if each.key == wish.key and not each.should_abort()]
        group = [wish, *(each for each in alike if each is not wish)][: self._most]
        self._waiting = [each for each in self._waiting if each not in group]
        self._free -= 1
        self._changed.notify_all()
        return group

    def _do(self, group: Sequence[_Wish[G, A]], work: Callable[[Sequence[G]], Sequence[A]]) -> None:
        """Do what a group wishes, without the lock."""
        started_s = time.perf_counter()
        answers: Sequence[A] = ()
        try:
            try:
                answers = work([wish.given for wish in group])
            except Exception:
                if len(group) == 1:
                    raise
                for wish in group:
                    wish.key = object()
                answers = work([group[0].given])
        finally:
            share_s = (time.perf_counter() - started_s) / len(group)
            with self._changed:
                self._free += 1
                for wish, answer in zip(group, answers, strict=False):
                    wish.answer, wish.share_s, wish.is_done = answer, share_s, True
                self._waiting[:0] = [wish for wish in group[1:] if not wish.is_done]
                self._changed.notify_all()
