"""One session's utterances, handed from provider to provider where one fails in the middle of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from asrctl.errors import ProviderError, StreamRefused
from asrctl.providers.recognizer import (
    Completed,
    Failed,
    Heard,
    Lost,
    Recognizer,
    Spoken,
    StreamRequest,
    Switched,
    UtteranceStream,
)
from asrctl.transcript import Samples

if TYPE_CHECKING:
    from asrctl.streaming.fallback import Fallback

_RETRY_S = 0.25
"""How often providers are asked again for an utterance that none could take."""
_PAUSES_S = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""How long a provider is left alone whose streams are lost one after the other, if it is the only one; with
others it rests anyway."""
_PATIENCE_S = 120.0
"""Utterances wait no longer than this for a provider: as long as a model may take to load."""
_LAST_PATIENCE_S = 30.0
"""The same once one has failed with them, and all are given up or rest."""


@dataclass(slots=True, eq=False)
class _Utterance:
    """An utterance that is not complete, with its audio, so that another provider can take it up."""

    number: int
    pieces: list[Samples] = field(default_factory=list)
    ended: bool = False
    failures: Counter[str] = field(default_factory=Counter)
    """How often providers failed with it."""
    error: Exception | None = None
    """How the last of them did."""
    place: _Inner | None = None
    """Who has it; None while it waits for somebody."""
    since_s: float = 0.0
    """Since when it waits."""


@dataclass(slots=True, eq=False)
class _Inner:
    """A provider's stream, and the utterances it was fed, by its own numbers; None for what it completed."""

    provider: str
    stream: UtteranceStream
    utterances: list[_Utterance | None] = field(default_factory=list)

    @property
    def pending(self) -> list[_Utterance]:
        """What it has not completed."""
        return [utterance for utterance in self.utterances if utterance is not None]

    @property
    def is_busy(self) -> bool:
        """Whether it is in the middle of an utterance."""
        return bool(self.utterances) and (last := self.utterances[-1]) is not None and not last.ended

    def find(self, number: int | None) -> _Utterance | None:
        """The utterance that has this number here, if it is not completed."""
        if number is None or not 0 <= number < len(self.utterances):
            return None
        return self.utterances[number]

    def forget(self, utterance: _Utterance) -> int:
        """The utterance is complete, or taken away; returns its number here."""
        number = self.utterances.index(utterance)
        self.utterances[number] = None
        return number


class FailoverStream:
    """An `UtteranceStream` that keeps at most one stream open with each provider of a `Fallback`."""

    def __init__(self, fallback: Fallback, request: StreamRequest, say: Callable[[Spoken], None]) -> None:
        """With no stream open yet; arguments as for `Recognizer.open`."""
        self._fallback = fallback
        self._request = request
        self._say = say
        self._factor: float | None = 1.0 if request.pacing else None
        self._provider = fallback.name
        self._inner: dict[str, _Inner] = {}
        self._open: _Utterance | None = None
        self._next = 0
        self._waiting: deque[_Utterance] = deque()
        self._losses: Counter[str] = Counter()
        self._not_before_s: dict[str, float] = {}
        self._refused: dict[str, ProviderError] = {}
        self._reason = ""
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    # An UtteranceStream

    def feed(self, samples: Samples) -> None:
        """Take audio; see `UtteranceStream`."""
        utterance = self._open
        if utterance is None:
            utterance = self._begin()
        utterance.pieces.append(samples)
        if utterance.place is not None:
            self._do(utterance.place, lambda stream: stream.feed(samples))

    def pause(self, silence_s: float) -> None:
        """Pass the hint on; see `UtteranceStream`."""
        if self._open is not None and self._open.place is not None:
            self._do(self._open.place, lambda stream: stream.pause(silence_s))

    def end(self) -> None:
        """Complete the utterance; see `UtteranceStream`."""
        utterance, self._open = self._open or self._begin(), None
        utterance.ended = True
        if utterance.place is not None:
            self._do(utterance.place, lambda stream: stream.end())
        elif utterance not in self._waiting:  # everybody failed with it while it was spoken
            self._place(utterance)
        self._look_around()  # a stream may be free now

    def drop(self, utterance: int) -> None:
        """Forget an utterance; see `UtteranceStream`."""
        for waiting in list(self._waiting):
            if waiting.number == utterance:
                self._waiting.remove(waiting)
        for inner in self._inner.values():
            for pending in inner.pending:
                if pending.number == utterance:
                    number = inner.forget(pending)
                    self._do(inner, lambda stream, number=number: stream.drop(number))  # type: ignore[misc]
                    return

    def want_partials(self, interval_factor: float | None) -> None:
        """Tell all; see `UtteranceStream`."""
        self._factor = interval_factor if self._request.pacing else None
        for inner in list(self._inner.values()):
            self._do(inner, lambda stream: stream.want_partials(self._factor))

    def close(self) -> None:
        """Close all streams; see `UtteranceStream`."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for inner in self._inner.values():
            inner.stream.close()
        self._inner.clear()

    # Who gets an utterance

    def _begin(self) -> _Utterance:
        self._look_around()
        self._open = utterance = _Utterance(self._next)
        self._next += 1
        self._place(utterance)
        for inner in list(self._inner.values()):
            if not inner.pending and inner.provider != self._provider:
                inner.stream.close()
                del self._inner[inner.provider]
        return utterance

    def _place(self, utterance: _Utterance) -> None:
        """Give an utterance to a provider, from its first sample on; where there is none now, it waits."""
        if not self._candidates(utterance):
            self._give_up(utterance)
            return
        inner = self._stream_for(utterance)
        if inner is None or inner.is_busy:
            self._wait(utterance)
            return
        if utterance in self._waiting:
            self._waiting.remove(utterance)
        utterance.place = inner
        inner.utterances.append(utterance)
        self._announce(utterance, inner.provider)
        for samples in list(utterance.pieces):
            self._do(inner, lambda stream, samples=samples: stream.feed(samples))  # type: ignore[misc]
        if utterance.ended:
            self._do(inner, lambda stream: stream.end())

    def _candidates(self, utterance: _Utterance) -> list[Recognizer]:
        left = self._fallback.candidates(utterance.failures)
        return [member for member in left if member.name not in self._refused]

    def _stream_for(self, utterance: _Utterance) -> _Inner | None:
        """The stream of the best provider that is well and has one open, or can have one now."""
        reasons = {name: why for name in utterance.failures if (why := self._fallback.why_not(name))}
        now_s = self._fallback.clock()
        for member in self._candidates(utterance):
            name = member.name
            if name in self._inner:
                return self._inner[name]
            if now_s < self._not_before_s.get(name, 0.0):
                reasons.setdefault(name, self._fallback.said(name))
            elif (inner := self._open_stream(member)) is not None:
                return inner
            else:
                reasons[name] = self._fallback.said(name)
        self._reason = "; ".join(f"{name}: {why}" for name, why in reasons.items())
        return None

    def _open_stream(self, member: Recognizer) -> _Inner | None:
        """Open a stream with a provider, if it can have one."""
        inner = _Inner(member.name, None)  # type: ignore[arg-type]
        try:
            inner.stream = member.open(self._request, partial(self._hear, inner))
        except ProviderError as error:
            self._fallback.note(member.name, error)
            return None
        except Exception as error:
            self._fallback.failed(member.name, _known(error))
            return None
        self._inner[member.name] = inner
        self._do(inner, lambda stream: stream.want_partials(self._factor))
        return self._inner.get(member.name)

    def _announce(self, utterance: _Utterance, provider: str) -> None:
        if provider == self._provider:
            return
        self._provider = provider
        first = self._fallback.name
        better = "" if provider == first else self._fallback.why_not(first) or self._fallback.said(first)
        reason = str(utterance.error or "") or (f"{first}: {better}" if better else "provider recovered")
        self._answer(Switched(provider, reason))

    # Utterances that nobody can take at the moment

    def _wait(self, utterance: _Utterance) -> None:
        if utterance not in self._waiting:
            utterance.since_s = self._fallback.clock()
            self._waiting.append(utterance)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_RETRY_S, self._try_again)

    def _try_again(self) -> None:
        self._timer = None
        self._look_around()
        now_s = self._fallback.clock()
        for utterance in list(self._waiting):
            patience_s = _LAST_PATIENCE_S if utterance.error else _PATIENCE_S
            if now_s - utterance.since_s >= patience_s:
                self._give_up(utterance)

    def _look_around(self) -> None:
        """See whether there are providers now for the utterances that wait for one."""
        for utterance in list(self._waiting):
            self._place(utterance)

    def _give_up(self, utterance: _Utterance) -> None:
        """It fails once it has ended; one that waits until then may still find somebody."""
        if not utterance.ended:
            return
        if utterance in self._waiting:
            self._waiting.remove(utterance)
        refused = next(iter(self._refused.values()), None)
        error = utterance.error or refused or ProviderError(self._reason or "the providers are closed")
        self._answer(Failed(utterance.number, error))

    # What providers say

    def _do(self, inner: _Inner, action: Callable[[UtteranceStream], None]) -> None:
        """Call a provider's stream; one that raises is lost."""
        if self._inner.get(inner.provider) is not inner:
            return  # it was lost by what came just before
        try:
            action(inner.stream)
        except Exception as error:
            self._lose(inner, Lost(_known(error)))

    def _hear(self, inner: _Inner, spoken: Spoken) -> None:
        """Take what a provider said; late words of a stream that is gone are ignored."""
        if self._inner.get(inner.provider) is not inner or isinstance(spoken, Switched):
            return
        if isinstance(spoken, Lost):
            self._lose(inner, spoken)
            return
        number = spoken.utterance
        utterance = inner.find(number)
        if utterance is None:
            return
        if isinstance(spoken, Heard):
            self._answer(replace(spoken, utterance=utterance.number))
        elif not utterance.ended:
            broken = ProviderError("it completed an utterance that had not ended")
            self._lose(inner, Lost(broken, number))
        elif isinstance(spoken, Completed):
            inner.forget(utterance)
            self._losses[inner.provider] = 0
            hypothesis = replace(spoken.hypothesis, provider=inner.provider)
            self._answer(Completed(utterance.number, hypothesis))
        else:
            inner.forget(utterance)
            self._fallback.failed(inner.provider, spoken.error)
            self._hand_on(utterance, inner.provider, spoken.error)

    def _lose(self, inner: _Inner, lost: Lost) -> None:
        """A stream broke: others take up what it had not completed. Only the utterance that it was at is
        charged with the failure; those behind it had nothing to do with it."""
        name = inner.provider
        del self._inner[name]
        with contextlib.suppress(Exception):  # it is broken already
            inner.stream.close()
        self._fallback.failed(name, lost.error)
        if isinstance(lost.error, StreamRefused):
            self._refused[name] = lost.error
        self._not_before_s[name] = self._fallback.clock() + _PAUSES_S[self._losses[name]]
        self._losses[name] = min(self._losses[name] + 1, len(_PAUSES_S) - 1)
        pending = inner.pending
        blamed = inner.find(lost.utterance) or next(iter(pending), None)
        for utterance in pending:
            if utterance is blamed:
                self._hand_on(utterance, name, lost.error)
            else:
                utterance.place = None
                self._place(utterance)

    def _hand_on(self, utterance: _Utterance, provider: str, error: Exception) -> None:
        utterance.place, utterance.error = None, error
        utterance.failures[provider] += 1
        self._place(utterance)

    def _answer(self, spoken: Spoken) -> None:
        """Say something in a later turn of the loop, since this may be within a call of the session's."""
        asyncio.get_running_loop().call_soon(self._pass_on, spoken)

    def _pass_on(self, spoken: Spoken) -> None:
        if not self._closed:
            self._say(spoken)


def _known(error: Exception) -> ProviderError:
    """An error as what a provider may fail with."""
    return error if isinstance(error, ProviderError) else ProviderError(f"{type(error).__name__}: {error}")
