"""Rare terms, sentences with each of them in a synthetic voice, and speech without them."""

from __future__ import annotations

import io
import re
import subprocess
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asrctl.audio.convert import StreamConverter
from benchmarks.common import SAMPLE_RATE_HZ, Pcm, read_manifest, read_wav

TERMS = (
    *("Okonkwo", "Lindqvist", "Takahashi", "Papadopoulos", "Guttormsen", "Yamanaka", "Petrosyan"),
    *("Achterberg", "Balasubramanian", "Szymanski", "Brandstetter", "Vandermeer", "Kubernetes", "Grafana"),
    *("Terraform", "Postgres", "Keycloak", "Redpanda", "Airbyte", "Zabbix", "Vaultwarden", "Metoprolol"),
    *("Apixaban", "Levothyroxine", "Amlodipine", "Dexamethasone", "Rivaroxaban", "Pembrolizumab"),
    *("Empagliflozin", "Reykjavik", "Ouagadougou", "Eindhoven", "Zaragoza", "Timisoara", "Szeged"),
    *("Novartis", "Glencore", "Wolters Kluwer", "Rosenbauer", "Thyssenkrupp", "Xylazine", "Ansible"),
    *("Ozempic", "Tachikawa", "Mbeki", "Hrubesch", "Nextcloud", "Quillfeather"),
)
"""People, products, medicines and places; every second one is for choosing."""
_SENTENCES = (
    "Please send the report about {} to me before Friday.",
    "We talked about {} in the meeting this morning.",
    "I think that {} is the right choice for us.",
    "The next item on the list is {}.",
)
_WITHOUT = (
    "The train to the airport leaves every twenty minutes.",
    "Can somebody open the window, it is rather warm in here.",
    "I think that we should finish this before lunch.",
    "Please send the report to me before Friday.",
    "The next item on the list is the budget for next year.",
    "Yes.",
    "Thank you very much, that was helpful.",
    "We talked about the weather in the meeting this morning.",
)
_VOICES = ("en-us", "en-gb", "en-gb-scotland", "en-us-nyc", "en-gb-x-rp")
_SPEED_WPM = 150
CLIP_TERMS = (
    *("Asterisk", "Digium", "Dashwood", "touchtone", "telemarketers", "incredulity", "prudently"),
    *("noisiest", "superlative", "forevermore", "prepending", "blacklisted", "receivables", "debugging"),
)
"""Of the clips of `python -m benchmarks.corpus`; every second one is for choosing."""
_QUIET_S = 0.3

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Utterance:
    """A piece of audio, what is said in it, and the terms among that."""

    samples: Array
    text: str
    terms: tuple[str, ...] = ()


def spoken(text: str, voice: str) -> Array:
    """A sentence in a voice of espeak-ng, between short pauses."""
    command = ["espeak-ng", "-v", voice, "-s", str(_SPEED_WPM), "--stdout", text]
    done = subprocess.run(command, capture_output=True, check=True)
    # Its header is written before the length is known.
    with wave.open(io.BytesIO(done.stdout), "rb") as file:
        rate_hz, frames = file.getframerate(), file.readframes(1 << 30)
    raw = _floats(np.frombuffer(frames, "<i2"))
    converter = StreamConverter(rate_hz, 1)
    samples = np.concatenate([converter.feed(raw[:, None]), converter.flush()])
    quiet = np.zeros(round(_QUIET_S * SAMPLE_RATE_HZ), np.float32)
    return np.concatenate([quiet, samples, quiet])


def _floats(samples: Pcm) -> Array:
    return samples.astype(np.float32) / np.float32(32768)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.casefold())


def found_in(text: str, terms: Sequence[str]) -> list[str]:
    """The terms that a text holds, as whole words, however they are written."""
    flat = f" {' '.join(_words(text))} "
    return [term for term in terms if f" {' '.join(_words(term))} " in flat]


def with_terms(terms: Sequence[str]) -> list[Utterance]:
    """A sentence for each term, in voices that take turns."""
    made = []
    for number, term in enumerate(terms):
        text = _SENTENCES[number % len(_SENTENCES)].format(term)
        made.append(Utterance(spoken(text, _VOICES[number % len(_VOICES)]), text, (term,)))
    return made


def without_terms() -> list[Utterance]:
    """Sentences without any, each in two voices."""
    return [Utterance(spoken(text, voice), text) for text in _WITHOUT for voice in _VOICES[:2]]


def clips(corpus: Path, terms: Sequence[str]) -> tuple[list[Utterance], list[Utterance]]:
    """Clips of a corpus that hold a term, and those that hold none."""
    holding, others = list[Utterance](), list[Utterance]()
    for clip in read_manifest(corpus):
        samples = _floats(read_wav(corpus / clip.file))
        said = tuple(found_in(clip.text, terms))
        (holding if said else others).append(Utterance(samples, clip.text, said))
    return holding, others


def wordless(seed: int = 0) -> list[Utterance]:
    """Digital silence, noise of several levels, hum, and clicks, of several lengths."""
    rng, made = np.random.default_rng(seed), list[Array]()
    for seconds in (1.0, 4.0):
        count = round(seconds * SAMPLE_RATE_HZ)
        time_s = np.arange(count) / SAMPLE_RATE_HZ
        made += [rng.normal(0, level, count).astype(np.float32) for level in (0.0003, 0.003, 0.03)]
        made.append(np.zeros(count, np.float32))
        made.append((0.1 * np.sin(2 * np.pi * 50 * time_s)).astype(np.float32))
        made.append(np.where(rng.random(count) < 0.0005, 0.5, 0.0).astype(np.float32))
        brown = np.cumsum(rng.normal(0, 1, count))
        made.append((0.2 * brown / np.abs(brown).max()).astype(np.float32))
    return [Utterance(samples, "") for samples in made]
