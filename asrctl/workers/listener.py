"""A worker process that listens to streams, as the parent sees it, and the streams that it serves."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from asrctl.errors import DecodeError, ModelError, ProviderError, WorkerTimeout
from asrctl.providers.base import ModelSpec
from asrctl.providers.outbox import Outbox, OutboxStream, split_words
from asrctl.providers.plugin import Serving
from asrctl.providers.recognizer import Completed, Failed, Heard, Lost, Spoken, StreamRequest
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis, Samples
from asrctl.workers import messages
from asrctl.workers.options import HealthCheck
from asrctl.workers.process import WorkerProcess
from asrctl.workers.wire import WireClosed, pack

_NUMBERS = itertools.count(1)


@dataclass(frozen=True, slots=True)
class ListenerOptions:
    """How streams are served. Times in seconds.

    Attributes:
        serving: What the provider's settings say.
        max_waiting_s: Audio of one stream that may wait to be heard.
        attempts: How often a model is tried that does not load.
        retry_s: When it is tried again then; doubling, up to 32 times that.
        health: What a process must have understood before it is given streams; None to trust the load.
    """

    serving: Serving = field(default_factory=Serving)
    max_waiting_s: float = 120.0
    attempts: int = 3
    retry_s: float = 5.0
    health: HealthCheck | None = None


class ListenerStream(OutboxStream):
    """A stream in a worker process."""

    def __init__(
        self, worker: ListenerProcess, request: StreamRequest, say: Callable[[Spoken], None]
    ) -> None:
        """Open it there."""
        self.number = next(_NUMBERS)
        self._worker = worker
        self._outbox = Outbox(request, say)
        self._fed: list[int] = [0]
        """Samples of each utterance that is not answered, the open one last."""
        self._first = 0
        self._heard_samples = 0
        self._text = ("", "")
        self.progress_s = 0.0
        """When it last heard something, or had nothing to hear."""
        worker.attach(self)
        worker.send(messages.Open(self.number, request.decode))

    def feed(self, samples: Samples) -> None:
        if self._outbox.is_over or not len(samples):
            return
        self._note_wait()
        self._fed[-1] += len(samples)
        self._worker.send(messages.Feed(self.number, samples))
        limit_s = self._worker.options.max_waiting_s
        if self.waiting_samples > limit_s * SAMPLE_RATE_HZ:
            self.lose(ProviderError(f"it is more than {limit_s:.0f} s behind: it is too slow here"))

    def end(self) -> None:
        if self._outbox.is_over:
            return
        self._note_wait()
        self._fed.append(0)
        self._worker.send(messages.End(self.number))

    def close(self) -> None:
        self._outbox.close()
        if self._worker.detach(self):
            self._worker.send(messages.Close(self.number))

    # What its worker tells

    @property
    def is_waiting(self) -> bool:
        """Whether an answer is owed, or audio not yet heard."""
        return len(self._fed) > 1 or self.waiting_samples > 0

    @property
    def waiting_samples(self) -> int:
        """Audio that was fed and not heard yet."""
        return sum(self._fed) - self._heard_samples

    def _note_wait(self) -> None:
        if not self.is_waiting:
            self.progress_s = asyncio.get_running_loop().time()

    def hear(self, reply: messages.StreamReply) -> None:
        """Pass on what the worker says. Raises WireClosed for an answer to what was not asked."""
        is_open = isinstance(reply, messages.Progress)
        if reply.utterance != self._first or (not is_open and len(self._fed) < 2):
            raise WireClosed("an answer about another utterance")
        self.progress_s = asyncio.get_running_loop().time()
        if isinstance(reply, messages.Progress):
            self._hear_text(reply)
            return
        self._fed.pop(0)
        self._first += 1
        self._heard_samples, self._text = 0, ("", "")
        if isinstance(reply, messages.Finished):
            self._outbox.say(Completed(reply.utterance, reply.hypothesis))
        else:
            self._outbox.say(Failed(reply.utterance, DecodeError(reply.message)))

    def _hear_text(self, reply: messages.Progress) -> None:
        self._heard_samples = min(reply.samples, self._fed[0])
        text = (reply.committed, reply.tentative)
        if text != self._text:
            self._text = text
            self._outbox.say(Heard(reply.utterance, *stable_words(*text), self._heard_samples))

    def lose(self, error: ProviderError) -> None:
        """Be lost, with what is being recognised."""
        self._outbox.say(Lost(error, self._first if self.is_waiting or self._fed[-1] else None))
        if self._worker.detach(self):
            self._worker.send(messages.Close(self.number))


def stable_words(committed: str, tentative: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words that will not change, and those behind them.

    The last word of the committed text may not be whole: what follows it may go on without a space.
    """
    stable, last = split_words(committed) if committed else ((), ())
    if tentative[:1].isspace():
        return (*stable, *last), tuple(tentative.split())
    return stable, tuple(("".join(last) + tentative).split())


class ListenerProcess(WorkerProcess):
    """A process with as many streams as are open on it."""

    options: ListenerOptions
    streams: dict[int, ListenerStream]

    def prepare(self, options: ListenerOptions) -> None:
        """What it is to keep to; before anything else."""
        self.options = options
        self.streams = {}

    @property
    def has_room(self) -> bool:
        """Whether one more stream can be opened."""
        return not self.exited.done() and len(self.streams) < self.options.serving.streams_per_worker

    def attach(self, stream: ListenerStream) -> None:
        """A stream begins."""
        self.streams[stream.number] = stream

    def detach(self, stream: ListenerStream) -> bool:
        """A stream is over; False if it was before."""
        return self.streams.pop(stream.number, None) is not None

    def send(self, message: messages.StreamRequest) -> None:
        """Tell it something, without waiting."""
        if self.exited.done() or self._stdin.is_closing():
            return
        samples = message.samples.tobytes() if isinstance(message, messages.Feed) else b""
        self._stdin.write(pack(messages.header_of(message), len(samples)) + samples)

    def _pass_on(self, reply: messages.Message) -> None:
        if not isinstance(reply, messages.Progress | messages.Finished | messages.GivenUp):
            super()._pass_on(reply)
        elif (stream := self.streams.get(reply.stream)) is not None:  # else it was closed meanwhile
            stream.hear(reply)

    def lose_streams(self, error: ProviderError) -> None:
        """All that it listened to is lost."""
        for stream in list(self.streams.values()):
            stream.lose(error)

    @property
    def stalled(self) -> bool:
        """Whether it does nothing although there is something to hear."""
        oldest_s = asyncio.get_running_loop().time() - self.options.serving.stall_timeout_s
        return any(stream.is_waiting and stream.progress_s < oldest_s for stream in self.streams.values())

    async def make_ready(self, spec: ModelSpec) -> str:
        """Load the model, and have it understand its test speech; returns where it runs.

        Raises:
            ModelError: The weights do not load, or do not understand.
            ProviderError: The provider cannot run here, the process died, or it took too long.
        """
        options = self.options
        limit_s = options.serving.load_timeout_s
        description = await self.load(spec, limit_s, options.serving.streams_per_worker)
        if options.health is not None:
            try:
                async with asyncio.timeout(limit_s):
                    hypothesis = await self._hear_test_speech(options.health)
            except TimeoutError:
                raise WorkerTimeout(f"no answer to its test speech within {limit_s:.0f} s") from None
            except DecodeError as error:
                raise ModelError(f"{spec.path}: it cannot decode its test speech ({error})") from None
            options.health.judge(spec.path, hypothesis)
        return description

    async def _hear_test_speech(self, health: HealthCheck) -> Hypothesis:
        """Through a stream as any other."""
        answer: asyncio.Future[Hypothesis] = asyncio.get_running_loop().create_future()

        def say(spoken: Spoken) -> None:
            if answer.done() or isinstance(spoken, Heard):
                return
            if isinstance(spoken, Completed):
                answer.set_result(spoken.hypothesis)
            elif isinstance(spoken, Failed | Lost):
                answer.set_exception(spoken.error)

        stream = ListenerStream(self, StreamRequest(health.options), say)
        try:
            stream.feed(health.samples)
            stream.end()
            await asyncio.wait((answer, self.exited), return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                raise ProviderError(await self.exit_reason())
            return answer.result()
        finally:
            answer.cancel()
            stream.close()
