"""The door of live dialects over WebSockets: who comes in, and how those who do not are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from starlette.datastructures import QueryParams
from starlette.responses import Response
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from asrctl.policy.admission import Refusal
from asrctl.protocol.dialect import Dialect
from asrctl.server.dialects.registry import Registry
from asrctl.server.dialects.socket import DialectSocket
from asrctl.server.gate import Denial, Gate, headers_of, unavailable
from asrctl.server.hub import Hub


@dataclass(frozen=True, slots=True)
class Handshake:
    """What a client says before the upgrade; headers by lower-case name."""

    path: str
    query: QueryParams
    headers: Mapping[str, str]
    subprotocols: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Welcome:
    """A client is let in.

    Attributes:
        dialect: Fresh.
        subprotocol: Of those that were offered; None for none.
        headers: Of the answer.
    """

    dialect: Dialect
    subprotocol: str | None = None
    headers: Mapping[str, str] | None = None


class Entrance(Protocol):
    """How clients of one dialect come in.

    Attributes:
        name: For the log.
        paths: Where.
        max_message_bytes: The longest message; None for what is usual.
    """

    name: str
    paths: tuple[str, ...]
    max_message_bytes: int | None

    def keys(self, handshake: Handshake) -> Sequence[str]:
        """Keys that are offered in the dialect's own ways; `Authorization: Bearer` is looked at anyway."""

    def greet(self, handshake: Handshake, denial: Denial | None) -> Welcome | Denial:
        """Let a client in, or not. `denial` is about its key, for a dialect that knows other keys."""

    def deny(self, denial: Denial) -> Response:
        """How the dialect says no; the headers of the denial are to be in it."""


class DialectDoor:
    """Lets clients in, and serves them until they are gone."""

    def __init__(self, hub: Hub, gate: Gate, registry: Registry) -> None:
        self._hub = hub
        self._gate = gate
        self._registry = registry

    def routes(self, entrance: Entrance) -> list[WebSocketRoute]:
        """The paths of one dialect."""

        async def serve(websocket: WebSocket) -> None:
            await self._serve(entrance, websocket)

        return [WebSocketRoute(path, serve) for path in entrance.paths]

    async def _serve(self, entrance: Entrance, websocket: WebSocket) -> None:
        offered = tuple(websocket.scope["subprotocols"])
        handshake = Handshake(websocket.url.path, websocket.query_params, headers_of(websocket), offered)
        welcome = self._greet(entrance, handshake)
        if isinstance(welcome, Welcome) and (full := self._full()) is not None:
            welcome = unavailable(full)
        if isinstance(welcome, Denial):
            self._hub.metrics.rejected.labels(welcome.reason).inc()
            await websocket.send_denial_response(entrance.deny(welcome))
            return
        socket = DialectSocket(websocket, self._hub, entrance.name, welcome.dialect)
        try:
            answer = [(name.encode(), value.encode()) for name, value in (welcome.headers or {}).items()]
            if entrance.max_message_bytes is not None:
                socket.allow_long(entrance.max_message_bytes)
            await websocket.accept(subprotocol=welcome.subprotocol, headers=answer)
            with self._registry.kept(socket.driver):
                await socket.run()
        finally:
            socket.leave()

    def _greet(self, entrance: Entrance, handshake: Handshake) -> Welcome | Denial:
        denial = self._gate.check_request(handshake.headers, with_key=False)
        if denial is not None:
            return denial
        return entrance.greet(
            handshake, self._gate.check_key(handshake.headers, keys=entrance.keys(handshake))
        )

    def _full(self) -> Refusal | None:
        """Why there would be no place for a session; it is taken once one is begun."""
        admitted = self._hub.admit()
        if isinstance(admitted, Refusal):
            return admitted
        self._hub.release(admitted)
        return None
