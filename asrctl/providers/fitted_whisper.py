"""faster-whisper's model, made to encode no more than a window holds, and to decode windows together.

Imports CTranslate2.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Self

import numpy as np
from ctranslate2 import StorageView
from faster_whisper import WhisperModel
from numpy.typing import NDArray

from asrctl.policy.window import FULL_AUDIO_CTX
from asrctl.providers.lanes import Lanes

_FRAMES_PER_POSITION = 2


class FittedWhisperModel(WhisperModel):  # type: ignore[misc]
    """faster-whisper pads each window to 30 s; CTranslate2 takes less, and the encoder is most of the work.

    On 110 clips of 1-26 s with tiny.en int8, 512 positions or what the clip needs took 0.075 CPU seconds
    per second of audio against 0.187, at WER 2.75 against 2.67 %; 320 positions made repetition loops (81 %).

    Decoding tokens is bound by memory: four windows in a call take about twice as long as one does
    (tiny.en int8, one thread, by hand). Each has the same tokens and scores, bit for bit, as by itself, if
    all have as many positions.

    Attributes:
        positions: Encoder positions that the next windows get; 50 are one second.
        most_tokens: What the next windows' texts may take.
        others_s: Seconds that the thread of this model, or twin, waited for others, or worked for them.
        should_abort: Asked before each of its turns.
    """

    positions = FULL_AUDIO_CTX
    most_tokens = 224
    others_s = 0.0
    should_abort: Callable[[], bool] = bool

    def __init__(self, path: str, *, lanes: int, together: int, **options: Any) -> None:
        """Load the weights; `lanes` calls at a time, each for at most `together` windows."""
        super().__init__(path, num_workers=lanes, **options)
        self._lanes = Lanes(lanes, together)
        self._native: Any = self.model
        self.model: Any = _Model(self)

    def twin(self) -> Self:
        """Another one with the same weights and lanes, for another thread."""
        other = copy.copy(self)
        other.model = _Model(other)
        return other

    def encode(self, features: NDArray[np.float32]) -> Any:
        """Encode log-mel features, shape (mels, frames) or (batch, mels, frames), cut to the positions."""
        fitted = np.ascontiguousarray(features[..., : _FRAMES_PER_POSITION * self.positions])
        encode = super().encode
        return self._in_turn(object(), fitted, lambda given: [encode(given[0])])

    def generate(self, encoded: Any, prompts: Sequence[Sequence[int]], **options: Any) -> Any:
        """What CTranslate2's model generates for one window, perhaps together with others."""
        most = self.most_tokens
        alike = tuple(encoded.shape), repr(prompts), repr(options), most if options["beam_size"] > 1 else 0
        key = alike if self._native.device == "cpu" else object()
        return self._in_turn(key, (encoded, most), partial(self._generate, prompts, options))

    def _generate(
        self, prompts: Sequence[Sequence[int]], options: dict[str, Any], given: Sequence[tuple[Any, int]]
    ) -> Sequence[Any]:
        """The same of several, each with its most tokens. Greedy decoding that may take more begins the same:
        only one that takes too many is decoded by itself. (A search of beams may end otherwise.)"""
        longest = max(most for _, most in given)
        # CTranslate2 counts the prompt, but for its last token, and stops at half of `max_length`, too.
        length = max(len(prompts[0]) - 1 + longest, 2 * longest)
        options = {**options, "max_length": min(self.max_length, length)}
        if len(given) == 1:
            return [self._native.generate(given[0][0], prompts, **options)]
        rows = StorageView.from_array(np.concatenate([np.asarray(encoded) for encoded, _ in given]))
        found = self._native.generate(rows, [*prompts] * len(given), **options)
        return [
            [row]
            if len(row.sequences_ids[0]) < one[1] or one[1] == longest
            else self._generate(prompts, options, [one])[0]
            for row, one in zip(found, given, strict=True)
        ]

    def _in_turn(self, key: object, given: Any, work: Callable[[Sequence[Any]], Sequence[Any]]) -> Any:
        started_s = time.perf_counter()
        answer, own_s = self._lanes.run(key, given, work, self.should_abort)
        self.others_s += time.perf_counter() - started_s - own_s
        return answer


class _Model:
    """CTranslate2's model, but that it generates together."""

    def __init__(self, owner: FittedWhisperModel) -> None:
        self._owner = owner
        self.generate = owner.generate

    def __getattr__(self, name: str) -> Any:
        return getattr(self._owner._native, name)
