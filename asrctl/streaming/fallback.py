"""Recognisers that stand in for each other, in order of preference: fail-over for streams and for windows.

An utterance is with one provider at a time. If that fails, the next takes it up from its first sample, which
is kept until it is complete. A provider that broke down is left alone for a while, and gets the utterances
again when that is over.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from asrctl.errors import (
    AsrctlError,
    DecodeError,
    ProviderError,
    QueueFull,
    Superseded,
    WorkerCrashed,
    WorkerTimeout,
)
from asrctl.policy.chain import Chain, ChainOptions
from asrctl.policy.priority import Ticket
from asrctl.providers.base import DecodeOptions
from asrctl.providers.recognizer import Recognizer, Spoken, StreamRequest, UtteranceStream
from asrctl.transcript import Hypothesis, Samples

_STREAMED_ATTEMPTS = 3
"""A stream that broke says little about the audio: another one of the same provider may do."""
_WINDOWED_ATTEMPTS = 1
"""A pool of workers has tried again by itself."""
_ABOUT_ONE_WINDOW = (DecodeError, WorkerCrashed, WorkerTimeout)
"""Errors after which a provider goes on with other windows."""


class Fallback:
    """A `Recognizer` over several; shared by all sessions."""

    def __init__(
        self,
        members: Sequence[Recognizer],
        options: ChainOptions | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with all of them healthy.

        Args:
            members: At least one, the best first; they are closed with this.
            options: How long those that broke down are left alone.
            clock: Monotonic seconds.
        """
        self.members = {member.name: member for member in members}
        self.clock = clock
        self._first = members[0]
        attempts = {
            member.name: _WINDOWED_ATTEMPTS if member.windows else _STREAMED_ATTEMPTS for member in members
        }
        self._chain = Chain(attempts, options or ChainOptions(), clock)
        self.failures: dict[str, str] = {}
        """By provider, what it failed with last; those that never did are not there."""
        self._closed = False
        windowed = any(member.windows for member in members)
        self.windows = FallbackDecoder(self) if windowed else None
        """What decodes windows with whoever can."""

    @property
    def name(self) -> str:
        """The best provider's."""
        return self._first.name

    @property
    def model(self) -> str:
        """The best provider's."""
        return self._first.model

    @property
    def description(self) -> str:
        """Where the best provider runs."""
        return self._first.description

    @property
    def load_s(self) -> float:
        """How long loading took, of those that load weights in workers here."""
        return sum(getattr(member, "load_s", 0.0) for member in self.members.values())

    @property
    def inference_s(self) -> float:
        """Time that their workers took for what was decoded."""
        return sum(getattr(member, "inference_s", 0.0) for member in self.members.values())

    def open(self, request: StreamRequest, say: Callable[[Spoken], None]) -> UtteranceStream:
        """Open a stream; it waits for a provider where there is none at the moment."""
        from asrctl.streaming.failover import FailoverStream

        return FailoverStream(self, request, say)

    async def wait_ready(self) -> None:
        """Wait until the best provider is ready; where it will not be, until another one is.

        Raises:
            ModelError: None of them will be; the reason of the first.
            ProviderError: Likewise.
        """
        errors: list[AsrctlError] = []
        for member in self.members.values():
            try:
                return await member.wait_ready()
            except AsrctlError as error:
                errors.append(error)
                self.failed(member.name, error)
        raise errors[0]

    def pids(self) -> list[int]:
        """Process ids of all providers' child processes."""
        return [pid for member in self.members.values() for pid in member.pids()]

    async def close(self) -> None:
        """Close all providers; none takes over what another one leaves."""
        self._closed = True
        closing = (member.close() for member in self.members.values())
        results = await asyncio.gather(*closing, return_exceptions=True)
        for result in results:
            if result is not None:
                raise result

    # How well they are

    def candidates(self, failures: Mapping[str, int]) -> list[Recognizer]:
        """Whom to ask for an utterance, best first; see `Chain.candidates`. Nobody, once all are closed."""
        if self._closed:
            return []
        return [self.members[name] for name in self._chain.candidates(failures)]

    def why_not(self, name: str) -> str:
        """Why a provider is left alone for now; empty if it is not."""
        return self._chain.reason(name)

    def said(self, name: str) -> str:
        """What a provider failed with last; empty if it never did."""
        return self.failures.get(name, "")

    def note(self, name: str, error: Exception) -> None:
        """A provider has nothing to offer at the moment; that is no breakdown."""
        self.failures[name] = str(error)

    def failed(self, name: str, error: Exception) -> None:
        """A provider failed: it gets a rest, unless that was about the one window it had."""
        self.failures[name] = str(error)
        about_it = isinstance(error, AsrctlError) and not isinstance(error, (*_ABOUT_ONE_WINDOW, QueueFull))
        if about_it:
            self._chain.lost(name, str(error))


class FallbackDecoder:
    """A `WindowDecoder` over those of a `Fallback` that take windows.

    A window fails only when everybody failed with it; if somebody did for reasons of that window, its error
    is of that kind, since the others of the input may fare better.
    """

    def __init__(self, fallback: Fallback) -> None:
        self._fallback = fallback

    @property
    def width(self) -> int:
        """How many windows the best of them decodes at a time."""
        decoders = (member.windows for member in self._fallback.members.values())
        return next(decoder.width for decoder in decoders if decoder is not None)

    async def decode(self, samples: Samples, options: DecodeOptions, ticket: Ticket) -> Hypothesis:
        """Decode one window with the first that can; see `WindowDecoder.decode`."""
        errors: dict[str, AsrctlError] = {}
        while (member := self._next(errors)) is not None:
            assert member.windows is not None
            try:
                hypothesis = await member.windows.decode(samples, options, ticket)
            except Superseded:
                raise
            except AsrctlError as error:
                self._fallback.failed(member.name, error)
                errors[member.name] = error
            else:
                return replace(hypothesis, provider=member.name)
        raise _sum_of(errors)

    def _next(self, errors: Mapping[str, AsrctlError]) -> Recognizer | None:
        """The best provider that takes windows and has not failed with this one."""
        candidates = self._fallback.candidates(dict.fromkeys(errors, _STREAMED_ATTEMPTS))
        return next((member for member in candidates if member.windows is not None), None)


def _sum_of(errors: Mapping[str, AsrctlError]) -> AsrctlError:
    """One error for those of all providers, of a kind that lets the rest of the input go on, if any is."""
    found = list(errors.values())
    if not found:
        return ProviderError("the recogniser is closed")
    if len(found) == 1:
        return found[0]
    kind = next((error for error in found if isinstance(error, _ABOUT_ONE_WINDOW)), found[0])
    return type(kind)("; ".join(f"{name}: {error}" for name, error in errors.items()))
