"""Utterances of several sessions decoded together, in one call of CTranslate2, against one after the other.

python -m benchmarks.together corpus-hard --half report --output together

The same utterances in the same order, greedily, on two threads in all. What is decoded together is padded to
the longest of them, as CTranslate2 wants it, and comes when all of it is there. Each way is a process, or
two; the time to load is not counted.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from asrctl.models.store import ModelStore
from asrctl.policy.window import audio_context
from asrctl.transcript import Samples
from benchmarks.accuracy import accuracy
from benchmarks.common import (
    SAMPLE_RATE_HZ,
    Clip,
    half_option,
    machine,
    note,
    read_manifest,
    read_wav,
    save,
    table,
)
from benchmarks.measurement import measure

LENGTHS_S = (1.5, 12.0)
"""Of what people say without a pause."""
MODEL = "tiny.en"


@dataclass(frozen=True, slots=True)
class Way:
    """How to use two threads.

    Attributes:
        name: Short, for the table.
        processes: Each decodes its share, with one thread if there are two.
        at_once: Calls that run side by side in a process, on the same weights.
        together: Utterances in a call.
    """

    name: str
    processes: int = 1
    at_once: int = 1
    together: int = 1


WAYS = (
    Way("one by one, two threads"),
    Way("one by one, two processes", processes=2),
    Way("one by one, two calls at once", at_once=2),
    Way("2 together, two threads", together=2),
    Way("4 together, two threads", together=4),
    Way("8 together, two threads", together=8),
    Way("4 together, two processes", processes=2, together=4),
)


@dataclass(frozen=True, slots=True)
class Done:
    """What a process tells: the texts by the number of their clip, how long it took, and each call."""

    texts: dict[str, str]
    wall_s: float
    calls_s: list[float]


class Decoder:
    """CTranslate2's Whisper with the encoder fitted to the longest utterance of a call."""

    def __init__(self, threads: int, at_once: int) -> None:
        from faster_whisper import WhisperModel
        from faster_whisper.tokenizer import Tokenizer

        self._model = WhisperModel(
            str(ModelStore().ct2_directory(MODEL)),
            device="cpu",
            compute_type="int8",
            cpu_threads=threads,
            num_workers=at_once,
            local_files_only=True,
        )
        self._tokens = Tokenizer(self._model.hf_tokenizer, False)

    def decode(self, utterances: Sequence[Samples]) -> list[str]:
        """The text of each."""
        from faster_whisper.audio import pad_or_trim

        longest_s = max(map(len, utterances)) / SAMPLE_RATE_HZ
        frames = 2 * audio_context(longest_s)
        features = [pad_or_trim(self._model.feature_extractor(each), frames) for each in utterances]
        encoded = self._model.encode(np.stack(features))
        prompt = [*self._tokens.sot_sequence, self._tokens.no_timestamps]
        found = self._model.model.generate(encoded, [prompt] * len(utterances), beam_size=1)
        return [self._tokens.decode(each.sequences_ids[0]).strip() for each in found]


def utterances_of(corpus: Path, half: str, most_s: float) -> list[Clip]:
    """English clips as long as utterances, in an order that puts different ones side by side."""
    clips = [
        clip
        for clip in read_manifest(corpus, half)
        if clip.language == "en" and clip.text and LENGTHS_S[0] <= clip.duration_s <= LENGTHS_S[1]
    ]
    chosen, total_s = list[Clip](), 0.0
    for index in np.random.default_rng(0).permutation(len(clips)):
        if total_s >= most_s:
            break
        chosen.append(clips[index])
        total_s += clips[index].duration_s
    return chosen


def work(way: Way, corpus: Path, clips: Sequence[Clip], share: int) -> Done:
    """Decode a process's share of the clips."""
    decoder = Decoder(threads=2 // max(way.processes, way.at_once), at_once=way.at_once)
    mine = [
        (clip.id, read_wav(corpus / clip.file).astype(np.float32) / np.float32(32768))
        for clip in clips[share :: way.processes]
    ]
    calls = [mine[at : at + way.together] for at in range(0, len(mine), way.together)]

    def timed(call: Sequence[tuple[str, Samples]]) -> tuple[list[str], float]:
        started = time.perf_counter()
        return decoder.decode([samples for _, samples in call]), time.perf_counter() - started

    timed(calls[0])
    started = time.perf_counter()
    with ThreadPoolExecutor(way.at_once) as pool:
        answers = list(pool.map(timed, calls))
    wall_s = time.perf_counter() - started
    texts = {
        name: text
        for call, (said, _) in zip(calls, answers, strict=True)
        for (name, _), text in zip(call, said, strict=True)
    }
    return Done(texts, wall_s, [took_s for _, took_s in answers])


def run(way: Way, options: argparse.Namespace, clips: Sequence[Clip]) -> list[object]:
    """A way's row of the table: all of its processes, run side by side."""
    command = [sys.executable, "-m", "benchmarks.together", str(options.corpus), "--way", way.name]
    command += [f"--seconds={options.seconds}", *([f"--half={options.half}"] if options.half else [])]
    with ThreadPoolExecutor(way.processes) as pool:
        runs = list(pool.map(measure, [[*command, "--share", str(share)] for share in range(way.processes)]))
    done = [Done(**json.loads(each.stdout)) for each in runs]
    texts = {name: text for each in done for name, text in each.texts.items()}
    said, heard = (
        " ".join(each) for each in ([clip.text for clip in clips], [texts[clip.id] for clip in clips])
    )
    audio_s = sum(clip.duration_s for clip in clips)
    calls_s = [took_s for each in done for took_s in each.calls_s]
    return [
        way.name,
        audio_s / max(each.wall_s for each in done),
        float(np.median(calls_s)),
        float(np.percentile(calls_s, 95)),
        round(sum(each.peak_pss_bytes for each in runs) / 1e6),
        f"{accuracy(said, heard).wer_percent:.2f}",
    ]


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    clips = utterances_of(options.corpus, options.half, options.seconds)
    if options.way:
        way = next(each for each in WAYS if each.name == options.way)
        print(json.dumps(asdict(work(way, options.corpus, clips, options.share))))
        return 0
    about, rows = machine(), list[list[object]]()
    for way in WAYS:
        rows.append(run(way, options, clips))
        note(str(rows[-1]))
    header = ["way", "x real time", "a call, s", "p95", "MB", "WER %"]
    shown = table(header, rows)
    print(shown)
    save(options.output, {"machine": about, "utterances": len(clips), "rows": rows}, shown)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.together", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("corpus", type=Path, help="made by benchmarks.corpus --hard")
    half_option(parser)
    parser.add_argument("--seconds", type=float, default=600.0, help="of speech, at most")
    parser.add_argument("--output", default="together", help="of the files in results/")
    parser.add_argument("--way", choices=[way.name for way in WAYS], help=argparse.SUPPRESS)
    parser.add_argument("--share", type=int, default=0, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
