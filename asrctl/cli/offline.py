"""Files and pipes through the recogniser: one after the other, each with an output of its own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from asrctl.cli.providers import Providers, with_windows_only
from asrctl.cli.recognizer import Recognizer
from asrctl.cli.view import FileView
from asrctl.engine.process import Standby
from asrctl.engine.relay import Relay
from asrctl.engine.slot import PoolOptions
from asrctl.errors import AudioError
from asrctl.render import Format
from asrctl.settings import VadSettings
from asrctl.transcript import SAMPLE_RATE_HZ, Segment, Timing, Transcript

if TYPE_CHECKING:
    from asrctl.audio.files import AudioReader
    from asrctl.engine.files import FileOptions, FileTranscription
    from asrctl.providers.base import DecodeOptions
    from asrctl.render.writer import Sink, Writer

_WINDOW_S = 16.0
_WHOLE_WINDOW_S = 28.0
_SHORT_S = 30.0


@dataclass(frozen=True, slots=True)
class RawFormat:
    """Headerless PCM: rate in Hz, channels, "s16le" or "f32le"."""

    rate_hz: int
    channels: int
    encoding: str


@dataclass(frozen=True, slots=True)
class Request:
    """What to transcribe and where to.

    Attributes:
        inputs: Paths, or "-".
        outputs: A file for each input; None is standard output.
        format: What is written.
        raw: The format of inputs that have no header.
        vad: How speech is found; None to decode everything.
    """

    inputs: Sequence[str]
    outputs: Sequence[Path | None]
    format: Format
    raw: RawFormat | None
    vad: VadSettings | None


class Offline:
    """Runs a request; the recogniser loads while the first input is opened."""

    def __init__(
        self, recognizer: Recognizer, request: Request, view: FileView, standby: Standby | None = None
    ) -> None:
        self._recognizer = with_windows_only(recognizer)
        self._request = request
        self._view = view
        self._standby = standby

    def run(self) -> int:
        """Transcribe all inputs; returns how many failed.

        Raises:
            ModelError: The weights do not load.
            ProviderError: No worker can run.
            AsrctlError: An output cannot be written.
        """
        failed = 0
        options = PoolOptions(workers=self._recognizer.workers)
        with Providers(self._recognizer, options, standby=self._standby) as providers:
            relay = Relay(providers.lineup, options.workers)
            for name, output in zip(self._request.inputs, self._request.outputs, strict=True):
                try:
                    self._transcribe(providers, relay, name, output)
                except AudioError as error:
                    self._view.say(f"asrctl: error: {error}")
                    failed += 1
        return failed

    def _transcribe(self, providers: Providers, relay: Relay, name: str, path: Path | None) -> None:
        from asrctl.audio.files import open_audio
        from asrctl.render.formats import WRITERS
        from asrctl.render.output import Output

        raw = self._request.raw
        raw_format = (raw.rate_hz, raw.channels, raw.encoding) if raw else (None, 1, "s16le")
        rate_hz, channels, encoding = raw_format
        with (
            open_audio(name, raw_rate_hz=rate_hz, raw_channels=channels, raw_encoding=encoding) as audio,  # type: ignore[arg-type]
            Output(path) as output,
        ):
            to_terminal = path is None and self._view.shares_terminal
            sink: Sink = self._view if to_terminal else output
            if len(self._request.inputs) > 1 and to_terminal:
                self._view.say(f"==> {audio.name} <==")
            self._view.start(Path(audio.name).name, audio.duration_s)
            self._write(providers, relay, audio, WRITERS[self._request.format](sink))

    def _write(self, providers: Providers, relay: Relay, audio: AudioReader, writer: Writer) -> None:
        """Write segments as they come, and the end of the format whatever stops them."""
        from asrctl.cli.voice_activity import speech_detector
        from asrctl.engine.files import FileTranscription

        started = time.perf_counter()
        detector = speech_detector(self._request.vad)
        options = file_options(self._recognizer.decode, self._request.vad, audio.duration_s)
        work = FileTranscription(audio, relay, detector, options, audio.name)
        segments: list[Segment] = []
        told: set[str] = {self._recognizer.spec.provider}
        try:
            with closing(work.__iter__()) as found:
                for segment in found:
                    self._tell_of_reserves(audio, work, relay, told)
                    segments.append(segment)
                    writer.segment(segment)
                    self._view.advance(work.done_samples / SAMPLE_RATE_HZ)
        except AudioError:
            if not segments:
                raise  # nothing to show for it: the output goes too
            writer.finish(self._transcript(audio, work, segments, started, providers))
            raise
        except BaseException:
            writer.finish(self._transcript(audio, work, segments, started, providers))
            raise
        writer.finish(self._transcript(audio, work, segments, started, providers))
        self._tell(audio, work, segments)

    def _transcript(
        self,
        audio: AudioReader,
        work: FileTranscription,
        segments: list[Segment],
        started: float,
        providers: Providers,
    ) -> Transcript:
        account = work.account
        at_work = work.providers or [self._recognizer.spec.provider]
        return Transcript(
            source=audio.name,
            model=", ".join(dict.fromkeys(providers.models[name] for name in at_work)),
            provider=", ".join(at_work),
            language=work.language or self._recognizer.decode.language,
            duration_s=account.received_samples / SAMPLE_RATE_HZ,
            segments=tuple(segments),
            audio=account,
            timing=Timing(
                load_s=providers.load_s,
                inference_s=work.inference_s,
                wall_s=time.perf_counter() - started,
            ),
        )

    def _tell_of_reserves(
        self, audio: AudioReader, work: FileTranscription, relay: Relay, told: set[str]
    ) -> None:
        """Say who stands in for whom, once for each that does."""
        for name in work.providers:
            if name not in told:
                told.add(name)
                failures = relay.failures().items()
                why = "; ".join(f"{failed}: {reason}" for failed, reason in failures if failed != name)
                self._view.say(f"asrctl: warning: {audio.name}: now transcribed by {name}: {why}")

    def _tell(self, audio: AudioReader, work: FileTranscription, segments: list[Segment]) -> None:
        """Say what a user should know about this input besides its text."""
        for line in (*audio.warnings, *work.lost):
            self._view.say(f"asrctl: warning: {audio.name}: {line}")
        if not (segments or work.lost or audio.warnings):
            duration_s = work.account.received_samples / SAMPLE_RATE_HZ
            self._view.say(f"asrctl: warning: {audio.name}: no speech found in {duration_s:.1f} s")


def file_options(decode: DecodeOptions, vad: VadSettings | None, duration_s: float | None) -> FileOptions:
    """How an input is cut, by its length if that is known; measured in benchmarks/RESULTS.md."""
    from asrctl.cli.voice_activity import endpointing
    from asrctl.engine.files import FileOptions
    from asrctl.policy.endpointing import EndpointerOptions
    from asrctl.policy.packing import PackingOptions
    from asrctl.policy.window import Effort

    window_s = _WINDOW_S
    if vad is None:
        decode, window_s = replace(decode, effort=Effort.THOROUGH), _WHOLE_WINDOW_S
    # A small first window shows text early, and costs more: short inputs are done as soon without.
    is_short = duration_s is not None and duration_s <= _SHORT_S
    return FileOptions(
        decode,
        endpointing(vad, EndpointerOptions(overlong_s=window_s, max_utterance_s=window_s)),
        PackingOptions(
            max_window_s=window_s,
            first_window_s=window_s if is_short else PackingOptions().first_window_s,
        ),
    )
