"""Recognisers that are made when they are needed, and those that run in threads of this process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError

import numpy as np
import pytest
from numpy.typing import NDArray

from asrctl.engine.deferred import DeferredModel, DeferredRecognizer
from asrctl.engine.pool import BATCH, WorkerPool
from asrctl.engine.threads import ThreadedRecognizer
from asrctl.errors import AsrctlError, DecodeError, ModelError, ProviderError, QueueFull
from asrctl.providers.base import Aborted, DecodeOptions
from asrctl.providers.scripted import speak
from asrctl.providers.scripted_stream import ScriptedStream
from asrctl.transcript import Hypothesis
from tests.engine.conftest import Script
from tests.engine.streams import heard_in

PATIENCE_S = 30.0
OPTIONS = DecodeOptions()


def test_nothing_is_made_before_the_first_window(script: Script) -> None:
    """Windows that come while it is made are decoded, and it is closed with what stands for it."""
    made: list[WorkerPool] = []

    def make() -> WorkerPool:
        made.append(WorkerPool(script()))
        return made[-1]

    reserve = DeferredRecognizer(make)
    assert not made
    futures = [reserve.submit(speak([number]), OPTIONS, BATCH) for number in (1, 2)]
    assert [future.result(PATIENCE_S).text for future in futures] == ["w1", "w2"]
    assert reserve.submit(speak([3]), OPTIONS, BATCH).result(PATIENCE_S).text == "w3"
    reserve.close()
    assert len(made) == 1 and not made[0].pids()
    assert reserve.submit(speak([4]), OPTIONS, BATCH).cancelled()


def test_it_can_be_started_ahead_of_need(script: Script) -> None:
    """Closing waits for it."""
    begun = threading.Event()

    def make() -> WorkerPool:
        begun.set()
        return WorkerPool(script())

    reserve = DeferredRecognizer(make)
    reserve.start()
    reserve.start()
    assert begun.wait(PATIENCE_S)
    reserve.close()


@pytest.mark.parametrize(
    ("error", "told"), [(ModelError("gone"), ModelError), (KeyError("x"), ProviderError)]
)
def test_what_cannot_be_made_fails_and_is_tried_again(
    error: Exception, told: type[Exception], script: Script
) -> None:
    """With the reason; the next window may find it in order."""
    errors = [error]

    def make() -> WorkerPool:
        if errors:
            raise errors.pop()
        return WorkerPool(script())

    reserve = DeferredRecognizer(make)
    with pytest.raises(told):
        reserve.submit(speak([1]), OPTIONS, BATCH).result(PATIENCE_S)
    assert reserve.submit(speak([2]), OPTIONS, BATCH).result(PATIENCE_S).text == "w2"
    reserve.close()


def test_errors_and_refusals_are_passed_on(script: Script) -> None:
    """As they are; a full queue too."""
    with WorkerPool(script(refuse_on=["w1"])) as pool:
        reserve = DeferredRecognizer(lambda: pool)
        with pytest.raises(DecodeError, match="refused"):
            reserve.submit(speak([1]), OPTIONS, BATCH).result(PATIENCE_S)

        def full(*_: object) -> None:
            raise QueueFull("too much was waiting")

        pool.submit = full  # type: ignore[assignment, method-assign]
        with pytest.raises(AsrctlError, match="too much was waiting"):
            reserve.submit(speak([2]), OPTIONS, BATCH).result(PATIENCE_S)


def test_a_job_of_a_reserve_can_be_aborted(script: Script) -> None:
    """Its worker is free for the next one."""
    reserve = DeferredRecognizer(lambda: WorkerPool(script(hang_on=["w1"])))
    assert reserve.submit(speak([2]), OPTIONS, BATCH).result(PATIENCE_S).text == "w2"
    stuck = reserve.submit(speak([1]), OPTIONS, BATCH)
    reserve.abort(stuck)
    assert stuck.cancelled()
    assert reserve.submit(speak([3]), OPTIONS, BATCH).result(PATIENCE_S).text == "w3"
    reserve.abort(stuck)
    reserve.close()


def test_a_streaming_reserve_is_made_for_the_first_stream() -> None:
    """And closed, if it was made."""
    made: list[ScriptedStream] = []

    def make() -> ScriptedStream:
        made.append(ScriptedStream())
        return made[-1]

    reserve = DeferredModel(make)
    assert reserve.description() == "not started" and not made
    for _ in range(2):
        reserve.open(OPTIONS, lambda _: None)
    assert len(made) == 1 and made[0].streams == 2
    assert reserve.description() == "scripted"
    reserve.close()
    assert made[0].streams == 0
    DeferredModel(make).close()
    assert len(made) == 1


class Listening:
    """A windowed model that hears words, or what the test has it do."""

    def __init__(self, do: Callable[[Callable[[], bool]], None] = lambda _: None) -> None:
        self._do = do
        self.closed = False

    def transcribe(
        self, samples: NDArray[np.float32], options: DecodeOptions, should_abort: Callable[[], bool]
    ) -> Hypothesis:
        self._do(should_abort)
        return heard_in(samples)

    def description(self) -> str:
        return "listening"

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> Listening:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def test_threads_decode_side_by_side() -> None:
    """As many windows at once as there are threads; each model is closed in the end."""
    both = threading.Barrier(2, timeout=PATIENCE_S)
    models = [Listening(lambda _: both.wait() and None), Listening(lambda _: both.wait() and None)]
    rest = iter(models)
    recognizer = ThreadedRecognizer(lambda: next(rest), 2)
    futures = [recognizer.submit(speak([number]), OPTIONS, BATCH) for number in range(1, 5)]
    assert [future.result(PATIENCE_S).text for future in futures] == ["w1", "w2", "w3", "w4"]
    recognizer.close()
    assert all(model.closed for model in models)
    assert recognizer.submit(speak([1]), OPTIONS, BATCH).cancelled()


def test_what_a_thread_raises_is_the_outcome() -> None:
    """And the thread goes on."""
    errors = [DecodeError("refused")]

    def fail(_: object) -> None:
        if errors:
            raise errors.pop()

    recognizer = ThreadedRecognizer(lambda: Listening(fail), 1)
    with pytest.raises(DecodeError, match="refused"):
        recognizer.submit(speak([1]), OPTIONS, BATCH).result(PATIENCE_S)
    assert recognizer.submit(speak([2]), OPTIONS, BATCH).result(PATIENCE_S).text == "w2"
    recognizer.close()


def test_threads_can_be_told_to_stop() -> None:
    """What runs is aborted, what waits is cancelled."""
    begun = threading.Event()

    def hang(should_abort: Callable[[], bool]) -> None:
        begun.set()
        while not should_abort():
            threading.Event().wait(0.001)
        raise Aborted

    recognizer = ThreadedRecognizer(lambda: Listening(hang), 1)
    running, waiting = (recognizer.submit(speak([n]), OPTIONS, BATCH) for n in (1, 2))
    assert begun.wait(PATIENCE_S)
    recognizer.abort(waiting)
    assert waiting.cancelled()
    recognizer.close()
    with pytest.raises(CancelledError):
        running.result(PATIENCE_S)
