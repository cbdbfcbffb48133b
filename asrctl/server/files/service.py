"""Transcribes uploaded files, a few at a time, behind all live audio."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from asrctl.errors import AudioError, UsageError
from asrctl.languages import known_language
from asrctl.policy.vocabulary import fit
from asrctl.protocol.openai.answer import Result
from asrctl.protocol.openai.errors import RequestRefused, bad_request, overloaded
from asrctl.protocol.openai.models import Served
from asrctl.protocol.openai.request import FileRequest
from asrctl.server.files.limits import MAX_DIARIZED_S
from asrctl.server.hub import Hub
from asrctl.speakers.options import SpeakerOptions
from asrctl.speakers.process import SpeakersProcess
from asrctl.streaming.files import FileOptions, FileTranscription
from asrctl.streaming.source import Reader
from asrctl.streaming.speakers import SpeakersTranscription
from asrctl.transcript import SAMPLE_RATE_HZ, Segment

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_PIECE_SAMPLES = SAMPLE_RATE_HZ // 4
"""Speech is looked for in pieces of this length, between which live sessions have their turn."""
_RETRY_S = 5
_WINDOW_S = 12.0
"""Longest window: one that runs keeps a worker from live audio, if only until it is stopped."""


class FileService:
    """Places for files, and what decodes them. Belongs to the server's event loop."""

    def __init__(self, hub: Hub, wall_clock: Callable[[], float] = time.time) -> None:
        """A service without files."""
        self._hub = hub
        self.limits = hub.options.files
        main = hub.options.models.main
        others = (hub.options.shown.name, hub.engine.model.name)
        speakers = hub.options.speakers_dir is not None
        self.served = Served(main.name, main.multilingual, int(wall_clock()), others, speakers)
        self._desks = asyncio.Semaphore(self.limits.at_work)
        self._numbers = itertools.count(1)
        self._tasks = set[asyncio.Task[object]]()
        self.closed = False
        self.at_work = 0
        """Files that are being transcribed."""

    @property
    def waiting(self) -> int:
        """Files that are uploaded, or wait for their turn."""
        return len(self._tasks) - self.at_work

    @property
    def settled(self) -> bool:
        """Whether nobody waits for an answer."""
        return not self._tasks

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """A place for the present task's file, from before its upload to the end of its answer.

        Raises:
            RequestRefused: There is none, or nothing can be decoded now.
        """
        if reason := self._hub.why_not_now:
            raise overloaded(reason, _RETRY_S)
        if len(self._tasks) >= self.limits.at_work + self.limits.waiting:
            raise overloaded("as many files wait as may", _RETRY_S)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            yield
        finally:
            self._tasks.discard(task)

    @contextlib.asynccontextmanager
    async def desk(self) -> AsyncIterator[None]:
        """A file's turn; waits for it."""
        async with self._desks:
            self.at_work += 1
            try:
                yield
            finally:
                self.at_work -= 1

    def work(self, path: Path, request: FileRequest) -> FileWork:
        """Begin to transcribe a file."""
        return FileWork(self._hub, path, request, f"file-{next(self._numbers)}")

    async def result(self, path: Path, request: FileRequest, *, whole: bool = True) -> Result:
        """What becomes of a file, or of its first words, when its turn has come."""
        async with self.desk(), contextlib.aclosing(self.work(path, request)) as work:
            return await work.result(whole=whole)

    def close(self) -> None:
        """Stop all of them; whoever waits is told that the server is going away."""
        self.closed = True
        for task in self._tasks:
            task.cancel()


class FileWork:
    """One file; iterate over `segments` once, or take the whole `result`."""

    def __init__(self, hub: Hub, path: Path, request: FileRequest, name: str) -> None:
        """Start to read it."""
        self._hub = hub
        self._request = request
        self._segments: list[Segment] = []
        self._started_s = hub.clock()
        self._samples: dict[str, str] = {}
        """Files with the voices of known speakers, by name."""
        self._source = _Decoded(path, request.raw_rate_hz, MAX_DIARIZED_S if request.speakers else math.inf)
        self._reader = Reader(self._source)
        self._transcription = self._begun(path, name)

    def _begun(self, path: Path, name: str) -> FileTranscription:
        decoder, detector, options = self._hub.engine.decoder, self._hub.detector(), self._options()
        if not self._request.speakers:
            return FileTranscription(self._reader, decoder, detector, options, name)
        for number, (known, data) in enumerate(self._request.known.items(), 1):
            sample = path.with_name(f"speaker-{number}")
            sample.write_bytes(data)
            self._samples[known] = str(sample)
        assert self._hub.options.speakers_dir is not None
        process = SpeakersProcess(SpeakerOptions(samples=self._samples), self._hub.options.speakers_dir)
        return SpeakersTranscription(self._reader, process, decoder, detector, options, name)

    def _options(self) -> FileOptions:
        request, stream = self._request, self._hub.options.stream
        decode = replace(
            stream.decode,
            language=request.language or stream.decode.language,
            translate=request.translate,
            prompt=request.prompt or stream.decode.prompt,
            vocabulary=fit(request.vocabulary).kept or stream.decode.vocabulary,
            word_timestamps=request.needs_words,
        )
        return FileOptions(
            decode, replace(stream.endpointing, overlong_s=_WINDOW_S, max_utterance_s=_WINDOW_S)
        )

    async def wait_open(self) -> None:
        """Wait until it is known to hold audio.

        Raises:
            RequestRefused: It does not.
        """
        try:
            await self._source.opened
        except AudioError as error:
            raise self._invalid(error) from None

    async def aclose(self) -> None:
        """Stop to read."""
        await self._reader.close()

    async def segments(self) -> AsyncGenerator[Segment]:
        """Segments as they become known.

        Raises:
            RequestRefused: The file holds no audio that can be read, some of it could not be decoded, or its
                speakers could not be told apart.
        """
        try:
            async with contextlib.aclosing(self._transcription.segments()) as segments:
                async for segment in segments:
                    self._segments.append(segment)
                    yield segment
        except (AudioError, UsageError) as error:
            raise self._invalid(error) from None
        finally:
            self._note()
        if unlabelled := self._transcription.unlabelled:
            raise RequestRefused(500, "speakers_unknown", str(unlabelled)[:300])
        if lost := self._transcription.lost:
            raise RequestRefused(500, "audio_dropped", f"not all was transcribed: {lost[0]}"[:300])

    def _invalid(self, error: AudioError | UsageError) -> RequestRefused:
        for known, path in self._samples.items():
            if str(error).startswith(f"{path}: "):
                reason = str(error).removeprefix(f"{path}: ")
                message = f"the voice of {known} cannot be learned: {reason}"[:300]
                return bad_request(message, "known_speaker_references", "invalid_file")
        reason = str(error).removeprefix(f"{self._source.path}: ")
        return bad_request(f"the file cannot be read: {reason}"[:300], "file", "invalid_file")

    def _note(self) -> None:
        wall_s = round(self._hub.clock() - self._started_s, 3)
        lost = len(self._transcription.lost) or None
        self._hub.journal.note("file.end", duration_s=round(self._duration_s, 3), wall_s=wall_s, lost=lost)

    @property
    def _duration_s(self) -> float:
        return self._transcription.account.received_samples / SAMPLE_RATE_HZ

    async def result(self, *, whole: bool = True) -> Result:
        """All of it; or as much as it takes to know the language."""
        async with contextlib.aclosing(self.segments()) as segments:
            async for _ in segments:
                if not whole:
                    break
        found = (
            self._transcription.language,
            self._request.language,
            self._hub.options.stream.decode.language,
        )
        language = next(filter(None, map(known_language, found)), "")
        return Result(tuple(self._segments), language, self._duration_s)


class _Decoded:
    """An audio file's samples, decoded in another process, read in a thread."""

    def __init__(self, path: Path, raw_rate_hz: int | None, most_s: float) -> None:
        self.path = path
        self._raw_rate_hz = raw_rate_hz
        self._most_s = most_s
        self._loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = self._loop.create_future()
        """Done when the first samples are there, or with the reason why there are none."""

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        from asrctl.audio.files import open_audio

        length_samples = 0
        try:
            with open_audio(str(self.path), raw_rate_hz=self._raw_rate_hz) as audio:
                for chunk in audio:
                    self._tell(None)
                    length_samples += len(chunk)
                    if length_samples > self._most_s * SAMPLE_RATE_HZ:
                        raise AudioError(f"speakers are told apart in {self._most_s / 3600:g} hours at most")
                    yield from (
                        chunk[at : at + _PIECE_SAMPLES] for at in range(0, len(chunk), _PIECE_SAMPLES)
                    )
        except AudioError as error:
            self._tell(error)
            raise
        finally:
            self._tell(None)

    def _tell(self, error: AudioError | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._settle, error)

    def _settle(self, error: AudioError | None) -> None:
        if self.opened.done():
            return
        if error is None:
            self.opened.set_result(None)
        else:
            self.opened.set_exception(error)
            self.opened.exception()  # whether or not anybody waits for it

    def close(self) -> None:
        """All was closed with the iteration."""
