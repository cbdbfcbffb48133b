"""The ASGI application: which path leads where."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping

import psutil
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from asrctl import __version__
from asrctl.policy.admission import Refusal
from asrctl.protocol import SAMPLE_BYTES, SUBPROTOCOL
from asrctl.providers.registry import PROVIDERS
from asrctl.server.connection import Connection
from asrctl.server.gate import Denial, Gate
from asrctl.server.hub import Hub
from asrctl.server.metrics import CONTENT_TYPE, memory_bytes

_MAX_WAITING = 64
"""Sockets that may wait to resume, beyond all sessions; they hold no place."""


class Application:
    """The paths of one hub; `asgi` is what a server runs."""

    def __init__(self, hub: Hub) -> None:
        """Make the routes, and what `/metrics` reads of the hub."""
        self._hub = hub
        self._gate = Gate(hub.options.api_key, hub.options.allow_origins)
        self.connections: set[Connection] = set()
        self.asgi = Starlette(
            routes=[
                WebSocketRoute("/v1/stream", self._stream),
                Route("/health", self._health),
                Route("/ready", self._ready),
                Route("/capabilities", self._capabilities),
                Route("/metrics", self._metrics),
            ],
            exception_handlers={Exception: self._failed},
        )
        _add_readings(hub)

    async def _stream(self, websocket: WebSocket) -> None:
        """A session's socket; whatever is wrong is said in HTTP, before the upgrade."""
        resuming = self._hub.find(websocket.query_params.get("session", "")) is not None
        offered = websocket.scope["subprotocols"]
        denial = self._gate.check(_headers(websocket.headers), offered)
        place = None
        if denial is None and resuming and len(self.connections) >= self._most_connections:
            denial = _unavailable(Refusal("too many sockets are open", 1))
        if denial is None and not resuming:
            admitted = self._hub.admit()
            if isinstance(admitted, Refusal):
                denial = _unavailable(admitted)
            else:
                place = admitted
        if denial is not None:
            self._hub.metrics.rejected.labels(denial.reason).inc()
            await websocket.send_denial_response(_response(denial))
            return
        await self._serve(websocket, place)

    @property
    def _most_connections(self) -> int:
        return self._hub.options.admission.max_sessions + _MAX_WAITING

    async def _serve(self, websocket: WebSocket, place: str | None) -> None:
        connection = Connection(websocket, self._hub, place)
        self.connections.add(connection)
        try:
            await websocket.accept(subprotocol=SUBPROTOCOL)
            await connection.run()
        finally:
            self.connections.discard(connection)
            connection.leave()

    async def _failed(self, request: Request, error: Exception) -> Response:
        """A mistake of ours."""
        self._hub.journal.note("request.failed", path=request.url.path, error=type(error).__name__)
        return PlainTextResponse("the server made a mistake\n", 500)

    async def _health(self, request: Request) -> Response:
        """Alive, whatever else."""
        return JSONResponse({"status": "ok", "version": __version__})

    async def _ready(self, request: Request) -> Response:
        """200 while speech is really decoded, else 503 with the reason."""
        reason = self._hub.why_not_ready
        engine = self._hub.engine
        body = {
            "ready": not reason,
            "reason": reason,
            "model": engine.model.name,
            "provider": engine.model.spec.provider,
            "level": self._hub.ladder.level,
        }
        if not reason:
            body |= {"runs_on": engine.description, "load_s": round(engine.load_s, 3)}
        return JSONResponse(body, 503 if reason else 200, {"Retry-After": "1"} if reason else None)

    async def _capabilities(self, request: Request) -> Response:
        """What this server is and has."""
        if denial := self._gate.check_key(_headers(request.headers)):
            return _response(denial)
        return JSONResponse(_capabilities(self._hub))

    async def _metrics(self, request: Request) -> Response:
        """For Prometheus."""
        if denial := self._gate.check_key(_headers(request.headers)):
            return _response(denial)
        return Response(self._hub.metrics.text(), media_type=CONTENT_TYPE)


def _headers(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _unavailable(refusal: Refusal) -> Denial:
    return Denial(503, "capacity", refusal.reason, {"Retry-After": str(refusal.retry_after_s)})


def _response(denial: Denial) -> Response:
    return PlainTextResponse(f"{denial.message}\n", denial.status, dict(denial.headers))


def _capabilities(hub: Hub) -> dict[str, object]:
    options, models = hub.options, hub.options.models
    named = {"main": models.main, "small": models.small, "fallback": models.fallback}
    if options.streaming is not None:
        named["streaming"] = options.streaming.model
    used = {model.spec.provider for model in named.values() if model is not None}
    return {
        "schema": 1,
        "version": __version__,
        "protocols": [SUBPROTOCOL],
        "hardware": {
            "machine": platform.machine(),
            "system": platform.system(),
            "cpus": os.cpu_count(),
            "memory_bytes": psutil.virtual_memory().total,
        },
        "providers": [
            name
            for name, provider in PROVIDERS.items()
            if name in used or not provider.missing(provider.setup())
        ],
        "models": {
            role: {"name": model.name, "provider": model.spec.provider, "multilingual": model.multilingual}
            for role, model in named.items()
            if model is not None
        },
        "formats": {
            "encodings": list(SAMPLE_BYTES),
            "sample_rate": {"least": 8000, "most": 192_000},
            "channels": {"least": 1, "most": 8},
        },
        "limits": {
            "max_sessions": options.admission.max_sessions,
            "sessions_now": hub.admission.limit,
            "window_s": options.window_s,
            "hold_s": options.hold_s,
            "spool_s": options.spool_s,
            "resume_ttl_s": options.resume_ttl_s,
            "max_message_bytes": options.limits.max_message_bytes,
            "max_messages_per_s": options.limits.max_messages_per_s,
            "handshake_timeout_s": options.limits.handshake_timeout_s,
            "idle_timeout_s": options.limits.idle_timeout_s,
        },
        "level": int(hub.ladder.level),
    }


def _add_readings(hub: Hub) -> None:
    metrics, engine = hub.metrics, hub.engine
    metrics.gauges(
        "sessions",
        "Sessions, by whether a socket is attached",
        "state",
        {
            "attached": lambda: sum(session.listener is not None for session in hub.sessions),
            "detached": lambda: sum(session.listener is None for session in hub.sessions),
        },
    )
    metrics.gauges(
        "queue_depth",
        "Decodes that wait or run",
        "kind",
        {
            "final": lambda: engine.meter.load().finals,
            "partial": lambda: engine.meter.load().partials,
        },
    )
    metrics.gauge("session_limit", "Sessions let in at the measured capacity", lambda: hub.admission.limit)
    metrics.gauge("rtf", "Share of the workers' time that is used", lambda: engine.meter.load().share)
    metrics.gauge("queue_delay_seconds", "Longest wait of a final", lambda: engine.meter.load().delay_s)
    metrics.gauge("level", "Rung of the degrade ladder", lambda: int(hub.ladder.level))
    metrics.gauge("ready", "Whether speech is decoded", lambda: not hub.why_not_ready)
    metrics.counter("worker_restarts", "Workers lost and replaced", lambda: engine.restarts)
    metrics.gauge("memory_bytes", "Resident, all processes", lambda: memory_bytes(engine.pids()))
    metrics.gauge(
        "spooled_seconds",
        "Audio held back on disk",
        lambda: sum(session.spooled_samples for session in hub.sessions) / 16_000,
    )
