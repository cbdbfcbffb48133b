"""Live audio, and files of providers that only listen to streams, transcribed on this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from asrctl.api import AsyncEngine
from asrctl.audio.live import LiveSource
from asrctl.cli.foreign import is_through_server, waits_for
from asrctl.cli.live import Live
from asrctl.cli.live_view import LiveView
from asrctl.cli.result_writer import ResultWriter
from asrctl.cli.task import Task
from asrctl.events import Event
from asrctl.from_settings import speech_detector
from asrctl.protocol.endpointing import Endpointing
from asrctl.render.output import Output
from asrctl.streaming.live import FILE_AHEAD_S, LIVE_AHEAD_S, LiveStream
from asrctl.streaming.live_tracks import TracksStream
from asrctl.streaming.stream import SpeechDetector
from asrctl.streaming.tracks import Gate
from asrctl.transcript import AudioAccount, Timing, Track


async def listen(
    engine: AsyncEngine,
    open_source: Callable[[], LiveSource],
    task: Task,
    view: LiveView,
    detector: Callable[[], SpeechDetector] | None = None,
) -> int:
    """Transcribe a source until it ends or is interrupted; returns the exit code.

    Args:
        engine: What decodes. Its model loads while the source is heard already.
        open_source: Opens it; it is closed at the end.
        task: What to do with it; its output is the first.
        view: Where it is shown meanwhile.
        detector: Makes what finds speech; None for the usual one.

    Raises:
        AudioError: The source failed; what it had given is written.
        ModelError: The weights do not load.
        ProviderError: No provider can run.
        AsrctlError: The output cannot be written.
    """
    source = open_source()
    live: Live | None = None
    try:
        with Output(task.outputs[0], whole=task.is_repeatable, append=task.append) as output, view:
            ahead_s = LIVE_AHEAD_S if task.is_live else FILE_AHEAD_S
            at_once = None if task.is_live else Endpointing(end_of_turn=False)
            engine.warn = lambda why: view.say(f"asrctl: warning: {why}")
            found = engine.settings.vad if task.vad else None

            def stream_of(gate: Gate = lambda found: found) -> LiveStream:
                hears = gate(detector() if detector else speech_detector(found))
                return engine.live(
                    vad=task.vad,
                    partials=view.shown,
                    detector=hears,
                    ahead_s=ahead_s,
                    endpointing=at_once,
                    by_voice=task.reading.by_voice,
                )

            speakers: tuple[str, ...] = getattr(source, "speakers", ())
            stream = TracksStream(speakers, stream_of, echo=task.vad) if speakers else stream_of()
            live = Live(_LocalTranscriber(stream, engine, paced=task.is_live), source, task, view, output)
            return await live.run()
    finally:
        if live is None or not live.has_source:
            source.close()


class _LocalTranscriber:
    """A `LiveTranscriber` on this machine."""

    def __init__(self, stream: LiveStream | TracksStream, engine: AsyncEngine, *, paced: bool) -> None:
        self.feed = stream.feed
        self.skip = stream.skip
        self.finish = stream.finish
        self.waiting = stream.waiting
        self._stream = stream
        self._recognizer = engine.recognizer
        self._plan = engine.plan
        self._engine = engine
        self._paced = paced
        self.through_server = is_through_server(engine.plan)

    async def wait_for_room(self) -> None:
        if not self._paced:  # nothing is read before it can be transcribed
            await self._stream.wait_loaded()
        await self._stream.wait_for_room()

    @property
    def account(self) -> AudioAccount:
        return self._stream.account

    @property
    def tracks(self) -> tuple[Track, ...]:
        return self._stream.tracks

    @property
    def pending_samples(self) -> int:
        return self._stream.pending_samples

    def __aiter__(self) -> AsyncIterator[Event]:
        return aiter(self._stream)

    @property
    def awaited(self) -> str:
        hopeful = self._paced and not self.through_server  # a model of ours comes, and soon
        return waits_for(self._engine) if self._stream.is_loading and not hopeful else ""

    def note(self) -> str:
        if not self._stream.is_loading:
            return ""
        return f"waiting for {self.awaited}" if self.through_server else "loading the model"

    def names(self, providers: list[str]) -> tuple[str, str, str]:
        at_work = providers or [self._recognizer.name]
        members = self._recognizer.members
        models = dict.fromkeys(members[name].model for name in at_work)
        return ", ".join(models), ", ".join(at_work), self._stream.language

    def timing(self, wall_s: float) -> Timing:
        return Timing(self._recognizer.load_s, self._recognizer.inference_s, wall_s)

    def conclude(self, results: ResultWriter, heard_samples: int, interrupts: int, complete: bool) -> None:
        """Doubt the language; all else is said by the account."""
        if not self._plan.multilingual:
            results.doubt_language(self._plan.model)

    async def close(self) -> None:
        await self._stream.close()
