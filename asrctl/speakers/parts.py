"""The local speakers of a window, cut into turns that a voice is heard in by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from asrctl.models.campplus import EMBEDDING, MAX_FRAMES
from asrctl.policy.clustering import UNKNOWN, ClusteringOptions, agglomerate
from asrctl.speakers.features import STEP_SAMPLES, Features
from asrctl.speakers.networks import SPEECH_STEP_SAMPLES, distances, unit
from asrctl.transcript import SAMPLE_RATE_HZ

Vector = NDArray[np.float32]
NOBODY: Vector = np.zeros(EMBEDDING, np.float32)
_LONG_FRAMES = 30
"""Of segmentation: half a second of one voice alone, enough to tell whose it is where turns are short."""
LEAST_WEIGHT_S = 0.1
"""What a voice counts for in averages that was never heard alone."""
_FEWEST_FRAMES = 20
"""Of features: a voice heard alone for less is told by where it overlaps."""
_CLOSE_FRAMES = 80
"""Of features: so much is heard around a place to know which of two voices speaks there."""
_EXACT_FRAMES = 20
"""Of features: so exactly is the place looked for where one voice becomes another."""


@dataclass(slots=True)
class Voice:
    """A local speaker of a window, or a long turn of one; those of one group are different people."""

    group: int
    start_frame: int
    activity: Vector
    heard_s: float
    vector: Vector
    speaker: int = UNKNOWN

    @property
    def end_frame(self) -> int:
        return self.start_frame + len(self.activity)

    def between(self, start_frame: int, end_frame: int) -> Vector:
        """Its activity in some frames, which it has."""
        return self.activity[start_frame - self.start_frame : end_frame - self.start_frame]


@dataclass(frozen=True, slots=True)
class Masks:
    """Frames of speech in which a voice is heard, and in which it is heard alone."""

    active: NDArray[np.bool_]
    alone: NDArray[np.bool_]

    def within(self, part: NDArray[np.bool_]) -> Masks:
        """Those of a part."""
        return Masks(self.active & part, self.alone & part)


def told_apart(
    voice: Voice, masks: Masks, features: Features, embedding: Callable[[Features], Vector], merge: float
) -> list[Voice]:
    """A voice as it sounds; several, if its end does not sound as its beginning.

    Segmentation may hear one voice where two similar ones speak without a pause between them.

    Args:
        voice: Its activity; how it sounds is filled in.
        masks: Where it is heard.
        features: The window's, shape (frames, 80).
        embedding: What the voice in at most 2 s of features is like.
        merge: Nearer than this are two that are one.

    Returns:
        None if too little is heard of it.
    """
    chosen = feature_mask(masks.alone, len(features))
    if chosen.sum() < _FEWEST_FRAMES:
        chosen = feature_mask(masks.active, len(features))
    sound = features[chosen]
    if len(sound) < _FEWEST_FRAMES:
        return []
    vectors = [embedding(piece) for piece in _ends(sound)]
    if 1.0 - float(vectors[0] @ vectors[-1]) > merge:
        change = np.flatnonzero(chosen)[_change(sound, vectors[0] - vectors[-1], embedding)]
        is_before = np.arange(len(voice.activity)) < change * STEP_SAMPLES // SPEECH_STEP_SAMPLES
        found = list[Voice]()
        for part in (is_before, ~is_before):
            one = replace(voice, activity=voice.activity * part)
            found += told_apart(one, masks.within(part), features, embedding, merge)
        return found
    voice.heard_s = float(masks.alone.sum()) * SPEECH_STEP_SAMPLES / SAMPLE_RATE_HZ
    voice.vector = unit(sum(vectors))
    return [voice]


def _ends(sound: Features) -> list[Features]:
    """The first and the last 2 s of what is heard of a voice, or all: more costs more, and says little."""
    if len(sound) <= MAX_FRAMES:
        return [sound]
    length = min(MAX_FRAMES, len(sound) // 2)
    return [sound[:length], sound[-length:]]


def _change(sound: Features, difference: Vector, embedding: Callable[[Features], Vector]) -> int:
    """The frame at which a voice becomes another; `difference` is that of the first from the last."""
    first, last = 0, len(sound)
    while last - first > _EXACT_FRAMES:
        middle = (first + last) // 2
        start = min(max(0, middle - _CLOSE_FRAMES // 2), len(sound) - _CLOSE_FRAMES)
        if embedding(sound[start : start + _CLOSE_FRAMES]) @ difference > 0:
            first = middle
        else:
            last = middle
    return (first + last) // 2


def joined(voices: Sequence[Voice], merge: float) -> list[Voice]:
    """Turns of one local speaker that are alike, as one voice each, of which more is heard."""
    vectors = [voice.vector for voice in voices]
    weights = [max(voice.heard_s, LEAST_WEIGHT_S) for voice in voices]
    numbers = agglomerate(
        distances(vectors, vectors), weights, range(len(voices)), ClusteringOptions(merge=merge)
    )
    found: dict[int, Voice] = {}
    totals: dict[int, Vector] = {}
    for voice, weight, number in zip(voices, weights, numbers, strict=True):
        part = voice.vector * np.float32(weight)
        totals[number] = totals[number] + part if number in totals else part
        if (one := found.setdefault(number, voice)) is not voice:
            one.activity = one.activity + voice.activity
            one.heard_s += voice.heard_s
            one.vector = unit(totals[number])
    return [*found.values()]


def feature_mask(mask: NDArray[np.bool_], length: int) -> NDArray[np.bool_]:
    """Frames of features in which a mask over frames of speech holds."""
    centres = np.arange(length) * STEP_SAMPLES // SPEECH_STEP_SAMPLES
    inside = centres < len(mask)
    found: NDArray[np.bool_] = np.zeros(length, np.bool_)
    found[inside] = mask[centres[inside]]
    return found


def parts_of(active: NDArray[np.bool_], alone: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """Cut a local speaker's window into a part for each long turn, in which a voice is heard by itself.

    Segmentation may take two similar voices for one; a long turn shows whose it is. What lies between two
    belongs to the nearer one. Without long turns the window is one part.
    """
    turns = [run for run in runs(active) if alone[run[0] : run[1]].sum() >= _LONG_FRAMES]
    if not turns:
        return [np.ones(len(active), np.bool_)] if active.any() else []
    cuts = [0, *((a[1] + b[0]) // 2 for a, b in pairwise(turns)), len(active)]
    at = np.arange(len(active))
    return [(start <= at) & (at < end) for start, end in pairwise(cuts)]


def runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Where a mask holds: (first, behind the last)."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(np.int8)))
    return [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]
