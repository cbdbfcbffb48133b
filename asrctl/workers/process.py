"""A worker process as the parent sees it: start it, give it a window, watch it, kill it."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import signal
import subprocess
from collections import deque
from typing import Protocol, Self

from asrctl.errors import DecodeError, ModelError, ProviderError, WorkerCrashed, WorkerTimeout
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.transcript import Hypothesis, Samples
from asrctl.workers import messages
from asrctl.workers.standby import COMMAND, environment
from asrctl.workers.wire import WireClosed, pack, receive_frame

_STDERR_LINES_KEPT = 20
_STDERR_LINE_BYTES = 1 << 16
_EXIT_GRACE_S = 2.0
_REAP_S = 5.0
"""A killed process is waited for so long; longer only the kernel could hold it."""
_LOOK_S = 1.0
"""How often it is seen whether a process was stopped; at the second time in a row it is ended. At the first
it may be about to go on, as after Ctrl-Z and `fg`."""
_LOADING = -1
"""Stands for the number of what has none."""
_PIPE_BYTES = 1 << 20
"""Room for 16 s of audio, so that the parent writes a window at once and need not wait for the worker."""


class CannotStart(ProviderError):
    """The system starts no process now; it may later."""


class AbortedByCaller(Exception):
    """A decode stopped because it was aborted; control flow, not a failure."""


class _Process(Protocol):
    """What `asyncio.subprocess.Process` has of use here."""

    @property
    def pid(self) -> int: ...
    @property
    def returncode(self) -> int | None: ...
    def kill(self) -> None: ...
    async def wait(self) -> int: ...


class WorkerProcess:
    """One child with one loaded model; belongs to the event loop's thread."""

    def __init__(
        self,
        process: _Process,
        stdin: asyncio.StreamWriter,
        stdout: asyncio.StreamReader,
        stderr: asyncio.StreamReader,
    ) -> None:
        """Use `start` or `adopt`."""
        self._process = process
        self._stdin = stdin
        self._stderr: deque[str] = deque(maxlen=_STDERR_LINES_KEPT)
        self._replies: dict[int, asyncio.Future[messages.Reply | None]] = {}
        """What is waited for, by the number of the decode."""
        self._patience_s: dict[int, float] = {}
        self.exited: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once the process sends nothing more."""
        _widen(stdin)
        self._reading = asyncio.create_task(self._read(stdout))
        self._draining = asyncio.create_task(self._keep(stderr))
        self._watching = asyncio.create_task(self._watch())

    @classmethod
    async def start(cls) -> Self:
        """Start a process.

        Raises:
            CannotStart: The system starts none now.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                *COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                limit=_STDERR_LINE_BYTES,
                env=environment(),
            )
        except OSError as error:
            raise CannotStart(f"cannot start a worker process: {error.strerror or error}") from error
        assert process.stdin and process.stdout and process.stderr
        return cls(process, process.stdin, process.stdout, process.stderr)

    @classmethod
    async def adopt(cls, process: subprocess.Popen[bytes]) -> Self:
        """Take over a process that was started before there was an event loop."""
        assert process.stdin and process.stdout and process.stderr
        loop = asyncio.get_running_loop()
        readers = []
        for pipe in (process.stdout, process.stderr):
            reader = asyncio.StreamReader(_STDERR_LINE_BYTES)
            await loop.connect_read_pipe(lambda reader=reader: asyncio.StreamReaderProtocol(reader), pipe)  # type: ignore[misc]
            readers.append(reader)
        transport, protocol = await loop.connect_write_pipe(
            lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), process.stdin
        )
        stdin = asyncio.StreamWriter(transport, protocol, None, loop)
        return cls(_Adopted(process), stdin, *readers)

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._process.pid

    async def load(self, spec: ModelSpec, deadline_s: float, streams: int = 0) -> str:
        """Have it load a model, for so many streams or for windows; returns where it runs.

        Raises:
            ModelError: The weights do not load.
            ProviderError: The provider cannot run here.
            WorkerCrashed: The process died; perhaps the weights crash the loader.
            WorkerTimeout: It took longer than `deadline_s`.
        """
        reply = await self._ask(_LOADING, messages.Load(spec, streams), b"", deadline_s)
        if isinstance(reply, messages.LoadFailed):
            raise (ModelError if reply.is_model else ProviderError)(reply.message)
        if not isinstance(reply, messages.Loaded):
            raise await self._broken(f"it answered Load with {type(reply).__name__}")
        return reply.description

    async def decode(
        self,
        number: int,
        samples: Samples,
        options: DecodeOptions,
        deadline_s: float,
        patience_s: float = math.inf,
    ) -> Hypothesis:
        """Decode one window, beside others if the model decodes several at a time.

        Args:
            number: What `abort` names; no other decode that runs has it.
            samples: Shape (n,), contiguous float32 at 16 kHz; left unchanged meanwhile.
            options: How to decode.
            deadline_s: Seconds after which the worker is killed, writing and reading included.
            patience_s: The same, without time for which this process was suspended.

        Raises:
            AbortedByCaller: It was aborted.
            DecodeError: The recogniser reported an error; the worker lives on.
            WorkerCrashed: The process died.
            WorkerTimeout: It took longer than `deadline_s`.
        """
        self._patience_s[number] = patience_s
        request = messages.Decode(number, options, samples)
        try:
            reply = await self._ask(number, request, samples.tobytes(), deadline_s)
        finally:
            del self._patience_s[number]
        if not isinstance(reply, messages.Decoded | messages.Refused | messages.Stopped):
            raise await self._broken(f"it answered decode {number} with {reply}"[:200])
        if isinstance(reply, messages.Stopped):
            raise AbortedByCaller
        if isinstance(reply, messages.Refused):
            raise DecodeError(reply.message)
        return reply.hypothesis

    def abort(self, number: int) -> None:
        """Ask it to stop a decode; ignored if that is done already."""
        if not self._stdin.is_closing():
            self._stdin.write(pack(messages.header_of(messages.Abort(number))))

    def kill(self) -> None:
        """End the process now, unless it is ending by itself."""
        if not self.exited.done():
            self._kill()

    def _kill(self) -> None:
        # Not by `Process.kill`: it may reap the process before asyncio's watcher, which warns of that.
        with contextlib.suppress(ProcessLookupError):
            if self._process.returncode is None:
                os.kill(self.pid, signal.SIGKILL) if os.name == "posix" else self._process.kill()

    async def close(self) -> None:
        """Let the process end by itself, or kill it, and reap it; may be called twice."""
        self._stdin.close()
        try:
            async with asyncio.timeout(_EXIT_GRACE_S):
                await self._process.wait()
        except TimeoutError:
            pass
        finally:
            await self._end()

    async def _end(self) -> None:
        """Kill what is left of it, within a bound, whatever interrupts."""
        self._kill()
        tasks = (self._reading, self._draining, self._watching)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(_REAP_S):
                await self._process.wait()
                await self._stdin.wait_closed()  # Python 3.11.2 logs an error that nobody asks for

    async def _ask(
        self, number: int, request: messages.Request, payload: bytes, deadline_s: float
    ) -> messages.Reply:
        assert number not in self._replies, "one request at a time of each number"
        awaited: asyncio.Future[messages.Reply | None] = asyncio.get_running_loop().create_future()
        self._replies[number] = awaited
        try:
            async with asyncio.timeout(deadline_s):
                if self.exited.done():
                    raise WireClosed
                self._stdin.write(pack(messages.header_of(request), len(payload)))
                self._stdin.write(payload)
                await self._stdin.drain()
                reply = await awaited
        except TimeoutError:
            self.kill()
            raise WorkerTimeout(f"the worker did not answer within {deadline_s:.0f} s") from None
        except (WireClosed, OSError):
            raise WorkerCrashed(await self.exit_reason()) from None
        finally:
            del self._replies[number]
        if reply is None:
            raise WorkerCrashed(await self.exit_reason())
        return reply

    async def _read(self, stdout: asyncio.StreamReader) -> None:
        """Pass each reply on to whoever asked; at the end, say that there will be none."""
        try:
            while True:
                reply = messages.message_of(*await receive_frame(stdout))
                self._pass_on(reply)
        except WireClosed:
            if not stdout.at_eof():
                self.kill()  # after a frame that is none, nothing it says can be trusted
            for awaited in self._replies.values():
                if not awaited.done():
                    awaited.set_result(None)
        finally:
            if not self.exited.done():
                self.exited.set_result(None)

    def _pass_on(self, reply: messages.Message) -> None:
        """Give a reply to whoever asked. Raises WireClosed if nobody did."""
        awaited = self._replies.get(getattr(reply, "id", _LOADING))
        if awaited is None or awaited.done():
            raise WireClosed("a reply that nobody asked for")
        awaited.set_result(reply)  # type: ignore[arg-type]

    async def _keep(self, stderr: asyncio.StreamReader) -> None:
        while True:
            try:
                line = await stderr.readline()
            except ValueError:  # longer than the limit, and thrown away
                continue
            if not line:
                return
            self._stderr.append(line.decode("utf-8", "replace").rstrip())

    async def _watch(self) -> None:
        """End the process if it was stopped, or hangs: that is seen sooner than a deadline is over."""
        was_stopped = False
        while not self.exited.done():
            await asyncio.sleep(_LOOK_S)
            is_stopped = _is_stopped(self.pid)
            if was_stopped and is_stopped:
                self._stderr.append("it was stopped")
                self.kill()
            was_stopped = is_stopped
            for number in self._patience_s:
                self._patience_s[number] -= _LOOK_S
            if any(left_s <= 0 for left_s in self._patience_s.values()):
                self._stderr.append("it hung")
                self.kill()

    async def _broken(self, what: str) -> WorkerCrashed:
        self.kill()
        return WorkerCrashed(what)

    async def exit_reason(self) -> str:
        """How the process ended, with the last line it wrote."""
        try:
            async with asyncio.timeout(_EXIT_GRACE_S):
                await self._process.wait()
                await asyncio.shield(self._draining)
        except TimeoutError:
            self._kill()
        code = self._process.returncode
        how = f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        return f"{how}: {self._stderr[-1]}" if self._stderr else how


class _Adopted:
    """A `Popen` with the methods of asyncio's `Process`."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.kill = process.kill

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.poll()

    async def wait(self) -> int:
        """Ask for its end at short intervals: no signal or descriptor tells a loop of a foreign child."""
        delay_s = 0.001
        while (code := self._process.poll()) is None:
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, 0.05)
        return code


def _is_stopped(pid: int) -> bool:
    """Whether a process stands still after a signal to stop."""
    import psutil

    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    return False


def _widen(stdin: asyncio.StreamWriter) -> None:
    """Make the pipe hold a whole window where the system can (Linux), unless the process is gone already."""
    pipe = stdin.transport.get_extra_info("pipe")
    with contextlib.suppress(ImportError, AttributeError, OSError, ValueError):
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
