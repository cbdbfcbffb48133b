"""Client and server joined by a network that cuts: every final once, every frame accounted for."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from asrctl.protocol.client import ClientState
from asrctl.protocol.messages import Dropped, Final

from .sides import FRAME_BYTES, FakeServer, Link

STEPS = ("connect", "up", "down", "send", "work", "cut", "restart", "lose")
WEIGHTS = (4, 12, 12, 8, 8, 1, 0.1, 0.1)
CALM = ("connect", "send", "up", "work", "down")


def play(link: Link, steps: list[str]) -> None:
    """Run some steps, then a calm network until everything was said."""
    for step in steps:
        link.step(step)
    for _ in range(100_000):
        if link.client.state is ClientState.DONE:
            return
        for step in CALM:
            link.step(step)
    raise AssertionError("it never ended")


def check(link: Link) -> None:
    """Finals are in order and hold what was spoken there; all frames are accounted for."""
    position = 0
    events: list[Final | Dropped] = [*link.finals, *link.drops]
    for event in sorted(events, key=lambda event: event.from_):
        assert position <= event.from_ < event.to
        position = event.to
    assert link.finals == sorted(link.finals, key=lambda final: final.from_)
    numbers = [final.utterance for final in link.finals]
    assert numbers == sorted(set(numbers))
    dropped = {at for event in link.drops for at in range(event.from_, event.to)}
    covered = set()
    for final in link.finals:
        span = range(final.from_, final.to)
        assert final.text == link.audio[final.from_ * FRAME_BYTES : final.to * FRAME_BYTES].hex()
        covered |= set(span)
    total = len(link.audio) // FRAME_BYTES
    assert covered | dropped >= {at for at in range(total) if at % 14 >= 7}
    account = link.client.account
    assert account.received_samples == total == link.client.committed
    assert (account.speech_samples, account.dropped_samples) == (len(covered), len(dropped))
    assert account.pending_samples == 0
    assert len(link.dones) == 1


@given(
    seed=st.integers(0, 2**32),
    frames=st.integers(0, 400),
    window=st.sampled_from([1, 8, 50, 1000]),
    hold=st.sampled_from([14, 40, 1000]),
    steps=st.integers(0, 600),
)
def test_any_cuts(seed: int, frames: int, window: int, hold: int, steps: int) -> None:
    """Whatever is cut, lost or restarted when, the client ends with each final exactly once."""
    dice = random.Random(seed)
    link = Link(dice.randbytes(frames * FRAME_BYTES), FakeServer(window, hold), dice)
    play(link, dice.choices(STEPS, WEIGHTS, k=steps))
    check(link)


@given(seed=st.integers(0, 2**32), cut_at=st.integers(0, 120))
def test_one_cut_anywhere(seed: int, cut_at: int) -> None:
    """One cut at any point of a calm run changes nothing at all in what is said."""
    dice = random.Random(seed)
    audio = dice.randbytes(200 * FRAME_BYTES)
    link = Link(audio, FakeServer(64, 64), dice)
    steps = [*(CALM * 40)]
    play(link, [*steps[:cut_at], "cut", *steps[cut_at:]])
    check(link)
    undisturbed = Link(audio, FakeServer(64, 64), random.Random(seed))
    play(undisturbed, steps)
    assert [(f.from_, f.to, f.text) for f in link.finals] == [
        (f.from_, f.to, f.text) for f in undisturbed.finals
    ]
    assert not link.drops


def test_events_that_are_not_kept_any_more() -> None:
    """A client that missed more events than a server keeps starts again, and has every final once."""
    dice = random.Random(7)
    link = Link(dice.randbytes(300 * FRAME_BYTES), FakeServer(1000, 1000, log_limit=2), dice)
    for step in CALM * 3:
        link.step(step)
    link.step("send")
    for _ in range(60):
        link.step("up")
        link.step("send")
        link.server.work()  # nobody is told
    link.step("cut")
    play(link, [])
    check(link)
    assert link.sockets == 3  # one to learn that the session is gone


def test_the_server_restarts_while_its_client_is_away() -> None:
    """A new session begins at `committed`, with times that go on."""
    dice = random.Random(8)
    link = Link(dice.randbytes(300 * FRAME_BYTES), FakeServer(50, 50), dice)
    for step in CALM * 20:
        link.step(step)
    committed = link.client.committed
    assert committed > 0
    link.step("restart")
    play(link, [])
    check(link)
    [engine] = link.server.engines.values()
    assert engine.base >= committed
    assert link.dones[0].received_s == (300 - engine.base) / 16_000
