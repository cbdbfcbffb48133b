"""Faults of a server's processes under paced sessions: killed, stopped, slow, short of everything."""

from __future__ import annotations

import os
import random
import resource
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from asrctl.errors import AsrctlError
from benchmarks.common import note
from benchmarks.faults.good import GoodSession
from benchmarks.faults.vitals import NOTHING, Vitals, settle, vitals
from benchmarks.serve_process import ServerProcess

STARTS = "BENCH_STARTS"
"""Names a file that says how worker processes start: "refuse", "slow", or nothing."""
LEFT_MB = 10.0
_BACK_S = 45.0
_WARM_UP_FINALS = 2
_SETTLE_S = 8.0
_SPARE_DESCRIPTORS = 2
_SPARE_BYTES = 8 << 20


class Victim:
    """What can be done to a server, by its process."""

    def __init__(self, server: ServerProcess, starts: Path, dice: random.Random) -> None:
        self._server, self._starts, self._dice = server, starts, dice

    @property
    def _parent(self) -> psutil.Process:
        return psutil.Process(self._server.pid)

    def _worker(self) -> psutil.Process | None:
        workers = self._parent.children(recursive=True)
        return self._dice.choice(workers) if workers else None

    def signal_worker(self, number: int) -> None:
        """One of them, at random; none if there is none just now."""
        if (worker := self._worker()) is not None:
            try:
                worker.send_signal(number)
            except psutil.NoSuchProcess:
                return

    def starts(self, how: str) -> None:
        """How workers start from here on."""
        self._starts.write_text(how)

    @contextmanager
    def limited(self, kind: int, spare: int) -> Iterator[None]:
        """The server may have so much more of something than it has; its new workers as well."""
        held = self._parent.num_fds() if kind == resource.RLIMIT_NOFILE else self._parent.memory_info().vms
        before = self._parent.rlimit(kind)
        self._parent.rlimit(kind, (held + spare, before[1]))
        try:
            yield
        finally:
            self._parent.rlimit(kind, before)

    def suspend(self, for_s: float) -> None:
        """All processes stand still, as when a machine is suspended; sockets stay open."""
        processes = [self._parent, *self._parent.children(recursive=True)]
        for process in processes:
            process.suspend()
        time.sleep(for_s)
        for process in processes:
            process.resume()


def _killed(victim: Victim) -> None:
    victim.signal_worker(signal.SIGKILL)


def _killed_again_and_again(victim: Victim) -> None:
    for _ in range(4):
        victim.signal_worker(signal.SIGKILL)
        time.sleep(0.7)


def _stopped(victim: Victim) -> None:
    victim.signal_worker(signal.SIGSTOP)


def _start_refused(victim: Victim) -> None:
    victim.starts("refuse")
    victim.signal_worker(signal.SIGKILL)
    time.sleep(3.0)
    victim.starts("")


def _start_slow(victim: Victim) -> None:
    victim.starts("slow")
    victim.signal_worker(signal.SIGKILL)
    time.sleep(1.0)
    victim.starts("")


def _no_descriptors(victim: Victim) -> None:
    with victim.limited(resource.RLIMIT_NOFILE, _SPARE_DESCRIPTORS):
        victim.signal_worker(signal.SIGKILL)
        time.sleep(3.0)


def _no_memory(victim: Victim) -> None:
    with victim.limited(resource.RLIMIT_AS, _SPARE_BYTES):
        victim.signal_worker(signal.SIGKILL)
        time.sleep(3.0)


def _suspended(victim: Victim) -> None:
    victim.suspend(6.0)


FAULTS: dict[str, Callable[[Victim], None]] = {
    "worker killed": _killed,
    "worker killed four times": _killed_again_and_again,
    "start of a worker refused": _start_refused,
    "start of a worker slow": _start_slow,
    "no descriptors for a worker": _no_descriptors,
    "no memory for a worker": _no_memory,
    "machine suspended": _suspended,
    "worker stopped": _stopped,
}


@dataclass(slots=True)
class Harmed:
    """How sessions stood a fault.

    Attributes:
        name: Of the fault.
        sessions: How many.
        faults: How often it was done.
        survived: Sessions that heard finals again, and ended without an error.
        lost: Words of all of them that were lost, doubled or out of order, though nothing was declared.
        dropped_s: Audio that was declared dropped.
        late_s: How much later than usual a final came.
        before, after: What the server's parent held.
        errors: In which sessions ended.
    """

    name: str
    sessions: int
    faults: int = 0
    survived: int = 0
    lost: int = 0
    dropped_s: float = 0.0
    late_s: float = 0.0
    before: Vitals = NOTHING
    after: Vitals = NOTHING
    errors: list[str] = field(default_factory=list)

    @property
    def broken(self) -> list[str]:
        """The promises that were broken."""
        checks = {
            f"{self.sessions - self.survived} sessions ended": self.survived < self.sessions,
            f"{self.lost} words lost": self.lost != 0,
            f"{self.before.memory_mb:.0f} MB became {self.after.memory_mb:.0f}": self.after.memory_mb
            > self.before.memory_mb + LEFT_MB,
            f"{self.before.descriptors} descriptors became {self.after.descriptors}": self.after.descriptors
            > self.before.descriptors,
            f"errors: {'; '.join(sorted(set(self.errors)))}": bool(self.errors),
        }
        return [name for name, is_broken in checks.items() if is_broken]


def harm(
    name: str,
    act: Callable[[], int],
    server: ServerProcess,
    urls: Sequence[str],
    real: bool = False,
) -> Harmed:
    """Sessions side by side, and a fault among them.

    Args:
        name: Of the fault.
        act: Does it; returns how often.
        server: The server.
        urls: Where each session connects: straight, or through a proxy.
        real: Whether it has a real model.
    """
    found = Harmed(name, len(urls), before=vitals(server.pid))
    with ExitStack() as stack:
        sessions = [stack.enter_context(GoodSession(url, real)) for url in urls]
        try:
            _withstand(found, act, sessions)
        except AsrctlError as error:  # one heard nothing even before the fault
            found.errors.append(str(error))
    wanted = Vitals(found.before.memory_mb + LEFT_MB, found.before.descriptors)
    found.after = settle(server.pid, wanted, _SETTLE_S)
    return found


def _withstand(found: Harmed, act: Callable[[], int], sessions: Sequence[GoodSession]) -> None:
    """The fault, and what becomes of the sessions; raises AsrctlError if one does not even begin."""
    for session in sessions:
        session.wait_heard(_WARM_UP_FINALS)
    began_s = time.monotonic()
    usual_s = [session.usual_s(began_s) for session in sessions]
    found.faults = act()
    over_s = time.monotonic()
    found.survived = sum(_hears_again(session, over_s) for session in sessions)
    for session in sessions:
        session.ask_to_finish()
    for session, usual in zip(sessions, usual_s, strict=True):
        end = session.finish()
        latest_s = session.lateness(began_s, time.monotonic())
        found.late_s = max(found.late_s, (latest_s or 0.0) - usual)
        found.dropped_s += end["dropped_s"]
        found.lost += end["lost"]
        found.errors += [end["error"]] if end["error"] else []
        found.errors += ["audio is undeclared"] if end["undeclared_s"] else []


def _hears_again(session: GoodSession, since_s: float) -> bool:
    """Wait for words that were said when the fault was over, for as long after that as anybody may wait."""
    while True:
        if any(each.at_s - each.late_s > since_s for each in list(session.finals)):
            return True
        if session.end or time.monotonic() > since_s + _BACK_S:
            return False
        time.sleep(0.1)


def process_faults(server: ServerProcess, starts: Path, seed: int, only: str, sessions: int) -> list[Harmed]:
    """Each of them in turn, under so many sessions."""
    victim, urls = Victim(server, starts, random.Random(seed)), [server.url] * sessions
    return [_once(name, victim, server, urls) for name in FAULTS if only in name]


def crowd(
    server: ServerProcess, starts: Path, seed: int, urls: Sequence[str], at_once: int, within_s: float
) -> list[Harmed]:
    """Sessions in groups, each with a fault that is drawn; each session connects to its own address.

    No group begins when `within_s` is over; those that are left out are said.
    """
    dice, until_s = random.Random(seed), time.monotonic() + within_s
    victim = Victim(server, starts, dice)
    found: list[Harmed] = []
    for at in range(0, len(urls), at_once):
        if time.monotonic() > until_s:
            return [*found, Harmed("none, for want of time", len(urls) - at)]
        found.append(_once(dice.choice(list(FAULTS)), victim, server, urls[at : at + at_once]))
    return found


def _once(name: str, victim: Victim, server: ServerProcess, urls: Sequence[str]) -> Harmed:
    """A fault, once; says what it did while others follow."""

    def act() -> int:
        FAULTS[name](victim)
        return 1

    found = harm(name, act, server, urls)
    note(f"{name}, {len(urls)} sessions: {'; '.join(found.broken) or 'good'}")
    return found


def killed_each_minute(server: ServerProcess, seed: int, for_s: float, every_s: float = 60.0) -> Harmed:
    """Two sessions for hours, and a worker that is killed each minute."""
    victim = Victim(server, Path(os.devnull), random.Random(seed))

    def act() -> int:
        until_s, count = time.monotonic() + for_s, 0
        while time.monotonic() + every_s <= until_s:
            time.sleep(every_s)
            victim.signal_worker(signal.SIGKILL)
            count += 1
        return count

    return harm("worker killed each minute", act, server, [server.url] * 2)
