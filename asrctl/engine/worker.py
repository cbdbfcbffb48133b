"""The worker process: one loaded model, one decode at a time, nothing printed.

Run as `python -m asrctl.engine.worker`, with frames on standard input and output. Whatever native code
prints goes to standard error, which the parent keeps for diagnosis. It ends when its input does, so it
cannot outlive its parent.
"""

from __future__ import annotations

import importlib
import os
import queue
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO

from asrctl.engine.wire import WireClosed, hypothesis_to_json, read_frame, write_frame
from asrctl.errors import AsrctlError, ModelError
from asrctl.providers.base import Aborted, DecodeOptions, ModelSpec, WindowedModel

_LAST_S = 1.0
"""A worker whose parent is gone has so long to end in order."""


class Worker:
    """Reads jobs in one thread, so that an abort is seen while the main thread decodes."""

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        self._source = source
        self._sink = sink
        self._jobs: queue.SimpleQueue[tuple[dict[str, Any], bytearray] | None] = queue.SimpleQueue()
        self._aborted: set[int] = set()
        self._current = -1

    def run(self) -> None:
        """Load the model, then decode until the parent closes the pipe."""
        # Native code loads the weights without the interpreter, which can import meanwhile.
        threading.Thread(target=importlib.import_module, args=("numpy",), name="import").start()
        first, _ = read_frame(self._source)
        try:
            model = _load(first["spec"])
        except AsrctlError as error:
            write_frame(self._sink, {"type": "failed", "kind": type(error).__name__, "message": str(error)})
            return
        with model:
            write_frame(self._sink, {"type": "loaded", "description": model.description()})
            threading.Thread(target=self._read, daemon=True, name="reader").start()
            while (job := self._jobs.get()) is not None:
                write_frame(self._sink, self._decode(model, *job))

    def _read(self) -> None:
        try:
            while True:
                header, payload = read_frame(self._source)
                if header["type"] == "abort":
                    self._aborted.add(header["id"])
                else:
                    self._jobs.put((header, payload))
        except WireClosed:
            self._aborted.add(self._current)
            self._jobs.put(None)
            time.sleep(_LAST_S)
            os._exit(0)  # native code that hears of no abort would go on for nobody

    def _decode(self, model: WindowedModel, header: dict[str, Any], payload: bytearray) -> dict[str, Any]:
        import numpy as np

        job = self._current = header["id"]
        try:
            options = DecodeOptions(**header["options"])
            hypothesis = model.transcribe(
                np.frombuffer(payload, np.float32), options, lambda: job in self._aborted
            )
        except Aborted:
            return {"type": "aborted", "id": job}
        except AsrctlError as error:
            return {"type": "error", "id": job, "message": str(error)}
        finally:
            self._aborted.discard(job)
        return {"type": "result", "id": job, "hypothesis": hypothesis_to_json(hypothesis)}


def _load(spec: dict[str, Any]) -> WindowedModel:
    from asrctl.providers.registry import load

    path = Path(spec["path"])
    if not path.exists():
        raise ModelError(f"{path}: no such file")
    return load(ModelSpec(**{**spec, "path": path}))


def main() -> None:
    """Keep standard output for frames alone and serve until the parent is gone."""
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)  # the parent decides when to stop, by closing the pipe
    sink = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    try:
        Worker(os.fdopen(0, "rb", buffering=0, closefd=False), sink).run()
    except WireClosed:
        pass
    finally:
        sys.stderr.flush()
        os._exit(0)  # the binding's static objects crash in the interpreter's own shutdown


if __name__ == "__main__":
    main()
