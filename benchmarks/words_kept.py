"""Words that recognisers drop or add: of quiet speech, and of what is said again and again.

    python -m benchmarks.words_kept benchmark-corpus --half report

Quiet speech is the half's flow, its peak so far below full scale, also as one window after the other
without voice activity detection. Repeated words are spoken by espeak-ng (a package of Debian). They are dealt
into the halves too: settings are chosen on one, figures reported on the other.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import soundfile

from asrctl.engine import Engine
from asrctl.providers.registry import is_installed
from asrctl.transcript import Samples
from benchmarks.accuracy import Accuracy, accuracy
from benchmarks.common import HALVES, SAMPLE_RATE_HZ, read_wav, table
from benchmarks.talks import keep, parser

QUIETER_DB = (0, 10, 20, 30, 40, 50)
REPEATED = {
    "choose": (
        ("en-us", 130, "Please dial " + "five " * 6 + "one two."),
        ("en-us", 150, "Go go go go go! Run run run run run!"),
        ("en-us", 150, "We shall overcome. " * 6),
        ("en-us", 150, "No " * 12),
        ("en-gb", 160, "Yes, " * 8 + "that is what she said."),
        ("en-us", 170, "Stop " * 10 + "please."),
        ("en-us", 140, "The code is " + "seven " * 8),
        ("en-gb", 160, "Hurry up, " * 7 + "the train is leaving."),
        ("en-us", 160, "go " * 8 + ". The number is " + "five " * 9),
        ("en-us", 160, "no " * 20),
        ("en-us", 150, "one two three " * 7),
        ("en-gb-scotland", 150, "wait " * 9 + "I am not ready yet."),
    ),
    "report": (
        ("en-us", 150, "Hello " * 6 + "can you hear me now?"),
        ("en-gb", 140, "My number is " + "nine " * 7 + "four two."),
        ("en-us", 150, "Left right " * 6 + "halt."),
        ("en-us", 160, "Why " * 7 + "did you do that?"),
        ("en-us", 150, "Happy birthday to you. " * 5),
        ("en-gb", 150, "Knock " * 8),
        ("en-us", 170, "yeah " * 16),
        ("en-us", 150, "The answer is " + "never " * 10 + "and you know it."),
        ("en-us", 130, "zero " * 12 + "one"),
        ("en-gb", 150, "Let it go " * 8),
        ("en-us", 160, "Help " * 7 + "! Somebody call the police."),
        ("en-us", 140, "eight " * 7 + "six " * 7),
    ),
}
MODELS = {"whisper_cpp": "tiny.en-q8_0", "faster_whisper": "tiny.en"}

Decode = Callable[[Samples], str]


def quiet(decode: Decode, flow: Samples, text: str) -> list[Accuracy]:
    """How right the words of a recording are at each level."""
    loud = flow / np.abs(flow).max()
    return [accuracy(text, decode((loud * 10 ** (-by_db / 20)).astype(np.float32))) for by_db in QUIETER_DB]


def repeated(decode: Decode, half: str) -> Accuracy:
    """How right all repeated words are, together."""
    found = [accuracy(text, decode(_spoken(voice, pace, text))) for voice, pace, text in REPEATED[half]]
    substitutions, deletions, insertions, words = (
        sum(getattr(each, name) for each in found)
        for name in ("substitutions", "deletions", "insertions", "words")
    )
    wer_percent = round(100 * (substitutions + deletions + insertions) / words, 1)
    return Accuracy(wer_percent, substitutions, deletions, insertions, words)


def _spoken(voice: str, words_a_minute: int, text: str) -> Samples:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "spoken.wav"
        command = ["espeak-ng", "-v", voice, "-s", str(words_a_minute), "-w", str(path), text.strip()]
        subprocess.run(command, check=True, capture_output=True)
        samples, rate_hz = soundfile.read(path, dtype="float32")
    at = np.arange(0, len(samples), rate_hz / SAMPLE_RATE_HZ)
    pause = np.zeros(round(0.4 * SAMPLE_RATE_HZ), np.float32)
    return np.concatenate([pause, np.interp(at, np.arange(len(samples)), samples), pause]).astype(np.float32)


def _decoded(engine: Engine, samples: Samples, vad: bool = True) -> str:
    return engine.transcribe(samples, vad=vad).text


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    made = parser("words_kept", __doc__)
    made.add_argument("--half", choices=HALVES, default="report")
    options = made.parse_args(arguments)
    flow = read_wav(options.corpus / f"flow_{options.half}.wav").astype(np.float32)
    text = (options.corpus / f"flow_{options.half}.txt").read_text("utf-8")
    rows, more = list[list[object]](), list[list[object]]()
    for provider, model in MODELS.items():
        if provider == "faster_whisper" and not is_installed(provider):
            continue
        with Engine(model, provider=provider) as engine:
            for vad in (True, False):
                levels = quiet(partial(_decoded, engine, vad=vad), flow, text)
                name = provider + ", no VAD" * (not vad)
                rows.append([name, *(f"{each.wer_percent:.1f} ({each.deletions})" for each in levels)])
            again = repeated(partial(_decoded, engine), options.half)
            counts = (again.words, again.deletions, again.insertions, again.substitutions)
            more.append([provider, *counts, again.wer_percent])
    header = ["provider", *(f"-{by_db} dB" for by_db in QUIETER_DB)]
    levels_table = table(header, rows, "Quiet speech, WER % (words left out)")
    counted = ["provider", "words", "left out", "added", "others", "WER %"]
    keep(options, {"half": options.half}, levels_table, table(counted, more, "Words said again and again"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
