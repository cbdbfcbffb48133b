"""The recogniser behind all sessions: one pool of workers whose model can be changed, and a meter on it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING

import psutil

from asrctl.engine.lineup import Lineup, Member
from asrctl.engine.slot import Slot, SlotState
from asrctl.engine.switch import ModelSwitch
from asrctl.errors import ProviderError, QueueFull
from asrctl.policy.chain import ChainOptions
from asrctl.policy.ladder import Measures
from asrctl.policy.priority import Kind, Ticket
from asrctl.providers.base import DecodeOptions, LoadsAhead
from asrctl.server.load import Decoded, LoadMeter
from asrctl.server.options import NamedModel, ServeOptions
from asrctl.transcript import Hypothesis

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MAX_RETRIES_S = 32.0
"""A model that failed is tried again ever more rarely, at last after so many times the first wait."""
_REST_S = 10.0
"""A change of models that failed is not tried again for so long."""


class Engine:
    """Decodes for all sessions; a `Recognizer`. Thread-safe."""

    def __init__(
        self,
        options: ServeOptions,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start the workers; they load meanwhile.

        Args:
            options: What to load, and how workers are kept; their health check is what `probe` decodes.
            clock: Monotonic seconds.
        """
        self._models = options.models
        self._options = options.roomy_pool
        self._session_finals = options.session_finals
        self._finals: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.decoded: Callable[[Decoded], None] = lambda _: None
        """Told of each decode, from any thread."""
        self._clock = clock
        self.meter = LoadMeter(options.pool.workers, clock)
        self._switch = self._started()
        self._changing: Future[None] | None = None
        self._probing: Future[Hypothesis] | None = None
        self._first_retry_s = self._retry_s = options.retry_s
        self._retry_at_s: float | None = None
        self._blocked_until_s = 0.0
        self._lost_before = 0
        self._first = options.streaming
        self.streaming = options.streaming.start() if options.streaming else None
        """What has the utterances while all is well; None for the workers."""
        members = [Member(self._models.main.spec.provider, self)]
        if options.streaming:
            members.insert(0, Member(options.streaming.model.spec.provider, None, self.streaming))
        retry_s = min(options.retry_s, ChainOptions().max_retry_s)
        self.lineup = Lineup(members, ChainOptions(retry_s), clock)
        """What sessions ask for somebody to recognise their utterances."""
        self._streaming_settled = threading.Event()
        if isinstance(self.streaming, LoadsAhead):
            threading.Thread(target=self._settle_streaming, args=(self.streaming,), daemon=True).start()
        else:
            self._streaming_settled.set()

    def _settle_streaming(self, streaming: LoadsAhead) -> None:
        """See whether the streaming provider gets ready."""
        try:
            streaming.wait_ready()
        except ProviderError as error:
            self.lineup.failed(self.lineup.first, error)
        self._streaming_settled.set()

    @property
    def streaming_trouble(self) -> str:
        """Why the streaming provider is left alone for now; empty if it is not, or there is none."""
        return self.lineup.why_not(self.lineup.first) if self.streaming is not None else ""

    def _started(self) -> ModelSwitch:
        fallback = self._models.fallback.spec if self._models.fallback else None
        return ModelSwitch(self._models.main.spec, self._options, fallback=fallback)

    def submit(
        self, samples: NDArray[np.float32], options: DecodeOptions, ticket: Ticket
    ) -> Future[Hypothesis]:
        """Queue one window; see `WorkerPool.submit`.

        Raises:
            QueueFull: This session has more finals waiting than its audio can hold; others are not hurt.
        """
        if not self._enter(ticket):
            raise QueueFull("too much was waiting")
        number = self.meter.submitted(ticket.kind)
        try:
            future = self._switch.submit(samples, options, ticket)
        except BaseException:
            self.meter.cancelled(number)
            self._leave(ticket)
            raise
        future.add_done_callback(lambda done: self._note(number, ticket, done))
        return future

    def _enter(self, ticket: Ticket) -> bool:
        with self._lock:
            if ticket.kind is Kind.FINAL:
                if self._finals[ticket.session] >= self._session_finals:
                    return False
                self._finals[ticket.session] += 1
            return True

    def _leave(self, ticket: Ticket) -> None:
        with self._lock:
            if ticket.kind is Kind.FINAL:
                self._finals[ticket.session] -= 1
                if not self._finals[ticket.session]:
                    del self._finals[ticket.session]

    def abort(self, future: Future[Hypothesis]) -> None:
        """Stop a job nobody needs any more."""
        self._switch.abort(future)

    def _note(self, number: int, ticket: Ticket, future: Future[Hypothesis]) -> None:
        self._leave(ticket)
        try:
            hypothesis = future.result()
        except CancelledError:
            self.meter.cancelled(number)
        except Exception:
            self.meter.failed(number)
        else:
            self.decoded(self.meter.decoded(number, hypothesis.inference_s))

    # What it is doing

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
        lives = any(slot.state is SlotState.READY and _lives(slot) for slot in self._slots)
        return lives and self._streaming_settled.is_set()

    @property
    def failed(self) -> bool:
        """Whether no worker will ever be ready, or all had to fall back to another model by themselves."""
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
        return self._lost_before + self._switch.restarts

    @property
    def description(self) -> str:
        """Where the model runs."""
        if self.streaming is not None and not self.streaming_trouble:
            return self.streaming.description()
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
        others: Callable[[], list[int]] = getattr(self.streaming, "pids", list)
        return [*self._switch.pids(), *others()]

    def wait_ready(self) -> None:
        """Block until the workers are ready; see `WorkerPool.wait_ready`."""
        self._switch.wait_ready()
        self._streaming_settled.wait()

    # What it is told to do

    def steer(self, measures: Measures) -> None:
        """Change to the model that these measures ask for; to be called again and again."""
        wanted = self._models.main
        if measures.fallback and self._models.fallback:
            wanted = self._models.fallback
        elif measures.small_model and self._models.small:
            wanted = self._models.small
        if wanted.spec != self._switch.spec and self._clock() >= self._blocked_until_s:
            self._change(wanted)

    def try_main(self) -> bool:
        """After a failure: see now and then whether the main model works again; True once it does."""
        if self._changing is not None or self.streaming_trouble:
            return False
        if self._switch.spec == self._models.main.spec and self.ready and not self.failed:
            self._retry_s, self._retry_at_s = self._first_retry_s, None
            return True
        if self._retry_at_s is None:
            self._retry_at_s = self._clock() + self._retry_s
        if self._clock() < self._retry_at_s:
            return False
        self._retry_s, self._retry_at_s = min(2 * self._retry_s, _MAX_RETRIES_S * self._first_retry_s), None
        if self._switch.spec != self._models.main.spec:
            self._change(self._models.main)
        elif self.failed:
            self._begin_again()
        return False

    def _begin_again(self) -> None:
        """No worker is left, and none will come by itself: begin with new ones."""
        old = self._switch
        self._lost_before += old.restarts
        self._switch = self._started()
        old.close()

    def _change(self, model: NamedModel) -> None:
        if self._changing is not None:
            return

        def changed(future: Future[None]) -> None:
            self._changing = None
            if future.exception() is not None:
                self._blocked_until_s = self._clock() + _REST_S

        self._changing = self._switch.switch(model.spec)
        self._changing.add_done_callback(changed)

    @property
    def has_dead_worker(self) -> bool:
        """Whether a worker died while it had nothing to do, which its slot sees with the next job only."""
        return any(slot.state is SlotState.READY and not _lives(slot) for slot in self._slots)

    def restart_workers(self) -> None:
        """Kill the workers; others take their place, and the work is tried again."""
        for slot in self._slots:
            slot.stop()

    def probe(self) -> None:
        """Decode the test speech among the other work, so that the meter sees whether decoding works."""
        health = self._options.health
        if health is None or (self._probing is not None and not self._probing.done()):
            return
        self._probing = self.submit(health.samples, health.options, Ticket("probe", Kind.FINAL))

    def close(self) -> None:
        """Stop at once; no worker is left."""
        self._streaming_settled.set()
        if self.streaming is not None:
            self.streaming.close()
        self._switch.close()


def _lives(slot: Slot) -> bool:
    worker = slot.worker
    if worker is None:
        return False
    try:
        return psutil.Process(worker.pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
