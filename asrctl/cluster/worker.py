"""What runs in the worker processes of a cluster; errors of asrctl's own kind are answers.

The first task of a process starts its recogniser, which stays for those that follow.
"""

from __future__ import annotations

import asyncio
import atexit
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import aclosing, closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from asrctl import __version__
from asrctl.api import AsyncEngine
from asrctl.assembly import prepare
from asrctl.cluster.pieces import PieceDecoder
from asrctl.cluster.resubmitting import Resubmitting
from asrctl.cluster.work import Done, Executor, Failed, PieceWindow, TooLong, Work
from asrctl.errors import AsrctlError, DecodeError, ProviderError, UsageError, WorkerCrashed, WorkerTimeout
from asrctl.policy.priority import Kind, Ticket
from asrctl.settings import Settings
from asrctl.transcript import Hypothesis
from asrctl.workers.options import PoolOptions

if TYPE_CHECKING:
    from asrctl.audio.files import OpenAudio
    from asrctl.audio.tracks import Tracks
    from asrctl.providers.recognizer import WindowDecoder

T = TypeVar("T")

LONG_S = 900.0
"""A longer recording is decoded in pieces: a piece and a half."""
_ABOUT_ONE_WINDOW = (DecodeError, WorkerCrashed, WorkerTimeout)
"""Errors after which the other windows of a piece may still be decoded."""
_TICKET = Ticket("piece", Kind.FINAL)


def transcribe(work: Work, path: str) -> Done | TooLong | Failed:
    """Transcribe a recording in this process, if it is short enough."""

    async def whole(engine: AsyncEngine) -> Done | TooLong:
        with closing(work.open(path)) as audio:
            if audio.duration_s is None or audio.duration_s > LONG_S:
                return TooLong()
            return await _transcribed(engine, audio, work.vad)

    return _answered(work, whole)


def transcribe_in_pieces(work: Work, path: str, executor: Executor, ahead: int) -> Done | Failed:
    """Transcribe a recording whose windows are decoded by other tasks, `ahead` at a time."""

    async def spread(engine: AsyncEngine) -> Done:
        tasks = Resubmitting(executor)

        async def decoded(piece: list[PieceWindow]) -> list[Hypothesis | AsrctlError]:
            answer: list[Hypothesis | AsrctlError] | Failed = await tasks.run(decode, work, piece)
            if isinstance(answer, Failed):
                raise answer.error
            return answer

        with closing(work.open(path)) as audio:
            async with PieceDecoder(decoded, ahead) as decoder:
                done = await _transcribed(engine, audio, work.vad, decoder)
        return replace(done, resubmitted=tasks.count)

    return _answered(work, spread)


def decode(work: Work, piece: list[PieceWindow]) -> list[Hypothesis | AsrctlError] | Failed:
    """Decode the windows of a piece; an answer for each, or why none can be decoded here."""

    async def each(engine: AsyncEngine) -> list[Hypothesis | AsrctlError]:
        windows = engine.recognizer.windows
        assert windows is not None  # else nobody has cut windows
        return [await _decoded(windows, window) for window in piece]

    return _answered(work, each)


async def _decoded(windows: WindowDecoder, window: PieceWindow) -> Hypothesis | AsrctlError:
    try:
        return await windows.decode(window.samples, window.options, _TICKET)
    except _ABOUT_ONE_WINDOW as error:
        return error


async def _transcribed(
    engine: AsyncEngine, audio: OpenAudio | Tracks, vad: bool, windows: WindowDecoder | None = None
) -> Done:
    started_s = time.perf_counter()
    work = engine.file(audio, vad=vad, windows=windows)
    async with aclosing(work.segments()) as found:
        segments = [segment async for segment in found]
    failed = [f"{name} failed: {reason}" for name, reason in engine.recognizer.failures.items()]
    doubts = work.doubts if vad else []
    return Done(
        engine.transcript(audio.name, work, segments, time.perf_counter() - started_s),
        warnings=(*audio.warnings, *failed, *doubts),
        lost=tuple(work.lost),
        hint=audio.hint,
        multilingual=engine.plan.multilingual or bool(set(work.providers) - {engine.plan.provider}),
    )


class _Warm:
    """The recogniser of this process, and the event loop that it is in."""

    def __init__(self, settings: Settings) -> None:
        plan = prepare(settings)
        if not plan.is_windowed:
            raise UsageError(f"{plan.provider} only listens to streams: it does not go with --cluster")
        self._engine = AsyncEngine.of(plan, settings, PoolOptions(workers=plan.workers))
        self._runner = asyncio.Runner()
        self._runner.run(self._engine.__aenter__())

    def close(self) -> None:
        try:
            self._runner.run(self._engine.__aexit__(None, None, None))
        finally:
            self._runner.close()

    def run(self, task: Callable[[AsyncEngine], Coroutine[Any, Any, T]]) -> T:
        return self._runner.run(task(self._engine))


_kept = threading.local()
"""Ray calls plain functions, those of one run in the one thread of a process."""


def forget() -> None:
    """End the recogniser of this thread."""
    if hasattr(_kept, "warm"):
        _kept.warm.close()
        del _kept.warm


def _answered(work: Work, task: Callable[[AsyncEngine], Coroutine[Any, Any, T]]) -> T | Failed:
    try:
        if work.version != __version__:
            raise ProviderError(f"it has asrctl {__version__}, and not {work.version}")
        if not hasattr(_kept, "warm"):
            _kept.warm = _Warm(work.settings)
            atexit.register(forget)
        warm: _Warm = _kept.warm
        return warm.run(task)
    except AsrctlError as error:
        return Failed(type(error)(f"{socket.gethostname()}: {error}"))
