"""Audio that is held back on disk, and disks that are full."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable
from io import FileIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.policy.ladder import MEASURES, Level
from asrctl.providers.base import ModelSpec
from asrctl.server.spool import Lost, Mark, Spool, Step

from ..streaming.speech import silence
from .servers import Running, Talker, check_account, options_for, pcm, running, spoken, until

Scripted = Callable[..., ModelSpec]


@given(
    st.integers(0, 500),
    st.lists(st.one_of(st.integers(1, 50), st.just("lost"), st.just("flush"), st.just("take"))),
)
def test_the_spool_is_a_queue(room_bytes: int, acts: list[int | str]) -> None:
    """Whatever goes in comes out in the same order, to the sample, however little the disk takes."""
    spool, put, taken, at = Spool(), list[Step](), list[Step](), 0
    spool._file = Small(room_bytes)
    for act in acts:
        if isinstance(act, int):
            piece = np.arange(at, at + act, dtype=np.float32)
            at += act
            put.append(piece)
            spool.put(piece)
        elif act == "take":
            taken += spool.take(30)
        else:
            step = Lost(3, "x") if act == "lost" else Mark("flush")
            put.append(step)
            spool.put(step)
    held = spool.samples
    taken += spool.take(10**6)
    assert held <= at
    assert (len(spool), spool.samples) == (0, 0)
    spool.close()
    assert flat(taken) == flat(put)


def flat(steps: list[Step]) -> list[object]:
    """Steps with each sample by itself."""
    out: list[object] = []
    for step in steps:
        out += step.tolist() if isinstance(step, np.ndarray) else [step]
    return out


class Small(io.BytesIO):
    """A disk with so many bytes."""

    def __init__(self, room_bytes: int) -> None:
        super().__init__()
        self._room_bytes = room_bytes

    def write(self, data: Any) -> int:
        room = self._room_bytes - self.tell()
        if room <= 0:
            raise OSError("no space left on device")
        return super().write(data[:room])


def test_a_disk_that_forgets() -> None:
    """Audio that does not come back is an error, and not silence."""
    spool = Spool()
    spool.put(np.zeros(100, np.float32))
    assert spool._file is not None
    spool._file.truncate(8)
    with pytest.raises(OSError, match="shorter"):
        list(spool.take(100))
    spool.close()


def hold_back(server: Running) -> None:
    """Have the server act as under load."""
    server.server.hub.ladder._level = Level.FINALS_ONLY
    session = server.session
    server.call(lambda: session.obey(MEASURES[Level.FINALS_ONLY]))


def test_the_spool_has_a_bound(scripted: Scripted) -> None:
    """What cannot be held on disk either is held back by the client: acks fall behind."""
    options = options_for(scripted(), window_s=1.0, hold_s=1.0, spool_s=2.0)
    with running(options) as server, Talker(server.url, spoken(*range(9)), source="system") as talker:
        hold_back(server)
        done = talker.finish()
        assert talker.words == [f"w{n}" for n in range(9)]
        assert done.dropped_s == 0


def test_a_long_utterance_is_caught_up(scripted: Scripted) -> None:
    """An utterance longer than a piece of what was spooled ends all the same: the rest of it comes."""
    audio = pcm(np.concatenate((np.full(26 * 16_000, 0.5, np.float32), silence(0.8))))
    with running(options_for(scripted())) as server, Talker(server.url, audio, source="system") as talker:
        hold_back(server)
        done = talker.finish()
        assert talker.words == ["w3277"]
        check_account(done)


def full(**_: object) -> FileIO:
    """Opens a file on a disk without room."""
    return FileIO("/dev/full", "r+b")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a disk that is always full")
def test_a_full_disk(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without room on disk the client holds the audio back, the log says why, and nothing is lost."""
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    options = options_for(scripted(), window_s=1.0, hold_s=1.0)
    with running(options) as server, Talker(server.url, spoken(*range(9)), source="system") as talker:
        hold_back(server)
        session = server.session
        talker.send(2.0)
        until(lambda: "event=spool.full" in server.log.getvalue())
        until(lambda: session.spooled_samples)
        done = talker.finish()
        assert talker.words == [f"w{n}" for n in range(9)]
        assert done.dropped_s == 0
        check_account(done)
