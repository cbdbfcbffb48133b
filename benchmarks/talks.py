"""Conversations made of the corpus, what decodes them here, and what benchmarks of them share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asrctl.audio.files import open_audio
from asrctl.audio.vad import SileroVad, SileroWeights
from asrctl.bench.engine import Workers
from asrctl.bench.paced import Talk
from asrctl.bench.setup import Setup, builtin
from asrctl.cli.bench_options import setup_of
from asrctl.settings import load
from benchmarks.common import (
    CORPUS,
    SAMPLE_RATE_HZ,
    Clip,
    Table,
    machine,
    note,
    read_manifest,
    read_wav,
    save,
)
from benchmarks.common import silence as pause
from benchmarks.hard import flow
from benchmarks.serve_process import end_on_sigterm

PAUSES_S = (0.7, 2.5)
SHORTEST_CLIP_S = 1.5
_LONG_S = 60.0
"""What `asrctl transcribe` calls long; the windows of files depend on it."""


def conversation(corpus: Path, clips: Sequence[Clip], duration_s: float, seed: int) -> Talk:
    """Clips in random order with pauses, about as long as asked for; a line of the text for each."""
    rng = np.random.default_rng(seed)
    parts, texts, total = [pause(0.5, rng)], list[str](), 0.0
    for index in rng.permutation(len(clips)):
        clip = clips[index]
        parts += [read_wav(corpus / clip.file), pause(rng.uniform(*PAUSES_S), rng)]
        texts.append(clip.text)
        total = sum(map(len, parts)) / SAMPLE_RATE_HZ
        if total >= duration_s:
            break
    return Talk(np.concatenate(parts).astype(np.float32) / np.float32(32768), "\n".join(texts))


def talks_of(
    corpus: Path,
    count: int,
    duration_s: float,
    seed: int = 0,
    half: str = "",
    longer_than_s: float = SHORTEST_CLIP_S,
) -> list[Talk]:
    """So many different conversations, about as long as asked for, of clips of real speech of some length.

    Of a half of the hard corpus it is speech that hardly pauses.
    """
    seeds = range(seed, seed + count)
    clips = [
        clip for clip in read_manifest(corpus, half) if not clip.synthetic and clip.duration_s > longer_than_s
    ]
    if half:
        flows = [flow(corpus, clips, duration_s, np.random.default_rng(each)) for each in seeds]
        return [Talk(samples.astype(np.float32), text) for samples, text in flows]
    return [conversation(corpus, clips, duration_s, each) for each in seeds]


def joined(recordings: Sequence[Path], count: int, duration_s: float) -> list[Talk]:
    """So many talks of whole recordings one after the other, without pauses between, as long or a little
    longer; each begins with another one. What is said in NAME.flac stands in NAME.txt."""
    spoken = [
        Talk(np.concatenate(list(open_audio(str(path)))), path.with_suffix(".txt").read_text("utf-8").strip())
        for path in recordings
    ]
    talks = []
    for number in range(count):
        parts, total_s = list[Talk](), 0.0
        while total_s < duration_s:
            parts.append(spoken[(number + len(parts)) % len(spoken)])
            total_s += len(parts[-1].samples) / SAMPLE_RATE_HZ
        samples = np.concatenate([part.samples for part in parts])
        talks.append(Talk(samples, " ".join(str(part.text) for part in parts)))
    return talks


def setup_for(model: str, workers: int | None = None) -> Setup:
    """What `asrctl serve` and `asrctl transcribe` run a model with on this machine."""
    return setup_of(load().settings, builtin(_LONG_S), None, model, None, workers)


def transcripts(workers: Workers, talks: Sequence[Talk]) -> list[str]:
    """The talks decoded as files."""
    return [workers.transcribe([talk.samples])[0] for talk in talks]


def detector() -> SileroVad:
    """What finds speech."""
    return SileroVad(SileroWeights.load())


def spread(values: Sequence[float]) -> str:
    """Median and p95, as "0.61 / 0.92"; "-" for none."""
    if not values:
        return "-"
    return f"{float(np.median(values)):.3f} / {float(np.percentile(values, 95)):.3f}"


# What they share on their command lines


def parser(name: str, about: str | None) -> argparse.ArgumentParser:
    """A parser with the options that all have, for a program that leaves no server behind."""
    end_on_sigterm()
    made = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=about)
    made.formatter_class = argparse.RawDescriptionHelpFormatter
    made.add_argument("corpus", type=Path, nargs="?", default=CORPUS, help="a corpus directory")
    made.add_argument("--model", default="tiny.en-q8_0")
    made.add_argument("--output", metavar="NAME", help="keep the raw figures as results/NAME.json")
    return made


def keep(options: argparse.Namespace, result: dict[str, Any], *tables: Table) -> None:
    """Print tables, and save them with a result if that was asked for."""
    print(*tables, sep="\n\n")
    if options.output:
        note(str(save(options.output, {"machine": machine(), "model": options.model, **result}, *tables)))
