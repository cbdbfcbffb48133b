"""What tests of remote streams share: an ear for what is said, options that wait for nothing, speech."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrctl.policy.backoff import BackoffOptions
from asrctl.policy.breaker import BreakerOptions
from asrctl.providers.base import Completed, DecodeOptions, Heard, Lost, Spoken
from asrctl.providers.remote.model import RemoteModel
from asrctl.providers.remote.options import RemoteOptions
from asrctl.providers.remote.session import RemoteSession
from asrctl.providers.scripted import speak

PATIENCE_S = 30.0
KEY = "sk-very-secret-0123456789"
IMPATIENT = BackoffOptions(first_s=0.005, max_s=0.02, max_attempts=10_000)
LENIENT = BreakerOptions(failures=10_000, open_s=0.01)


class Ear:
    """Takes what a stream says, from any thread."""

    def __init__(self) -> None:
        self.spoken: list[Spoken] = []
        self._changed = threading.Condition()

    def __call__(self, spoken: Spoken) -> None:
        with self._changed:
            self.spoken.append(spoken)
            self._changed.notify_all()

    def wait(self, condition: Callable[[], object]) -> None:
        """Wait until what was said makes something true; the stream must not be lost before."""
        with self._changed:
            done = self._changed.wait_for(lambda: condition() or self.lost is not None, PATIENCE_S)
            assert done, self.spoken
            assert condition(), self.lost

    def wait_completed(self, count: int) -> list[str]:
        """The texts of so many utterances."""
        self.wait(lambda: len(self.texts) >= count)
        return self.texts

    def wait_lost(self) -> Exception:
        """Wait for the end; returns why."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.lost is not None, PATIENCE_S), self.spoken
        assert self.lost is not None
        return self.lost.error

    @property
    def texts(self) -> list[str]:
        """What was completed."""
        return [each.hypothesis.text for each in self.spoken if isinstance(each, Completed)]

    @property
    def heard(self) -> list[str]:
        """What was heard, before the first `Completed`, between each two, and after the last."""
        pieces = [""]
        for each in self.spoken:
            if isinstance(each, Heard):
                pieces[-1] += each.text
            elif isinstance(each, Completed):
                pieces.append("")
        return pieces

    @property
    def lost(self) -> Lost | None:
        """The end, if it has come."""
        last = self.spoken[-1] if self.spoken else None
        return last if isinstance(last, Lost) else None


def options(url: str, dialect: str = "auto", **changes: Any) -> RemoteOptions:
    """Options that try again at once, and long."""
    settings: dict[str, Any] = {
        "api_key": KEY,
        "backoff": IMPATIENT,
        "breaker": LENIENT,
        "outage_s": PATIENCE_S,
        "model": "words",
    }
    return RemoteOptions(url, dialect, **(settings | changes))


@contextmanager
def open_stream(
    chosen: RemoteOptions, decode: DecodeOptions | None = None
) -> Iterator[tuple[RemoteSession, Ear]]:
    """A stream of a model of its own, and what it says."""
    ear, model = Ear(), RemoteModel(chosen)
    try:
        yield model.open(decode or DecodeOptions(), ear), ear
    finally:
        model.close()


def utter(session: RemoteSession, *numbers: int, chunk: int = 1_600) -> None:
    """Feed words in chunks, and end the utterance."""
    feed(session, speak(numbers), chunk)
    session.complete()


def feed(session: RemoteSession, samples: NDArray[np.float32], chunk: int = 1_600) -> None:
    """Feed audio in chunks."""
    for at in range(0, len(samples), chunk):
        session.feed(samples[at : at + chunk])


def talk(
    session: RemoteSession, ear: Ear, chance: random.Random, over: Callable[[], bool], ahead: int = 3
) -> list[str]:
    """Say one utterance after the other until it is `over`, at most so many ahead; what they say."""
    texts: list[str] = []
    while not over():
        numbers = [chance.randrange(200) for _ in range(chance.randint(1, 5))]
        utter(session, *numbers, chunk=chance.choice([320, 1_600, 8_000]))
        texts.append(" ".join(f"w{number}" for number in numbers))
        ear.wait_completed(len(texts) - ahead)
    ear.wait_completed(len(texts))
    return texts


def until(condition: Callable[[], object]) -> None:
    """Wait for something that nobody tells."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.002)
