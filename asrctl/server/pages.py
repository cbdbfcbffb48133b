"""What the pages say: `/capabilities`, `/ready`, and what `/metrics` reads of a hub."""

from __future__ import annotations

import os
import platform

import psutil

from asrctl import __version__
from asrctl.languages import CODES
from asrctl.protocol.codes import SUBPROTOCOL
from asrctl.protocol.messages import SAMPLE_BYTES
from asrctl.providers.registry import PROVIDERS
from asrctl.server.files.service import FileService
from asrctl.server.hub import Hub
from asrctl.server.metrics import memory_bytes
from asrctl.transcript import SAMPLE_RATE_HZ


def readiness(hub: Hub, *, for_another: bool = False) -> dict[str, object]:
    """Whether speech is decoded, and by what; or whether it would be `for_another` session."""
    reason, engine = hub.why_not_ready or (hub.why_no_room if for_another else ""), hub.engine
    body = {
        "ready": not reason,
        "reason": reason,
        "model": engine.model.name,
        "provider": engine.model.spec.provider,
        "level": hub.ladder.level,
    }
    if not reason:
        body |= {"runs_on": engine.description, "load_s": round(engine.load_s, 3)}
    return body


def capabilities(hub: Hub) -> dict[str, object]:
    """What this server is and has."""
    options, models = hub.options, hub.options.models
    streaming = options.streaming.model if options.streaming else None
    named = {"main": models.main, "small": models.small, "fallback": models.fallback, "streaming": streaming}
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
        "providers": [name for name in PROVIDERS if name in used or _can_run(name)],
        "models": {
            role: {"name": model.name, "provider": model.spec.provider, "multilingual": model.multilingual}
            for role, model in named.items()
            if model is not None
        },
        "languages": sorted(CODES) if options.shown.multilingual else ["en"],
        "formats": {
            "encodings": list(SAMPLE_BYTES),
            "sample_rate": {"least": 8000, "most": 192_000},
            "channels": {"least": 1, "most": 8},
        },
        "limits": {
            "max_sessions": options.admission.max_sessions,
            "sessions_now": len(hub.sessions),
            "session_limit": hub.admission.limit,
            "max_connections": options.connections,
            "max_connections_per_peer": options.connections_per_peer,
            "window_s": options.window_s,
            "hold_s": options.hold_s,
            "spool_s": options.spool_s,
            "max_lag_s": options.max_lag_s,
            "resume_ttl_s": options.resume_ttl_s,
            "max_message_bytes": options.limits.max_message_bytes,
            "max_messages_per_s": options.limits.max_messages_per_s,
            "handshake_timeout_s": options.limits.handshake_timeout_s,
            "idle_timeout_s": options.limits.idle_timeout_s,
            "max_files": options.files.at_work,
            "max_waiting_files": options.files.waiting,
            "max_upload_bytes": options.files.upload_bytes,
            "upload_idle_s": options.files.upload_idle_s,
        },
        "end_of_turn": hub.turns is not None,
        "speakers": hub.speakers is not None,
        "level": int(hub.ladder.level),
    }


def _can_run(name: str) -> bool:
    plugin = PROVIDERS[name]
    return not plugin.missing(plugin.setup())


def add_readings(hub: Hub) -> None:
    """Have `/metrics` ask the hub and its engine for what they know."""
    metrics, engine = hub.metrics, hub.engine
    metrics.gauges(
        "sessions",
        "Sessions, by whether a socket is attached",
        "state",
        {
            "attached": lambda: sum(session.is_attached for session in hub.sessions),
            "detached": lambda: sum(not session.is_attached for session in hub.sessions),
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
    metrics.gauge(
        "lag_seconds",
        "How far the latest of live sessions is behind",
        lambda: max((session.lag_s for session in hub.sessions), default=0.0),
    )
    metrics.gauge("level", "Rung of the degrade ladder", lambda: int(hub.ladder.level))
    metrics.gauge("ready", "Whether speech is decoded", lambda: not hub.why_not_ready)
    metrics.counter("worker_restarts", "Workers lost and replaced", lambda: engine.restarts)
    metrics.gauge("memory_bytes", "Resident, all processes", lambda: memory_bytes(hub.pids()))
    metrics.gauge(
        "spooled_seconds",
        "Audio held back on disk",
        lambda: sum(session.spooled_samples for session in hub.sessions) / SAMPLE_RATE_HZ,
    )


def add_file_readings(hub: Hub, files: FileService) -> None:
    """The same of the files beside the sessions."""
    metrics, decoder = hub.metrics, hub.engine.decoder
    metrics.gauges(
        "files",
        "Uploaded files, by whether they are transcribed or wait",
        "state",
        {"at_work": lambda: files.at_work, "waiting": lambda: files.waiting},
    )
    metrics.gauge("file_windows", "Windows of files that wait or are decoded", lambda: decoder.file_windows)
    metrics.counter("file_inference_seconds", "Time decoding windows of files", lambda: decoder.files_s)
