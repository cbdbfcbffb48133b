"""`asrctl serve`: a server for live audio."""

from __future__ import annotations

from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asrctl.cli.config import ConfigFile
from asrctl.errors import EXIT_INTERRUPTED, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from asrctl.cli.recognizer import Recognizer
    from asrctl.engine.stream import SpeechDetector
    from asrctl.server.options import NamedModel, ServeOptions, Streaming
    from asrctl.settings import Settings

_REQUIRED = ("starlette", "uvicorn", "httptools", "websockets", "prometheus_client")


def serve(
    host: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Where to listen; 127.0.0.1.")] = None,
    port: Annotated[
        int | None, typer.Option(metavar="PORT", min=0, max=65_535, help="8765; 0 takes a free one.")
    ] = None,
    max_sessions: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=1000, help="Sessions at once; 10, on one core 5.")
    ] = None,
    api_key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            envvar="ASRCTL_API_KEY",
            help="What clients must know; better in the variable, where `ps` does not show it.",
        ),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Let other machines in without a key.")
    ] = False,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(metavar="ORIGIN", help="Let web pages from there in, such as https://example.org."),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="PEM certificates, to serve wss:// and https://.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="PEM key, if it is not with the certificates.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME|PATH", help="A name of `asrctl models list`, or a file.")
    ] = None,
    small_model: Annotated[
        str | None,
        typer.Option(metavar="NAME|PATH", help="Decodes under load; auto, a smaller one that is here."),
    ] = None,
    fallback_model: Annotated[
        str | None, typer.Option(metavar="NAME|PATH", help="Decodes in its place when it cannot.")
    ] = None,
    fallback_provider: Annotated[
        str | None, typer.Option(metavar="NAME", help="What runs the fallback model.")
    ] = None,
    provider: Annotated[
        str | None, typer.Option(metavar="NAME", help="auto, whisper_cpp, faster_whisper, voxtral or remote.")
    ] = None,
    language: Annotated[
        str | None, typer.Option(metavar="CODE", help="For clients that do not say; auto finds out.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=1024, help="For each worker; all cores by default.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=64, help="Processes; each loads the model.")
    ] = None,
    grace: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=0, max=3600, help="To end in, at a signal; 10.")
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
    if _run(settings, options):
        raise typer.Exit(EXIT_INTERRUPTED)


def _run(settings: Settings, options: ServeOptions) -> bool:
    """Serve until stopped; whether that was by force. The model loads while the server is imported."""
    from asrctl.server.engine import Engine
    from asrctl.server.heap import return_large_blocks

    return_large_blocks()
    engine = Engine(options)
    try:
        from asrctl.server.server import Server

        server = Server(options, _detectors(settings), engine=engine)
        server.run()
    finally:
        engine.close()
    return server.forced


def options_of(settings: Settings) -> ServeOptions:
    """What the settings mean to a server; finds the weights, which may fetch them.

    Raises:
        ProviderError: No such provider, or it cannot run here.
        ModelError: No such model, or it cannot be had.
        UsageError: The models do not suit each other.
    """
    from asrctl.cli.live_options import health_check, stream_options
    from asrctl.cli.recognizer import prepare
    from asrctl.engine.slot import PoolOptions
    from asrctl.policy.admission import AdmissionOptions
    from asrctl.policy.ladder import LadderOptions
    from asrctl.policy.priority import Source
    from asrctl.protocol import Limits
    from asrctl.server.options import Models, ServeOptions

    chosen = settings.serve
    first = prepare(settings)
    if not first.is_pooled:
        settings = _behind(first, settings)
    recognizer = prepare(settings)
    main = _named(settings)
    fallback = settings.overridden(provider=chosen.fallback_provider or None)
    models = Models(
        main,
        small=_suiting(main, settings, _small(main, settings)),
        fallback=_suiting(main, fallback, chosen.fallback_model),
    )
    by_source = {Source.SYSTEM: chosen.max_system_sessions} if chosen.max_system_sessions else {}
    return ServeOptions(
        models=models,
        streaming=None if first.is_pooled else _streaming(first, main),
        pool=PoolOptions(workers=recognizer.workers, health=health_check(recognizer)),
        stream=stream_options(recognizer.decode, settings.vad, settings.live),
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
        resume_ttl_s=chosen.resume_ttl_s,
        grace_s=chosen.grace_s,
        watchdog_s=chosen.watchdog_s,
        retry_s=chosen.retry_s,
        admission=AdmissionOptions(max_sessions=chosen.max_sessions, max_by_source=by_source),
        ladder=LadderOptions(**asdict(settings.ladder)),
    )


def _behind(first: Recognizer, settings: Settings) -> Settings:
    """The settings of what stands in for a streaming provider; a server has always something that does.

    Raises:
        UsageError: The provider takes windows, which a server decodes in processes of its own.
        ProviderError: Nothing can stand in.
    """
    from asrctl.cli.providers import takes_windows
    from asrctl.providers.registry import AUTO_ORDER, PROVIDERS

    if takes_windows(first):
        raise UsageError(
            "asrctl serve cannot use a server that takes windows (remote's dialect transcriptions):"
            " set [remote] url to a realtime one, ws:// or wss://, or take another --provider"
        )
    pooled = tuple(name for name in settings.providers if name in PROVIDERS and PROVIDERS[name].is_pooled)
    return settings.overridden(
        provider=settings.serve.fallback_provider or "auto",
        providers=pooled or AUTO_ORDER,
        model=settings.serve.fallback_model or None,
        serve=replace(settings.serve, fallback_model="", fallback_provider=""),
    )


def _streaming(first: Recognizer, reserve: NamedModel) -> Streaming:
    """A streaming provider; it is asked for no language that its reserve does not know."""
    from asrctl.cli.providers import streaming_model
    from asrctl.server.options import NamedModel, Streaming

    model = NamedModel(first.model, first.spec, reserve.multilingual)
    return Streaming(model, lambda: streaming_model(first))


def _named(settings: Settings) -> NamedModel:
    """The model of these settings; one that can find out the language knows several."""
    from asrctl.cli.recognizer import prepare
    from asrctl.languages import AUTO
    from asrctl.server.options import NamedModel

    recognizer = prepare(settings.overridden(language=AUTO))
    return NamedModel(recognizer.model, recognizer.spec, recognizer.decode.language == AUTO)


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


def _detectors(settings: Settings) -> Callable[[], SpeechDetector]:
    """Makes detectors that share their weights."""
    from asrctl.audio.vad import SileroVad, SileroWeights

    weights = SileroWeights.load()
    return lambda: SileroVad(weights)
