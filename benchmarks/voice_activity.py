"""Voice activity: speech that Silero misses when its state is carried on, and when it starts afresh.

python -m benchmarks.voice_activity benchmark-corpus/long_a.wav

"Loud" frames are those above -45 dBFS: the recording is clean, so they are speech. A 3 s window is deaf if
more than half of its frames are loud and fewer than a tenth of them are voiced.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from asrctl.audio import vad
from asrctl.audio.vad import FRAME_SAMPLES, SileroVad, SileroWeights
from asrctl.policy.endpointing import EndpointerOptions
from benchmarks.common import CORPUS, SAMPLE_RATE_HZ, machine, note, read_wav, save, table

LOUD_DBFS = -45.0
_WINDOW_FRAMES = round(3.0 * SAMPLE_RATE_HZ / FRAME_SAMPLES)
_NEVER = 1 << 40

Array = NDArray[np.float32]


def voiced(probabilities: Array) -> NDArray[np.bool_]:
    """Which frames the endpointer's two thresholds make speech."""
    options = EndpointerOptions()
    found, speaking = np.zeros(len(probabilities), bool), False
    for at, probability in enumerate(probabilities):
        least = options.offset_threshold if speaking else options.onset_threshold
        found[at] = speaking = bool(probability >= least)
    return found


def measure(samples: Array, forget_frames: int) -> dict[str, Any]:
    """What is missed, and what it costs, for a whole file in one piece."""
    with patch.object(vad, "_FORGET_FRAMES", forget_frames):
        detector = SileroVad(SileroWeights.load())
        started_s = time.process_time()
        probabilities = detector.probabilities(samples)
        cpu_s = time.process_time() - started_s
    frames = samples[: len(probabilities) * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    loud = 10 * np.log10((frames**2).mean(axis=1) + 1e-12) > LOUD_DBFS
    heard = voiced(probabilities)
    kernel = np.ones(_WINDOW_FRAMES) / _WINDOW_FRAMES
    deaf = (np.convolve(loud, kernel, "same") > 0.5) & (np.convolve(heard, kernel, "same") < 0.1)
    return {
        "loud_unvoiced_percent": round(100 * float(1 - heard[loud].mean()), 2),
        "deaf_windows_percent": round(100 * float(deaf.mean()), 2),
        "cpu_per_audio_s": round(cpu_s / (len(samples) / SAMPLE_RATE_HZ), 5),
    }


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.voice_activity", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("file", type=Path, nargs="?", default=CORPUS / "long_a.wav")
    options = parser.parse_args(arguments)
    samples = read_wav(options.file).astype(np.float32) / np.float32(32768)
    choices = {"carried on": _NEVER, "afresh 0.5 s after speech": vad._FORGET_FRAMES}
    rows = {name: measure(samples, frames) for name, frames in choices.items()}
    header = ["state", *next(iter(rows.values()))]
    found = table(header, [[name, *row.values()] for name, row in rows.items()])
    print(found)
    note(str(save("voice_activity", {"machine": machine(), "file": options.file.name, "rows": rows}, found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
