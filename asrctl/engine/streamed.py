"""Utterances on streaming sessions: what each was fed, and whose text comes back."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from asrctl.engine.utterance import Complete, Feed, HangUp, Output, Place, Utterance
from asrctl.providers.base import DecodeOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Placer(Protocol):
    """Knows the providers: who is there, who is well, and who is open."""

    @property
    def first(self) -> str:
        """The provider that is best, were it there."""
        ...

    def place(self, failures: Mapping[str, int], options: DecodeOptions) -> Place | None:
        """Who takes an utterance with which providers have failed so often; None for nobody at the moment."""
        ...

    def is_hopeless(self, failures: Mapping[str, int]) -> bool:
        """Whether nobody is left to be tried, now or later."""
        ...

    def failed(self, place: Place, error: Exception) -> None:
        """A provider failed; a streaming session that did is closed."""
        ...


class Alone:
    """The only provider there is, for windows."""

    first = ""

    def place(self, failures: Mapping[str, int], options: DecodeOptions) -> Place | None:
        """It takes everything."""
        return Place()

    def is_hopeless(self, failures: Mapping[str, int]) -> bool:
        """It has its own ways to try again."""
        return bool(failures)

    def failed(self, place: Place, error: Exception) -> None:
        """Nothing follows."""


class Voices:
    """The streaming sessions of one stream, and the utterances that each still has to complete, in order."""

    def __init__(self) -> None:
        self._voices: dict[int, deque[Utterance]] = {}
        self._places: dict[int, Place] = {}

    def take(self, utterance: Utterance, place: Place, samples: NDArray[np.float32]) -> list[Output]:
        """A session gets an utterance, and what there is of it; it must not be busy."""
        assert place.voice is not None
        self._voices.setdefault(place.voice, deque()).append(utterance)
        self._places.setdefault(place.voice, place)
        utterance.fed_sample = utterance.start_sample
        outputs = self.feed(utterance, samples)
        return [*outputs, Complete(place.voice)] if utterance.span else outputs

    def feed(self, utterance: Utterance, samples: NDArray[np.float32]) -> list[Output]:
        """It gets what follows."""
        assert utterance.voice is not None
        utterance.fed_sample += len(samples)
        return [Feed(utterance.voice, samples)] if len(samples) else []

    def is_busy(self, voice: int) -> bool:
        """Whether it is in the middle of an utterance."""
        utterances = self._voices.get(voice)
        return utterances is not None and len(utterances) > 0 and utterances[-1].span is None

    def __contains__(self, voice: int) -> bool:
        return voice in self._voices

    def head(self, voice: int) -> Utterance | None:
        """The utterance of which text comes."""
        utterances = self._voices.get(voice)
        return utterances[0] if utterances else None

    def complete(self, voice: int) -> Utterance | None:
        """The utterance that a session has completed, which it is rid of; None if it had none to complete."""
        head = self.head(voice)
        if head is None or head.span is None:
            return None
        return self._voices[voice].popleft()

    def lose(self, voice: int) -> tuple[Place, list[Utterance]]:
        """A session is gone: who it was, and what it had to complete."""
        return self._places.pop(voice), list(self._voices.pop(voice))

    def rest(self, provider: str) -> list[Output]:
        """Hang up on those with nothing to do, since somebody else takes the utterances now."""
        idle = [
            voice
            for voice, utterances in self._voices.items()
            if not utterances and self._places[voice].provider != provider
        ]
        for voice in idle:
            self.lose(voice)
        return [HangUp(voice) for voice in idle]
