"""The ASGI application: which path leads where."""

from __future__ import annotations

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from asrctl import __version__
from asrctl.policy.admission import Refusal
from asrctl.protocol.codes import SUBPROTOCOL, CloseCode, Violation
from asrctl.server.connection import Connection
from asrctl.server.dialects.deepgram import DeepgramEntrance
from asrctl.server.dialects.door import DialectDoor, Entrance
from asrctl.server.dialects.realtime import RealtimeEntrance
from asrctl.server.dialects.registry import Registry
from asrctl.server.files.door import Door, Endpoint
from asrctl.server.files.routes import file_routes, say_openai
from asrctl.server.files.service import FileService
from asrctl.server.gate import Denial, Gate, headers_of, unavailable
from asrctl.server.hub import Hub
from asrctl.server.metrics import CONTENT_TYPE
from asrctl.server.pages import add_file_readings, add_readings, capabilities, readiness
from asrctl.server.render_door import RenderDoor
from asrctl.server.session import LiveSession
from asrctl.server.static import INDEX, Page

_MAX_WAITING = 64
"""Sockets that may wait to resume, beyond all sessions; they hold no place."""
_OPENAI_PATHS = ("/v1/", "/audio/", "/models", "/realtime/")
_START_SOON_S = 1.0
"""A socket that says nothing for so long makes way for another, where there is no place left."""


class Application:
    """The paths of one hub; `asgi` is what a server runs."""

    def __init__(self, hub: Hub) -> None:
        """Make the routes, and what `/metrics` reads of the hub."""
        self._hub = hub
        self._gate = Gate(hub.options.api_key, hub.options.allow_origins, hub.options.host)
        self.files = FileService(hub)
        self._page = Page()
        self._render_door = RenderDoor(hub.options.files.upload_idle_s)
        self.connections: set[Connection] = set()
        self.dialects = Registry()
        """Sockets of other protocols than ours."""
        live = DialectDoor(hub, self._gate, self.dialects)
        self._realtime = RealtimeEntrance(hub)
        files = Door(hub, self._gate, self.files)
        self.asgi = Starlette(
            routes=[
                WebSocketRoute("/v1/stream", self._stream),
                *(route for entrance in self._entrances() for route in live.routes(entrance)),
                WebSocketRoute("/{path:path}", self._nowhere),
                Route("/health", self._health),
                Route("/ready", self._ready),
                Route("/capabilities", self._capabilities),
                Route("/metrics", self._metrics),
                *self._realtime.http_routes(files),
                Route("/v1/groups/{name:path}/events", Endpoint(files, "GET", hub.groups.serve, say_openai)),
                *file_routes(files),
                Route("/render", self._render, methods=["POST"]),
                *([Route("/", self._file), Route("/page/{name}", self._file)] if hub.options.page else []),
            ],
            exception_handlers={Exception: self._failed},
        )
        add_readings(hub)
        add_file_readings(hub, self.files)

    def _entrances(self) -> list[Entrance]:
        """The protocols of live audio besides ours."""
        return [self._realtime, DeepgramEntrance(self._hub)]

    def check_connections(self) -> None:
        """Time-outs of all sockets; to be called once a second."""
        for connection in list(self.connections):
            try:
                connection.check()
            except Exception as error:  # it ends this socket, and no other
                self._hub.journal.note("connection.failed", error=type(error).__name__, detail=str(error))
                connection.close(CloseCode.INTERNAL, "internal")

    async def _stream(self, websocket: WebSocket) -> None:
        """A session's socket; whatever is wrong is said in HTTP, before the upgrade."""
        named = self._hub.find(websocket.query_params.get("session", ""))
        resuming = isinstance(named, LiveSession)
        denial = self._gate.check(headers_of(websocket), websocket.scope["subprotocols"])
        place = None
        most = self._hub.options.admission.max_sessions + _MAX_WAITING
        if denial is None and resuming and len(self.connections) >= most:
            denial = unavailable(Refusal("too many sockets are open", 1))
        if denial is None and not resuming:
            admitted = self._admit()
            if isinstance(admitted, Refusal):
                denial = unavailable(admitted)
            else:
                place = admitted
        if denial is not None:
            await self._deny(websocket, denial)
            return
        await self._serve(websocket, place)

    def _admit(self) -> str | Refusal:
        """A place; if need be that of a socket on which no session was begun."""
        admitted = self._hub.admit()
        if isinstance(admitted, Refusal) and (silent := self._longest_silent()) is not None:
            told = Violation(CloseCode.IDLE, "handshake_timeout", "no start came, and others wait")
            silent.refuse(told)
            silent.leave()
            admitted = self._hub.admit()
        return admitted

    def _longest_silent(self) -> Connection | None:
        latest_s = self._hub.clock() - _START_SOON_S
        silent = [each for each in self.connections if each.holds_place and each.opened_s <= latest_s]
        return min(silent, key=lambda each: each.opened_s, default=None)

    async def _serve(self, websocket: WebSocket, place: str | None) -> None:
        connection = Connection(websocket, self._hub, place)
        self.connections.add(connection)
        try:
            await websocket.accept(subprotocol=SUBPROTOCOL)
            await connection.run()
        finally:
            self.connections.discard(connection)
            connection.leave()

    async def _nowhere(self, websocket: WebSocket) -> None:
        """No session is to be had on another path; OpenAI's clients are told in its shape."""
        if websocket.scope["path"].startswith(_OPENAI_PATHS):
            message = "live audio goes to /v1/realtime, /v1/listen or /v1/stream"
            await self._deny(websocket, Denial(404, "path", message), self._realtime.deny)
        else:
            await self._deny(websocket, Denial(404, "path", "sessions are at /v1/stream"))

    async def _deny(
        self, websocket: WebSocket, denial: Denial, say: Callable[[Denial], Response] | None = None
    ) -> None:
        self._hub.metrics.rejected.labels(denial.reason).inc()
        await websocket.send_denial_response((say or _response)(denial))

    async def _failed(self, request: Request, error: Exception) -> Response:
        """A mistake of ours."""
        name, detail = type(error).__name__, str(error)[:200]
        self._hub.journal.note("request.failed", path=request.url.path, error=name, detail=detail)
        return PlainTextResponse("the server made a mistake\n", 500)

    async def _health(self, request: Request) -> Response:
        """Alive, whatever else."""
        return JSONResponse({"status": "ok", "version": __version__})

    async def _ready(self, request: Request) -> Response:
        """200 while speech is really decoded, else 503 with the reason; with `?room` also if there is no
        place for another session, so that a balancer sends it elsewhere."""
        if denial := self._gate.check_host(headers_of(request)):
            return self._refusal(denial)
        body = readiness(self._hub, for_another="room" in request.query_params)
        return JSONResponse(body, *((200, None) if body["ready"] else (503, {"Retry-After": "1"})))

    async def _capabilities(self, request: Request) -> Response:
        """What this server is and has."""
        if denial := self._gate.check_page(headers_of(request)):
            return self._refusal(denial)
        return JSONResponse(capabilities(self._hub))

    async def _metrics(self, request: Request) -> Response:
        """For Prometheus."""
        if denial := self._gate.check_page(headers_of(request)):
            return self._refusal(denial)
        return Response(self._hub.metrics.text(), media_type=CONTENT_TYPE)

    async def _render(self, request: Request) -> ASGIApp:
        """Finals as a file of the format that `?format=` names."""
        if denial := self._gate.check_page(headers_of(request)):
            return self._refusal(denial)
        return await self._render_door.answer(request)

    async def _file(self, request: Request) -> Response:
        """A file of the page, which holds nothing that would need the key."""
        if denial := self._gate.check_host(headers_of(request)):
            return self._refusal(denial)
        name = request.path_params.get("name", INDEX)
        return self._page.answer(name, request.headers.get("if-none-match", ""))

    def _refusal(self, denial: Denial) -> Response:
        self._hub.metrics.rejected.labels(denial.reason).inc()
        return _response(denial)


def _response(denial: Denial) -> Response:
    return PlainTextResponse(f"{denial.message}\n", denial.status, dict(denial.headers))
