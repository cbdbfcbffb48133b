"""Voxtral on its stand-in: models with the options of a test, and streams that remember what was said."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from asrctl.policy.backoff import BackoffOptions
from asrctl.providers.base import Completed, DecodeOptions, Heard, Lost, Spoken
from asrctl.providers.scripted import speak
from asrctl.providers.voxtral.model import Voxtral
from asrctl.providers.voxtral.options import VoxtralOptions

from .voxtral_standin import install, make_weights

PATIENCE_S = 30.0
SOON = BackoffOptions(first_s=0.01, max_s=0.02, max_attempts=3)


def until(condition: Callable[[], object]) -> None:
    """Wait for something to become true."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def is_gone(pid: int) -> bool:
    """Whether there is no such process, not even a dead one nobody has reaped."""
    return not psutil.pid_exists(pid)


def is_over(pid: int) -> bool:
    """Whether it runs no more; somebody else is to reap it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    return True


def options_for(directory: Path, changes: dict[str, Any], **script: Any) -> VoxtralOptions:
    """Options for a stand-in with a script, installed in `directory`."""
    weights = directory / "voxtral-model"
    if not weights.exists():
        make_weights(weights)
    return VoxtralOptions(
        **{"binary": install(directory, **script), "model_dir": weights, "restarts": SOON, **changes}
    )


class Stream:
    """A session, and all it has said."""

    def __init__(self, model: Voxtral, options: DecodeOptions | None = None) -> None:
        self.said: queue.SimpleQueue[Spoken] = queue.SimpleQueue()
        model.wait_ready(PATIENCE_S)
        self.session = model.open(options or DecodeOptions(), self.said.put)

    def feed(self, samples: NDArray[np.float32], chunk_samples: int = 512) -> None:
        for at in range(0, len(samples), chunk_samples):
            self.session.feed(samples[at : at + chunk_samples])

    def speak(self, numbers: Iterable[int], chunk_samples: int = 512) -> None:
        """An utterance."""
        self.feed(speak(numbers), chunk_samples)
        self.session.complete()

    def next(self) -> Spoken:
        return self.said.get(timeout=PATIENCE_S)

    def completed(self) -> tuple[Completed, str]:
        """The next utterance that is done, and all that was heard of it."""
        heard = ""
        while isinstance(said := self.next(), Heard):
            heard += said.text
        assert isinstance(said, Completed), said
        return said, heard

    def text(self) -> str:
        """The text of the next utterance that is done."""
        return self.completed()[0].hypothesis.text

    def lost(self) -> str:
        """Why the stream broke."""
        while not isinstance(said := self.next(), Lost):
            assert isinstance(said, Heard), said
        return str(said.error)


def words(numbers: Iterable[int], prefix: str = "w") -> str:
    """What the stand-in makes of `speak(numbers)`."""
    return " ".join(f"{prefix}{number}" for number in numbers)
