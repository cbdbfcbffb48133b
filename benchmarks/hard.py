"""The hard corpus: noisy, far, telephone, overlapping, hesitant, hardly pausing speech; other languages.

It is dealt into two halves once, and no speaker is in both: settings are chosen on one, figures reported on
the other. Everything is made from clean clips by a seed, so that the same packages give the same samples.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np

from benchmarks import mixing
from benchmarks.common import CLEAN, HALVES, Clip, read_wav, silence, write_wav
from benchmarks.mixing import Samples, floats, ints
from benchmarks.noises import hum, music, pink
from benchmarks.sources import decoded

SNRS_DB = (20, 10, 15, 5, 0)
RECORDED = "recorded"
"""Speech that was hard when it was recorded."""
GAP_S = (0.05, 0.2)
_BED_DB = 20.0
_FLOWING_S = 25.0
_REPEATED_S = 5.0
_TALKERS = 4
_LONGEST_S = 30.0
_SHORTEST_S = 1.2
_MOST_OF_A_LANGUAGE = 24

_SPEAKERS = {
    "choose": "allison two-cities librivox-sense june menardi synthetic-hi synthetic-pt synthetic-nl",
    "report": "michael podcast librivox-61 librivox-sonnet es-co armelle carlo ivrvoice librivox-13697"
    " common-voice-ja se10x016 synthetic-de synthetic-zh synthetic-pl synthetic-tr",
}


def half_of(speaker: str) -> str:
    """The half that a speaker is in: as listed, so that both have about as much; else by the name's hash."""
    for half, speakers in _SPEAKERS.items():
        if speaker in speakers.split():
            return half
    return HALVES[sha256(speaker.encode()).digest()[-1] % 2]


@dataclass(frozen=True, slots=True)
class Material:
    """What the clips of a half are made from.

    Attributes:
        clips: English with known words.
        samples: Of each clip, by its id.
        beds: Music, one piece after the other.
        rng: Seeded for the half and the condition.
    """

    clips: Sequence[Clip]
    samples: Mapping[str, Samples]
    beds: Sequence[Samples]
    rng: np.random.Generator

    def other(self, than: Clip) -> Clip:
        """A clip by another speaker, or another clip if there is none."""
        short = [clip for clip in self.clips if clip.id != than.id and clip.duration_s < _LONGEST_S]
        others = [clip for clip in short if clip.speaker != than.speaker] or short
        return others[int(self.rng.integers(len(others)))]


Made = tuple[Samples, str]


def _babble(material: Material, number: int, clip: Clip) -> Made:
    speech = material.samples[clip.id]
    others = [material.samples[material.other(clip).id] for _ in range(_TALKERS)]
    return mixing.with_noise(
        speech, mixing.babble(others, len(speech), material.rng), _snr(number)
    ), clip.text


def _music(material: Material, number: int, clip: Clip) -> Made:
    bed = material.beds[number % len(material.beds)]
    return mixing.with_noise(material.samples[clip.id], bed, _snr(number)), clip.text


def _hum(material: Material, number: int, clip: Clip) -> Made:
    speech = material.samples[clip.id]
    return mixing.with_noise(speech, hum(len(speech)).astype(np.float64), _snr(number)), clip.text


def _far(material: Material, number: int, clip: Clip) -> Made:
    rt60_s, direct_db = material.rng.uniform(0.3, 0.9), material.rng.uniform(-4.0, 4.0)
    return mixing.far(material.samples[clip.id], material.rng, rt60_s, direct_db), clip.text


def _telephone(material: Material, number: int, clip: Clip) -> Made:
    return mixing.telephone(material.samples[clip.id]), clip.text


def _overlapping(material: Material, number: int, clip: Clip) -> Made:
    other, overlap_s = material.other(clip), material.rng.uniform(0.2, 0.8)
    both = mixing.overlapping(material.samples[clip.id], material.samples[other.id], overlap_s)
    return both, f"{clip.text} {other.text}"


def _hesitant(material: Material, number: int, clip: Clip) -> Made:
    """Pauses inside; what is short is said again, as by people who look for what comes next."""
    speech = mixing.hesitant(material.samples[clip.id], material.rng, (0.3, 1.2))
    if clip.duration_s > _REPEATED_S:
        return speech, clip.text
    pause = floats(silence(material.rng.uniform(0.1, 0.5), material.rng))
    return np.concatenate([speech, pause, material.samples[clip.id]]), f"{clip.text} {clip.text}"


def _flowing(material: Material, number: int, clip: Clip) -> Made:
    clips = [clip]
    while sum(each.duration_s for each in clips) < _FLOWING_S:
        clips.append(material.other(clips[-1]))
    return joined([material.samples[each.id] for each in clips], material.rng), " ".join(
        each.text for each in clips
    )


def joined(clips: Sequence[Samples], rng: np.random.Generator) -> Samples:
    """Clips with hardly a pause, over noise that fills the pauses."""
    speech = mixing.flowing(clips, rng, GAP_S)
    return mixing.with_noise(speech, pink(len(speech), rng).astype(np.float64), _BED_DB)


Maker = Callable[[Material, int, Clip], Made]
CONDITIONS: dict[str, Maker] = {
    "babble": _babble,
    "music": _music,
    "hum": _hum,
    "far": _far,
    "telephone": _telephone,
    "overlapping": _overlapping,
    "hesitant": _hesitant,
    "flowing": _flowing,
}


def _snr(number: int) -> int:
    return SNRS_DB[number % len(SNRS_DB)]


def hard_clips(directory: Path, clips: Sequence[Clip], seconds: float, seed: int) -> Iterator[Clip]:
    """Write the clips of both halves into a corpus directory: the clean ones dealt, and those made of them.

    Args:
        directory: Of the corpus; it has what the clips name.
        clips: Clean and recorded clips.
        seconds: Of each condition in each half; the last clip is whole.
        seed: Decides which clips are taken and how they are changed.
    """
    beds = [samples.astype(np.float64) for _, samples in music(directory)]
    for number, half in enumerate(HALVES):
        dealt = [replace(clip, half=half) for clip in _usable(clips) if half_of(clip.speaker) == half]
        yield from dealt
        base = [clip for clip in dealt if _is_base(clip)]
        samples = {clip.id: floats(read_wav(directory / clip.file)) for clip in base}
        for name, make in CONDITIONS.items():
            rng = np.random.default_rng([seed, zlib.crc32(f"{half} {name}".encode())])
            material = Material(base, samples, beds[number::2], rng)
            if name != "music" or material.beds:
                yield from _condition(directory, material, name, make, seconds)


def _is_base(clip: Clip) -> bool:
    return clip.language == "en" and clip.condition == CLEAN and bool(clip.text) and not clip.synthetic


def _usable(clips: Sequence[Clip]) -> Iterator[Clip]:
    """Long enough, and of other languages not more than is needed of one speaker."""
    taken: dict[tuple[str, str], int] = {}
    for clip in sorted(clips, key=lambda each: sha256(each.id.encode()).digest()):
        key = clip.language, clip.speaker
        if clip.duration_s >= _SHORTEST_S and (
            clip.language == "en" or taken.get(key, 0) < _MOST_OF_A_LANGUAGE
        ):
            taken[key] = taken.get(key, 0) + 1
            yield clip


def _condition(
    directory: Path,
    material: Material,
    name: str,
    make: Maker,
    seconds: float,
) -> Iterator[Clip]:
    total_s = 0.0
    for number, index in enumerate(material.rng.permutation(len(material.clips))):
        if total_s >= seconds:
            break
        clip = material.clips[index]
        samples, text = make(material, number, clip)
        file = f"audio/hard-{clip.half}-{name}-{number}.wav"
        duration_s = round(write_wav(directory / file, [ints(samples)]), 3)
        about = f"{name}-{_snr(number)}db" if name in ("babble", "music", "hum") else name
        yield replace(
            clip, id=f"{about}-{clip.id}", file=file, duration_s=duration_s, text=text, condition=name
        )
        total_s += duration_s


def recorded_clips(directory: Path, corpus: Path) -> Iterator[Clip]:
    """Somebody's recordings: *.flac or *.wav with their words as *.txt; the speaker is the name's beginning.

    Of `film_15s.flac` the speaker is "film", as of LibriSpeech's `103-1240-0000.flac` it is "103".
    """
    for path in sorted(each for each in directory.iterdir() if each.suffix in (".flac", ".wav")):
        text = path.with_suffix(".txt").read_text(encoding="utf-8")
        speaker, file = re.split("[-_]", path.stem)[0], f"audio/recorded-{path.stem}.wav"
        duration_s = round(write_wav(corpus / file, [decoded(path)]), 3)
        words = " ".join(text.split())
        yield Clip(path.stem, file, duration_s, words, speaker, "", False, "en", RECORDED, speaker)


def flow(
    corpus: Path, clips: Sequence[Clip], duration_s: float, rng: np.random.Generator
) -> tuple[Samples, str]:
    """Hardly pausing speech of about a length or less with its words: hard English clips, shuffled."""
    spoken = [clip for clip in clips if clip.language == "en" and clip.condition != CLEAN and clip.text]
    chosen, total_s = list[Clip](), 0.0
    for index in rng.permutation(len(spoken)):
        if total_s >= duration_s:
            break
        chosen.append(spoken[index])
        total_s += spoken[index].duration_s
    samples = joined([floats(read_wav(corpus / clip.file)) for clip in chosen], rng)
    return samples, " ".join(clip.text for clip in chosen)


def write_flow(corpus: Path, clips: Sequence[Clip], duration_s: float, seed: int, name: str) -> Path:
    """Write `<name>.wav` and `<name>.txt`, for live sessions and whole files."""
    samples, text = flow(corpus, clips, duration_s, np.random.default_rng(seed))
    path = corpus / f"{name}.wav"
    write_wav(path, [ints(samples)])
    path.with_suffix(".txt").write_text(f"{text}\n", encoding="utf-8")
    return path
