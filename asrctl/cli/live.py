"""Live audio through the recogniser: partials to the screen, finals to the output as they come."""

from __future__ import annotations

import contextlib
import queue
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from asrctl.audio.live import LiveSource
from asrctl.cli.interrupts import STOP_GRACE_S, Interrupts
from asrctl.cli.live_options import stream_options
from asrctl.cli.live_view import LiveView, Status
from asrctl.cli.providers import Providers, takes_windows
from asrctl.cli.pump import FILE_AHEAD_S, LIVE_AHEAD_S, Pump
from asrctl.cli.recognizer import Recognizer
from asrctl.cli.scribe import Scribe
from asrctl.cli.voice_activity import speech_detector
from asrctl.engine.session import Session
from asrctl.engine.stream import SpeechDetector, Stream
from asrctl.errors import EXIT_INTERRUPTED, ProviderError
from asrctl.render import Format
from asrctl.render.formats import WRITERS
from asrctl.render.output import Output
from asrctl.settings import LiveSettings, VadSettings
from asrctl.stream.events import Dropped, Event, Final, Finished, Partial, ProviderChanged
from asrctl.transcript import SAMPLE_RATE_HZ, AudioAccount, Timing, Transcript

_TICK_S = 0.1


@dataclass(frozen=True, slots=True)
class LiveRequest:
    """What to do with a live source.

    Attributes:
        output: The file to write; None is standard output.
        format: What is written.
        words: Whether the format may show the times of words.
        vad: How speech is found; None to decode everything.
        live: How often partials are made and where long utterances are cut.
        interrupt_code: Exit code after one Ctrl-C: 0 where that is the way to end it.
        paced: Whether the source gives audio at its own pace, and not as fast as it is taken.
    """

    output: Path | None = None
    format: Format = "txt"
    words: bool = False
    vad: VadSettings | None = field(default_factory=VadSettings)
    live: LiveSettings = field(default_factory=LiveSettings)
    interrupt_code: int = EXIT_INTERRUPTED
    paced: bool = True


def listen(
    recognizer: Recognizer,
    source: LiveSource,
    request: LiveRequest,
    view: LiveView,
    detector: SpeechDetector | None = None,
) -> int:
    """Transcribe a source until it ends or is interrupted; returns the exit code.

    The first Ctrl-C stops the source and lets what was said be transcribed; the second stops that.

    Args:
        recognizer: What decodes. It loads while the source is heard already.
        source: Closed at the end.
        request: What to do with it.
        view: Where it is shown meanwhile.
        detector: Finds speech; fresh. None for what the request asks for.

    Raises:
        AudioError: The source failed; what it had given is written.
        ModelError: The weights do not load.
        ProviderError: No worker can run.
        AsrctlError: The output cannot be written.
    """
    try:
        providers = Providers(recognizer)
    except BaseException:
        source.close()
        raise
    with providers:
        return listen_with(providers, source, request, view, detector)


def listen_with(
    providers: Providers,
    source: LiveSource,
    request: LiveRequest,
    view: LiveView,
    detector: SpeechDetector | None = None,
) -> int:
    """The same as `listen`, with providers that are started already."""
    live: Live | None = None
    try:
        recognizer = providers.recognizer
        options = stream_options(recognizer.decode, request.vad, request.live)
        if takes_windows(recognizer) and not recognizer.is_pooled:
            options = replace(options, pacing=None)  # each partial would be a request that may cost money
        stream = Stream(detector or speech_detector(request.vad), options)
        with Output(request.output) as output, view:
            live = Live(providers, source, request, view, stream, output)
            with live:
                return live.run()
    finally:
        if live is None:  # which would have closed it
            source.close()


class Live:
    """One run. A pump's thread hears, the session's thread decides, the caller's writes and draws."""

    def __init__(
        self,
        providers: Providers,
        source: LiveSource,
        request: LiveRequest,
        view: LiveView,
        stream: Stream,
        output: Output,
    ) -> None:
        """Prepare; nothing is heard yet. The arguments are `listen`'s, and what it made of them."""
        self._providers = providers
        self._source = source
        self._request = request
        self._view = view
        self._stream = stream
        stream.partials = view.shown and stream.partials
        to_terminal = request.output is None and view.shares_terminal
        writer = WRITERS[request.format](view if to_terminal else output)
        self._wants_words = request.words or writer.needs_words
        self._scribe = Scribe(source, view, writer)
        self._inbox: queue.SimpleQueue[Event | BaseException | None] = queue.SimpleQueue()
        self._session = Session(stream, providers.lineup, self._inbox.put, name="live")
        ahead_s = LIVE_AHEAD_S if request.paced else FILE_AHEAD_S
        self._pump = Pump(source, self._session, self._inbox.put, ahead_s)
        self._stop_deadline_s: float | None = None
        self._at_work: dict[str, None] = {}  # whose words they are, in order
        self._failure: BaseException | None = None
        self._account: AudioAccount | None = None
        self._reason = ""

    def __enter__(self) -> Live:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()
        self._pump.close()

    def run(self) -> int:
        """Listen; see `listen`."""
        started_s = time.perf_counter()
        with Interrupts(lambda: self._inbox.put(None)) as interrupts:
            self._pump.start()
            try:
                while self._account is None and interrupts.count < 2:
                    self._step(interrupts.count)
            finally:
                self._conclude(started_s)
        if self._failure is not None:
            raise self._failure
        if interrupts.count > 1:
            return EXIT_INTERRUPTED
        if self._reason and not self._scribe.segments and self._account and not self._account.speech_samples:
            raise ProviderError(f"{self._source.name}: nothing could be transcribed: {self._reason}")
        return self._request.interrupt_code if interrupts.count else 0

    # While it runs

    def _step(self, interrupts: int) -> None:
        """Wait a moment for something to happen, and see to it."""
        with contextlib.suppress(queue.Empty):
            self._take(self._inbox.get(timeout=_TICK_S))
        now_s = time.monotonic()
        if interrupts and self._stop_deadline_s is None:
            self._stop_deadline_s = now_s + STOP_GRACE_S
            self._source.stop()
        if self._stop_deadline_s is not None and now_s > self._stop_deadline_s:
            self._pump.end()
        self._providers.check()
        self._view.refresh(self._status())

    def _take(self, item: Event | BaseException | None) -> None:
        if isinstance(item, Partial):
            self._view.partial(item.utterance, item.stable, item.unstable)
        elif isinstance(item, Final):
            self._view.ended(item.utterance)
            self._write(item)
        elif isinstance(item, Dropped):
            if item.utterance is not None:
                self._view.ended(item.utterance)
            self._declare(item)
        elif isinstance(item, ProviderChanged):
            self._view.say(f"asrctl: {self._source.name}: now transcribed by {item.provider}: {item.reason}")
        elif isinstance(item, Finished):
            self._account = item.account
        elif isinstance(item, BaseException):
            self._failure = item

    def _write(self, final: Final) -> None:
        segment = final.segment
        if not segment.text.strip():
            return
        self._at_work[final.provider] = None
        self._scribe.write(segment if self._wants_words else replace(segment, words=()))

    def _declare(self, loss: Dropped) -> None:
        self._reason = loss.reason if loss.utterance is not None else self._reason
        self._scribe.declare(loss.start_sample, loss.end_sample, loss.reason)

    def _status(self) -> Status:
        if self._stop_deadline_s is not None:
            note = "finishing; ^C: stop now"
        else:
            note = "loading the model" if self._providers.is_loading else ""
        heard_s = self._pump.heard_samples / SAMPLE_RATE_HZ
        return Status(heard_s, self._pump.level_db, self._session.pending_samples / SAMPLE_RATE_HZ, note)

    # At the end, whatever ended it

    def _conclude(self, started_s: float) -> None:
        """Stop what still goes on, and write the end."""
        self._view.close()
        account = self._settle()
        if self._failure is not None and not account.received_samples:
            return  # nothing to show for it: the output goes too
        self._scribe.finish(self._transcript(account, started_s))

    def _settle(self) -> AudioAccount:
        """Stop what still goes on; what came and is not transcribed is declared dropped."""
        if self._account is None:
            self._session.close()
        self._pump.close()
        while not self._inbox.empty():  # finals that nobody has written yet
            self._take(self._inbox.get())
        account, unseen_samples = self._account, self._pump.unheard_samples
        if account is None:
            account = self._session.account
            unseen_samples += self._session.pending_samples - account.pending_samples
        received_samples = account.received_samples + unseen_samples
        return self._scribe.balance(account, received_samples, account.pending_samples + unseen_samples)

    def _transcript(self, account: AudioAccount, started_s: float) -> Transcript:
        at_work = list(self._at_work) or [self._providers.recognizer.spec.provider]
        return Transcript(
            source=self._source.name,
            model=", ".join(dict.fromkeys(self._providers.models[name] for name in at_work)),
            provider=", ".join(at_work),
            language=self._stream.language,
            duration_s=account.received_samples / SAMPLE_RATE_HZ,
            segments=tuple(self._scribe.segments),
            audio=account,
            timing=Timing(
                load_s=self._providers.load_s,
                inference_s=self._providers.inference_s,
                wall_s=time.perf_counter() - started_s,
            ),
        )
