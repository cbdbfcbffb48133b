"""What every request for a file passes: origin, host, key, method; and how whatever goes wrong is said."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asrctl.errors import AsrctlError
from asrctl.protocol.openai.answer import failed
from asrctl.protocol.openai.errors import RequestRefused, overloaded
from asrctl.server.files.answers import Said
from asrctl.server.files.exchange import ClientGone, Exchange
from asrctl.server.files.service import FileService
from asrctl.server.gate import Gate
from asrctl.server.hub import Hub

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

ANY = "*"
"""In place of a method: whatever it is."""
Handler = Callable[[Exchange], Awaitable[None]]
Say = Callable[[RequestRefused], Said]
_CODES = {"key": "invalid_api_key", "origin": "origin_not_allowed", "host": "host_not_allowed"}
_PREFLIGHT_S = "600"


@dataclass(frozen=True, slots=True)
class Door:
    """What all paths share."""

    hub: Hub
    gate: Gate
    service: FileService


class Endpoint:
    """One path, as an ASGI application."""

    def __init__(
        self,
        door: Door,
        method: str,
        handle: Handler,
        say: Say,
    ) -> None:
        """`handle` answers requests of one method; `say` is how its dialect says what went wrong."""
        self._door = door
        self._method = method
        self._handle = handle
        self._say = say

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; nothing but the answer comes out of it."""
        exchange = Exchange(scope, receive, send)
        try:
            if not await self._is_done(exchange):
                await self._handle(exchange)
        except ClientGone:
            return
        except RequestRefused as refused:
            await self._refuse(exchange, refused)
        except asyncio.CancelledError:
            if not self._door.service.closed:
                raise
            await self._refuse(exchange, overloaded("the server is shutting down", 5))
        except AsrctlError as error:
            await self._refuse(exchange, overloaded(str(error)[:300], 5))
        except Exception as error:
            name, detail = type(error).__name__, str(error)[:200]
            self._door.hub.journal.note("request.failed", path=exchange.path, error=name, detail=detail)
            await self._refuse(exchange, RequestRefused(500, "internal", "the server made a mistake"))

    async def _is_done(self, exchange: Exchange) -> bool:
        """Look at where it comes from and what it is; True if that was all.

        Raises:
            RequestRefused: It may not.
        """
        origin = exchange.headers.get("origin")
        is_preflight = exchange.method == "OPTIONS"
        with_key = not is_preflight and self._method != ANY  # that there is nothing is no secret
        if denial := self._door.gate.check_request(exchange.headers, with_key=with_key):
            if denial.reason != "origin" and origin is not None:
                exchange.add_headers(_cors(origin))
            self._door.hub.metrics.rejected.labels(denial.reason).inc()
            code = _CODES.get(denial.reason, denial.reason)
            raise RequestRefused(denial.status, code, denial.message, headers=denial.headers)
        if origin is not None:
            exchange.add_headers(_cors(origin))
        if is_preflight:
            await exchange.answer(204, b"", "text/plain", self._allowed(exchange))
            return True
        method = "GET" if exchange.method == "HEAD" else exchange.method
        if self._method not in (method, ANY):
            allow = {"Allow": f"{self._method}, OPTIONS"}
            message = f"{exchange.path[:100]} takes {self._method}, not {exchange.method[:20]}"
            raise RequestRefused(405, "method_not_allowed", message, headers=allow)
        return False

    def _allowed(self, exchange: Exchange) -> dict[str, str]:
        wanted = exchange.headers.get("access-control-request-headers", "")
        headers = {
            "Access-Control-Allow-Methods": f"{self._method}, OPTIONS",
            "Access-Control-Allow-Headers": wanted if wanted.isprintable() and wanted else "authorization",
            "Access-Control-Max-Age": _PREFLIGHT_S,
            "Allow": f"{self._method}, OPTIONS",
        }
        if exchange.headers.get("access-control-request-private-network") == "true":
            headers["Access-Control-Allow-Private-Network"] = "true"
        return headers

    async def _refuse(self, exchange: Exchange, refusal: RequestRefused) -> None:
        if refusal.code == "overloaded":
            self._door.hub.metrics.rejected.labels("capacity").inc()
        if exchange.started:
            await exchange.event(failed(refusal))
            await exchange.end_events()
            return
        await exchange.answer(refusal.status, *self._say(refusal))


def _cors(origin: str) -> dict[str, str]:
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": "retry-after, x-asrctl-model",
        "Vary": "Origin",
    }
