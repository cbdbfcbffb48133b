"""OpenAI's realtime transcription: `/v1/realtime`, and the keys for browsers that open it."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from asrctl.protocol.openai.errors import RequestRefused, bad_request
from asrctl.protocol.openai.models import Served
from asrctl.protocol.openai.realtime.config import RealtimeConfig, check_query_model, updated
from asrctl.protocol.openai.realtime.given import Given
from asrctl.protocol.openai.realtime.machine import Realtime
from asrctl.protocol.openai.realtime.secrets import PREFIX, Secrets
from asrctl.protocol.strict_json import parsed
from asrctl.server.dialects.door import Handshake, Welcome
from asrctl.server.files.answers import json_body
from asrctl.server.files.door import Door, Endpoint
from asrctl.server.files.exchange import Exchange
from asrctl.server.files.routes import say_openai, spellings
from asrctl.server.gate import Denial
from asrctl.server.hub import Hub

MAX_MESSAGE_BYTES = 21 << 20
"""15 MiB of audio in base64, with what is around it."""
_SUBPROTOCOL = "realtime"
_KEY_PREFIX = "openai-insecure-api-key."
_FLAT_SUBPROTOCOL = "openai-beta.realtime-v1"
_MOST_BODY_BYTES = 1 << 16
_BODY_S = 10.0
_CODES = {
    "key": "invalid_api_key",
    "capacity": "overloaded",
    "origin": "origin_not_allowed",
    "host": "host",
    "path": "not_found",
}


class RealtimeEntrance:
    """Lets clients in to `/v1/realtime`, and issues keys for it."""

    name = "openai"
    paths: tuple[str, ...] = spellings("/realtime")
    max_message_bytes: int | None = MAX_MESSAGE_BYTES

    def __init__(self, hub: Hub) -> None:
        """Secrets of an earlier start are not known any more."""
        self._hub = hub
        shown = hub.options.shown
        self._served = Served(
            shown.name,
            shown.multilingual,
            others=(hub.options.models.main.name,),
            speakers=hub.speakers is not None,
        )
        self._secrets = Secrets(secrets.token_bytes(32), time.time)

    # The socket

    def keys(self, handshake: Handshake) -> list[str]:
        """Browsers offer theirs as a subprotocol."""
        offered = handshake.subprotocols
        return [each.removeprefix(_KEY_PREFIX) for each in offered if each.startswith(_KEY_PREFIX)]

    def greet(self, handshake: Handshake, denial: Denial | None) -> Welcome | Denial:
        """With the key, or with one for browsers, which knows what the session is to be."""
        scheme, _, bearer = handshake.headers.get("authorization", "").partition(" ")
        keys = [*self.keys(handshake), *([bearer.strip()] if scheme.lower() == "bearer" else [])]
        config = self._begun()
        try:
            if issued := [key for key in keys if key.startswith(PREFIX)]:
                config, denial = updated(config, self._secrets.session(issued[0]), self._served), None
            if denial is not None:
                return denial
            if model := handshake.query.get("model", ""):
                config = replace(config, model=check_query_model(model, self._served) or config.model)
        except RequestRefused as refused:
            return Denial(refused.status, refused.code, refused.message, dict(refused.headers))
        flat = "realtime=v1" in handshake.headers.get("openai-beta", "")
        flat = flat or _FLAT_SUBPROTOCOL in handshake.subprotocols
        config = replace(config, is_flat=config.is_flat or flat)
        machine = Realtime(config, self._served, _new_id(), self._hub.clock)
        subprotocol = _SUBPROTOCOL if _SUBPROTOCOL in handshake.subprotocols else None
        return Welcome(machine, subprotocol, {"x-asrctl-model": self._served.name})

    def deny(self, denial: Denial) -> Response:
        """As OpenAI says it."""
        code = _CODES.get(denial.reason, denial.reason)
        refusal = RequestRefused(denial.status, code, denial.message, headers=denial.headers)
        body, content_type, headers = say_openai(refusal)
        return Response(body, denial.status, dict(headers), content_type)

    def _begun(self) -> RealtimeConfig:
        return RealtimeConfig(self._served.name)

    # Over HTTP

    def http_routes(self, door: Door) -> list[Route]:
        """The paths beside the socket."""
        table = [
            ("/realtime/client_secrets", "POST", self.issue),
            ("/realtime/transcription_sessions", "POST", self.issue_flat),
            ("/realtime/calls", "POST", self.call),
            ("/realtime", "GET", self.upgrade),
        ]
        return [
            Route(path, Endpoint(door, method, handle, say_openai))
            for written, method, handle in table
            for path in spellings(written)
        ]

    async def issue(self, exchange: Exchange) -> None:
        """A key for browsers."""
        body = await _json(exchange)
        session = dict(Given.of(body.get("session"), "session").values)
        config = updated(self._begun(), session, self._served)
        value, expires_at = self._secrets.issue(session, body.get("expires_after"))
        shown = replace(config, is_flat=False).shown(_new_id())
        await _answer(exchange, {"value": value, "expires_at": expires_at, "session": shown})

    async def issue_flat(self, exchange: Exchange) -> None:
        """The same as it was before."""
        body = await _json(exchange)
        session = {name: value for name, value in body.items() if name != "client_secret"}
        expiry = body.get("client_secret")
        expires_after = expiry.get("expires_after") if isinstance(expiry, dict) else None
        config = replace(updated(self._begun(), session, self._served), is_flat=True)
        value, expires_at = self._secrets.issue(session, expires_after)
        secret = {"value": value, "expires_at": expires_at}
        await _answer(exchange, {**config.shown(_new_id()), "client_secret": secret})

    async def call(self, exchange: Exchange) -> None:
        """There is no WebRTC here."""
        message = "this server speaks no WebRTC: open the WebSocket at /v1/realtime"
        raise RequestRefused(404, "not_found", message)

    async def upgrade(self, exchange: Exchange) -> None:
        """Somebody came without a WebSocket."""
        message = "/v1/realtime is a WebSocket"
        raise RequestRefused(426, "upgrade_required", message, headers={"Upgrade": "websocket"})


def _new_id() -> str:
    return f"sess_{secrets.token_hex(8)}"


async def _json(exchange: Exchange) -> Mapping[str, Any]:
    """The body, which may be empty."""
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_S):
            while (piece := await exchange.body()) is not None:
                body += piece
                if len(body) > _MOST_BODY_BYTES:
                    message = f"the body may have {_MOST_BODY_BYTES} bytes"
                    raise RequestRefused(413, "request_too_large", message)
    except TimeoutError:
        raise bad_request("the body came too slowly", None) from None
    try:
        value = parsed(bytes(body) or b"{}")
    except ValueError:
        raise bad_request("the body is not JSON", None, "invalid_json") from None
    if not isinstance(value, dict):
        raise bad_request("the body is an object", None, "invalid_type")
    return value


async def _answer(exchange: Exchange, body: Mapping[str, object]) -> None:
    await exchange.answer(200, *json_body(body))
