"""Deepgram's `POST /v1/listen`: a recording as the body of a request."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from datetime import UTC, datetime
from pathlib import Path

from asrctl import __version__
from asrctl.protocol.deepgram.errors import error_body, error_headers
from asrctl.protocol.deepgram.query import recording_options
from asrctl.protocol.deepgram.shapes import Origin, recording_body
from asrctl.protocol.openai.errors import RequestRefused, bad_request
from asrctl.server.files.answers import Said, json_body
from asrctl.server.files.exchange import Exchange
from asrctl.server.files.service import FileService
from asrctl.server.files.upload import received_body


def origin_of(model: str) -> Origin:
    """A new request."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Origin(str(uuid.uuid4()), now, model, __version__)


def say_deepgram(refusal: RequestRefused) -> Said:
    """In the body, and in a header."""
    request_id = str(uuid.uuid4())
    return (*json_body(error_body(refusal, request_id)), error_headers(refusal, request_id))


class Listen:
    """What the path does."""

    def __init__(self, service: FileService) -> None:
        self._service = service

    async def transcribe(self, exchange: Exchange) -> None:
        """Answer a request; what is wrong with its query is known before its body is read."""
        options = recording_options(exchange.query, self._service.served)
        if (
            exchange.headers.get("content-type", "").partition(";")[0].strip().casefold()
            == "application/json"
        ):
            raise bad_request("this server fetches no URL: send the audio itself as the body", "url")
        origin = origin_of(self._service.served.name)
        with self._service.place(), exchange.kept():
            async with received_body(exchange, self._service.limits) as upload:
                path = upload.file
                sha256 = await asyncio.to_thread(_sha256, path)
                result = await exchange.attended(self._service.result(path, options.file))
        headers = {"dg-request-id": origin.request_id, "x-asrctl-model": origin.model, **(options.told or {})}
        body = json_body(recording_body(result, options, origin, sha256))
        await exchange.answer(200, *body, headers)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
