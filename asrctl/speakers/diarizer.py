"""Who spoke when in a stream of samples: windows, their local speakers, and who those are in the whole."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from math import inf

import numpy as np

from asrctl.policy.clustering import UNKNOWN, ClusteringOptions, agglomerate, assign
from asrctl.policy.turns import Turn, numbered_names, smoothed
from asrctl.speakers.features import log_mel
from asrctl.speakers.networks import (
    LOCAL,
    SPEECH_FRAME_SAMPLES,
    SPEECH_STEP_SAMPLES,
    Networks,
    distances,
    unit,
)
from asrctl.speakers.parts import NOBODY, Masks, Vector, Voice, joined, parts_of, runs, told_apart
from asrctl.transcript import SAMPLE_RATE_HZ, Samples

WINDOW_SAMPLES = 10 * SAMPLE_RATE_HZ
"""What segmentation-3.0 was trained on."""
_MOST_AT_ONCE = 2000
"""Local speakers clustered again at the end; those heard for less beyond that go to the nearest group."""
_AT_ONCE_FRAMES = 32_000
"""Of segmentation, some nine minutes: memory for turns does not grow with the recording."""
_ACTIVE = 0.5
"""From this probability on a voice is heard."""
_SPOKEN = 0.7
"""From this probability on speech is part of a turn: with less, turns begin too early and end too late.
Chosen, as `gap_s`, with `python -m benchmarks.speakers --half tune`."""
_FEWEST_SHARED_FRAMES = 5.0
"""Of segmentation, some 80 ms: a voice that was heard before shares more."""
_FARTHEST = 2.0
_UNITED = 0.35
"""Speakers nearer than this are one: by what little was heard first, one was taken for two. Chosen, as
`lasting_s`, with `python -m benchmarks.speakers --half tune`."""


@dataclass(frozen=True, slots=True)
class DiarizerOptions:
    """How voices become speakers.

    Attributes:
        clustering: When two voices are one.
        gap_s: A speaker's pauses up to this are part of a turn.
        least_s: A turn is at least this long.
        kept_s: Who spoke longer ago is forgotten, but not what their voices are like.
        step_s: From one window to the next; less than a window, which is 10 s.
        reuse: Whether voices that say nothing new in a window are those that they were taken for before,
            without a look at what they are like: for windows that come close together, and no `recluster`.
    """

    clustering: ClusteringOptions = field(default_factory=ClusteringOptions)
    gap_s: float = 0.3
    least_s: float = 0.1
    kept_s: float = inf
    step_s: float = 5.0
    reuse: bool = False


@dataclass(slots=True)
class _Speaker:
    name: str
    total: Vector
    fixed: bool = False

    @property
    def vector(self) -> Vector:
        return unit(self.total)


class Diarizer:
    """One stream; feed it, ask for turns, and `recluster` at the end."""

    def __init__(
        self,
        networks: Networks,
        options: DiarizerOptions | None = None,
        known: Mapping[str, Vector] | None = None,
    ) -> None:
        """Begin.

        Args:
            networks: Loaded.
            options: How voices become speakers.
            known: Embeddings of people by name; others are numbered.
        """
        self._networks = networks
        self._options = options or DiarizerOptions()
        self._speakers = [_Speaker(name, vector, fixed=True) for name, vector in (known or {}).items()]
        self._names = numbered_names(known or {})
        self._voices: list[Voice] = []
        self._window = np.zeros(0, np.float32)
        self._groups = 0
        self.heard_samples = 0
        """What was fed so far."""
        self.looked_samples = 0
        """How far of it turns are known."""

    def feed(self, samples: Samples) -> None:
        """Take the next samples, and look at what windows they complete."""
        while len(samples):
            step_samples = round(self._options.step_s * SAMPLE_RATE_HZ)
            due_sample = max(WINDOW_SAMPLES, self.looked_samples + step_samples)
            part, samples = np.split(samples, [due_sample - self.heard_samples])
            self._window = np.concatenate((self._window, part))[-WINDOW_SAMPLES:]
            self.heard_samples += len(part)
            if self.heard_samples == due_sample:
                self.catch_up()

    def catch_up(self, least_s: float = 0.0) -> None:
        """Look at what was fed last, if it is as long as this; the next window is due a step later."""
        new_samples = self.heard_samples - self.looked_samples
        if new_samples and new_samples >= least_s * SAMPLE_RATE_HZ:
            self.looked_samples = self.heard_samples
            if self._window.any():  # nobody speaks in audio that was lost
                self._look(self._window, new_samples)

    def turns(self, since_s: float = 0.0) -> list[Turn]:
        """Who spoke when since then, as far as was looked.

        Where windows overlap, as many speak as they say on average, and it is those whom most of them heard:
        two windows that give a voice to different speakers do not silence it.
        """
        first = round(since_s * SAMPLE_RATE_HZ / SPEECH_STEP_SAMPLES)
        heard = [each for each in self._voices if each.end_frame > first]
        first = min((each.start_frame for each in heard), default=0)
        last = max((each.end_frame for each in heard), default=0)
        found = [
            turn for at in range(first, last, _AT_ONCE_FRAMES) for turn in self._turns_in(at, last, heard)
        ]
        return smoothed(found, self._options.gap_s, self._options.least_s)

    def _turns_in(self, first: int, last: int, heard: Sequence[Voice]) -> Iterator[Turn]:
        """Those of the next `_AT_ONCE_FRAMES`."""
        frames = min(_AT_ONCE_FRAMES, last - first)
        active = np.zeros((len(self._speakers), frames), np.float32)
        total, windows = np.zeros(frames, np.float32), np.zeros(frames, np.float32)
        spans = set[tuple[int, int]]()
        for voice in heard:
            start, end = max(first, voice.start_frame), min(first + frames, voice.end_frame)
            if start >= end:
                continue
            spans.add((voice.start_frame, voice.end_frame))
            activity = voice.between(start, end)
            total[start - first : end - first] += activity
            if voice.speaker != UNKNOWN:
                active[voice.speaker, start - first : end - first] += activity
        for start, end in spans:
            windows[max(0, start - first) : end - first] += 1.0
        at_once = np.floor(total / np.maximum(windows, 1.0) + 1.0 - _SPOKEN)
        rank = np.argsort(np.argsort(-active, axis=0, kind="stable"), axis=0)
        for speaker, row in zip(self._speakers, (rank < at_once) & (active > 0.1), strict=True):
            for start, end in runs(row):
                yield Turn(_seconds(first + start), _seconds(first + end), speaker.name)

    def voice(self) -> Vector | None:
        """The embedding of whoever was heard first; None if nobody was."""
        return self._speakers[0].vector if self._speakers else None

    # Windows

    def _look(self, window: Samples, new_samples: int) -> None:
        padded = np.pad(window, (0, max(0, WINDOW_SAMPLES - len(window))))
        activity = self._networks.activity(padded)
        kept = -(-len(window) // SPEECH_STEP_SAMPLES)
        activity = activity[:kept]
        is_active = activity > _ACTIVE
        features = log_mel(padded)
        start_frame = round((self.heard_samples - len(window)) / SPEECH_STEP_SAMPLES)
        alone = is_active & (is_active.sum(axis=1) == 1)[:, None]
        new_frame = max(0, kept - -(-new_samples // SPEECH_STEP_SAMPLES))
        old, by_local, is_whole = list[Voice](), list[list[Voice]](), True
        merge = self._options.clustering.merge
        for local in range(LOCAL):
            new, known = list[Voice](), list[Voice]()
            for part in parts_of(is_active[:, local], alone[:, local]):
                masks = Masks(is_active[:, local], alone[:, local]).within(part)
                voice = Voice(-1, start_frame, activity[:, local] * part, 0.0, NOBODY)
                if self._options.reuse and not masks.active[new_frame:].any():
                    voice.speaker = self._known(voice)
                if voice.speaker != UNKNOWN:
                    known.append(voice)
                else:
                    new += told_apart(voice, masks, features, self._networks.embedding, merge)
            old += known
            by_local.append(joined(new, merge))
            is_whole = is_whole and len(known) + len(by_local[-1]) < 2
        groups: list[list[Voice]] = [[]]
        for voice in chain.from_iterable(by_local):
            if not is_whole:
                groups.append([])
            voice.group = self._groups + len(groups)
            groups[-1].append(voice)
        self._groups += len(groups)
        kept_frame = start_frame - self._options.kept_s * SAMPLE_RATE_HZ / SPEECH_STEP_SAMPLES
        self._voices = [voice for voice in self._voices if voice.end_frame > kept_frame] + old
        others = {voice.speaker for voice in old} if is_whole else set[int]()
        for voices in sorted(groups, key=lambda voices: -sum(voice.heard_s for voice in voices)):
            self._assign(voices, others)
            self._voices += voices
        self._unite()

    def _known(self, voice: Voice) -> int:
        """Whom a voice was taken for when it was heard before."""
        heard_frames = np.zeros(len(self._speakers) + 1, np.float32)  # the last is that of the unknown
        for each in reversed(self._voices):
            start, end = max(voice.start_frame, each.start_frame), min(voice.end_frame, each.end_frame)
            if start >= end:
                break  # those before are older
            heard_frames[each.speaker] += voice.between(start, end) @ each.between(start, end)
        number = int(heard_frames[:-1].argmax()) if len(self._speakers) else UNKNOWN
        return number if heard_frames[number] >= _FEWEST_SHARED_FRAMES else UNKNOWN

    def _assign(self, voices: Sequence[Voice], others: Collection[int]) -> None:
        """Give voices their speakers; `others` are those of other voices of the window."""
        far = distances([voice.vector for voice in voices], [each.vector for each in self._speakers])
        for row in far:
            for number in others:
                row[number] = _FARTHEST
        heard_s = [voice.heard_s for voice in voices]
        for voice, number in zip(
            voices, assign(far, heard_s, len(self._speakers), self._options.clustering), strict=True
        ):
            voice.speaker = number
        for voice in sorted(voices, key=lambda voice: voice.speaker):
            if voice.speaker == len(self._speakers):
                self._speakers.append(_Speaker(next(self._names), np.zeros_like(voice.vector)))
            if voice.speaker != UNKNOWN and not self._speakers[voice.speaker].fixed:
                speaker = self._speakers[voice.speaker]
                speaker.total = speaker.total + voice.vector * np.float32(max(voice.heard_s, 0.1))

    def _unite(self) -> None:
        """Speakers that turn out to be one, now that more is heard of them."""
        for later in reversed(range(len(self._speakers))):
            speaker = self._speakers[later]
            far = [1.0 - float(each.vector @ speaker.vector) for each in self._speakers[:later]]
            if speaker.fixed or min(far, default=_FARTHEST) > _UNITED:
                continue
            number = int(np.argmin(far))
            if not self._speakers[number].fixed:
                self._speakers[number].total = self._speakers[number].total + speaker.total
            del self._speakers[later]
            for voice in self._voices:
                if voice.speaker == later:
                    voice.speaker = number
                elif voice.speaker > later:
                    voice.speaker -= 1

    # At the end

    def recluster(self) -> None:
        """Group all voices again, now that all were heard; names are given in the order of appearance."""
        options = self._options.clustering
        lasting = [voice for voice in self._voices if voice.heard_s >= options.lasting_s] or self._voices
        lasting = sorted(lasting, key=lambda voice: -voice.heard_s)[:_MOST_AT_ONCE]
        lasting.sort(key=lambda voice: voice.group)
        if not lasting:
            return
        known = [speaker for speaker in self._speakers if speaker.fixed]
        vectors = [voice.vector for voice in lasting]
        table = np.stack(vectors)
        numbers = agglomerate(
            (1.0 - table @ vector for vector in vectors),
            [max(voice.heard_s, 0.1) for voice in lasting],
            [voice.group for voice in lasting],
            options,
        )
        groups = [_Speaker("", np.zeros_like(vectors[0])) for _ in range(max(numbers) + 1)]
        heard_s = [0.0] * len(groups)
        for voice, number in zip(lasting, numbers, strict=True):
            groups[number].total = groups[number].total + voice.vector * np.float32(max(voice.heard_s, 0.1))
            heard_s[number] += voice.heard_s
        most = sorted(range(len(groups)), key=lambda number: -heard_s[number])[: options.speakers]
        groups = [groups[number] for number in sorted(most)]
        self._name(groups, known)
        self._speakers = groups
        self._give_all(groups)

    def _name(self, groups: Sequence[_Speaker], known: Sequence[_Speaker]) -> None:
        """Known people's names to the groups that are like them; numbers to the others."""
        far = distances([group.vector for group in groups], [person.vector for person in known])
        options = ClusteringOptions(join=self._options.clustering.join, opening_s=0.0)
        names = numbered_names([person.name for person in known])
        for group, number in zip(groups, assign(far, [1.0] * len(groups), len(known), options), strict=True):
            group.name = known[number].name if 0 <= number < len(known) else next(names)

    def _give_all(self, groups: Sequence[_Speaker]) -> None:
        """Each voice of each window to the nearest group."""
        options = replace(self._options.clustering, join=2.0, opening_s=inf)
        by_group: dict[int, list[Voice]] = {}
        for voice in self._voices:
            by_group.setdefault(voice.group, []).append(voice)
        vectors = [group.vector for group in groups]
        for voices in by_group.values():
            far = distances([voice.vector for voice in voices], vectors)
            numbers = assign(far, [voice.heard_s for voice in voices], len(groups), options)
            for voice, number in zip(voices, numbers, strict=True):
                voice.speaker = number


def _seconds(frame: int) -> float:
    """Where a frame's middle lies; the first begins with the window."""
    return (frame * SPEECH_STEP_SAMPLES + SPEECH_FRAME_SAMPLES / 2) / SAMPLE_RATE_HZ
