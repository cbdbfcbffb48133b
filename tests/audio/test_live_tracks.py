"""Live sources in step: however their chunks are cut, all samples and gaps of all tracks are there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.audio.live import LiveSource, Lost
from asrctl.audio.live_tracks import LiveTracks, length_of
from asrctl.errors import AudioError


class Given:
    """A source that gives items, then fails or ends; with `stays`, only when it is stopped."""

    def __init__(self, items: list[Any], failure: Exception | None = None, *, stays: bool = False) -> None:
        self.name, self.warnings = "given", ["too loud"]
        self.closed = False
        self._items, self._failure = items, failure
        self._stopped = threading.Event()
        if not stays:
            self._stopped.set()

    def __iter__(self) -> Iterator[Any]:
        yield from self._items
        assert self._stopped.wait(30)
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        self._stopped.set()

    def close(self) -> None:
        self.closed = True


def tracks_of(*sources: Given) -> LiveTracks:
    names = ("Me", "Them", "Others")
    return LiveTracks({name: lambda each=each: each for name, each in zip(names, sources, strict=False)})


def whole(parts: list[Any]) -> list[Any]:
    """What a track holds: samples one by one, gaps as their reasons."""
    found: list[Any] = []
    for part in parts:
        found += [part.reason] * part.count if isinstance(part, Lost) else part.tolist()
    return found


ITEM = st.integers(0, 9) | st.builds(Lost, st.integers(0, 9), st.sampled_from(["full", "late"]))


@given(st.lists(st.lists(ITEM, max_size=12), min_size=2, max_size=3))
def test_nothing_is_missing_and_all_is_in_step(given_items: list[list[int | Lost]]) -> None:
    """Parts of a step have one length, but for those of tracks that have ended."""
    numbered = [
        [item if isinstance(item, Lost) else np.arange(item, dtype=np.float32) for item in items]
        for items in given_items
    ]
    steps = [*tracks_of(*map(Given, numbered))]
    for index, items in enumerate(numbered):
        assert whole([step.parts[index] for step in steps]) == whole(items)
    for step in steps:
        lengths = {length_of(part) for part in step.parts}
        assert len(lengths - {0}) == 1
        assert [len(each) for each in step.samples()] == [length_of(part) for part in step.parts]
        assert len(step) == sum(map(length_of, step.parts))


def test_a_failure_ends_all() -> None:
    """What was heard before is given first, and warnings say whose they are."""
    broken = Given([np.ones(10, np.float32)], AudioError("unplugged"))
    tracks = tracks_of(broken, Given([np.ones(15, np.float32)], stays=True))
    heard = []
    with pytest.raises(AudioError, match="unplugged"):
        for step in tracks:
            heard.append(step)
    assert sum(map(len, heard)) == 25
    assert tracks.warnings == ["Me: too loud", "Them: too loud"]
    tracks.close()
    assert broken.closed


def test_one_that_cannot_be_opened_leaves_none_open() -> None:
    """The device is free for others."""
    first = Given([])

    def fail() -> LiveSource:
        raise AudioError("busy")

    with pytest.raises(AudioError, match="busy"):
        LiveTracks({"Me": lambda: cast(LiveSource, first), "Them": fail})
    assert first.closed
