"""Recall of rare terms with a vocabulary and without, and what it inserts where no term was said.

python -m benchmarks.vocabulary whisper_cpp tiny.en-q8_0 --choose
python -m benchmarks.vocabulary whisper_cpp tiny.en-q8_0 --corpus benchmark-corpus

Every second term is for choosing how terms are written into a prompt (`--choose`, which tries them all), the
others are what is reported. Sentences with a term each are spoken by espeak-ng, in five voices; those with
terms in recordings come from a corpus. False insertions are terms of the vocabulary in texts of sentences and
clips that hold none of them, and of silence and noise.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from asrctl.assembly import prepare
from asrctl.policy.vocabulary import context
from asrctl.providers.base import DecodeOptions, ModelSpec, WindowedModel
from asrctl.providers.registry import load
from asrctl.providers.terms import transcribe
from asrctl.providers.tokens import confidence
from asrctl.settings import Settings
from benchmarks.common import machine, note, save, table
from benchmarks.vocabulary_set import (
    CLIP_TERMS,
    TERMS,
    Utterance,
    clips,
    found_in,
    with_terms,
    without_terms,
    wordless,
)

Format = Callable[[str, Sequence[str]], str]


@dataclass(frozen=True, slots=True)
class Way:
    """How terms are told: in which form, and whether what is unsure is decoded again without them."""

    format: Format | None = None
    guarded: bool = True

    def options(self, terms: Sequence[str]) -> DecodeOptions:
        """For a window."""
        if self.format is None:
            return DecodeOptions()
        if self.guarded:
            return DecodeOptions(vocabulary=tuple(terms))
        return DecodeOptions(prompt=self.format("", terms))


WITHOUT, SHIPPED = "without", "as shipped"
WAYS = {
    WITHOUT: Way(),
    SHIPPED: Way(context),
    "the same, not guarded": Way(context, guarded=False),
    "Glossary: A, B.": Way(lambda prompt, terms: f"Glossary: {', '.join(terms)}." if terms else prompt),
    "A. B.": Way(lambda prompt, terms: f"{'. '.join(terms)}." if terms else prompt),
}
_MOST_CLIPS = 16


@dataclass(frozen=True, slots=True)
class Sets:
    """What is decoded: with terms, and without; and what is no speech."""

    terms: tuple[str, ...]
    spoken: list[Utterance]
    recorded: list[Utterance]
    others: list[Utterance]
    noise: list[Utterance]

    @classmethod
    def half(cls, number: int, corpus: Path | None) -> Sets:
        """Of the first half (0), to choose by, or of the second (1)."""
        terms, of_clips = TERMS[number::2], CLIP_TERMS[number::2]
        holding, others = clips(corpus, of_clips) if corpus else ([], [])
        others = others[:: max(1, len(others) // _MOST_CLIPS)]
        used = (*terms, *of_clips) if corpus else terms
        return cls(used, with_terms(terms), holding, [*without_terms(), *others], wordless())


def measure(model: WindowedModel, sets: Sets, way: Way) -> dict[str, Any]:
    """Counts of one way, and all texts with how sure they are."""
    started_s = time.perf_counter()
    options, said = way.options(sets.terms), dict[str, list[tuple[str, float, str]]]()
    for kind in ("spoken", "recorded", "others", "noise"):
        said[kind] = []
        for each in getattr(sets, kind):
            heard = transcribe(model, each.samples, options, bool)
            said[kind].append((each.text, round(confidence(heard), 3), heard.text))

    def recall(kind: str) -> str:
        wanted = [found_in(text, sets.terms) for text, _, _ in said[kind]]
        found = [found_in(heard, sets.terms) for _, _, heard in said[kind]]
        hits = sum(len({*one} & {*other}) for one, other in zip(wanted, found, strict=True))
        return f"{hits} of {sum(map(len, wanted))}"

    def inserted(*kinds: str) -> int:
        texts = [each for kind in kinds for each in said[kind]]
        return sum(
            len({*found_in(heard, sets.terms)} - {*found_in(text, sets.terms)}) for text, _, heard in texts
        )

    return {
        "terms by espeak-ng": recall("spoken"),
        "in clips": recall("recorded"),
        "wrong terms": inserted("spoken", "recorded"),
        "inserted in speech without": inserted("others"),
        "in silence and noise": inserted("noise"),
        "noise with text": f"{sum(bool(heard) for _, _, heard in said['noise'])} of {len(said['noise'])}",
        "seconds": round(time.perf_counter() - started_s, 1),
        "said": said,
    }


def spec_of(provider: str, model: str) -> ModelSpec:
    """The model as `asrctl transcribe` would load it, with one thread."""
    return prepare(Settings(provider=provider, model=model, threads=1)).spec


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.vocabulary", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("provider")
    parser.add_argument("model")
    parser.add_argument("--corpus", type=Path, help="of python -m benchmarks.corpus; none: only espeak-ng")
    parser.add_argument("--choose", action="store_true", help="try all ways on the terms for choosing")
    parser.add_argument("--output", action="store_true", help="keep it in results/")
    options = parser.parse_args(arguments)
    about = machine()
    sets = Sets.half(0 if options.choose else 1, options.corpus)
    rows = {}
    with closing(load(spec_of(options.provider, options.model))) as model:
        for name in WAYS if options.choose else (WITHOUT, SHIPPED):
            way = WAYS[name]
            with patch(f"asrctl.providers.{options.provider}.context", way.format or context):
                rows[name] = measure(model, sets, way)
            note(f"{name}: { {key: value for key, value in rows[name].items() if key != 'said'} }")
    heads = [key for key in next(iter(rows.values())) if key != "said"]
    shown = table(
        [f"{options.provider} {options.model}", *heads],
        [[name, *(row[head] for head in heads)] for name, row in rows.items()],
    )
    print(shown)
    if options.output:
        kind = "vocabulary_choice" if options.choose else "vocabulary"
        name = f"{kind}_{options.provider}_{options.model.partition('-')[0].replace('.', '_')}"
        save(name, {"machine": about, "rows": rows}, shown)
    return 0


if __name__ == "__main__":
    sys.exit(main())
