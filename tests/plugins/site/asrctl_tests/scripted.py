"""A recogniser without a model, for tests: it reads words that were written into the audio as levels.

`speak` turns words into audio, and the provider turns that audio back into exactly these words, so a test
can tell a lost, doubled or split word without any weights. The "weights" are a JSON file of faults:

    {"crash_on": ["boom"], "hang_on": ["stall"], "refuse_on": ["no"], "crashes": "/path/counter",
     "delay_s": 0.01, "fail_load": "reason", "crash_load": false, "unsure_without": "w7",
     "says_vocabulary": false}

A fault happens when its word is in the window; without the word of `unsure_without` confidence is low. With
`says_vocabulary` the terms that it is told come behind the words.
`crashes` is a file that counts faults down: with 2 in it, the third try succeeds.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from asrctl.errors import DecodeError, ModelError
from asrctl.providers.base import Aborted, DecodeOptions, ModelSpec
from asrctl.providers.plugin import Plugin
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis, Segment, Word

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WORD_SAMPLES = SAMPLE_RATE_HZ // 5
"""Length of one spoken word: 0.2 s, of which the last tenth is a quiet pause."""

_LEVELS = 4096
_VOCABULARY_BASE = 0.1
_PAUSE_LEVEL = 0.05
_PAUSE_SAMPLES = WORD_SAMPLES // 10


class Scripted:
    """A loaded script; see the module's docstring."""

    def __init__(self, spec: ModelSpec) -> None:
        """Read the script.

        Raises:
            ModelError: The file is not JSON, or says that loading fails.
        """
        try:
            self._script: dict[str, Any] = json.loads(Path(spec.path).read_text())
        except ValueError:
            raise ModelError(f"{spec.path}: not a script") from None
        if self._script.get("crash_load"):
            os.kill(os.getpid(), signal.SIGABRT)
        if reason := self._script.get("fail_load"):
            raise ModelError(reason)

    def transcribe(
        self, samples: NDArray[np.float32], options: DecodeOptions, should_abort: Callable[[], bool]
    ) -> Hypothesis:
        """Read the words back; see `WindowedModel.transcribe`."""
        started = time.perf_counter()
        words = listen(samples)
        self._misbehave({word.text for word in words}, should_abort)
        self._wait(float(self._script.get("delay_s", 0.0)), should_abort)
        segments: tuple[Segment, ...] = ()
        if words:
            told = options.vocabulary if self._script.get("says_vocabulary") else ()
            text = " ".join([*(word.text for word in words), *told])
            sure = self._script.get("unsure_without", words[0].text) in {word.text for word in words}
            confidence = 1.0 if sure else 0.5
            segments = (Segment(words[0].start_s, words[-1].end_s, text, confidence, tuple(words)),)
        return Hypothesis(segments, options.language, time.perf_counter() - started)

    def twin(self) -> Self:
        """Itself: what it knows does not change."""
        return self

    def _misbehave(self, texts: set[str], should_abort: Callable[[], bool]) -> None:
        if texts & set(self._script.get("refuse_on", ())):
            raise DecodeError("refused by the script")
        if texts & set(self._script.get("hang_on", ())) and self._counts_down():
            self._wait(float("inf"), should_abort)
        if texts & set(self._script.get("crash_on", ())) and self._counts_down():
            os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))

    def _counts_down(self) -> bool:
        """Whether a fault is still to happen; always, if nothing counts them."""
        if "crashes" not in self._script:
            return True
        counter = Path(self._script["crashes"])
        left = int(counter.read_text())
        counter.write_text(str(max(0, left - 1)))
        return left > 0

    def _wait(self, duration_s: float, should_abort: Callable[[], bool]) -> None:
        deadline = time.monotonic() + duration_s
        while time.monotonic() < deadline:
            if should_abort():
                raise Aborted
            time.sleep(0.001)

    def description(self) -> str:
        """Where it runs."""
        return "scripted"

    def close(self) -> None:
        """Nothing to free."""


class ScriptedListening(Scripted):
    """The same as a `ListeningModel`: words are committed when they have ended, and tentative before."""

    def __init__(self, spec: ModelSpec) -> None:
        """Read the script; raises as `Scripted`."""
        super().__init__(spec)
        self._cancelled = False
        self._pieces: list[NDArray[np.float32]] = []
        self._options = DecodeOptions()

    def begin(self, options: DecodeOptions) -> None:
        """See `ListeningModel.begin`."""
        self._pieces, self._options, self._cancelled = [], options, False

    def feed(self, samples: NDArray[np.float32]) -> tuple[str, str]:
        """See `ListeningModel.feed`."""
        self._pieces.append(samples)
        audio, words = self._heard()
        whole = [word.text for word in words if round(word.end_s * SAMPLE_RATE_HZ) < len(audio)]
        return " ".join(whole), "".join(f" {word.text}" for word in words[len(whole) :])

    def finish(self) -> Hypothesis:
        """See `ListeningModel.finish`."""
        audio, _ = self._heard()
        self._pieces = []
        return super().transcribe(audio, self._options, lambda: False)

    def _heard(self) -> tuple[NDArray[np.float32], list[Word]]:
        import numpy as np

        self._pieces = [np.concatenate(self._pieces)]
        words = listen(self._pieces[0])
        try:
            self._misbehave({word.text for word in words}, lambda: self._cancelled)
        except Aborted:
            raise DecodeError("cancelled") from None
        return self._pieces[0], words

    def give_up(self) -> None:
        """See `ListeningModel.give_up`."""
        self._pieces = []

    def cancel(self) -> None:
        """See `ListeningModel.cancel`."""
        self._cancelled = True


def speak(numbers: Iterable[int]) -> NDArray[np.float32]:
    """Audio for the words "w<number>", shape (n,) at 16 kHz; numbers are 0 to 4095."""
    import numpy as np

    pieces = [
        np.full(WORD_SAMPLES, _VOCABULARY_BASE + number / _LEVELS / 2, np.float32) for number in numbers
    ]
    for piece in pieces:
        piece[-_PAUSE_SAMPLES:] = _PAUSE_LEVEL
    return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)


def listen(samples: NDArray[np.float32]) -> list[Word]:
    """The words in audio made by `speak`, in silence; of one that was cut, the larger part counts."""
    import numpy as np

    loud = np.abs(samples) >= _VOCABULARY_BASE
    edges = np.flatnonzero(np.diff(np.concatenate(([False], loud, [False])).astype(np.int8)))
    words = []
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        if 2 * (end - start) >= WORD_SAMPLES - _PAUSE_SAMPLES:
            number = round((float(samples[start]) - _VOCABULARY_BASE) * 2 * _LEVELS)
            words.append(Word(start / SAMPLE_RATE_HZ, end / SAMPLE_RATE_HZ, f"w{number}", 1.0))
    return words


PLUGIN = Plugin(
    "scripted",
    "words that were written into the audio, for tests",
    load=Scripted,
    listen=ScriptedListening,
    weights="own",
)
