"""The worker process: one loaded model, a decode at a time or several, nothing printed.

Run as `python -P -m asrctl.workers.child`, with frames on standard input and output. Whatever native code
prints goes to standard error, which the parent keeps for diagnosis. It ends when its input does, so it
cannot outlive its parent.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterator
from typing import BinaryIO

from asrctl.errors import ModelError
from asrctl.providers.base import Aborted, ModelSpec, SharedModel, WindowedModel
from asrctl.providers.terms import transcribe
from asrctl.workers import messages
from asrctl.workers.wire import WireClosed, read_frame, write_frame

_ABORTS_KEPT = 8192
"""The last ones; far more than can run."""
_LAST_S = 1.0
"""A worker whose parent is gone has so long to end in order."""


class Worker:
    """Reads requests in one thread, so that an abort is seen while the main thread decodes, and more threads
    if the model is to decode several windows at a time."""

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        self._source = source
        self._sink = sink
        self._jobs: queue.SimpleQueue[messages.Decode | None] = queue.SimpleQueue()
        self._aborted: deque[int] = deque(maxlen=_ABORTS_KEPT)
        self._writing = threading.Lock()
        self._closing = False

    def run(self) -> None:
        """Load the model, then decode until the parent closes the pipe.

        Raises:
            WireClosed: The parent is gone before it said what to load, or takes no answer.
        """
        # Native code loads the weights without the interpreter, which can import meanwhile.
        threading.Thread(target=importlib.import_module, args=("numpy",), name="import").start()
        first = messages.message_of(*read_frame(self._source))
        if not isinstance(first, messages.Load):
            raise WireClosed("the first message must be Load")
        if first.streams:
            from asrctl.workers.listening import Listening

            Listening(self._source, self._sink, first).run()
            return
        try:
            model = _load(first.spec)
        except Exception as error:
            self._say(messages.LoadFailed(isinstance(error, ModelError), messages.reason_of(error)))
            return
        with contextlib.closing(model):
            self._say(messages.Loaded(model.description()))
            threading.Thread(target=self._read, daemon=True, name="reader").start()
            more = range(first.spec.room - 1)
            twins = [model.twin() for _ in more] if isinstance(model, SharedModel) else []
            others = [threading.Thread(target=self._work_apart, args=(twin,)) for twin in twins]
            for other in others:
                other.start()
            self._work(model)
            for other in others:
                other.join()

    def _work(self, model: WindowedModel) -> None:
        while (job := self._jobs.get()) is not None:
            self._say(self._decode(model, job))
        self._jobs.put(None)

    def _work_apart(self, model: WindowedModel) -> None:
        with _ended_with_the_process():
            self._work(model)

    def _say(self, reply: messages.Reply) -> None:
        with self._writing:
            write_frame(self._sink, messages.header_of(reply))

    def _read(self) -> None:
        with contextlib.suppress(WireClosed):
            while True:
                self._take(messages.message_of(*read_frame(self._source)))  # type: ignore[arg-type]
        self._closing = True
        self._jobs.put(None)
        time.sleep(_LAST_S)
        os._exit(0)  # native code that hears of no abort would go on for nobody

    def _take(self, request: messages.Request) -> None:
        if isinstance(request, messages.Abort):
            self._aborted.append(request.id)
        elif isinstance(request, messages.Decode):
            self._jobs.put(request)
        else:
            raise WireClosed(f"{type(request).__name__} is not expected")

    def _decode(self, model: WindowedModel, job: messages.Decode) -> messages.Reply:
        def should_abort() -> bool:
            return self._closing or job.id in self._aborted

        try:
            hypothesis = transcribe(model, job.samples, job.options, should_abort)
        except Aborted:
            return messages.Stopped(job.id)
        except Exception as error:
            return messages.Refused(job.id, messages.reason_of(error))
        return messages.Decoded(job.id, hypothesis)


def _load(spec: ModelSpec) -> WindowedModel:
    from asrctl.providers.registry import load

    if not spec.path.exists():
        raise ModelError(f"{spec.path}: no such file")
    return load(spec)


def main() -> None:
    """Keep standard output for frames alone and serve until the parent is gone."""
    for name in {"SIGINT", "SIGTERM", "SIGHUP"} & {*dir(signal)}:  # Windows has no SIGHUP
        signal.signal(getattr(signal, name), signal.SIG_IGN)  # the parent ends it by closing the pipe
    sink = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    with _ended_with_the_process():
        Worker(os.fdopen(0, "rb", buffering=0, closefd=False), sink).run()
    os._exit(0)  # the binding's static objects crash in the interpreter's own shutdown


@contextlib.contextmanager
def _ended_with_the_process() -> Iterator[None]:
    """The process goes on only if nothing is raised in here, whatever the thread."""
    try:
        yield
    except WireClosed:
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


if __name__ == "__main__":
    main()
