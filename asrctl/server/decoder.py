"""The workers as sessions see them: measured, and with a bound on what one session may have waiting."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from asrctl.errors import QueueFull, Superseded
from asrctl.policy.priority import Kind, Ticket
from asrctl.providers.base import DecodeOptions
from asrctl.server.load import Decoded, LoadMeter, work_of
from asrctl.transcript import Hypothesis
from asrctl.workers.switch import ModelSwitch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class MeteredDecoder:
    """A `WindowDecoder` around the workers, which are closed with it."""

    def __init__(self, switch: ModelSwitch, meter: LoadMeter, session_finals: int) -> None:
        """Wrap; each session may have `session_finals` finals waiting."""
        self._switch = switch
        self._meter = meter
        self._session_finals = session_finals
        self._finals: Counter[str] = Counter()
        self.decoded: Callable[[Decoded, Mapping[str, float]], None] = lambda _, __: None
        """Told of each decode of live audio that is done, with the seconds of each sort of work in it."""
        self.file_windows = 0
        """Windows of files that wait or run."""
        self.files_s = 0.0
        """Time that windows of files took so far."""

    @property
    def width(self) -> int:
        """How many windows are decoded at a time."""
        return self._switch.width

    @property
    def load_s(self) -> float:
        """How long loading took."""
        return self._switch.load_s

    @property
    def inference_s(self) -> float:
        """Time that recognisers took."""
        return self._switch.inference_s

    async def decode(
        self, samples: NDArray[np.float32], options: DecodeOptions, ticket: Ticket
    ) -> Hypothesis:
        """Decode one window; see `WindowDecoder.decode`.

        Raises:
            QueueFull: This session has more finals waiting than its audio can hold; others are not hurt.
        """
        if ticket.is_file:
            return await self._decode_file(samples, options, ticket)
        with self._place(ticket):
            number = self._meter.begin(ticket.kind)
            try:
                hypothesis = await self._switch.decode(samples, options, ticket)
            except (asyncio.CancelledError, Superseded):
                self._meter.cancelled(number)
                raise
            except BaseException:
                self._meter.failed(number)
                raise
        self.decoded(self._meter.decoded(number, hypothesis.inference_s), work_of(ticket, hypothesis))
        return hypothesis

    async def _decode_file(
        self, samples: NDArray[np.float32], options: DecodeOptions, ticket: Ticket
    ) -> Hypothesis:
        """A window that live audio goes before: its waiting time does not show how the server keeps up."""
        self.file_windows += 1
        try:
            hypothesis = await self._switch.decode(samples, options, ticket)
        finally:
            self.file_windows -= 1
        self.files_s += hypothesis.inference_s
        return hypothesis

    @contextmanager
    def _place(self, ticket: Ticket) -> Iterator[None]:
        if ticket.kind is not Kind.FINAL:
            yield
            return
        if self._finals[ticket.session] >= self._session_finals:
            raise QueueFull("too much was waiting")
        self._finals[ticket.session] += 1
        try:
            yield
        finally:
            self._finals[ticket.session] -= 1
            if not self._finals[ticket.session]:
                del self._finals[ticket.session]

    async def wait_ready(self) -> None:
        """Wait until the present model is ready."""
        await self._switch.wait_ready()

    def pids(self) -> list[int]:
        """Process ids of the workers."""
        return self._switch.pids()

    async def close(self) -> None:
        """Stop at once; no worker is left."""
        await self._switch.close()
