"""The recogniser behind all sessions: workers whose model can be changed, and a meter on them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median

from asrctl.audio.sample import sample_speech
from asrctl.errors import AsrctlError, ModelError, ProviderError
from asrctl.policy.chain import ChainOptions
from asrctl.policy.ladder import MEASURES, Level, Measures
from asrctl.policy.priority import Kind, Source, Ticket
from asrctl.policy.window import Effort
from asrctl.providers.recognizer import Recognizer
from asrctl.server.decoder import MeteredDecoder
from asrctl.server.load import LoadMeter
from asrctl.server.options import NamedModel, ServeOptions
from asrctl.streaming.fallback import Fallback
from asrctl.streaming.pooled import PooledRecognizer
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis
from asrctl.workers.options import SlotState
from asrctl.workers.slot import Slot
from asrctl.workers.standby import Standby
from asrctl.workers.switch import ModelSwitch

_RETRY_GROWTH = 32.0
"""A model that failed is tried again ever more rarely, at last after so many times the first wait."""
_REST_S = 10.0
"""A change of models that failed is not tried again for so long."""
_PACE_ROUNDS = 3
_PACE_S = 1.5
"""After so much time no further round is decoded for the pace."""


class Engine:
    """Decodes for all sessions. Belongs to one event loop."""

    def __init__(
        self,
        options: ServeOptions,
        clock: Callable[[], float] = time.monotonic,
        *,
        standby: Standby | None = None,
    ) -> None:
        """Start the workers, in a running event loop; they load meanwhile.

        Args:
            options: What to load, and how workers are kept; their health check is what `probe` decodes.
            clock: Monotonic seconds.
            standby: A worker process that was started earlier.

        Raises:
            ProviderError: The streaming provider cannot run here.
        """
        self._models = options.models
        self._clock = clock
        self._measures = MEASURES[Level.NORMAL]
        self._pool = options.served_pool
        self._decode = options.stream.decode
        self._at_a_time = options.width
        self.meter = LoadMeter(options.width, clock)
        fallback = self._models.fallback.spec if self._models.fallback else None
        self._switch = ModelSwitch(self._models.main.spec, self._pool, fallback=fallback, standby=standby)
        self.decoder = MeteredDecoder(self._switch, self.meter, options.session_finals)
        """What decodes windows, for whoever needs that."""
        self._first = options.streaming
        self.streaming: Recognizer | None = options.streaming.start() if options.streaming else None
        """What has the utterances while all is well; None for the workers."""
        self.recognizer = self._line_up(options)
        """What sessions ask."""
        self._changing: asyncio.Task[None] | None = None
        self._probing: asyncio.Task[object] | None = None
        self._first_retry_s = self._retry_s = options.retry_s
        self._retry_at_s: float | None = None
        self._blocked_until_s = 0.0
        self._settling = asyncio.create_task(self._settle_streaming())

    def _line_up(self, options: ServeOptions) -> Fallback:
        main = self._models.main
        pooled = PooledRecognizer(
            main.spec.provider, main.name, self.decoder, lambda: self._slots[0].description
        )
        members: list[Recognizer] = [pooled] if self.streaming is None else [self.streaming, pooled]
        retry_s = min(options.retry_s, ChainOptions().max_retry_s)
        return Fallback(members, ChainOptions(retry_s), self._clock)

    async def _settle_streaming(self) -> None:
        """See whether the streaming provider gets ready; where it does not, the workers have its work."""
        if self.streaming is None:
            return
        try:
            await self.streaming.wait_ready()
        except (ProviderError, ModelError) as error:
            self.recognizer.failed(self.streaming.name, error)

    # What it is doing

    @property
    def streaming_trouble(self) -> str:
        """Why the streaming provider is left alone for now; empty if it is not, or there is none."""
        return self.recognizer.why_not(self.streaming.name) if self.streaming is not None else ""

    @property
    def model(self) -> NamedModel:
        """What recognises the next utterance."""
        if self._first is not None and not self.streaming_trouble:
            return self._first.model
        known = (self._models.main, self._models.small, self._models.fallback)
        spec = self._slots[0].spec
        return next((model for model in known if model and model.spec.path == spec.path), self._models.main)

    @property
    def ready(self) -> bool:
        """Whether some worker has decoded its test speech and lives, and nothing that streams still loads."""
        return self.has_worker and self._settling.done()

    @property
    def has_worker(self) -> bool:
        """Whether some worker can decode, or does."""
        return any(slot.state is SlotState.READY for slot in self._slots)

    @property
    def failed(self) -> bool:
        """Whether no worker can be loaded, or all had to fall back to another model by themselves."""
        fallback = self._models.fallback
        fell_back = fallback is not None and self._switch.spec != fallback.spec
        return all(
            slot.state is SlotState.FAILED
            or (fell_back and fallback is not None and slot.spec == fallback.spec)
            for slot in self._slots
        )

    @property
    def restarts(self) -> int:
        """Workers that were lost and replaced."""
        return self._switch.restarts

    @property
    def description(self) -> str:
        """Where the model runs."""
        if self.streaming is not None and not self.streaming_trouble:
            return self.streaming.description
        return self._slots[0].description

    @property
    def load_s(self) -> float:
        """Time that loading and the first decode took, of the slowest worker."""
        return max(slot.load_s + slot.warm_up_s for slot in self._slots)

    @property
    def _slots(self) -> list[Slot]:
        return self._switch.pool.slots

    def pids(self) -> list[int]:
        """Process ids of the workers, and of a streaming provider's processes."""
        return self.recognizer.pids()

    async def wait_asked(self, timeout_s: float) -> None:
        """Wait until each worker process was told what to load: it does so without this one's help."""
        deadline_s = self._clock() + timeout_s
        while self._clock() < deadline_s and any(slot.worker is None for slot in self._slots):
            await asyncio.sleep(0.001)
        await asyncio.sleep(0)

    async def wait_ready(self) -> None:
        """Wait until the workers are ready; see `WorkerPool.wait_ready`."""
        await self._switch.wait_ready()
        await asyncio.shield(self._settling)

    # What it is told to do

    def steer(self, measures: Measures) -> None:
        """Do as much work as these measures allow, with their model; to be called again and again."""
        self._measures = measures
        wanted = self._models.main
        if measures.fallback and self._models.fallback:
            wanted = self._models.fallback
        elif measures.small_model and self._models.small:
            wanted = self._models.small
        if wanted.spec != self._switch.spec and self._clock() >= self._blocked_until_s:
            self._change(wanted)

    def try_main(self) -> bool:
        """After a failure: see now and then whether the main model works again; True once it does.

        Workers that could not load it try again by themselves.
        """
        if self._changing is not None or self.streaming_trouble:
            return False
        if self._switch.spec == self._models.main.spec and self.ready and not self.failed:
            self._retry_s, self._retry_at_s = self._first_retry_s, None
            return True
        if self._retry_at_s is None:
            self._retry_at_s = self._clock() + self._retry_s
        if self._clock() < self._retry_at_s:
            return False
        self._retry_s, self._retry_at_s = min(2 * self._retry_s, _RETRY_GROWTH * self._first_retry_s), None
        if self._switch.spec != self._models.main.spec:
            self._change(self._models.main)
        return False

    def _change(self, model: NamedModel) -> None:
        if self._changing is None:
            self._changing = asyncio.create_task(self._switch_to(model), name=f"change to {model.name}")

    async def _switch_to(self, model: NamedModel) -> None:
        try:
            await self._switch.switch(model.spec)
        except AsrctlError:
            self._blocked_until_s = self._clock() + _REST_S
        finally:
            self._changing = None

    def probe(self) -> None:
        """Decode the test speech among the other work, so that the meter sees whether decoding works."""
        if self._pool.health is not None and (self._probing is None or self._probing.done()):
            self._probing = asyncio.create_task(self._decode_test_speech(), name="probe")

    async def _decode_test_speech(self) -> None:
        health = self._pool.health
        assert health is not None
        try:
            await self.decoder.decode(health.samples, health.options, Ticket("probe", Kind.FINAL))
        except AsrctlError:
            return  # the meter has counted it

    async def pace(self, enough: float) -> float:
        """Seconds that a worker takes for a second of speech, if all of them decode it as finals under load.

        What else the machine does makes decodes slower and never quicker: the quickest round counts. Live
        audio goes before them.

        Args:
            enough: No further round is needed where one was as quick as this.

        Raises:
            AsrctlError: It cannot be decoded now.
        """
        samples, rounds = sample_speech(), list[float]()
        options = replace(self._decode, effort=Effort.LIGHT)
        while len(rounds) < _PACE_ROUNDS and sum(rounds) < _PACE_S:
            tickets = [Ticket(f"pace {each}", Kind.FINAL, Source.FILE) for each in range(self._at_a_time)]
            decodes = (self._switch.decode(samples, options, ticket) for ticket in tickets)
            found = await asyncio.gather(*decodes, return_exceptions=True)  # nothing is left running
            if failures := [each for each in found if isinstance(each, BaseException)]:
                raise failures[0]
            rounds.append(median(each.inference_s for each in found if isinstance(each, Hypothesis)))
            if min(rounds) * SAMPLE_RATE_HZ <= enough * len(samples):
                break
        return min(rounds) * SAMPLE_RATE_HZ / len(samples)

    async def close(self) -> None:
        """Stop at once; no worker is left."""
        tasks = [task for task in (self._settling, self._changing, self._probing) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.recognizer.close()
