"""A streaming recogniser without a model, for tests: it hears words that `scripted.speak` wrote into audio.

It says each word when it has ended, in pieces that end anywhere, and breaks when it is told to: as its script
says, or at once by `break_all`.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from asrctl.errors import ModelError, ProviderError
from asrctl.providers.base import Completed, DecodeOptions, Heard, Lost, ModelSpec, Spoken
from asrctl.providers.scripted import listen
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis, Segment, Word

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_PIECE_LETTERS = 2


@dataclass(frozen=True, slots=True)
class StreamScript:
    """What goes wrong, and how slow it is.

    Attributes:
        breaks_s: The first sessions break after so much audio, one after the other; 0 for one that does not.
        refusals: So many sessions are refused first.
        lag_s: How long everything takes.
    """

    breaks_s: tuple[float, ...] = ()
    refusals: int = 0
    lag_s: float = 0.0


class ScriptedStream:
    """A `StreamingModel`; see the module's docstring. Thread-safe; a context manager."""

    def __init__(self, script: StreamScript | None = None) -> None:
        self._script = script or StreamScript()
        self._lock = threading.Lock()
        self._sessions: set[ScriptedSession] = set()
        self.refusal = ""
        """Why no session can be opened; empty if one can."""
        self.opened = 0
        """Sessions that were opened so far."""
        self._refusals = self._script.refusals

    @classmethod
    def load(cls, spec: ModelSpec) -> Self:
        """Read a script: a JSON file with the attributes of `StreamScript`.

        Raises:
            ModelError: It is not one.
        """
        try:
            script = json.loads(Path(spec.path).read_text())
            return cls(StreamScript(**script | {"breaks_s": tuple(script.get("breaks_s", ()))}))
        except (ValueError, TypeError):
            raise ModelError(f"{spec.path}: not a script") from None

    @property
    def ready(self) -> bool:
        """Whether a session could be opened now."""
        return not self.refusal and not self._refusals

    def open(self, options: DecodeOptions, say: Callable[[Spoken], None]) -> ScriptedSession:
        """Start a stream; see `StreamingModel.open`."""
        with self._lock:
            if self.refusal or self._refusals:
                self._refusals = max(0, self._refusals - 1)
                raise ProviderError(self.refusal or "refused by the script")
            breaks_s = self._script.breaks_s[self.opened] if self.opened < len(self._script.breaks_s) else 0
            self.opened += 1
            session = ScriptedSession(options, say, breaks_s, self._script.lag_s, self._sessions.discard)
            self._sessions.add(session)
        return session

    def break_all(self, reason: str) -> None:
        """Every stream breaks now, in the middle of whatever it does."""
        for session in list(self._sessions):
            session.break_off(reason)

    @property
    def streams(self) -> int:
        """Streams that are open."""
        return len(self._sessions)

    def description(self) -> str:
        """Where it runs."""
        return "scripted"

    def close(self) -> None:
        """Close all streams."""
        for session in list(self._sessions):
            session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ScriptedSession:
    """One stream, which listens in a thread of its own."""

    def __init__(
        self,
        options: DecodeOptions,
        say: Callable[[Spoken], None],
        breaks_s: float,
        lag_s: float,
        ended: Callable[[ScriptedSession], None],
    ) -> None:
        self._language = options.language
        self._say_now = say
        self._breaks_samples = round(breaks_s * SAMPLE_RATE_HZ)
        self._lag_s = lag_s
        self._ended = ended
        self._lock = threading.Lock()
        self._over = False
        self._heard = 0
        self._inbox: queue.SimpleQueue[NDArray[np.float32] | None] = queue.SimpleQueue()
        self._begin()
        self._thread = threading.Thread(target=self._run, name="scripted-stream", daemon=True)
        self._thread.start()

    def _begin(self) -> None:
        import numpy as np

        self._tail: NDArray[np.float32] = np.zeros(0, np.float32)
        self._tail_sample = 0
        self._words: list[Word] = []
        self._started_s = time.perf_counter()

    def feed(self, samples: NDArray[np.float32]) -> None:
        """Take the next samples."""
        self._inbox.put(samples)

    def complete(self) -> None:
        """The utterance has ended."""
        import numpy as np

        self._inbox.put(np.zeros(0, np.float32))

    def close(self) -> None:
        """Stop at once."""
        with self._lock:
            self._over = True
        self._inbox.put(None)
        self._ended(self)

    def break_off(self, reason: str) -> None:
        """Be lost, from any thread."""
        self._say(Lost(ProviderError(reason)))

    def _run(self) -> None:
        while not self._over and (samples := self._inbox.get()) is not None:
            time.sleep(self._lag_s)
            self._heard += len(samples)
            if 0 < self._breaks_samples <= self._heard:
                self.break_off("broken by the script")
            elif len(samples):
                self._take(samples)
            else:
                self._complete()

    def _take(self, samples: NDArray[np.float32]) -> None:
        import numpy as np

        self._tail = np.concatenate((self._tail, samples))
        self._hear(len(self._tail) - 1)

    def _complete(self) -> None:
        self._hear(len(self._tail))
        segments: tuple[Segment, ...] = ()
        if self._words:
            text = " ".join(word.text for word in self._words)
            start_s, end_s = self._words[0].start_s, self._words[-1].end_s
            segments = (Segment(start_s, end_s, text, 1.0, tuple(self._words)),)
        language = "en" if self._language == "auto" else self._language
        self._say(Completed(Hypothesis(segments, language, time.perf_counter() - self._started_s)))
        self._begin()

    def _hear(self, until_sample: int) -> None:
        """Say the words that ended by then."""
        for word in list(_ended_words(self._tail, until_sample)):
            self._words.append(word.shifted(self._tail_sample / SAMPLE_RATE_HZ))
            text = f"{word.text} "
            for at in range(0, len(text), _PIECE_LETTERS):
                self._say(Heard(text[at : at + _PIECE_LETTERS]))
        if self._words:
            cut = round(self._words[-1].end_s * SAMPLE_RATE_HZ) - self._tail_sample
            if cut > 0:
                self._tail, self._tail_sample = self._tail[cut:], self._tail_sample + cut

    def _say(self, spoken: Spoken) -> None:
        with self._lock:
            if self._over:
                return
            self._over = isinstance(spoken, Lost)
            self._say_now(spoken)
        if isinstance(spoken, Lost):
            self._inbox.put(None)
            self._ended(self)


def _ended_words(samples: NDArray[np.float32], until_sample: int) -> Iterator[Word]:
    for word in listen(samples):
        if round(word.end_s * SAMPLE_RATE_HZ) <= until_sample:
            yield word
