"""A good session beside the attack, in a process of its own, and how late its finals are.

The process says a word each second to a server, and prints a line of JSON for each final; when its standard
input ends it finishes the session and prints the account.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from types import TracebackType
from typing import Any, Self

import numpy as np

from asrctl.audio.sample import sample_speech
from asrctl.client import Client, ClientOptions, State
from asrctl.errors import AsrctlError, ServerError
from asrctl.policy.backoff import BackoffOptions
from asrctl.policy.breaker import BreakerOptions
from asrctl.protocol.messages import Dropped, Final
from asrctl.transcript import SAMPLE_RATE_HZ
from asrctl_tests.scripted import speak

SECOND = SAMPLE_RATE_HZ
_CHUNK = 800
_WORDS = 600
_BEGIN_S = 30.0
_END_S = 30.0
_EXIT_S = 1.0
_IMPATIENT = ClientOptions(
    partials=False,
    backoff=BackoffOptions(first_s=0.05, max_s=0.5, max_attempts=1000),
    breaker=BreakerOptions(failures=1000),
    wait_for_server_s=120.0,
    finish_timeout_s=20.0,
    keepalive_s=4.0,
    salvage=False,
)


@dataclass(frozen=True, slots=True)
class Lateness:
    """One final.

    Attributes:
        at_s: When it came, by the monotonic clock.
        late_s: How long after the end of what it says was fed.
    """

    at_s: float
    late_s: float


class GoodSession:
    """The other process, seen from the bench, in a `with` block.

    Attributes:
        finals: What came.
        links_lost: Why connections were lost.
        end: What was said at the end: `lost` words, `dropped_s`, `undeclared_s`, `error`.
    """

    def __init__(self, url: str, real: bool = False) -> None:
        """`real` has it say the sample sentence, for a server with a real model."""
        self._command = [sys.executable, "-m", "benchmarks.faults.good", url, *["real"] * real]
        self.finals: list[Lateness] = []
        self.links_lost: list[str] = []
        self.end: dict[str, Any] = {}
        self._begun_s = self._asked_s = 0.0

    def __enter__(self) -> Self:
        self._begun_s = time.monotonic()
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.ask_to_finish()
            self._process.wait(_EXIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            if "late_s" in said:
                self.finals.append(Lateness(**said))
            elif "reason" in said:
                self.links_lost.append(said["reason"])
            else:
                self.end = said

    def wait_heard(self, finals: int) -> None:
        """Wait for the first finals. Raises AsrctlError if they do not come in time since it began."""
        deadline_s = self._begun_s + _BEGIN_S
        while len(self.finals) < finals:
            if time.monotonic() > deadline_s or self._process.poll() is not None:
                raise AsrctlError(f"the good session hears nothing: {self.links_lost or self.end}")
            time.sleep(0.05)

    def ask_to_finish(self) -> None:
        """Have it say nothing more, and end its session; may be called twice."""
        assert self._process.stdin is not None
        self._asked_s = self._asked_s or time.monotonic()
        self._process.stdin.close()

    def finish(self) -> dict[str, Any]:
        """Let it end its session; returns what it says of it, in a bounded time since it was asked to."""
        self.ask_to_finish()
        self._thread.join(max(0.0, self._asked_s + _END_S - time.monotonic()))
        self.end = self.end or {"lost": -1, "dropped_s": 0.0, "undeclared_s": -1.0, "error": "no end in time"}
        return self.end

    def lateness(self, from_s: float, to_s: float) -> float | None:
        """The latest of the finals that came meanwhile; None if none did."""
        return max((each.late_s for each in self.finals if from_s <= each.at_s <= to_s), default=None)

    def usual_s(self, until_s: float) -> float:
        """The median of the finals that came before."""
        return median(each.late_s for each in self.finals if each.at_s < until_s)


def utterances(real: bool) -> Sequence[np.ndarray[Any, np.dtype[np.float32]]]:
    """What is said, each with its pause."""
    if real:
        speech = sample_speech()
        return [np.concatenate((speech, np.zeros(SECOND, np.float32)))]
    rest = np.zeros(SECOND - len(speak([0])), np.float32)
    return [np.concatenate((speak([number]), rest)) for number in range(_WORDS)]


class _Speaker:
    """The process itself."""

    def __init__(self, url: str, real: bool) -> None:
        self._url, self._real = url, real
        self._said = utterances(real)
        self._fed = 0
        self._over = asyncio.Event()
        self._began_s = 0.0
        self._finals: list[Final] = []
        self._dropped: list[tuple[int, int]] = []

    async def run(self) -> None:
        options = replace(_IMPATIENT, language="en")
        reading = asyncio.to_thread(sys.stdin.read)
        async with Client(self._url, options) as client:
            ends = asyncio.create_task(reading)
            ends.add_done_callback(lambda _: self._over.set())
            feeding = asyncio.create_task(self._feed(client))
            error = ""
            try:
                async for event in client:
                    self._hear(event)
            except ServerError as failure:
                error = str(failure)
            self._over.set()
            fed = await feeding
            account = client.account
        undeclared = fed - account.received_samples + account.pending_samples
        _say(
            lost=self._lost(),
            dropped_s=sum(end - start for start, end in self._dropped) / SECOND,
            undeclared_s=undeclared / SECOND,
            fed_s=fed / SECOND,
            error=error,
        )

    async def _feed(self, client: Client) -> int:
        while client.ready is None and not self._over.is_set():
            await asyncio.sleep(0.01)
        self._began_s, fed = time.monotonic(), 0
        while not self._over.is_set():
            audio = self._said[self._fed % len(self._said)]
            for at in range(0, len(audio), _CHUNK):
                fed += len(audio[at : at + _CHUNK])
                await asyncio.sleep(self._began_s + fed / SECOND - time.monotonic())
                client.feed(audio[at : at + _CHUNK])
            self._fed += 1
        client.finish()
        return fed

    def _hear(self, event: object) -> None:
        if isinstance(event, Final):
            now_s = time.monotonic()
            self._finals.append(event)
            _say(at_s=now_s, late_s=now_s - self._began_s - event.end_s)
        elif isinstance(event, Dropped):
            self._dropped.append((event.from_, event.to))
        elif isinstance(event, State) and event.reason:
            _say(reason=event.reason)

    def _lost(self) -> int:
        """Words that were said and not heard, or heard twice, or out of order; with a model, sentences.

        Those of which anything was declared dropped do not count.
        """
        excused = {number for number in range(self._fed) if self._was_dropped(number)}
        if self._real:
            missing = self._fed - sum("monday" in final.text.lower() for final in self._finals)
            return max(0, missing - len(excused))
        words = [f"w{number % _WORDS}" for number in range(self._fed)]
        expected = [word for number, word in enumerate(words) if number not in excused]
        unclear = {words[number] for number in excused} - {*expected}
        heard = [word for final in self._finals for word in final.text.split() if word not in unclear]
        if heard == expected:
            return 0
        return max(1, abs(len(expected) - len(heard)), len(set(expected) - set(heard)))

    def _was_dropped(self, number: int) -> bool:
        length = len(self._said[0])
        return any(start < (number + 1) * length and number * length < end for start, end in self._dropped)


def _say(**what: object) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    asyncio.run(_Speaker(sys.argv[1], "real" in sys.argv[2:]).run())
