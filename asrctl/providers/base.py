"""Models as worker processes load them: those that map windows of audio to hypotheses, and those that listen.

The former are stateless between calls, so a window can go to any worker and be tried again. What the rest of
asrctl sees of a provider is in `recognizer`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

from asrctl.languages import is_open
from asrctl.policy.window import Effort
from asrctl.transcript import Hypothesis, Samples


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Which weights a provider loads, and how.

    Attributes:
        provider: Name in the registry, such as "whisper_cpp".
        path: The weights: a ggml file or a CTranslate2 directory.
        threads: Threads a worker may use, at least 1.
        use_gpu: Try the GPU first where the backend has one.
        options: What the provider's settings say of the model, by name.
        parallel: Windows that a worker decodes at a time, sharing its threads.
        together: Windows that each of these decodes may take along, if as many wait.
    """

    provider: str
    path: Path
    threads: int = 1
    use_gpu: bool = True
    options: tuple[tuple[str, int | str], ...] = ()
    parallel: int = 1
    together: int = 1

    @property
    def room(self) -> int:
        """Most windows that a worker has at a time."""
        return self.parallel * self.together


@dataclass(frozen=True, slots=True)
class DecodeOptions:
    """How one window is decoded.

    Attributes:
        language: A code such as "en"; "auto", or codes joined by commas, to detect it from the window.
        tell_language: Say what was heard of the language even where it is given; where it is detected,
            that is said anyway, by models that know several and can tell.
        translate: Translate into English instead of transcribing.
        prompt: Text that sets names and style; empty for none.
        vocabulary: Terms that are likely to be said, the most important first; see `policy.vocabulary`.
        beam_size: 1 is greedy.
        word_timestamps: Fill in the words of each segment.
        effort: How much work the window is worth, where the backend has a choice.
        utterances: Where utterances of the window start and end, in samples, to say of each in which language
            it is; without them the window is one.
    """

    language: str = "en"
    translate: bool = False
    prompt: str = ""
    vocabulary: tuple[str, ...] = ()
    beam_size: int = 1
    word_timestamps: bool = False
    effort: Effort = Effort.NORMAL
    tell_language: bool = False
    utterances: tuple[tuple[int, int], ...] = ()

    @property
    def wants_evidence(self) -> bool:
        """Whether to look which language it is."""
        return self.tell_language or is_open(self.language)


class Aborted(Exception):
    """A decode stopped because its `should_abort` said so; control flow, not a failure."""


class WindowedModel(Protocol):
    """A loaded model: one thread at a time, stateless between windows."""

    def transcribe(
        self, samples: Samples, options: DecodeOptions, should_abort: Callable[[], bool]
    ) -> Hypothesis:
        """Decode one window.

        Args:
            samples: Shape (n,), mono float32 at 16 kHz in [-1, 1]; at most 30 s.
            options: How to decode it.
            should_abort: Asked often, from the calling thread's native code; True stops the decode.

        Raises:
            Aborted: `should_abort` returned True.
            DecodeError: The backend reported a failure; the model is still usable.
        """
        ...

    def description(self) -> str:
        """Where it runs, in a few words, such as "CPU, 1 thread"."""
        ...

    def close(self) -> None:
        """Free the weights; the model cannot be used afterwards."""
        ...


@runtime_checkable
class SharedModel(WindowedModel, Protocol):
    """A loaded model whose weights serve several threads at a time."""

    def twin(self) -> Self:
        """Another one with the same weights, for another thread."""
        ...


class ListeningModel(Protocol):
    """A loaded model that listens to one utterance at a time; one thread at a time, but for `cancel`."""

    def begin(self, options: DecodeOptions) -> None:
        """Begin an utterance.

        Raises:
            DecodeError: It cannot be recognised so.
        """
        ...

    def feed(self, samples: Samples) -> tuple[str, str]:
        """Take the next samples of the utterance, shape (n,), mono float32 at 16 kHz.

        Returns:
            The text so far: what will not change any more, and what follows it and may.

        Raises:
            DecodeError: The utterance is given up; the next can begin.
        """
        ...

    def finish(self) -> Hypothesis:
        """The utterance is complete: all that it said, times in seconds since its first sample.

        Raises:
            DecodeError: It is given up; the next can begin.
        """
        ...

    def give_up(self) -> None:
        """Nobody wants the utterance any more, if one is open; the next can begin."""
        ...

    def cancel(self) -> None:
        """What runs in another thread at the moment ends soon, with a DecodeError; from any thread."""
        ...

    def description(self) -> str:
        """Where it runs, in a few words."""
        ...

    def close(self) -> None:
        """Free the weights; the model cannot be used afterwards."""
        ...
