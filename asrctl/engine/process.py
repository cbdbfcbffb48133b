"""A worker process as the parent sees it: start it, give it a window, watch it, kill it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections import deque
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from asrctl.engine.wire import WireClosed, hypothesis_from_json, read_frame, write_frame
from asrctl.errors import DecodeError, ModelError, ProviderError, WorkerCrashed, WorkerTimeout
from asrctl.providers.base import Aborted, DecodeOptions, ModelSpec
from asrctl.transcript import Hypothesis

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_STDERR_LINES_KEPT = 20
_EXIT_GRACE_S = 2.0

_ENVIRONMENT = {
    # OpenMP's threads wait for each other after every small step. If they spin for long, they starve each
    # other as soon as anything else runs: two threads on two busy cores took 3.9 s for a window of 0.6 s. If
    # they sleep at once, they lose half their time to waking: 3 minutes of speech took 12.5 s, with this many
    # spins 6.8 s (2 cores, x86-64).
    "GOMP_SPINCOUNT": "20000",
    "OPENBLAS_NUM_THREADS": "1",  # numpy only carries the samples there
    "PYTHONUNBUFFERED": "",
}


class Standby:
    """A worker process that is started before it is known what it is to load; it imports meanwhile."""

    def __init__(self) -> None:
        """Start the process."""
        self._process: subprocess.Popen[bytes] | None = _start()

    def take(self) -> subprocess.Popen[bytes] | None:
        """The process, for the first who asks; None for all others."""
        process, self._process = self._process, None
        return process

    def close(self) -> None:
        """End the process if nobody took it."""
        if (process := self.take()) is not None:
            process.kill()
            process.communicate()


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "asrctl.engine.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        env={**_ENVIRONMENT, **os.environ},
    )


class WorkerProcess:
    """One child with one loaded model. All methods but `abort` and `kill` belong to one thread."""

    def __init__(self, spec: ModelSpec, standby: Standby | None = None) -> None:
        """Start the process, or take the one on standby; it loads the model while the caller goes on."""
        self.spec = spec
        self._stderr: deque[str] = deque(maxlen=_STDERR_LINES_KEPT)
        self._timed_out = False
        self._write_lock = threading.Lock()
        self._process = (standby.take() if standby else None) or _start()
        self._drain = threading.Thread(target=self._keep_stderr, daemon=True, name="worker-stderr")
        self._drain.start()
        with contextlib.suppress(WorkerCrashed):  # `wait_loaded` will see it
            self._send({"type": "load", "spec": {**asdict(spec), "path": str(spec.path)}})

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._process.pid

    def wait_loaded(self, deadline_s: float) -> str:
        """Block until the model is loaded; returns where it runs.

        Raises:
            ModelError: The weights do not load.
            ProviderError: The provider cannot run here.
            WorkerCrashed: The process died; perhaps the weights crash the loader.
            WorkerTimeout: It took longer than `deadline_s`.
        """
        reply, _ = self._reply(deadline_s)
        if reply["type"] == "failed":
            raise (ModelError if reply["kind"] == "ModelError" else ProviderError)(reply["message"])
        return str(reply["description"])

    def decode(
        self, job: int, samples: NDArray[np.float32], options: DecodeOptions, deadline_s: float
    ) -> Hypothesis:
        """Decode one window, blocking.

        Args:
            job: Number that `abort` names.
            samples: Shape (n,), contiguous float32 at 16 kHz.
            options: How to decode.
            deadline_s: Seconds after which the worker is killed.

        Raises:
            Aborted: `abort(job)` was called in time.
            DecodeError: The recogniser refused this audio; the worker lives on.
            WorkerCrashed: The process died.
            WorkerTimeout: It was killed at its deadline.
        """
        self._send({"type": "decode", "id": job, "options": asdict(options)}, samples.data.cast("B"))
        reply, _ = self._reply(deadline_s)
        if reply["type"] == "aborted":
            raise Aborted
        if reply["type"] == "error":
            raise DecodeError(reply["message"])
        return hypothesis_from_json(reply["hypothesis"])

    def abort(self, job: int) -> None:
        """Ask the child to stop working on `job`; from any thread, ignored if it is done already."""
        with contextlib.suppress(WorkerCrashed):  # whoever waits for the job will see it
            self._send({"type": "abort", "id": job})

    def kill(self) -> None:
        """End the process now; from any thread."""
        self._process.kill()

    def close(self) -> None:
        """Let the process end by itself, or kill it, and reap it."""
        assert self._process.stdin and self._process.stdout
        with self._write_lock:
            self._process.stdin.close()
        try:
            self._process.wait(_EXIT_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._drain.join()
        self._process.stdout.close()

    def _send(self, header: dict[str, Any], payload: bytes | memoryview = b"") -> None:
        assert self._process.stdin
        try:
            with self._write_lock:
                write_frame(self._process.stdin, header, payload)  # type: ignore[arg-type]
        except WireClosed:
            raise WorkerCrashed(self._obituary()) from None

    def _reply(self, deadline_s: float) -> tuple[dict[str, Any], bytearray]:
        """The next frame; a timer kills the child at the deadline, which ends the read."""
        assert self._process.stdout
        timer = threading.Timer(deadline_s, self._expire)
        timer.daemon = True
        timer.start()
        try:
            return read_frame(self._process.stdout)  # type: ignore[arg-type]
        except WireClosed:
            if self._timed_out:
                raise WorkerTimeout(f"the worker did not answer within {deadline_s:.0f} s") from None
            raise WorkerCrashed(self._obituary()) from None
        finally:
            timer.cancel()

    def _expire(self) -> None:
        self._timed_out = True
        self._process.kill()

    def _obituary(self) -> str:
        """How the process ended, with the last line it wrote."""
        code = self._process.wait()
        self._drain.join(_EXIT_GRACE_S)
        how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        return f"{how}: {self._stderr[-1]}" if self._stderr else how

    def _keep_stderr(self) -> None:
        assert self._process.stderr
        with self._process.stderr as stream:
            for line in stream:
                self._stderr.append(line.decode("utf-8", "replace").rstrip())
