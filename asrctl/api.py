"""The Python API: a warm engine for many calls, and one-shot functions.

    import asrctl

    transcript = asrctl.transcribe("talk.wav")
    print(transcript.text)

    with asrctl.Engine(model="base-q8_0", language="de") as engine:      # keeps the model loaded
        for path in ("one.mp3", "two.mp3"):
            print(engine.transcribe(path).text)

    async def captions(chunks):                       # float32 samples, mono, 16 kHz, as they come
        async for event in asrctl.stream(chunks):
            if isinstance(event, asrctl.Final):
                print(event.segment.text)

`AsyncEngine` is what the command line runs on too; `Engine`, in `asrctl.engine`, is its synchronous twin.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from asrctl.assembly import Plan, fitting_terms, prepare, start
from asrctl.end_of_turn.process import TurnProcess
from asrctl.errors import UsageError
from asrctl.events import Event
from asrctl.from_settings import file_options, speech_detector, stream_options
from asrctl.policy.vocabulary import checked_terms
from asrctl.protocol.endpointing import Endpointing
from asrctl.recordings import blocking, is_recording, opened_tracks
from asrctl.settings import Settings
from asrctl.speakers.live_process import LiveSpeakers
from asrctl.speakers.options import SpeakerOptions, by_voice_of
from asrctl.streaming.fallback import Fallback
from asrctl.streaming.live import FILE_AHEAD_S, LIVE_AHEAD_S, LiveStream, events_while_fed
from asrctl.streaming.source import Reader, in_thread
from asrctl.streaming.tracks import Transcription
from asrctl.streaming.transcriptions import refuse_failed, transcript_of, transcription_of
from asrctl.transcript import Segment, Transcript
from asrctl.workers.options import PoolOptions

if TYPE_CHECKING:
    from asrctl.audio.files import OpenAudio
    from asrctl.audio.tracks import Tracks
    from asrctl.providers.base import DecodeOptions
    from asrctl.providers.recognizer import WindowDecoder
    from asrctl.recordings import Channels, LiveAudio, Recordings
    from asrctl.streaming.stream import SpeechDetector
    from asrctl.workers.standby import Standby


class AsyncEngine:
    """Recognises speech with models that stay loaded; an asynchronous context manager, in one event loop.

    Any number of calls may be under way at once; they share the workers, live audio before files.
    """

    def __init__(self, model: str | None = None, *, settings: Settings | None = None, **options: Any) -> None:
        """Prepare; nothing is loaded before the block is entered.

        Args:
            model: A name of the catalog such as "tiny.en-q8_0", or a path.
            settings: All settings, as from `asrctl.settings.load()`; None for the defaults. The config file
                of the command line is not read unless you do so.
            **options: Single settings that differ: `language`, `provider`, `workers`, `threads`, `prompt`,
                `vocabulary`, `beam_size`, `translate`, `word_timestamps`, `models_dir`.

        Raises:
            UsageError: There is no such option.
        """
        known = {name for name in Settings.__slots__ if name != "model"}
        if unknown := sorted(set(options) - known):
            raise UsageError(f"there is no setting {unknown[0]}; there are {', '.join(sorted(known))}")
        self.settings = (settings or Settings()).overridden(model=model, **options)
        self._plan: Plan | None = None
        self._pool: PoolOptions | None = None
        self._standby: Standby | None = None
        self._recognizer: Fallback | None = None
        self._turns = TurnProcess(self.settings.models_dir, lambda why: self.warn(why))
        self._speakers = LiveSpeakers(self.settings.models_dir)
        self.warn: Callable[[str], None] = logging.getLogger(__name__).warning
        """Told what is done without."""

    @classmethod
    def of(
        cls, plan: Plan, settings: Settings, pool: PoolOptions | None = None, standby: Standby | None = None
    ) -> AsyncEngine:
        """An engine for what was prepared already; see `asrctl.assembly.start`."""
        engine = cls(settings=settings)
        engine._plan, engine._pool, engine._standby = plan, pool, standby
        return engine

    async def __aenter__(self) -> Self:
        """Find the weights (fetch them if need be) and start the workers; they load meanwhile.

        Raises:
            ProviderError: No such provider, or it cannot run here.
            ModelError: No such model, or it cannot be had.
            UsageError: The model cannot do what is asked.
        """
        if self._plan is None:
            self._plan = await in_thread(lambda: prepare(self.settings))
        self._recognizer = start(self._plan, self._pool, standby=self._standby)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._speakers.close()
        await self._turns.close()
        if self._recognizer is not None:
            await self._recognizer.close()

    @property
    def plan(self) -> Plan:
        """What decodes, and how."""
        assert self._plan is not None, "enter the engine first: async with AsyncEngine(...) as engine"
        return self._plan

    @property
    def recognizer(self) -> Fallback:
        """The recognisers at work."""
        assert self._recognizer is not None, "enter the engine first: async with AsyncEngine(...) as engine"
        return self._recognizer

    def _decode(self, vocabulary: Sequence[str] | None) -> DecodeOptions:
        """How windows are decoded in one call. Raises UsageError for terms that are none."""
        own = self.plan.decode
        return own if vocabulary is None else replace(own, vocabulary=fitting_terms(vocabulary))

    async def wait_ready(self) -> None:
        """Wait until the model is loaded; calls made before simply take longer.

        Raises:
            ModelError: The weights do not load.
            ProviderError: No provider can run.
        """
        await self.recognizer.wait_ready()

    # Recordings

    async def transcribe(
        self,
        source: Recordings,
        *,
        vad: bool = True,
        channels: Channels = "mix",
        speakers: Mapping[str, str] | None = None,
        diarize: bool | int = False,
        vocabulary: Sequence[str] | None = None,
    ) -> Transcript:
        """Transcribe a recording.

        Args:
            source: A file in any format that asrctl reads, or samples, shape (n,), mono float32 at 16 kHz; or
                the tracks of one recording, such as `{"Anna": "mic.wav", "Ben": "system.wav"}`.
            vad: Look for speech first; False decodes everything.
            channels: "split" transcribes each channel on its own, with a speaker; samples have the shape
                (n, channels).
            speakers: Names by channel: "left", "right", or a number from "1".
            diarize: Tell speakers apart by voice, at most so many if it is a number: "Speaker 1", "Speaker 2"
                ... (extra "speakers").
            vocabulary: Terms that are likely, the most important first; None for those of the settings.

        Raises:
            AudioError: The file cannot be read, has not the channels that are named, or its speakers could
                not be told apart.
            ModelError: The weights do not load, or there are none.
            ProviderError: No provider can run.
            NothingTranscribed: All speech was lost; of some, `audio.dropped_samples` says how much.
        """
        started_s = time.monotonic()
        name, work = await self._opened(source, vad, channels, speakers, diarize, vocabulary)
        async with aclosing(work.segments()) as found:
            segments = [segment async for segment in found]
        refuse_failed(name, work, words=bool(segments))
        return self.transcript(name, work, segments, time.monotonic() - started_s)

    async def segments(
        self,
        source: Recordings,
        *,
        vad: bool = True,
        channels: Channels = "mix",
        speakers: Mapping[str, str] | None = None,
        diarize: bool | int = False,
        vocabulary: Sequence[str] | None = None,
    ) -> AsyncGenerator[Segment]:
        """The same, a segment at a time, as they become known; with `diarize`, at the end."""
        name, work = await self._opened(source, vad, channels, speakers, diarize, vocabulary)
        words = False
        async with aclosing(work.segments()) as found:
            async for segment in found:
                words = True
                yield segment
        refuse_failed(name, work, words=words)

    async def _opened(
        self,
        source: Recordings,
        vad: bool,
        channels: Channels,
        speakers: Mapping[str, str] | None,
        diarize: bool | int,
        vocabulary: Sequence[str] | None,
    ) -> tuple[str, Transcription]:
        by_voice = by_voice_of(diarize, channels == "split" or isinstance(source, Mapping))
        decode = self._decode(vocabulary)
        audio = await in_thread(lambda: opened_tracks(source, channels, speakers))
        return audio.name, self.file(audio, vad=vad, by_voice=by_voice, decode=decode)

    def file(
        self,
        audio: OpenAudio | Tracks,
        *,
        vad: bool = True,
        by_voice: SpeakerOptions | None = None,
        decode: DecodeOptions | None = None,
        windows: WindowDecoder | None = None,
    ) -> Transcription:
        """A transcription of an open input, with its account; iterate over its `segments()` once.

        Speakers on tracks are known; those of other inputs are told apart by voice if that is asked. The
        engine decodes, unless `windows` does.

        Raises:
            UsageError: The provider takes no whole windows; use `stream`.
        """
        from asrctl.models.store import ModelStore
        from asrctl.speakers.process import SpeakersProcess

        if (decoder := windows or self.recognizer.windows) is None:
            raise UsageError(f"{self.recognizer.name} only listens to streams: use stream()")
        found = self.settings.vad if vad else None
        options = file_options(decode or self.plan.decode, found, audio.duration_s)
        root = ModelStore(self.settings.models_dir).root
        process = SpeakersProcess(by_voice, root) if by_voice else None
        return transcription_of(audio, decoder, lambda: speech_detector(found), options, process, echo=vad)

    def transcript(
        self, name: str, work: Transcription, segments: list[Segment], wall_s: float
    ) -> Transcript:
        """What a transcription gave; audio that was read and is not transcribed counts as dropped."""
        return transcript_of(name, work, segments, self.recognizer, self.plan.decode.language, wall_s)

    # Live audio

    def live(
        self,
        *,
        vad: bool = True,
        partials: bool = True,
        detector: SpeechDetector | None = None,
        ahead_s: float = LIVE_AHEAD_S,
        vocabulary: Sequence[str] | None = None,
        endpointing: Endpointing | None = None,
        by_voice: SpeakerOptions | None = None,
    ) -> LiveStream:
        """A stream to be fed by hand: `feed`, `flush`, `finish`, and its events by iteration.

        Args:
            vad: Look for speech; False takes everything for speech.
            partials: Say what open utterances seem to say, too.
            detector: Finds speech; fresh. None for the usual one.
            ahead_s: How much may be pending before `wait_for_room` waits; more than the longest utterance.
            vocabulary: As for `transcribe`.
            endpointing: How this stream is cut into utterances, where it is to differ from the settings.
            by_voice: Whom to tell apart by voice; None for nobody.

        Raises:
            UsageError: Values of `endpointing` do not go together.
        """
        found = self.settings.vad if vad else None
        decode = self._decode(vocabulary)
        decode = replace(decode, word_timestamps=True) if by_voice else decode
        options = stream_options(decode, found, self.settings.live, endpointing)
        heard: Any = {"turns": self._turns, "speakers": by_voice and self._speakers.open(by_voice)}
        detector = detector or speech_detector(found)
        live = LiveStream(detector, options, self.recognizer, ahead_s=ahead_s, **heard)
        if not partials:
            live.session.show_partials(None)
        return live

    async def stream(
        self,
        source: LiveAudio,
        *,
        vad: bool = True,
        partials: bool = True,
        vocabulary: Sequence[str] | None = None,
        endpointing: Endpointing | None = None,
        diarize: bool | int = False,
    ) -> AsyncGenerator[Event]:
        """Events of live audio as it comes: `SpeechStarted`, `Partial`, `Final`, `Dropped` … `Finished`.

        Args:
            source: Chunks of samples, mono float32 at 16 kHz; `Lost` among them declares a gap. A recording
                is taken as fast as it is transcribed; `asrctl.microphone()` listens.
            vad: Look for speech; False takes everything for speech.
            partials: Say what open utterances seem to say, too.
            vocabulary: As for `transcribe`.
            endpointing: As for `live`.
            diarize: Tell speakers apart by voice, at most so many if it is a number: finals and their words
                have speakers where these are known in time, `SpeakerChanged` says it where they are known
                later or better, `SpeakersLost` where they will not be known (extra "speakers").

        Raises:
            AudioError: The source failed; what it had given was said before.
            ModelError: The weights do not load.
            ProviderError: No provider can run.
        """
        checked_terms(vocabulary or ())  # before anything is opened
        by_voice = by_voice_of(diarize, has_tracks=False)
        paced = not is_recording(source)
        if not paced:  # answers about its pauses would come too late
            endpointing = replace(endpointing or Endpointing(), end_of_turn=False)
        reader: Any = source if hasattr(source, "__aiter__") else Reader(blocking(source))
        ahead_s = LIVE_AHEAD_S if paced else FILE_AHEAD_S
        asked: dict[str, Any] = {"vocabulary": vocabulary, "endpointing": endpointing, "by_voice": by_voice}
        async with (
            self.live(vad=vad, partials=partials, ahead_s=ahead_s, **asked) as live,
            aclosing(events_while_fed(live, reader)) as events,
        ):
            async for event in events:
                yield event


async def stream(
    source: LiveAudio,
    model: str | None = None,
    *,
    vad: bool = True,
    partials: bool = True,
    endpointing: Endpointing | None = None,
    diarize: bool | int = False,
    **options: Any,
) -> AsyncGenerator[Event]:
    """Events of live audio; for several streams, keep an `AsyncEngine`. See `AsyncEngine.stream`."""
    asked: dict[str, Any] = {"vad": vad, "partials": partials, "endpointing": endpointing, "diarize": diarize}
    async with AsyncEngine(model, **options) as engine, aclosing(engine.stream(source, **asked)) as events:
        async for event in events:
            yield event
