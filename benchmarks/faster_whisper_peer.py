"""faster-whisper as a command line, for the comparison: run by a Python that has it, imports nothing of ours.

Sequential decoding is `WhisperModel.transcribe`, batched is `BatchedInferencePipeline.transcribe`, both with
the library's defaults but for what is given here. The text goes to standard output.
"""

from __future__ import annotations

import argparse
from typing import Any

from faster_whisper import BatchedInferencePipeline, WhisperModel


def main() -> None:
    """Decode one file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="a CTranslate2 directory")
    parser.add_argument("audio")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--beam-size", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=0, help="0 is sequential")
    parser.add_argument("--vad", action="store_true")
    options = parser.parse_args()
    model = WhisperModel(options.model, device="cpu", compute_type="int8", cpu_threads=options.threads)
    settings: dict[str, Any] = {"language": "en", "beam_size": options.beam_size}
    if options.batch_size:
        pipeline = BatchedInferencePipeline(model)
        segments, _ = pipeline.transcribe(options.audio, batch_size=options.batch_size, **settings)
    else:
        segments, _ = model.transcribe(options.audio, vad_filter=options.vad, **settings)
    for segment in segments:
        print(segment.text.strip(), flush=True)


if __name__ == "__main__":
    main()
