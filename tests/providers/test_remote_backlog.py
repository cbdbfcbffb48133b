"""The utterances of a remote stream that are not done: bounded, said once, and blamed in their order."""

from __future__ import annotations

import pytest

from asrctl.errors import ProviderError
from asrctl.providers.recognizer import Completed, Heard, Spoken
from asrctl.providers.remote.backlog import Backlog


def backlog_of(max_s: float = 1.0) -> tuple[Backlog, list[Spoken]]:
    spoken: list[Spoken] = []
    return Backlog(max_s, "en", spoken.append), spoken


def test_a_backlog_has_a_bound() -> None:
    """Audio beyond it is refused, and taken again once an utterance is completed."""
    backlog, _ = backlog_of()
    backlog.feed(bytes(32_000))
    with pytest.raises(ProviderError, match="keep up"):
        backlog.feed(bytes(2))
    backlog.end()
    backlog.said(0, "done")
    backlog.feed(bytes(32_000))


def test_another_wording_is_not_said_until_it_is_complete() -> None:
    """Where a second link hears other words, what was said stays, until `Completed` replaces it."""
    backlog, spoken = backlog_of()
    backlog.feed(bytes(2_000))
    backlog.heard(0, "Hello wor", 10)
    backlog.rewind()
    backlog.heard(0, "Hallo world, how", 20)
    backlog.rewind()
    backlog.heard(0, "Hello world", 30)
    assert spoken == [Heard(0, ("Hello",), ("wor",), 10), Heard(0, ("Hello",), ("world",), 30)]
    backlog.end()
    backlog.said(0, " Hello world! ")
    completed = spoken[-1]
    assert isinstance(completed, Completed) and completed.hypothesis.text == "Hello world!"


def test_only_the_oldest_utterance_is_blamed() -> None:
    """It is what the server was at work on; with no audio nothing is."""
    backlog, _ = backlog_of()
    assert backlog.blamed is None
    for _ in range(3):
        backlog.feed(bytes(2_000))
        backlog.end()
    assert backlog.blamed == 0
    backlog.said(1, "two")
    assert backlog.blamed == 0
    backlog.said(0, "one")
    assert backlog.blamed == 2


def test_dropped_utterances_make_room() -> None:
    """Those that were not sent are forgotten when it is their turn."""
    backlog, spoken = backlog_of()
    for _ in range(3):
        backlog.feed(bytes(10_000))
        backlog.end()
    backlog.drop(0)
    backlog.drop(1)
    backlog.drop(3)  # the open one cannot be
    assert backlog.next_to_send(0) == 2
    assert not backlog.holds(0) and not backlog.holds(1) and backlog.holds(3)
    backlog.feed(bytes(20_000))
    assert not spoken
