"""Where live sessions are played: on workers of our own here, on a server in `remote`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Protocol

from asrctl.bench.cost import Cost
from asrctl.bench.paced import Heard, Talk, play
from asrctl.bench.results import Round
from asrctl.bench.setup import Setup
from asrctl.engine.files import FileTranscription
from asrctl.engine.pool import WorkerPool
from asrctl.policy.endpointing import EndpointerOptions
from asrctl.transcript import SAMPLE_RATE_HZ, Word, join_text

TellShare = Callable[[float], None]
"""Told which share is played."""


@dataclass(frozen=True, slots=True)
class Unpaced:
    """What is heard of a talk that is given as a file, as fast as it goes."""

    text: str
    words: Sequence[Word]


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


class Stage(Protocol):
    """Plays talks."""

    @property
    def name(self) -> str:
        """Tells it from others."""
        ...

    @property
    def description(self) -> dict[str, Any]:
        """For the record."""
        ...

    @property
    def endpointing(self) -> EndpointerOptions:
        """How it finds ends of speech."""
        ...

    def play(self, talks: Sequence[Talk], tell: TellShare) -> Played:
        """Play all talks at once, at the pace of speech."""
        ...


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


class Here:
    """On processes of its own, which start for each run."""

    def __init__(self, setup: Setup) -> None:
        """Prepare; nothing is started."""
        self.setup = setup
        self._unpaced = Remembered()

    @property
    def name(self) -> str:
        """The setup's."""
        return self.setup.name

    @property
    def description(self) -> dict[str, Any]:
        """The setup's."""
        return self.setup.description

    @property
    def endpointing(self) -> EndpointerOptions:
        """The setup's."""
        return self.setup.stream.endpointing

    def play(self, talks: Sequence[Talk], tell: TellShare) -> Played:
        """Start, play, end.

        Raises:
            ModelError: The weights do not load.
            ProviderError: No worker can run.
        """
        setup = self.setup
        with WorkerPool(setup.spec, setup.pool) as pool:
            pool.wait_ready()
            unpaced = [self._unpaced.get(talk, lambda talk: self._decode(pool, talk)) for talk in talks]
            with Cost(pool.pids()) as cost:
                heard = play(pool, talks, setup.stream, setup.detector, tell)
            restarts = pool.restarts
        audio_s = sum(len(talk.samples) for talk in talks) / SAMPLE_RATE_HZ
        figures = {
            "cpu_per_audio_s": cost.cpu_s / audio_s,
            "parent_cpu_per_audio_s": cost.parent_s / audio_s,
            "peak_rss_mb": cost.peak_rss_mb,
            "restarts": float(restarts),
            "busy_share": cost.busy_share,
        }
        return Played(heard, unpaced, figures)

    def _decode(self, pool: WorkerPool, talk: Talk) -> Unpaced:
        files = self.setup.files
        options = replace(files, decode=replace(files.decode, word_timestamps=True))
        segments = list(FileTranscription([talk.samples], pool, self.setup.detector(), options))
        words = [word for segment in segments for word in segment.words]
        return Unpaced(join_text(segment.text for segment in segments), words)
