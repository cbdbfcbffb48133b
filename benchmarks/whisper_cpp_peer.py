"""whisper.cpp by pywhispercpp as a command line, for the comparison where there is no `whisper-cli`.

whisper.cpp's own defaults but for greedy decoding. The text goes to standard output.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

from pywhispercpp.model import Model


def main() -> None:
    """Decode one file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="a ggml file")
    parser.add_argument("audio", help="a WAV file, 16 kHz, mono")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    settings: dict[str, Any] = {"language": "en", "greedy": {"best_of": 1}, "print_progress": False}
    model = Model(options.model, n_threads=options.threads, redirect_whispercpp_logs_to=None)
    for segment in model.transcribe(options.audio, **settings):
        print(segment.text.strip(), flush=True)
    os._exit(0)  # the binding's log callback would outlive the interpreter


if __name__ == "__main__":
    main()
