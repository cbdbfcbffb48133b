"""Live audio, and files of providers that only listen to streams, transcribed on this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path

from asrctl.assembly import Plan, start
from asrctl.audio.live import LiveSource
from asrctl.cli.live import Live, LiveRequest
from asrctl.cli.live_view import LiveView
from asrctl.cli.scribe import Scribe
from asrctl.cli.voice_activity import speech_detector, stream_options
from asrctl.errors import AudioError
from asrctl.render.output import Output
from asrctl.stream.events import Event
from asrctl.stream.fallback import Fallback
from asrctl.stream.live import FILE_AHEAD_S, LIVE_AHEAD_S, LiveStream
from asrctl.stream.stream import SpeechDetector
from asrctl.transcript import AudioAccount, Timing
from asrctl.workers.standby import Standby


async def listen(
    plan: Plan,
    open_source: Callable[[], LiveSource],
    request: LiveRequest,
    view: LiveView,
    detector: SpeechDetector | None = None,
    standby: Standby | None = None,
) -> int:
    """Transcribe a source until it ends or is interrupted; returns the exit code.

    Args:
        plan: What decodes. It loads while the source is heard already.
        open_source: Opens it; it is closed at the end.
        request: What to do with it.
        view: Where it is shown meanwhile.
        detector: Finds speech; fresh. None for what the request asks for.
        standby: A worker process that was started earlier.

    Raises:
        AudioError: The source failed; what it had given is written.
        ModelError: The weights do not load.
        ProviderError: No provider can run.
        AsrctlError: The output cannot be written.
    """
    recognizer = start(plan, standby=standby)
    try:
        return await _listen_with(recognizer, plan, open_source, request, view, detector)
    finally:
        await recognizer.close()


async def transcribe_streamed(
    plan: Plan,
    sources: Sequence[Callable[[], LiveSource]],
    outputs: Sequence[Path | None],
    request: LiveRequest,
) -> int:
    """Transcribe inputs as fast as they are taken, one after the other; returns how many failed.

    Raises:
        ProviderError: The provider cannot run, and nobody stands in.
        AsrctlError: An output cannot be written.
    """
    failed, view = 0, LiveView()
    recognizer = start(plan)
    try:
        await recognizer.wait_ready()
        for open_source, output in zip(sources, outputs, strict=True):
            once = replace(request, output=output, paced=False)
            try:
                await _listen_with(recognizer, plan, open_source, once, view)
            except AudioError as error:
                view.say(f"asrctl: error: {error}")
                failed += 1
    finally:
        await recognizer.close()
    return failed


async def _listen_with(
    recognizer: Fallback,
    plan: Plan,
    open_source: Callable[[], LiveSource],
    request: LiveRequest,
    view: LiveView,
    detector: SpeechDetector | None = None,
) -> int:
    source = open_source()
    live: Live | None = None
    try:
        options = stream_options(plan.decode, request.vad, request.live)
        detector = detector or speech_detector(request.vad)
        with Output(request.output) as output, view:
            ahead_s = LIVE_AHEAD_S if request.paced else FILE_AHEAD_S
            stream = LiveStream(detector, options, recognizer, ahead_s=ahead_s)
            if not view.shown:
                stream.session.show_partials(None)
            live = Live(_LocalEar(stream, recognizer, plan), source, request, view, output)
            return await live.run()
    finally:
        if live is None:  # which would have closed it
            source.close()


class _LocalEar:
    """An `Ear` on this machine."""

    def __init__(self, stream: LiveStream, recognizer: Fallback, plan: Plan) -> None:
        self.feed = stream.feed
        self.skip = stream.skip
        self.finish = stream.finish
        self.wait_for_room = stream.wait_for_room
        self.waiting = stream.waiting
        self._stream = stream
        self._recognizer = recognizer
        self._plan = plan

    @property
    def account(self) -> AudioAccount:
        return self._stream.account

    @property
    def pending_samples(self) -> int:
        return self._stream.pending_samples

    def __aiter__(self) -> AsyncIterator[Event]:
        return aiter(self._stream)

    def note(self) -> str:
        return "loading the model" if self._stream.is_loading else ""

    def names(self, providers: list[str]) -> tuple[str, str, str]:
        at_work = providers or [self._recognizer.name]
        members = self._recognizer.members
        models = dict.fromkeys(members[name].model for name in at_work)
        return ", ".join(models), ", ".join(at_work), self._stream.session.language

    def timing(self, wall_s: float) -> Timing:
        return Timing(self._recognizer.load_s, self._recognizer.inference_s, wall_s)

    def conclude(self, scribe: Scribe, heard_samples: int, interrupted: bool, complete: bool) -> None:
        """Nothing but what the account says."""

    async def close(self) -> None:
        await self._stream.close()
