"""Echo of one track in another: what a microphone hears of the loudspeaker.

A filter learns how the other tracks arrive in this one, and takes that away; `policy.echo` judges by what is
left. The filter is a Kalman filter in the frequency domain, in partitions (Enzner and Vary 2006; Kuech and
others 2014): it slows down by itself while both speak, so that it needs no detector of double talk.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from asrctl.policy.echo import EchoJudge, Powers
from asrctl.policy.endpointing import FRAME_SAMPLES
from asrctl.transcript import Samples

T = TypeVar("T")


class Detector(Protocol):
    """Probabilities of speech, a frame at a time."""

    def probabilities(self, samples: Samples) -> Samples: ...
    def flush(self) -> Samples: ...


MOST_TRACKS = 4
"""In which echo is looked for: 0.01 CPU seconds a second of each (benchmarks/echo.py)."""
_PARTITIONS = 16
"""Of 32 ms each: delay and reverberation of half a second."""
_EARLY_FRAMES = 4
"""An echo may come so much before its origin, where two devices started recording at different times."""
_FORGETTING = 0.999
"""How much of the path is thought to be the same a frame later: it is another after some 30 s."""
_SMOOTHING = 0.8
"""Of the power that is left, over frames."""


_SILENT_SPECTRUM = 1e-6
"""What is smaller in all of the last half second of the other track has no echo."""


class EchoFilter:
    """Learns how one track arrives in another, frame by frame."""

    def __init__(self) -> None:
        bins = FRAME_SAMPLES + 1
        self._spectra = np.zeros((_PARTITIONS, bins), np.complex64)
        self._powers = np.zeros((_PARTITIONS, bins), np.float32)
        self._path = np.zeros((_PARTITIONS, bins), np.complex64)
        self._doubt = np.ones((_PARTITIONS, bins), np.float32)
        self._left = np.full(bins, 1e-3, np.float32)
        self._last = np.zeros(FRAME_SAMPLES, np.float32)
        self._frames = 0

    def left_of(self, heard: Samples, other: Samples) -> Samples:
        """A frame of the track without what the other one explains; shapes (512,)."""
        self._spectra[1:] = self._spectra[:-1]
        self._powers[1:] = self._powers[:-1]
        self._spectra[0] = np.fft.rfft(np.concatenate((self._last, other)))
        self._powers[0] = self._spectra[0].real ** 2 + self._spectra[0].imag ** 2
        self._last = other
        if self._powers.max() < _SILENT_SPECTRUM:
            return heard
        echo = np.fft.irfft(np.einsum("pb,pb->b", self._spectra, self._path))[FRAME_SAMPLES:]
        left = heard - echo.astype(np.float32)
        spectrum = np.fft.rfft(np.concatenate((np.zeros_like(left), left))).astype(np.complex64)
        self._left *= np.float32(_SMOOTHING)
        self._left += np.float32(1 - _SMOOTHING) * (spectrum.real**2 + spectrum.imag**2)
        self._learn(spectrum)
        return left

    def _learn(self, spectrum: NDArray[np.complex64]) -> None:
        sure = np.einsum("pb,pb->b", self._doubt, self._powers) + 2 * self._left + np.float32(1e-10)
        gain = self._doubt / sure
        kept = np.float32(_FORGETTING**2)
        path_powers = self._path.real**2 + self._path.imag**2
        self._doubt *= kept * (1 - np.float32(0.5) * gain * self._powers)
        self._doubt += (1 - kept) * path_powers
        self._path += gain * self._spectra.conj() * spectrum
        self._path *= np.float32(_FORGETTING)
        # A partition is 512 samples long: what else the spectrum says is an artefact. One a frame will do.
        turn = self._frames % _PARTITIONS
        self._frames += 1
        response = np.fft.irfft(self._path[turn])
        response[FRAME_SAMPLES:] = 0
        self._path[turn] = np.fft.rfft(response)


class EchoFinder:
    """Which frames of each track are echo of the others; fed in step, it is some frames late.

    Attributes:
        decided_samples: Up to here it is known, of every track.
        echoes: Verdicts on the frames of each track in order, to be taken from the left.
    """

    def __init__(self, tracks: int) -> None:
        self.decided_samples = 0
        self.echoes: list[deque[bool]] = [deque() for _ in range(tracks)]
        self._filters = [EchoFilter() for _ in range(tracks)]
        self._judges = [EchoJudge() for _ in range(tracks)]
        self._rest = np.zeros((tracks, 0), np.float32)
        quiet = np.zeros((tracks, FRAME_SAMPLES), np.float32)
        self._early = deque([quiet] * _EARLY_FRAMES)
        self._others: deque[NDArray[np.float32]] = deque(maxlen=_PARTITIONS)
        self._own = np.eye(tracks, dtype=bool)
        self._frames = 0

    def feed(self, parts: Sequence[Samples]) -> None:
        """Take the next samples of each track; one that has ended is silent."""
        size = max(len(part) for part in parts)
        padded = np.stack([np.pad(part, (0, size - len(part))) for part in parts])
        self._rest = np.concatenate((self._rest, padded), axis=1)
        while self._rest.shape[1] >= FRAME_SAMPLES:
            self._take(self._rest[:, :FRAME_SAMPLES].copy())
            self._rest = self._rest[:, FRAME_SAMPLES:]

    def flush(self) -> None:
        """Decide on all that was fed."""
        late = np.zeros((len(self.echoes), FRAME_SAMPLES - self._rest.shape[1]), np.float32)
        self.feed([*late])
        for _ in range(_EARLY_FRAMES):
            self._take(np.zeros((len(self.echoes), FRAME_SAMPLES), np.float32))
        self._decide([judge.flush() for judge in self._judges])

    def _take(self, frames: NDArray[np.float32]) -> None:
        self._early.append(frames)
        heard = self._early.popleft()
        others = frames.sum(axis=0) - frames
        self._others.append((others**2).mean(axis=1))
        loudest = np.max(self._others, axis=0)
        lefts = [each.left_of(*pair) for each, *pair in zip(self._filters, heard, others, strict=True)]
        self._frames += 1
        if self._frames <= _EARLY_FRAMES:
            return
        alone = np.where(self._own, 0, (frames**2).mean(axis=1)).max(axis=1)
        powers = zip(map(_power, heard), map(_power, lefts), alone, loudest, strict=True)
        pushed = zip(self._judges, powers, strict=True)
        self._decide([judge.push(Powers(*map(float, each))) for judge, each in pushed])

    def _decide(self, verdicts: list[list[bool]]) -> None:
        for frame in zip(*verdicts, strict=True):
            is_lost = all(frame)  # one of them must be the origin
            for echoes, is_echo in zip(self.echoes, frame, strict=True):
                echoes.append(is_echo and not is_lost)
            self.decided_samples += FRAME_SAMPLES


def _power(frame: Samples) -> float:
    return float(np.dot(frame, frame)) / len(frame)


class WithoutEcho:
    """A detector of speech that hears none where a track is echo.

    Frames of the detector start anew where it was flushed, those of the verdicts do not: each has the verdict
    of the frame in which it begins.
    """

    def __init__(
        self, detector: Detector, echoes: deque[bool], gaps: deque[tuple[int, int]] | None = None
    ) -> None:
        """Begin.

        Args:
            detector: Hears a track.
            echoes: Verdicts on its frames, in order.
            gaps: Where the track is not heard but flushed, and for how many samples; in order.
        """
        self._detector = detector
        self._echoes = echoes
        self._gaps = deque() if gaps is None else gaps
        self._fed_samples = self._judged_samples = self._verdicts = 0

    def probabilities(self, samples: Samples) -> Samples:
        """As the detector's, but for 0 in frames that are echo."""
        self._fed_samples += len(samples)
        return self._quieted(self._detector.probabilities(samples))

    def flush(self) -> Samples:
        """The same for the last frame."""
        quieted = self._quieted(self._detector.flush())
        if self._gaps and self._gaps[0][0] == self._fed_samples:
            self._fed_samples += self._gaps.popleft()[1]
        self._judged_samples = self._fed_samples
        return quieted

    def _quieted(self, probabilities: Samples) -> Samples:
        quieted = probabilities.copy()
        for index in range(len(quieted)):
            while self._echoes and self._verdicts < self._judged_samples // FRAME_SAMPLES:
                self._echoes.popleft()
                self._verdicts += 1
            if self._echoes and self._echoes[0]:
                quieted[index] = 0
            self._judged_samples += FRAME_SAMPLES
        return quieted


class EchoGate(Generic[T]):
    """Holds tracks back until it is known what of them is echo, and hides that from detectors of speech.

    Where echo is not looked for, nothing is held back: if it is not wanted, or of more than MOST_TRACKS.
    """

    def __init__(self, tracks: int, *, wanted: bool) -> None:
        self._finder = EchoFinder(tracks) if wanted and 2 <= tracks <= MOST_TRACKS else None
        self._held: deque[tuple[int, T]] = deque()
        self._passed_samples = 0

    def around(self, track: int, detector: Detector, gaps: deque[tuple[int, int]] | None = None) -> Detector:
        """A track's detector, which hears no echo; `gaps` as for `WithoutEcho`."""
        return WithoutEcho(detector, self._finder.echoes[track], gaps) if self._finder else detector

    def feed(self, item: T, parts: Sequence[Samples]) -> list[T]:
        """Take the next samples of all tracks, as what they came in; returns the items that may pass now."""
        if self._finder is None:
            return [item]
        self._held.append((max(len(part) for part in parts), item))
        self._finder.feed(parts)
        passed = list[T]()
        while self._held and self._passed_samples + self._held[0][0] <= self._finder.decided_samples:
            length, item = self._held.popleft()
            self._passed_samples += length
            passed.append(item)
        return passed

    def flush(self) -> list[T]:
        """No more comes; returns what was held."""
        if self._finder is not None:
            self._finder.flush()
        passed = [item for _, item in self._held]
        self._held.clear()
        return passed
