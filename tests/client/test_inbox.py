"""Events between link and listener: in order, bounded, without what is out of date."""

from __future__ import annotations

import asyncio

import pytest

from asrctl.client.inbox import Event, Inbox
from asrctl.client.state import Phase, State
from asrctl.protocol.messages import Final, Metrics, Partial
from tests.client.clients import run


def partial(utterance: int, text: str) -> Partial:
    return Partial(utterance, 0.0, 1.0, "", text)


def final(utterance: int) -> Final:
    return Final(utterance, 0.0, 1.0, "x", 1.0, 0, 1)


def taken(*events: Event) -> list[Event | None]:
    """What comes out of these, with what comes at the end."""

    async def main() -> list[Event | None]:
        inbox = Inbox()
        for event in events:
            inbox.put(event)
        inbox.close()
        found: list[Event | None] = [await inbox.get()]
        while found[-1] is not None:
            found.append(await inbox.get())
        assert await inbox.get() is None
        return found

    return run(main())


def test_in_order_to_the_end() -> None:
    """What matters comes in order, and after it the end, for good."""
    assert taken(final(0), final(1), final(2)) == [final(0), final(1), final(2), None]


def test_newer_replaces_older() -> None:
    """Of partials of an utterance, and of metrics, only the newest is worth anything."""
    old, new = Metrics(1.0, 0.0, 0, 0.1, 0), Metrics(2.0, 0.0, 0, 0.1, 0)
    events: list[Event] = [partial(0, "a"), old, partial(1, "b"), partial(0, "ab"), new, final(0)]
    assert taken(*events) == [partial(1, "b"), partial(0, "ab"), new, final(0), None]


def test_states_that_pass() -> None:
    """Going back and forth between live and buffering is told once; reconnecting always."""
    live, buffering, lost = State(Phase.LIVE), State(Phase.BUFFERING), State(Phase.RECONNECTING, 1, 15)
    assert taken(live, buffering, live) == [live, None]
    assert taken(live, lost, buffering) == [lost, buffering, None]


def test_the_end_comes_last() -> None:
    """What was heard before the end is not lost to it."""

    async def main() -> None:
        inbox = Inbox()
        inbox.put(final(0))
        inbox.close()
        assert await inbox.get() == final(0)
        for _ in range(2):
            assert await inbox.get() is None

    run(main())


def test_waits_for_the_reader() -> None:
    """A reader that does not read keeps the writer waiting, and lets it go on by reading."""

    async def main() -> None:
        inbox = Inbox(limit=2)
        inbox.put(final(0))
        await inbox.room()
        inbox.put(final(1))
        waiting = asyncio.create_task(inbox.room())
        await asyncio.sleep(0)
        assert not waiting.done()
        await inbox.get()
        await waiting

    run(main())


def test_waits_for_the_writer() -> None:
    """A reader that is early gets the event when it comes."""

    async def main() -> None:
        inbox = Inbox()
        reading = asyncio.create_task(inbox.get())
        await asyncio.sleep(0)
        inbox.put(final(7))
        assert await reading == final(7)

    run(main())


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        (State(Phase.CONNECTING, 1, 15), "connecting"),
        (State(Phase.LIVE, unsent_s=0.3), "live"),
        (State(Phase.BUFFERING, unsent_s=12.3), "buffering 12 s"),
        (State(Phase.RECONNECTING, 3, 15), "reconnecting 3/15"),
        (State(Phase.RECONNECTING, 3, 15, 4.2, 12.0), "reconnecting 3/15 in 4 s, 12 s buffered"),
        (State(Phase.GAVE_UP), "gave up"),
        (State(Phase.DONE), "done"),
    ],
)
def test_what_people_see(state: State, shown: str) -> None:
    """A state is a few words."""
    assert str(state) == shown
