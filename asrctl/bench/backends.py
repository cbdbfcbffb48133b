"""Where live sessions are played: on an engine here, on a server in `bench.remote`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Any

from asrctl.bench.cost import Cost
from asrctl.bench.engine import Streams, Workers
from asrctl.bench.paced import Heard, Talk, Unpaced
from asrctl.bench.results import Round
from asrctl.bench.setup import Setup
from asrctl.policy.endpointing import EndpointerOptions
from asrctl.transcript import SAMPLE_RATE_HZ

TellShare = Callable[[float], None]
"""Told which share is played."""


@dataclass(frozen=True, slots=True)
class Played:
    """What came of all talks at once.

    Attributes:
        heard: Of each.
        unpaced: The same talks without a clock.
        cost: Figures of what it took.
    """

    heard: Sequence[Heard]
    unpaced: Sequence[Unpaced]
    cost: Round


class Remembered:
    """What talks are without a clock; each is decoded once only."""

    def __init__(self) -> None:
        self._found: dict[bytes, Unpaced] = {}

    def get(self, talk: Talk, decode: Callable[[Talk], Unpaced]) -> Unpaced:
        """A talk's text and words."""
        key = sha256(talk.samples.data).digest()
        if key not in self._found:
            self._found[key] = decode(talk)
        return self._found[key]


@dataclass(frozen=True)
class LocalBackend:
    """On this machine, with an engine that starts for each run.

    Attributes:
        name: Tells it from others.
        description: For the record.
        endpointing: How ends of speech are found.
        start: Starts the engine.
    """

    name: str
    description: dict[str, Any]
    endpointing: EndpointerOptions
    start: Callable[[], Workers | Streams]
    unpaced: Remembered = field(default_factory=Remembered)

    def play(self, talks: Sequence[Talk], tell: TellShare) -> Played:
        """Start, play, end.

        Raises:
            ModelError: The weights do not load.
            ProviderError: No worker can run, or a provider does not get ready.
        """
        with self.start() as engine:
            engine.wait_ready()
            unpaced = [self.unpaced.get(talk, engine.unpaced) for talk in talks]
            with Cost(engine.pids()) as cost:
                heard = engine.play(talks, tell)
            own = engine.figures
        audio_s = sum(len(talk.samples) for talk in talks) / SAMPLE_RATE_HZ
        figures = {
            "cpu_per_audio_s": cost.cpu_s / audio_s,
            "parent_cpu_per_audio_s": cost.parent_s / audio_s,
            "peak_rss_mb": cost.peak_rss_mb,
            "busy_share": cost.busy_share,
        }
        return Played(heard, unpaced, {**figures, **own})


def pooled(setup: Setup) -> LocalBackend:
    """Workers of ours."""
    return LocalBackend(setup.name, setup.description, setup.stream.endpointing, partial(Workers, setup))
