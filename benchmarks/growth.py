"""Does whisper.cpp's memory grow with many decodes, and with what does it?

python -m benchmarks.growth --decodes 200

Each case runs in a process of its own and decodes windows of many lengths: with parameters and callbacks made
once, with parameters and callbacks made for each decode, and in a new thread for each decode.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import psutil

from asrctl.audio.sample import sample_speech
from asrctl.models.store import ModelStore
from benchmarks.common import SAMPLE_RATE_HZ, machine, note, save, table

CASES = ("made once", "made per decode", "new threads")
_SAMPLE_POINTS = (0.1, 0.5, 1.0)


def run(case: str, decodes: int) -> list[float]:
    """Resident MB of this process after a tenth, half and all of the decodes."""
    import _pywhispercpp as native

    native.whisper_log_set(lambda *_: None)
    context_params = native.whisper_context_default_params()
    context_params.use_gpu = False
    path = str(ModelStore().resolve("tiny.en-q8_0").path)
    context = native.whisper_init_from_file_with_params(path, context_params)
    speech, rng = np.tile(sample_speech(), 4), np.random.default_rng(0)
    kept = _parameters(native)
    points = [round(share * decodes) for share in _SAMPLE_POINTS]
    found = []

    def decode() -> None:
        params = kept if case == "made once" else _parameters(native)
        count = round(rng.uniform(1.1, 11.0) * SAMPLE_RATE_HZ)
        params.audio_ctx = 50 * count // SAMPLE_RATE_HZ + 128
        params.max_tokens = 16
        native.whisper_full(context, params, speech[:count].copy(), min(count, len(speech)))

    for number in range(1, decodes + 1):
        if case == "new threads":
            thread = threading.Thread(target=decode)
            thread.start()
            thread.join()
        else:
            decode()
        if number in points:
            found.append(round(psutil.Process().memory_info().rss / 1e6, 1))
    return found


def _parameters(native: Any) -> Any:
    params = native.whisper_full_default_params(native.whisper_sampling_strategy.WHISPER_SAMPLING_GREEDY)
    for name in ("print_progress", "print_realtime", "print_timestamps", "print_special"):
        setattr(params, name, False)
    params.n_threads, params.no_context, params.token_timestamps, params.language = 1, True, True, "en"
    native.assign_abort_callback(params, lambda: False)
    return params


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--decodes", type=int, default=200)
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.case:
        print(*run(options.case, options.decodes), flush=True)
        os._exit(0)  # the native module's own clean-up is not what is measured
    rows = {}
    for case in CASES:
        command = [
            sys.executable,
            "-m",
            "benchmarks.growth",
            "--case",
            case,
            "--decodes",
            str(options.decodes),
        ]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        rows[case] = [float(value) for value in done.stdout.split()]
    header = ["parameters", "RSS MB after 10 %", "50 %", "100 %"]
    found = table(header, [[key, *row] for key, row in rows.items()])
    print(found)
    note(str(save("growth", {"machine": machine(), "decodes": options.decodes, "rss_mb": rows}, found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
