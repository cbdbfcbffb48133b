"""The process that tells speakers apart in live audio as its parent sees it: fed and asked by all streams,
and outlived. While no stream is open, there is none."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from asrctl import errors
from asrctl.audio.helper import Helper, helper
from asrctl.errors import AsrctlError, ModelError
from asrctl.policy.labels import KnownTurns
from asrctl.policy.turns import Turn
from asrctl.speakers.live_child import ASKED, HEADER, LEAST_NEW_S, Message
from asrctl.speakers.options import SpeakerOptions
from asrctl.transcript import SAMPLE_RATE_HZ, Samples

COMMAND = [sys.executable, "-P", "-m", "asrctl.speakers.live_child"]
"""What is started; where weights are is its argument."""
_LINE_BYTES = 1 << 24
"""The turns of two hours, many times over."""
_LOAD_S = 60.0
"""Weights may have to be converted first."""
_ANSWER_S = 120.0
"""A process that takes longer is stuck: never more waits for it than a minute of each stream."""
_MOST_BEHIND_SAMPLES = 60 * SAMPLE_RATE_HZ
"""Audio of one stream that waits for the process; what comes beyond is passed over."""
SAMPLE_BYTES = 4
_NAME = "the process that tells speakers apart"


class LiveSpeakers:
    """Tells the speakers of all streams of an event loop apart, in one process, which starts with a stream.

    If it dies, those streams know no speakers any more; the next one starts another.
    """

    def __init__(self, models_dir: Path | None) -> None:
        """Prepare; nothing is started yet. Weights are in `models_dir`; None for the cache directory."""
        self._models_dir = models_dir
        self._processes: list[_Process] = []
        """The last one, and those before that are still ending."""

    def open(self, options: SpeakerOptions) -> StreamSpeakers:
        """Begin with a stream, in a running event loop."""
        if not self._processes or self._processes[-1].is_over:
            self._processes = [each for each in self._processes if not each.is_gone]
            self._processes.append(_Process(self._models_dir))
        return self._processes[-1].open(options)

    def pids(self) -> list[int]:
        """Its process id, while there is one."""
        return [pid for process in self._processes for pid in process.pids()]

    async def close(self) -> None:
        """End it at once."""
        for process in self._processes:
            await process.close()


class StreamSpeakers:
    """The speakers of one stream: feed it all samples, and ask for the turns; close it at the end."""

    def __init__(self, process: _Process, number: int, options: SpeakerOptions) -> None:
        """See `LiveSpeakers.open`."""
        self.known = {*options.samples}
        """Names of speakers that are not numbered."""
        self._process = process
        self._number = number
        self._least_new_s = 0.0 if options.at_once else LEAST_NEW_S
        self._behind_samples = 0
        self._went_on = asyncio.Event()
        self._answers: deque[asyncio.Future[dict[str, Any]]] = deque()
        self._ask(Message.OPEN, json.dumps(asdict(options)).encode())

    def feed(self, samples: Samples) -> None:
        """Take the next samples; a process that is too far behind is only told how many they were."""
        if self._behind_samples + len(samples) > _MOST_BEHIND_SAMPLES:
            return self.skip(len(samples))
        self._behind_samples += len(samples)
        self._process.send(Message.AUDIO, self._number, samples.tobytes(), sent=self._sent)

    def _sent(self, size: int) -> None:
        self._behind_samples -= size // SAMPLE_BYTES
        self._went_on.set()

    def skip(self, count: int) -> None:
        """So many samples were lost."""
        self._process.send(Message.LOST, self._number, count=count)

    async def wait_behind_below(self, samples: int) -> None:
        """Wait until less than so much waits for the process: for audio that comes faster than real time."""
        while self._behind_samples >= samples and not self._process.is_over:
            self._went_on.clear()
            try:
                async with asyncio.timeout(_ANSWER_S):
                    await self._went_on.wait()
            except TimeoutError:
                self._process.fail(f"{_NAME} does not answer")

    async def turns(self, since_s: float) -> KnownTurns:
        """Who spoke since then, in all that was fed.

        Raises:
            AsrctlError: The process has died, or something is wrong with the stream.
        """
        return await self._turns(self._ask(Message.TURNS, ASKED.pack(since_s, self._least_new_s)))

    async def conclude(self) -> KnownTurns:
        """Who spoke, as far back as is kept, now that nothing more comes. Raises as `turns`."""
        return await self._turns(self._ask(Message.END))

    async def _turns(self, answer: asyncio.Future[dict[str, Any]]) -> KnownTurns:
        try:
            async with asyncio.timeout(_ANSWER_S):
                said = await answer
        except TimeoutError:
            raise self._process.fail(f"{_NAME} does not answer") from None
        return KnownTurns(tuple(Turn(*each) for each in said["turns"]), said["since_s"], said["heard_s"])

    def _ask(self, message: Message, data: bytes = b"") -> asyncio.Future[dict[str, Any]]:
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(_seen)
        if self._process.failure is not None:
            answer.set_exception(self._process.failure)
        else:
            self._answers.append(answer)
            self._process.send(message, self._number, data)
        return answer

    def hear(self, said: dict[str, Any]) -> None:
        """Take the next answer of the process."""
        answer = self._answers.popleft()
        if not answer.done() and "error" in said:
            answer.set_exception(getattr(errors, said["kind"])(said["error"]))
        elif not answer.done():
            answer.set_result(said)

    def lose(self, failure: AsrctlError) -> None:
        """The process is gone."""
        self._behind_samples = 0
        self._went_on.set()
        for answer in self._answers:
            if not answer.done():
                answer.set_exception(failure)

    def close(self) -> None:
        """The stream is over."""
        self._process.forget(self._number)


def _seen(answer: asyncio.Future[dict[str, Any]]) -> None:
    """An answer that nobody takes any more is no mistake."""
    if not answer.cancelled():
        answer.exception()


class _Process:
    """One life of the process."""

    def __init__(self, models_dir: Path | None) -> None:
        self.failure: AsrctlError | None = None
        """Why it is over, if not because it was closed."""
        self._streams: dict[int, StreamSpeakers] = {}
        self._opened = 0
        self._outbox: deque[tuple[bytes, Callable[[int], None] | None]] = deque()
        self._wake = asyncio.Event()
        self._helper: Helper | None = None
        self._is_closed = False
        self._task = asyncio.create_task(self._run(models_dir), name="speakers")

    @property
    def is_over(self) -> bool:
        """Whether it takes no more streams."""
        return self._is_closed or self.failure is not None

    @property
    def is_gone(self) -> bool:
        """Whether nothing of it is left."""
        return self._task.done()

    def pids(self) -> list[int]:
        return self._helper.pids if self._helper else []

    def open(self, options: SpeakerOptions) -> StreamSpeakers:
        self._opened += 1
        stream = self._streams[self._opened] = StreamSpeakers(self, self._opened, options)
        return stream

    def send(
        self,
        message: Message,
        stream: int,
        data: bytes = b"",
        count: int = 0,
        sent: Callable[[int], None] | None = None,
    ) -> None:
        """Have a message sent; `sent` is told when, and how long its content is."""
        if not self.is_over:
            self._outbox.append((HEADER.pack(message, stream, count or len(data)) + data, sent))
            self._wake.set()

    def forget(self, stream: int) -> None:
        """A stream is over; with the last one the process ends."""
        self.send(Message.CLOSE, stream)
        self._streams.pop(stream, None)
        if not self._streams:
            self._stop()

    def fail(self, reason: str) -> AsrctlError:
        """End it, and tell all streams why."""
        self._stop()
        return self._lose(reason)

    def _lose(self, reason: str) -> AsrctlError:
        if self.failure is None:
            self.failure = ModelError(reason)
            for stream in self._streams.values():
                stream.lose(self.failure)
        return self.failure

    async def close(self) -> None:
        self._stop()
        await asyncio.gather(self._task, return_exceptions=True)

    def _stop(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._task.cancel()

    async def _run(self, models_dir: Path | None) -> None:
        command = [*COMMAND, str(models_dir or "")]
        try:
            async with helper(command, _NAME, _LINE_BYTES) as self._helper:
                try:
                    await self._serve(self._helper)
                finally:
                    self._is_closed = True  # who stops it now does not keep it from ending
        except (AsrctlError, OSError) as error:
            self._lose(str(error))

    async def _serve(self, process: Helper) -> None:
        if why := (await process.said(dict, _LOAD_S)).get("error"):
            raise ModelError(why)
        writing = asyncio.create_task(self._write(process), name="speakers' audio")
        try:
            while True:
                said = await process.said(dict, None)
                if (stream := self._streams.get(said.get("stream", 0))) is not None:
                    stream.hear(said)
        finally:
            writing.cancel()

    async def _write(self, process: Helper) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._outbox:
                data, sent = self._outbox.popleft()
                await process.send(data)
                if sent is not None:
                    sent(len(data) - HEADER.size)
