"""`asrctl serve`: a server for live audio."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asrctl.cli.config import ConfigFile
from asrctl.errors import EXIT_INTERRUPTED, UsageError

if TYPE_CHECKING:
    from asrctl.assembly import Plan
    from asrctl.audio.vad import SileroWeights
    from asrctl.server.options import NamedModel, ServeOptions, Streaming
    from asrctl.settings import Settings
    from asrctl.stream.stream import SpeechDetector
    from asrctl.workers.standby import Standby

_REQUIRED = ("starlette", "uvicorn", "httptools", "websockets", "prometheus_client")


def serve(
    context: typer.Context,
    host: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Address to listen on (default 127.0.0.1).")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(metavar="PORT", min=0, max=65_535, help="TCP port (default 8765); 0 takes a free one."),
    ] = None,
    max_sessions: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=1000, help="Sessions at once (default 10, on one core 5)."),
    ] = None,
    api_key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            envvar="ASRCTL_API_KEY",
            help="API key that clients must send; safer in the variable, since `ps` shows arguments.",
        ),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Listen on other addresses than loopback without an API key.")
    ] = False,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(metavar="ORIGIN", help="Web origin that may connect, such as https://example.org."),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="PEM certificate chain, to serve wss:// and https://.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="PEM private key, if it is not in the same file.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME|PATH", help="A name of `asrctl models list`, or a file.")
    ] = None,
    small_model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH", help="Model to use under load; auto takes a smaller one that is there."
        ),
    ] = None,
    fallback_model: Annotated[
        str | None, typer.Option(metavar="NAME|PATH", help="Model to use if the main one fails.")
    ] = None,
    fallback_provider: Annotated[
        str | None, typer.Option(metavar="NAME", help="Provider of the fallback model.")
    ] = None,
    provider: Annotated[
        str | None, typer.Option(metavar="NAME", help="auto, whisper_cpp, faster_whisper, voxtral or remote.")
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(metavar="CODE", help="Default language for clients that send none; 'auto' detects it."),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=1024, help="Threads of each worker (default: all cores)."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=64, help="Worker processes; each loads the model.")
    ] = None,
    grace: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", min=0, max=3600, help="Graceful-shutdown timeout in seconds (default 10)."
        ),
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Serve live audio over WebSocket at /v1/stream; also /health, /ready, /capabilities and /metrics.

    Ctrl-C or SIGTERM ends it gracefully, a second one at once. Every limit has a name in the config file,
    under [serve]; `asrctl config show` lists them.

    \b
      asrctl serve
      asrctl serve --model base.en --small-model tiny.en-q8_0
      ASRCTL_API_KEY=… asrctl serve --host 0.0.0.0 --tls-cert chain.pem --tls-key key.pem
    """
    missing = [module for module in _REQUIRED if find_spec(module) is None]
    if missing:
        raise UsageError(f"asrctl serve needs {', '.join(missing)}: pip install 'asrctl[serve]'")
    from asrctl.detect.quick import defaults
    from asrctl.server.options import check_exposure
    from asrctl.settings import load

    loaded = load(config)
    settings = loaded.settings.overridden(
        model=model, provider=provider, language=language, threads=threads, workers=workers
    )
    given: dict[str, Any] = {
        "host": host,
        "port": port,
        "max_sessions": max_sessions,
        "api_key": api_key,
        "allow_origins": tuple(allow_origin) if allow_origin else None,
        "small_model": small_model,
        "fallback_model": fallback_model,
        "fallback_provider": fallback_provider,
        "grace_s": grace,
    }
    if "serve.max_sessions" not in loaded.origins:
        given["max_sessions"] = max_sessions or defaults().sessions
    flags = {name: value for name, value in given.items() if value is not None}
    settings = replace(settings, serve=replace(settings.serve, **flags))
    check_exposure(settings.serve.host, settings.serve.api_key, insecure)
    if tls_key is not None and tls_cert is None:
        raise UsageError("--tls-key goes with --tls-cert")
    options = replace(options_of(settings), certificate=tls_cert, private_key=tls_key)
    if _run(options, context.obj):
        raise typer.Exit(EXIT_INTERRUPTED)


def _run(options: ServeOptions, standby: Standby | None) -> bool:
    """Serve until stopped; whether that was by force."""
    from asrctl.server.heap import return_large_blocks
    from asrctl.server.start import run

    return_large_blocks()
    return run(options, _detectors, standby)


def options_of(settings: Settings) -> ServeOptions:
    """What the settings mean to a server; finds the weights, which may fetch them.

    Raises:
        ProviderError: No such provider, or it cannot run here.
        ModelError: No such model, or it cannot be had.
        UsageError: The models do not suit each other.
    """
    from asrctl.assembly import pool_options, prepare
    from asrctl.from_settings import stream_options
    from asrctl.policy.admission import AdmissionOptions
    from asrctl.policy.ladder import LadderOptions
    from asrctl.policy.priority import Source
    from asrctl.protocol import Limits
    from asrctl.server.options import Models, ServeOptions

    chosen = settings.serve
    first = prepare(settings)
    plan = first if first.is_pooled else prepare(settings := _behind(first, settings))
    main = _named(settings, plan)
    fallback = settings.overridden(provider=chosen.fallback_provider or None)
    models = Models(
        main,
        small=_suiting(main, settings, _small(main, settings)),
        fallback=_suiting(main, fallback, settings.serve.fallback_model),
    )
    by_source = {Source.SYSTEM: chosen.max_system_sessions} if chosen.max_system_sessions else {}
    return ServeOptions(
        models=models,
        streaming=None if first.is_pooled else _streaming(first, main),
        pool=pool_options(plan),
        stream=stream_options(plan.decode, settings.vad, settings.live),
        host=chosen.host,
        port=chosen.port,
        api_key=chosen.api_key,
        allow_origins=frozenset(chosen.allow_origins),
        limits=Limits(
            max_message_bytes=chosen.max_message_bytes,
            max_messages_per_s=chosen.max_messages_per_s,
            handshake_timeout_s=chosen.handshake_timeout_s,
            idle_timeout_s=chosen.idle_timeout_s,
        ),
        window_s=chosen.window_s,
        hold_s=chosen.hold_s,
        spool_s=chosen.spool_s,
        max_lag_s=chosen.max_lag_s,
        max_connections=chosen.max_connections,
        max_connections_per_peer=chosen.max_connections_per_peer,
        resume_ttl_s=chosen.resume_ttl_s,
        grace_s=chosen.grace_s,
        watchdog_s=chosen.watchdog_s,
        retry_s=chosen.retry_s,
        admission=AdmissionOptions(max_sessions=chosen.max_sessions, max_by_source=by_source),
        ladder=LadderOptions(**asdict(settings.ladder)),
    )


def _behind(first: Plan, settings: Settings) -> Settings:
    """The settings of what stands in for a streaming provider; a server has always something that does.

    Raises:
        UsageError: The provider takes windows, which a server decodes in processes of its own.
        ProviderError: Nothing can stand in.
    """
    from asrctl.providers.registry import AUTO_ORDER, PROVIDERS

    if first.is_windowed:
        raise UsageError(
            f"asrctl serve cannot use {first.provider} as it is set up: it takes whole windows of audio."
            " Set it up for streams (remote: [remote] url with ws:// or wss://), or take another --provider"
        )
    pooled = tuple(name for name in settings.providers if name in PROVIDERS and PROVIDERS[name].is_pooled)
    return settings.overridden(
        provider=settings.serve.fallback_provider or "auto",
        providers=pooled or AUTO_ORDER,
        model=settings.serve.fallback_model or None,
        serve=replace(settings.serve, fallback_model="", fallback_provider=""),
    )


def _streaming(first: Plan, reserve: NamedModel) -> Streaming:
    """A streaming provider; it is asked for no language that its reserve does not know."""
    from asrctl.assembly import start
    from asrctl.server.options import NamedModel, Streaming

    model = NamedModel(first.model, first.spec, reserve.multilingual)
    alone = replace(first, reserves=())
    return Streaming(model, lambda: start(alone).members[first.provider])


def _named(settings: Settings, plan: Plan | None = None) -> NamedModel:
    """The model of these settings, and of a plan made of them; one that detects languages knows several."""
    from asrctl.assembly import prepare
    from asrctl.languages import AUTO
    from asrctl.server.options import NamedModel

    if plan is None or plan.decode.language != AUTO:
        plan = prepare(settings.overridden(language=AUTO))
    return NamedModel(plan.model, plan.spec, plan.decode.language == AUTO)


def _small(main: NamedModel, settings: Settings) -> str:
    """The name of the model for high loads, which is not downloaded unasked; empty for none."""
    from asrctl.models.catalog import CATALOG
    from asrctl.models.store import ModelStore
    from asrctl.policy.sizing import Model
    from asrctl.policy.stand_in import stand_in

    chosen = settings.serve.small_model
    if chosen != "auto":
        return "" if chosen == "none" else chosen
    if main.name not in CATALOG or main.spec.provider != "whisper_cpp":
        return ""
    models = {name: Model(name, entry.memory_bytes, entry.multilingual) for name, entry in CATALOG.items()}
    if stand_in(models[main.name], models.values()) is None:
        return ""
    store = ModelStore(settings.models_dir)
    there = [models[name] for name, entry in CATALOG.items() if store.source(entry) != "download"]
    found = stand_in(models[main.name], there)
    return found.name if found else ""


def _suiting(main: NamedModel, settings: Settings, name: str) -> NamedModel | None:
    """Another model, in place of the main one; None for an empty name."""
    if not name:
        return None
    other = _named(settings.overridden(model=name))
    if main.multilingual and not other.multilingual:
        raise UsageError(f"{other.name} cannot stand in for {main.name}: it knows English only")
    return other


@cache
def _weights() -> SileroWeights:
    from asrctl.audio.vad import SileroWeights

    return SileroWeights.load()


def _detectors() -> SpeechDetector:
    """A detector; all share their weights."""
    from asrctl.audio.vad import SileroVad

    return SileroVad(_weights())
