"""The job queue: what goes first, what is given up, and that nothing waits for ever."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from asrctl.errors import QueueFull, Superseded
from asrctl.policy.priority import JobQueue, Kind, Source, Ticket


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def final(session: str = "a", source: Source = Source.MIC, utterance: int = 0) -> Ticket:
    return Ticket(session, Kind.FINAL, source, utterance)


def partial(session: str = "a", source: Source = Source.MIC, utterance: int = 0) -> Ticket:
    return Ticket(session, Kind.PARTIAL, source, utterance)


def queue_of(limit: int = 10, clock: Callable[[], float] | None = None) -> JobQueue[str]:
    return JobQueue(limit, starvation_s=10.0, clock=clock or Clock())


def drained(queue: JobQueue[str]) -> list[str]:
    items = []
    while (item := queue.pop()) is not None:
        items.append(item)
    return items


def test_empty() -> None:
    """Nothing queued: nothing to run, nothing waits."""
    queue = queue_of()
    assert queue.pop() is None
    assert len(queue) == 0


def test_order_of_classes() -> None:
    """Finals before partials, and in each class the microphone before the system's sound."""
    queue = queue_of()
    for name, ticket in {
        "partial system": partial("a", Source.SYSTEM),
        "partial mic": partial("b"),
        "final system": final("c", Source.SYSTEM),
        "final mic": final("d"),
    }.items():
        queue.push(ticket, name)
    assert drained(queue) == ["final mic", "final system", "partial mic", "partial system"]


def test_oldest_first() -> None:
    """Jobs of one session and class run in the order they came."""
    queue = queue_of()
    for number in range(5):
        queue.push(final(utterance=number), str(number))
    assert drained(queue) == list("01234")


def test_only_what_fits_is_taken() -> None:
    """What comes next and does not fit keeps its place, and what is behind it waits with it."""
    queue = queue_of()
    for name in ("long", "short"):
        queue.push(final(name), name)
    assert queue.pop(lambda name: name == "short") is None
    assert queue.pop(lambda name: name == "long") == "long"
    assert drained(queue) == ["short"]
    assert queue.pop(lambda _: True) is None


def test_fair_between_sessions() -> None:
    """A session with much to do does not keep the others waiting: they take turns."""
    queue = queue_of()
    for number in range(3):
        queue.push(final("busy", utterance=number), f"busy{number}")
    for number in range(2):
        queue.push(final("calm", utterance=number), f"calm{number}")
    assert drained(queue) == ["busy0", "calm0", "busy1", "calm1", "busy2"]


def test_who_waits_longest_goes_first() -> None:
    """A session that had a turn just now does not wait for those that ask after it."""
    queue = queue_of()
    queue.push(final("talker"), "talker0")
    assert queue.pop() == "talker0"
    queue.push(final("talker", utterance=1), "talker1")
    for session in ("a", "b"):
        queue.push(final(session), session)
    assert drained(queue) == ["talker1", "a", "b"]


def test_starvation_is_bounded() -> None:
    """A job that has waited as long as the bound goes before all that have not, whatever its class."""
    clock = Clock()
    queue = queue_of(clock=clock)
    queue.push(partial("patient", Source.SYSTEM), "patient")
    clock.now_s = 9.9
    queue.push(final("b"), "first")
    assert queue.pop() == "first"
    clock.now_s = 10.0
    queue.push(final("c"), "second")
    assert queue.pop() == "patient"
    assert queue.pop() == "second"


def test_starved_jobs_take_turns_too() -> None:
    """A session with a long backlog, all of it past the bound, does not hold up one that has little to do."""
    clock = Clock()
    queue = queue_of(limit=1000, clock=clock)
    for number in range(160):
        queue.push(final("greedy", utterance=number), f"greedy{number}")
    clock.now_s = 30.0
    assert queue.pop() == "greedy0"
    queue.push(final("good"), "good")
    assert [queue.pop(), queue.pop()] == ["greedy1", "good"]


def test_of_one_session_the_oldest_starved_job_goes_first() -> None:
    """Within a session only age counts among jobs past the bound, whatever their class."""
    clock = Clock()
    queue = queue_of(clock=clock)
    queue.push(partial("a", Source.SYSTEM), "older")
    clock.now_s = 1.0
    queue.push(final("a", utterance=1), "newer")
    clock.now_s = 30.0
    assert drained(queue) == ["older", "newer"]


def test_sessions_that_are_long_gone_are_forgotten() -> None:
    """A server that runs for months keeps no entry for each session that it ever had."""
    queue = queue_of()
    for number in range(5000):
        queue.push(final(f"session{number}"), "job")
        queue.pop()
    assert len(queue._served) <= 256


def test_a_job_that_nobody_waits_for_is_taken_out() -> None:
    """Removing finds the very job, and says whether it was there."""
    queue = queue_of()
    queue.push(final("a"), "a")
    queue.push(final("b"), "b")
    assert queue.remove("a")
    assert not queue.remove("a")
    assert queue.clear() == ["b"]
    assert queue.clear() == []


def test_newest_partial_wins() -> None:
    """A newer partial of the same utterance displaces the older; other utterances and sessions stay."""
    queue = queue_of()
    queue.push(partial("a", utterance=1), "old")
    queue.push(partial("a", utterance=2), "next utterance")
    queue.push(partial("b", utterance=1), "other session")
    assert queue.push(partial("a", utterance=1), "new") == ["old"]
    assert sorted(drained(queue)) == ["new", "next utterance", "other session"]


def test_final_displaces_its_partials() -> None:
    """Once an utterance's final is queued, its partial is of no use; a final displaces no final."""
    queue = queue_of()
    queue.push(partial(utterance=1), "partial")
    assert queue.push(final(utterance=1), "final") == ["partial"]
    assert queue.push(final(utterance=1), "another") == []
    assert drained(queue) == ["final", "another"]


def test_a_second_decode_goes_before_partials_and_waits_for_no_final() -> None:
    """A live final takes it out of the queue, and none gets in where one waits; a file's does neither."""
    queue, again = queue_of(), Ticket("a", Kind.AGAIN)
    queue.push(partial("b"), "partial")
    queue.push(again, "again")
    assert queue.push(final("c", Source.FILE), "file") == []
    assert queue.pop() == "again"
    queue.push(again, "again")
    assert queue.push(final("d"), "final") == ["again"]
    with pytest.raises(Superseded):
        queue.push(again, "again")
    assert drained(queue) == ["final", "partial", "file"]


def test_full_queue_gives_up_the_lowest_partial() -> None:
    """No room: the system's oldest partial goes first, then the microphone's oldest."""
    queue = queue_of(limit=4)
    queue.push(partial("a"), "mic old")
    queue.push(partial("b", Source.SYSTEM), "system old")
    queue.push(partial("c", Source.SYSTEM), "system new")
    queue.push(partial("d"), "mic new")
    given_up = [queue.push(final("e", utterance=number), "final") for number in range(4)]
    assert given_up == [["system old"], ["system new"], ["mic old"], ["mic new"]]
    with pytest.raises(QueueFull):
        queue.push(final("e", utterance=9), "one too many")
    assert len(queue) == 4


def test_full_queue_refuses_a_lower_partial() -> None:
    """A partial of the system's sound does not displace one of the microphone's, but an equal one does."""
    queue = queue_of(limit=1)
    queue.push(partial("a"), "mic")
    with pytest.raises(QueueFull):
        queue.push(partial("b", Source.SYSTEM), "system")
    assert queue.push(partial("b"), "newer mic") == ["mic"]


def test_put_back_goes_first_and_always_fits() -> None:
    """A job that was popped and lost comes back before all others, even into a full queue."""
    queue = queue_of(limit=1)
    queue.push(partial("a", Source.SYSTEM), "lost")
    assert queue.pop() == "lost"
    queue.push(final("b"), "waiting")
    queue.put_back(partial("a", Source.SYSTEM), "lost")
    assert drained(queue) == ["lost", "waiting"]


def test_put_back_keeps_its_class_for_the_next_loss() -> None:
    """Of two jobs that came back, the session served longest ago goes first."""
    queue = queue_of()
    for session in "ab":
        queue.push(final(session), session)
    assert drained(queue) == ["a", "b"]
    queue.put_back(final("b"), "b")
    queue.put_back(final("a"), "a")
    assert drained(queue) == ["a", "b"]


def of_file(name: str = "file") -> Ticket:
    return Ticket(name, Kind.FINAL, Source.FILE)


def test_files_come_after_all_live_audio() -> None:
    """A window of a file waits even for the partials of the system's sound; files take turns."""
    queue = queue_of()
    for name in ("f0", "f1"):
        queue.push(of_file("first"), name)
    queue.push(of_file("second"), "g0")
    queue.push(partial("a", Source.SYSTEM), "partial")
    queue.push(final("b"), "final")
    assert drained(queue) == ["final", "partial", "f0", "g0", "f1"]


def test_files_get_one_turn_each_15_s_under_load() -> None:
    """With live jobs without end, one window of a file is decoded each 15 s, however many have waited."""
    clock = Clock()
    queue = queue_of(limit=1000, clock=clock)
    for number in range(20):
        queue.push(of_file(), f"f{number}")
    popped = []
    for second in range(61):
        clock.now_s = float(second)
        queue.push(final("live", utterance=second), "live")
        if (item := queue.pop()) != "live":
            popped.append((second, item))
    assert popped == [(15, "f0"), (30, "f1"), (45, "f2"), (60, "f3")]


def test_files_take_no_room_from_live_audio() -> None:
    """Live jobs find room beside any number of files; a file finds room, displaces nobody, and is
    displaced by nobody."""
    queue = queue_of(limit=2)
    assert queue.push(of_file(), "f0") == []
    assert queue.push(partial("a"), "partial") == []
    assert queue.push(of_file(), "f1") == queue.push(of_file(), "f2") == []
    assert queue.push(final("b"), "final") == []
    assert queue.push(final("c"), "other") == ["partial"]
    with pytest.raises(QueueFull):
        queue.push(final("d"), "one too many")
    assert drained(queue) == ["final", "other", "f0", "f1", "f2"]


def test_a_file_that_made_way_goes_before_other_files_only() -> None:
    """A window that was stopped for a live final comes back behind live audio, and before other files."""
    queue = queue_of()
    queue.push(of_file("a"), "stopped")
    assert queue.pop() == "stopped"
    queue.push(of_file("b"), "other")
    queue.push(partial("c"), "live")
    queue.put_back(of_file("a"), "stopped")
    assert drained(queue) == ["live", "stopped", "other"]


TICKETS = st.builds(
    Ticket,
    session=st.sampled_from("abc"),
    kind=st.sampled_from(Kind),
    source=st.sampled_from(Source),
    utterance=st.integers(0, 2),
).filter(lambda ticket: ticket.kind is not Kind.AGAIN or not ticket.is_file)


class QueueModel(RuleBasedStateMachine):
    """Any sequence of uses: bounded, no job lost or run twice, no higher job passed over."""

    LIMIT = 4

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.queue: JobQueue[int] = JobQueue(self.LIMIT, starvation_s=10.0, clock=self.clock)
        self.waiting: dict[int, tuple[Ticket, float]] = {}
        self.popped: list[tuple[Ticket, int]] = []
        self.file_turn_s = -15.0
        self.count = 0

    @rule(ticket=TICKETS)
    def push(self, ticket: Ticket) -> None:
        self.count += 1
        is_live_final = ticket.kind is Kind.FINAL and not ticket.is_file
        try:
            displaced = self.queue.push(ticket, self.count)
        except Superseded:
            assert ticket.kind is Kind.AGAIN
            assert any(old.kind is Kind.FINAL and not old.is_file for old, _ in self.waiting.values())
            return
        except QueueFull:
            rivals = [old for old, _ in self.waiting.values() if ticket.is_file or not old.is_file]
            assert len(rivals) >= self.LIMIT
            kinds = [(old.kind, old.source) for old in rivals]
            assert ticket.is_file or all(
                (ticket.kind, ticket.source) > kind or kind[0] is not Kind.PARTIAL for kind in kinds
            )
            return
        for item in displaced:
            old, _ = self.waiting.pop(item)
            assert old.kind is Kind.PARTIAL or (old.kind is Kind.AGAIN and is_live_final)
            assert old.is_file == ticket.is_file
        self.waiting[self.count] = (ticket, self.clock.now_s)

    @rule()
    def pop(self) -> None:
        item = self.queue.pop()
        if item is None:
            assert not self.waiting
            return
        ticket, since_s = self.waiting.pop(item)
        self.popped.append((ticket, item))
        live = [other for other, _ in self.waiting.values() if not other.is_file]
        if ticket.is_file:
            assert not live or self.clock.now_s - max(since_s, self.file_turn_s) >= 15
            self.file_turn_s = self.clock.now_s
        elif self.clock.now_s - since_s < 10:
            for other, other_since_s in self.waiting.values():
                if other.is_file:
                    continue
                starved = self.clock.now_s - other_since_s >= 10
                highest = (Kind.FINAL, Source.MIC)
                assert (ticket.kind, ticket.source) <= (highest if starved else (other.kind, other.source))

    @rule(wait_s=st.integers(1, 12))
    def wait(self, wait_s: int) -> None:
        self.clock.now_s += wait_s

    @rule(session=st.sampled_from("abc"))
    def leave(self, session: str) -> None:
        mine = [item for item, (ticket, _) in self.waiting.items() if ticket.session == session]
        for item in mine:
            assert self.queue.remove(item)
            del self.waiting[item]

    @invariant()
    def holds_what_it_should(self) -> None:
        assert len(self.queue) == len(self.waiting)
        assert sum(not ticket.is_file for ticket, _ in self.waiting.values()) <= self.LIMIT


TestQueueModel = QueueModel.TestCase
