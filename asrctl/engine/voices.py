"""The streaming sessions that one live session has open, and who takes its next utterance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from asrctl.engine.lineup import Lineup
from asrctl.engine.utterance import Place
from asrctl.errors import ProviderError
from asrctl.providers.base import DecodeOptions, Lost, Spoken, StreamingModel, StreamingSession

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class _Voice(NamedTuple):
    provider: str
    session: StreamingSession


class OpenVoices:
    """A `Placer` that opens at most one session of each provider. Belongs to the live session's thread."""

    def __init__(self, lineup: Lineup, heard: Callable[[int, Spoken], None]) -> None:
        """With none open.

        Args:
            lineup: Whom there is.
            heard: Takes what a session says, from any thread.
        """
        self._lineup = lineup
        self._heard = heard
        self._voices: dict[int, _Voice] = {}
        self._next = 0
        self.reason = ""
        """Why there was nobody, the last time that an utterance found nobody."""

    # A placer

    @property
    def first(self) -> str:
        """The best provider."""
        return self._lineup.first

    def place(self, failures: Mapping[str, int], options: DecodeOptions) -> Place | None:
        """The best provider that is well and has a session open, or can have one now."""
        reasons = {name: why for name in failures if (why := self._lineup.why_not(name))}
        for name in self._lineup.candidates(failures):
            model = self._lineup.streaming(name)
            if model is None:
                return Place(name, None, self._why_not_better(name, reasons))
            try:
                voice = self._voice_of(name, model, options)
            except ProviderError as error:
                reasons[name] = str(error)
            else:
                return Place(name, voice, self._why_not_better(name, reasons))
        self.reason = "; ".join(f"{name}: {why}" for name, why in reasons.items())
        return None

    def is_hopeless(self, failures: Mapping[str, int]) -> bool:
        """Whether each provider had its attempts."""
        return not self._lineup.candidates(failures)

    def failed(self, place: Place, error: Exception) -> None:
        """Close the session, if it was one, and leave the provider alone for a while."""
        self._lineup.failed(place.provider, error)
        if place.voice is not None:
            self.hang_up(place.voice)

    def _why_not_better(self, name: str, reasons: Mapping[str, str]) -> str:
        """What is wrong with the best provider, if it was passed over."""
        first = self._lineup.first
        if name == first:
            return ""
        why = reasons.get(first) or self._lineup.why_not(first)
        return f"{first}: {why}" if why else ""

    def _voice_of(self, name: str, model: StreamingModel, options: DecodeOptions) -> int:
        for voice, (provider, _) in self._voices.items():
            if provider == name:
                return voice
        self._next += 1
        voice = self._next
        session = model.open(options, lambda spoken: self._heard(voice, spoken))
        self._voices[voice] = _Voice(name, session)
        return voice

    # What the stream asks for

    def feed(self, voice: int, samples: NDArray[np.float32]) -> None:
        """Feed a session; one that cannot take it is lost."""
        self._do(voice, lambda session: session.feed(samples))

    def complete(self, voice: int) -> None:
        """Tell a session that the utterance has ended."""
        self._do(voice, lambda session: session.complete())

    def _do(self, voice: int, action: Callable[[StreamingSession], None]) -> None:
        if voice not in self._voices:
            return  # it was lost by what came just before
        try:
            action(self._voices[voice].session)
        except Exception as error:
            lost = (
                error
                if isinstance(error, ProviderError)
                else ProviderError(f"{type(error).__name__}: {error}")
            )
            self._heard(voice, Lost(lost))

    def hang_up(self, voice: int) -> None:
        """Close a session."""
        if voice in self._voices:
            self._voices.pop(voice).session.close()

    def close(self) -> None:
        """Close all."""
        for voice in list(self._voices):
            self.hang_up(voice)
