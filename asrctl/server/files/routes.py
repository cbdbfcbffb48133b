"""The paths: OpenAI's, whisper.cpp's, whisper-asr-webservice's and Deepgram's."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from pathlib import Path

from starlette.routing import Route

from asrctl.protocol.openai import webservice, whisper_cpp
from asrctl.protocol.openai.answer import KEEP_ALIVE, Deltas, Result, body_of
from asrctl.protocol.openai.errors import RequestRefused
from asrctl.protocol.openai.models import Served
from asrctl.protocol.openai.request import FileRequest, file_request
from asrctl.server.files.answers import Body, Said, json_body, rendered
from asrctl.server.files.door import ANY, Door, Endpoint, Handler, Say
from asrctl.server.files.exchange import Exchange
from asrctl.server.files.listen import Listen, say_deepgram
from asrctl.server.files.service import FileService
from asrctl.server.files.upload import Upload, received
from asrctl.transcript import Segment

_KEEP_ALIVE_S = 10.0
"""A stream that has nothing to say says so this often, lest somebody between takes it for dead."""
_JSON_FORMATS = ("json", "verbose_json", "diarized_json")


def file_routes(door: Door) -> list[Route]:
    """Routes for Starlette; they come last, since one of them takes all that is left of `/v1`."""
    files = Files(door.service)
    table: list[tuple[tuple[str, ...], str, Handler, Say]] = [
        (spellings("/audio/transcriptions"), "POST", files.transcribe, say_openai),
        (spellings("/audio/translations"), "POST", files.translate, say_openai),
        (spellings("/models"), "GET", files.models, say_openai),
        (("/v1/models/{name:path}", "/models/{name:path}"), "GET", files.model, say_openai),
        (("/inference", "/inference/"), "POST", files.inference, say_whisper_cpp),
        (("/asr", "/asr/"), "POST", files.asr, say_webservice),
        (("/detect-language", "/detect-language/"), "POST", files.detect, say_webservice),
        (("/v1/listen", "/v1/listen/"), "POST", Listen(door.service).transcribe, say_deepgram),
        (("/v1/{rest:path}", "/audio/{rest:path}"), ANY, files.nowhere, say_openai),
    ]
    return [
        Route(path, Endpoint(door, method, handle, say))
        for paths, method, handle, say in table
        for path in paths
    ]


def spellings(path: str) -> tuple[str, ...]:
    """With and without the version and a slash at the end: people type all four."""
    return (f"/v1{path}", path, f"/v1{path}/", f"{path}/")


def say_openai(refusal: RequestRefused) -> Said:
    """An object with an error in it."""
    return (*json_body(refusal.body()), refusal.headers)


def say_whisper_cpp(refusal: RequestRefused) -> Said:
    """That server says it in a string."""
    return (*json_body({"error": refusal.message}), refusal.headers)


def say_webservice(refusal: RequestRefused) -> Said:
    """That one has FastAPI's shape."""
    return (*json_body({"detail": refusal.message}), refusal.headers)


class Files:
    """What each path does."""

    def __init__(self, service: FileService) -> None:
        self._service = service

    @property
    def _served(self) -> Served:
        return self._service.served

    async def models(self, exchange: Exchange) -> None:
        """All models."""
        await self._answer(exchange, json_body(self._served.listing()))

    async def model(self, exchange: Exchange) -> None:
        """One of them."""
        name = exchange.path.partition("/models/")[2].rstrip("/")
        await self._answer(exchange, json_body(self._served.entry(name) if name else self._served.listing()))

    async def nowhere(self, exchange: Exchange) -> None:
        """Any other path of OpenAI's."""
        message = f"there is no {exchange.path[:100]} here: files go to /v1/audio/transcriptions"
        raise RequestRefused(404, "not_found", message)

    async def transcribe(self, exchange: Exchange) -> None:
        """OpenAI's `/audio/transcriptions`."""
        await self._openai(exchange, translate=False)

    async def translate(self, exchange: Exchange) -> None:
        """OpenAI's `/audio/translations`."""
        await self._openai(exchange, translate=True)

    async def _openai(self, exchange: Exchange, *, translate: bool) -> None:
        async with self._uploaded(exchange) as upload:
            request = file_request(upload.fields, self._served, translate=translate)
            if request.stream:
                await exchange.attended(self._stream(exchange, upload.file, request))
                return
            result = await exchange.attended(self._service.result(upload.file, request))
        await self._answer(exchange, _openai_body(result, request))

    async def inference(self, exchange: Exchange) -> None:
        """whisper.cpp's `/inference`."""
        async with self._uploaded(exchange) as upload:
            request = whisper_cpp.inference_request(upload.fields, self._served)
            result = await exchange.attended(self._service.result(upload.file, request))
        if request.format in _JSON_FORMATS:
            body = json_body(whisper_cpp.inference_body(result, request))
        else:
            body = rendered(result, request.format, whisper_cpp.CONTENT_TYPES)
        await self._answer(exchange, body)

    async def asr(self, exchange: Exchange) -> None:
        """whisper-asr-webservice's `/asr`; all that it says is of the type `text/plain`."""
        request = webservice.asr_request(exchange.query, self._served)
        async with self._uploaded(exchange, webservice.FILE_FIELD) as upload:
            result = await exchange.attended(self._service.result(upload.file, request))
        if request.format in _JSON_FORMATS:
            body, _ = json_body(webservice.asr_body(result, request))
        else:
            body, _ = rendered(result, request.format)
        await self._answer(exchange, (body, "text/plain; charset=utf-8"))

    async def detect(self, exchange: Exchange) -> None:
        """whisper-asr-webservice's `/detect-language`."""
        request = webservice.detect_request(exchange.query, self._served)
        async with self._uploaded(exchange, webservice.FILE_FIELD) as upload:
            result = await exchange.attended(self._service.result(upload.file, request, whole=False))
        await self._answer(exchange, json_body(webservice.detected_body(result)))

    # What they share

    @contextlib.asynccontextmanager
    async def _uploaded(self, exchange: Exchange, name: str = "file") -> AsyncIterator[Upload]:
        """A place, and the form in it."""
        with self._service.place(), exchange.kept():
            async with received(exchange, self._service.limits, name) as upload:
                yield upload

    async def _stream(self, exchange: Exchange, path: Path, request: FileRequest) -> None:
        """Events as the text becomes known; a file that cannot be read is refused before the first."""
        deltas, segments = Deltas(request), list[Segment]()
        async with self._service.desk(), contextlib.aclosing(self._service.work(path, request)) as work:
            await work.wait_open()
            exchange.add_headers(self._model)
            await exchange.start_events()
            async with contextlib.aclosing(_paced(work.segments(), _KEEP_ALIVE_S)) as paced:
                async for segment in paced:
                    if segment is not None:
                        segments.append(segment)
                    event = KEEP_ALIVE if segment is None else deltas.add(segment)
                    if event:
                        await exchange.event(event)
        await exchange.event(deltas.done(segments))
        await exchange.end_events()

    @property
    def _model(self) -> Mapping[str, str]:
        return {"X-Asrctl-Model": self._served.name}

    async def _answer(self, exchange: Exchange, body: Body) -> None:
        await exchange.answer(200, *body, self._model)


def _openai_body(result: Result, request: FileRequest) -> Body:
    if request.format in _JSON_FORMATS:
        return json_body(body_of(result, request))
    return rendered(result, request.format)


async def _paced(segments: AsyncGenerator[Segment], wait_s: float) -> AsyncGenerator[Segment | None]:
    """The segments, and None whenever there was none for so long."""
    async with contextlib.aclosing(segments):
        while True:
            upcoming = asyncio.ensure_future(anext(segments, None))
            try:
                while not (await asyncio.wait({upcoming}, timeout=wait_s))[0]:
                    yield None
            finally:
                if not upcoming.done():
                    upcoming.cancel()
                    await asyncio.gather(upcoming, return_exceptions=True)
            if (segment := upcoming.result()) is None:
                return
            yield segment
