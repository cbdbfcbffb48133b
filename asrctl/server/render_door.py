"""Answers `POST /render`. Files are made in a process of their own, which what a stranger sends may cost."""

from __future__ import annotations

import asyncio
import subprocess
import sys

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from asrctl.server.rendering import MAX_BODY_BYTES, REFUSED, media_type
from asrctl.workers.standby import environment

MAX_RENDERED = 2
"""Bodies and their answers in memory at once: some 16 MiB each."""
MAX_RENDER_S = 8.0
"""Less than a connection may last (`serve.handshake_timeout_s`), so that there is an answer."""
_COMMAND = (sys.executable, "-P", "-m", "asrctl.server.rendering")


class RenderDoor:
    """So many at once, and each in bounded time."""

    def __init__(self, idle_s: float) -> None:
        """`idle_s` is how long a body may take to come."""
        self._idle_s = idle_s
        self._taken = 0

    async def answer(self, request: Request) -> ASGIApp:
        """Finals as a file of the format that `?format=` names."""
        if self._taken >= MAX_RENDERED:
            return PlainTextResponse("busy: try again\n", 503, {"Retry-After": "1"})
        self._taken += 1
        try:
            response = await self._answer(request)
        except BaseException:
            self._taken -= 1
            raise

        async def until_sent(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await response(scope, receive, send)
            finally:
                self._taken -= 1

        return until_sent

    async def _answer(self, request: Request) -> Response:
        try:
            async with asyncio.timeout(self._idle_s):
                body = await _body(request, MAX_BODY_BYTES)
        except TimeoutError:
            return PlainTextResponse("the body came too slowly\n", 400)
        if body is None:
            return PlainTextResponse(f"the body may have {MAX_BODY_BYTES} bytes\n", 413)
        name = request.query_params.get("format", "txt")
        try:
            async with asyncio.timeout(MAX_RENDER_S):
                code, text = await _made(name, body)
        except TimeoutError:
            return PlainTextResponse(f"it took more than {MAX_RENDER_S:.0f} s\n", 400)
        except OSError as error:  # no more processes, memory or descriptors
            return PlainTextResponse(f"no process can be started: {error}\n", 503, {"Retry-After": "1"})
        if code:
            failed = f"the process that makes the file ended with {code}\n"
            return PlainTextResponse(text, 400) if code == REFUSED else PlainTextResponse(failed, 500)
        return Response(text, media_type=media_type(name), headers={"X-Content-Type-Options": "nosniff"})


async def _made(name: str, body: bytes) -> tuple[int | None, bytes]:
    """The exit code of the process, and what it printed."""
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        *_COMMAND, name, stdin=pipe, stdout=pipe, stderr=nothing, env=environment()
    )
    try:
        text, _ = await process.communicate(body)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, text


async def _body(request: Request, most_bytes: int) -> bytes | None:
    """All of a body; None if it is longer, which is known before it comes where it says how long it is."""
    body, announced = bytearray(), request.headers.get("content-length", "0")
    if not announced.isdecimal() or int(announced) > most_bytes:
        return None
    async for piece in request.stream():
        body += piece
        if len(body) > most_bytes:
            return None
    return bytes(body)
