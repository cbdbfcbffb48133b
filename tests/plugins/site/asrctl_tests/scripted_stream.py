"""A streaming recogniser without a model, for tests: it hears words that `scripted.speak` wrote into audio.

It says each word when it has ended, and breaks when it is told to: as its script says, or at once by
`break_all`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from asrctl.errors import DecodeError, ModelError, ProviderError
from asrctl.languages import is_open
from asrctl.providers.outbox import Outbox, OutboxStream
from asrctl.providers.plugin import Plugin, Setup, path_as_given
from asrctl.providers.recognizer import (
    Completed,
    Failed,
    Heard,
    Lost,
    Spoken,
    StreamRequest,
    WindowDecoder,
)
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis, Segment, Word
from asrctl_tests.scripted import listen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class StreamScript:
    """What goes wrong, and how slow it is.

    Attributes:
        breaks_s: The first streams break after so much audio, one after the other; 0 for one that does not.
        refusals: So many streams are refused first.
        lag_s: How long everything takes.
        refuse_on: Words that make their utterance fail.
    """

    breaks_s: tuple[float, ...] = ()
    refusals: int = 0
    lag_s: float = 0.0
    refuse_on: tuple[str, ...] = ()


class ScriptedStream:
    """A `Recognizer`; see the module's docstring."""

    name = "scripted_stream"
    model = "script"
    description = "scripted"
    windows: WindowDecoder | None = None

    def __init__(self, script: StreamScript | None = None) -> None:
        self._script = script or StreamScript()
        self._streams: set[ScriptedUtterances] = set()
        self.refusal = ""
        """Why no stream can be opened; empty if one can."""
        self.opened = 0
        """Streams that were opened so far."""
        self._refusals = self._script.refusals
        self._closed = False

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a script: a JSON file with the attributes of `StreamScript`.

        Raises:
            ModelError: It is not one.
        """
        try:
            script = json.loads(path.read_text())
            lists = {name: tuple(script.get(name, ())) for name in ("breaks_s", "refuse_on")}
            return cls(StreamScript(**script | lists))
        except (ValueError, TypeError, AttributeError):
            raise ModelError(f"{path}: not a script") from None

    def open(self, request: StreamRequest, say: Callable[[Spoken], None]) -> ScriptedUtterances:
        """Open a stream; see `Recognizer.open`."""
        if self._closed:
            raise ProviderError("the script is closed")
        if self.refusal or self._refusals:
            self._refusals = max(0, self._refusals - 1)
            raise ProviderError(self.refusal or "refused by the script")
        breaks_s = self._script.breaks_s[self.opened] if self.opened < len(self._script.breaks_s) else 0
        self.opened += 1
        stream = ScriptedUtterances(request, say, self._script, breaks_s, self._streams.discard)
        self._streams.add(stream)
        return stream

    def break_all(self, reason: str) -> None:
        """Every stream breaks now, in the middle of whatever it does."""
        for stream in list(self._streams):
            stream.break_off(reason)

    @property
    def streams(self) -> int:
        """Streams that are open."""
        return len(self._streams)

    async def wait_ready(self) -> None:
        """Raise the reason if no stream can be opened."""
        if self.refusal:
            raise ProviderError(self.refusal)

    def pids(self) -> list[int]:
        """It has no processes."""
        return []

    async def close(self) -> None:
        """Close all streams."""
        self._closed = True
        for stream in list(self._streams):
            stream.close()


class ScriptedUtterances(OutboxStream):
    """One stream, which listens in a task of its own."""

    def __init__(
        self,
        request: StreamRequest,
        say: Callable[[Spoken], None],
        script: StreamScript,
        breaks_s: float,
        ended: Callable[[ScriptedUtterances], None],
    ) -> None:
        self._language = request.decode.language
        self._outbox = Outbox(request, say)
        self._script = script
        self._breaks_samples = round(breaks_s * SAMPLE_RATE_HZ)
        self._ended = ended
        self._utterance = 0
        self._heard_samples = 0
        self._inbox: deque[NDArray[np.float32] | None] = deque()
        self._wake = asyncio.Event()
        self._begin()
        self._task = asyncio.create_task(self._run(), name="scripted-stream")

    def _begin(self) -> None:
        import numpy as np

        self._tail: NDArray[np.float32] = np.zeros(0, np.float32)
        self._tail_sample = 0
        self._samples = 0
        self._words: list[Word] = []
        self._started_s = time.perf_counter()

    def feed(self, samples: NDArray[np.float32]) -> None:
        self._inbox.append(samples)
        self._wake.set()

    def end(self) -> None:
        self._inbox.append(None)
        self._wake.set()

    def close(self) -> None:
        self._outbox.close()
        self._stop()

    def break_off(self, reason: str) -> None:
        """Be lost."""
        busy = self._samples or self._inbox
        self._outbox.say(Lost(ProviderError(reason), self._utterance if busy else None))
        self._stop()

    def _stop(self) -> None:
        self._task.cancel()
        self._ended(self)

    async def _run(self) -> None:
        while True:
            while not self._inbox:
                self._wake.clear()
                await self._wake.wait()
            samples = self._inbox.popleft()
            await asyncio.sleep(self._script.lag_s)
            self._heard_samples += 0 if samples is None else len(samples)
            if 0 < self._breaks_samples <= self._heard_samples:
                self.break_off("broken by the script")
            elif samples is not None:
                self._take(samples)
            else:
                self._complete()

    def _take(self, samples: NDArray[np.float32]) -> None:
        import numpy as np

        self._samples += len(samples)
        self._tail = np.concatenate((self._tail, samples))
        if self._hear(len(self._tail) - 1):
            texts = tuple(word.text for word in self._words)
            self._outbox.say(Heard(self._utterance, texts, (), self._samples))

    def _complete(self) -> None:
        self._hear(len(self._tail))
        if {word.text for word in self._words} & set(self._script.refuse_on):
            self._outbox.say(Failed(self._utterance, DecodeError("refused by the script")))
        else:
            self._outbox.say(Completed(self._utterance, self._hypothesis()))
        self._utterance += 1
        self._begin()

    def _hypothesis(self) -> Hypothesis:
        segments: tuple[Segment, ...] = ()
        if self._words:
            text = " ".join(word.text for word in self._words)
            start_s, end_s = self._words[0].start_s, self._words[-1].end_s
            segments = (Segment(start_s, end_s, text, 1.0, tuple(self._words)),)
        language = "en" if is_open(self._language) else self._language
        return Hypothesis(segments, language, time.perf_counter() - self._started_s)

    def _hear(self, until_sample: int) -> bool:
        """Take the words that ended by then; whether there were any."""
        new = list(_ended_words(self._tail, until_sample))
        self._words += [word.shifted(self._tail_sample / SAMPLE_RATE_HZ) for word in new]
        if new:
            cut = round(new[-1].end_s * SAMPLE_RATE_HZ)
            self._tail, self._tail_sample = self._tail[cut:], self._tail_sample + cut
        return bool(new)


def _ended_words(samples: NDArray[np.float32], until_sample: int) -> Iterator[Word]:
    for word in listen(samples):
        if round(word.end_s * SAMPLE_RATE_HZ) <= until_sample:
            yield word


def _start(setup: Setup) -> ScriptedStream:
    return ScriptedStream.load(path_as_given(setup))


PLUGIN = Plugin("scripted_stream", "words that were written into the audio, for tests", start=_start)
