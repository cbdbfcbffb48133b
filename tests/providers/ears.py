"""What tests of streams share: a loop for each test, an ear for what is said, and speech."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, ParamSpec

import numpy as np
from numpy.typing import NDArray

from asrctl.policy.pacing import PacingOptions
from asrctl.providers.base import DecodeOptions
from asrctl.providers.recognizer import (
    Completed,
    Failed,
    Heard,
    Lost,
    Recognizer,
    Spoken,
    StreamRequest,
    UtteranceStream,
)
from asrctl_tests.scripted import speak

PATIENCE_S = 60.0
SOON_S = 5.0
"""For what takes two seconds at most, also on a busy machine; waits that are ruled out are longer."""
WITH_PARTIALS = PacingOptions()


P = ParamSpec("P")


def in_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test in an event loop of its own."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


def request(decode: DecodeOptions | None = None, **changes: Any) -> StreamRequest:
    """A request with partials."""
    chosen: dict[str, Any] = {"decode": decode or DecodeOptions(), "pacing": WITH_PARTIALS}
    return StreamRequest(**chosen | changes)


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that nobody tells."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0.002)


class Ear:
    """Takes what a stream says, and checks what must hold for all that is said."""

    def __init__(self) -> None:
        self.spoken: list[Spoken] = []
        self.calling = False
        """Set while the stream is called: nothing may be said then."""
        self.ended = 0
        """Utterances that were ended."""
        self._changed = asyncio.Event()

    def __call__(self, spoken: Spoken) -> None:
        assert not self.calling, f"said from within a call: {spoken}"
        assert self.lost is None, f"said after Lost: {spoken}"
        if isinstance(spoken, Completed | Failed):
            assert spoken.utterance < self.ended, f"before its end: {spoken}"
            assert spoken.utterance not in self.over, f"twice: {spoken}"
        if isinstance(spoken, Heard):
            assert spoken.utterance <= self.ended and spoken.utterance not in self.over, spoken
        self.spoken.append(spoken)
        self._changed.set()

    @property
    def over(self) -> set[int]:
        """Utterances that are completed or failed."""
        return {each.utterance for each in self.spoken if isinstance(each, Completed | Failed)}

    @property
    def lost(self) -> Lost | None:
        """The end, if it has come."""
        last = self.spoken[-1] if self.spoken else None
        return last if isinstance(last, Lost) else None

    @property
    def completed(self) -> list[Completed]:
        """What was completed, by the numbers of the utterances."""
        return sorted(
            (each for each in self.spoken if isinstance(each, Completed)), key=lambda each: each.utterance
        )

    @property
    def failed(self) -> list[Failed]:
        """What failed."""
        return [each for each in self.spoken if isinstance(each, Failed)]

    @property
    def texts(self) -> list[str]:
        """The texts of what was completed."""
        return [each.hypothesis.text for each in self.completed]

    def heard(self, utterance: int) -> list[Heard]:
        """Partials of an utterance."""
        return [each for each in self.spoken if isinstance(each, Heard) and each.utterance == utterance]

    def last_heard(self, utterance: int) -> str:
        """The words of the last partial."""
        heard = self.heard(utterance)
        return " ".join((*heard[-1].stable, *heard[-1].unstable)) if heard else ""

    async def wait(self, condition: Callable[[], object]) -> None:
        """Wait until what was said makes something true; the stream must not be lost before."""
        await self._wait(lambda: condition() or self.lost is not None)
        assert condition(), self.spoken

    async def wait_completed(self, count: int) -> list[str]:
        """The texts of so many utterances."""
        await self.wait(lambda: len(self.completed) >= count)
        return self.texts

    async def wait_failed(self, count: int = 1) -> Failed:
        """The last of so many failures."""
        await self.wait(lambda: len(self.failed) >= count)
        return self.failed[-1]

    async def wait_lost(self) -> Lost:
        """The end."""
        await self._wait(lambda: self.lost is not None)
        assert self.lost is not None
        return self.lost

    async def over_or_lost(self, count: int) -> None:
        """Wait until so many utterances are over, or the stream is lost."""
        await self._wait(lambda: len(self.over) >= count or self.lost is not None)

    async def _wait(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


class Stream:
    """A stream, and all it has said."""

    def __init__(self, recognizer: Recognizer, asked: StreamRequest | None = None) -> None:
        self.ear = Ear()
        self.stream: UtteranceStream = recognizer.open(asked or request(), self.ear)

    def feed(self, samples: NDArray[np.float32], chunk: int = 1_600) -> None:
        """Feed audio in chunks."""
        for at in range(0, len(samples), chunk):
            self._call(self.stream.feed, samples[at : at + chunk])

    def end(self) -> None:
        """End the utterance."""
        self.ear.ended += 1
        self._call(self.stream.end)

    def utter(self, *numbers: int, chunk: int = 1_600) -> None:
        """Speak words, and end the utterance."""
        self.feed(speak(numbers), chunk)
        self.end()

    def close(self) -> None:
        """Close it."""
        self._call(self.stream.close)

    def drop(self, utterance: int) -> None:
        """Drop an utterance."""
        self._call(self.stream.drop, utterance)

    def _call(self, method: Callable[..., None], *arguments: object) -> None:
        self.ear.calling = True
        try:
            method(*arguments)
        finally:
            self.ear.calling = False


def words(numbers: Iterable[int], prefix: str = "w") -> str:
    """What is heard of `speak(numbers)`."""
    return " ".join(f"{prefix}{number}" for number in numbers)
