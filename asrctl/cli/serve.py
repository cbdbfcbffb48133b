"""`asrctl serve`: a server for live audio."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from asrctl.cli import serve_options as options
from asrctl.cli.config import ConfigFile
from asrctl.cli.model_options import Model, Provider
from asrctl.errors import EXIT_INTERRUPTED, UsageError

if TYPE_CHECKING:
    from asrctl.assembly import Plan
    from asrctl.audio.vad import SileroWeights
    from asrctl.server.files.limits import FileLimits
    from asrctl.server.options import NamedModel, ServeOptions, Streaming
    from asrctl.settings import ServeSettings, Settings
    from asrctl.streaming.stream import SpeechDetector
    from asrctl.workers.standby import Standby

_REQUIRED = ("starlette", "uvicorn", "httptools", "websockets", "prometheus_client", "python_multipart")


app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def serve(
    context: typer.Context,
    host: options.Host = None,
    port: options.Port = None,
    node: options.Node = None,
    wyoming: options.Wyoming = None,
    zeroconf: options.Zeroconf = None,
    page: options.Page = None,
    open_page: options.Open = False,
    max_sessions: options.MaxSessions = None,
    api_key: options.ApiKey = None,
    insecure: options.Insecure = False,
    allow_origin: options.AllowOrigin = None,
    tls_cert: options.TlsCert = None,
    tls_key: options.TlsKey = None,
    model: Model = None,
    small_model: options.SmallModel = None,
    fallback_model: options.FallbackModel = None,
    fallback_provider: options.FallbackProvider = None,
    provider: Provider = None,
    language: options.Language = None,
    threads: options.Threads = None,
    workers: options.Workers = None,
    endpoint_silence: options.EndpointSilence = None,
    end_of_turn: options.EndOfTurn = None,
    grace: options.Grace = None,
    config: ConfigFile = None,
) -> None:
    """Serve live audio, files over HTTP, and a page for browsers.

    Live audio comes to /v1/stream, files to /v1/audio/transcriptions, browsers to /. For tools that speak to
    whisper.cpp's server or to whisper-asr-webservice there are /inference, /asr and /detect-language; for
    those who look after it, /health, /ready, /capabilities and /metrics. /render makes subtitles of finals.

    Ctrl-C, SIGTERM or SIGHUP ends it gracefully, a second one at once. Every limit has a name in the config
    file, under [serve]; `asrctl config show` lists them.

    \b
      asrctl serve --open
      asrctl serve --model base.en --small-model tiny.en-q8_0
      ASRCTL_API_KEY=… asrctl serve --host 0.0.0.0 --tls-cert chain.pem --tls-key key.pem
    """
    missing = [module for module in _REQUIRED if find_spec(module) is None]
    if missing:
        raise UsageError(f"asrctl serve needs {', '.join(missing)}: pip install 'asrctl[serve]'")
    from asrctl.cli.endpointing import with_endpointing
    from asrctl.detect.quick import defaults
    from asrctl.server.options import check_exposure, check_node
    from asrctl.settings import load

    loaded = load(config)
    settings = loaded.settings.overridden(
        model=model, provider=provider, language=language, threads=threads, workers=workers
    )
    settings = with_endpointing(settings, endpoint_silence, end_of_turn)
    given: dict[str, Any] = {
        "host": host,
        "port": port,
        "node": node,
        "wyoming_port": wyoming,
        "zeroconf": zeroconf,
        "page": page,
        "max_sessions": max_sessions,
        "api_key": api_key,
        "allow_origins": tuple(allow_origin) if allow_origin else None,
        "small_model": small_model,
        "fallback_model": fallback_model,
        "fallback_provider": fallback_provider,
        "grace_s": grace,
    }
    is_bounded = max_sessions is not None or "serve.max_sessions" in loaded.origins
    if not is_bounded:
        given["max_sessions"] = defaults().sessions
    flags = {name: value for name, value in given.items() if value is not None}
    settings = replace(settings, serve=replace(settings.serve, **flags))
    chosen = settings.serve
    check_node(chosen.node)
    check_exposure(chosen.host, chosen.api_key, insecure, wyoming=chosen.wyoming_port is not None)
    if tls_key is not None and tls_cert is None:
        raise UsageError("--tls-key goes with --tls-cert")
    if open_page and not settings.serve.page:
        raise UsageError("--open needs the page: leave out --no-page, or set serve.page to true")
    served = replace(
        options_of(settings), certificate=tls_cert, private_key=tls_key, tries_pace=not is_bounded
    )
    if _run(served, context.obj, open_page):
        raise typer.Exit(EXIT_INTERRUPTED)


def _run(options: ServeOptions, standby: Standby | None, open_page: bool) -> bool:
    """Serve until stopped; whether that was by force."""
    from asrctl.audio.heap import return_large_blocks
    from asrctl.server.start import run

    return_large_blocks()
    return run(options, _detectors, standby, _open_page if open_page else None)


def _open_page(url: str) -> None:
    """Show the page; in a thread, since some browsers block until they are closed."""
    import threading
    import webbrowser

    threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()


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
    from asrctl.protocol.messages import Limits
    from asrctl.server.dialects.announcement import check_announced
    from asrctl.server.options import Models, ServeOptions, checked_origins

    chosen, turns_from = settings.serve, _turns_from(settings)
    first = prepare(settings)
    if first.is_pooled and chosen.fallback_provider and not chosen.fallback_model:
        raise UsageError("--fallback-provider runs the fallback model: it needs --fallback-model")
    plan = first if first.is_pooled else prepare(settings := _behind(first, settings))
    main = _named(settings, plan)
    fallback = settings.overridden(provider=chosen.fallback_provider or None)
    models = Models(
        main,
        small=_suiting(main, settings, _small(main, settings)),
        fallback=_suiting(main, fallback, settings.serve.fallback_model),
    )
    by_source = {Source.SYSTEM: chosen.max_system_sessions} if chosen.max_system_sessions else {}
    same = _shared(ServeOptions, chosen) | {
        "zeroconf": chosen.zeroconf and check_announced(chosen.wyoming_port),
        "allow_origins": checked_origins(chosen.allow_origins),
    }
    return ServeOptions(
        models=models,
        streaming=None if first.is_pooled else _streaming(first, main),
        pool=pool_options(plan),
        stream=stream_options(plan.decode, settings.vad, settings.live),
        limits=Limits(**_shared(Limits, chosen)),
        files=_file_limits(chosen),
        speakers_dir=_speakers_dir(settings),
        admission=AdmissionOptions(max_sessions=chosen.max_sessions, max_by_source=by_source),
        ladder=LadderOptions(**asdict(settings.ladder)),
        turns_from=turns_from,
        **same,
    )


def _shared(kind: type[Any], chosen: ServeSettings) -> dict[str, Any]:
    """The settings that options of a kind have too, by the same names."""
    names = [field.name for field in fields(kind)]
    return {name: getattr(chosen, name) for name in names if hasattr(chosen, name)}


def _turns_from(settings: Settings) -> Path | None:
    """The store with the weights that hear the ends of turns, if that is wanted."""
    from asrctl.models.store import ModelStore
    from asrctl.models.turn_weights import resolve_turn

    return resolve_turn(ModelStore(settings.models_dir).root).parent if settings.live.end_of_turn else None


def _file_limits(chosen: ServeSettings) -> FileLimits:
    from asrctl.server.files.limits import FileLimits

    return FileLimits(
        at_work=chosen.max_files,
        waiting=chosen.max_waiting_files,
        upload_bytes=chosen.max_upload_bytes,
        upload_idle_s=chosen.upload_idle_s,
    )


def _speakers_dir(settings: Settings) -> Path | None:
    """Where the weights are that tell speakers apart, or will be; None if they are not installed."""
    from asrctl.models.speaker_weights import missing
    from asrctl.models.store import ModelStore

    root = ModelStore(settings.models_dir).root
    return None if missing(root) else root


def _behind(first: Plan, settings: Settings) -> Settings:
    """The settings of what stands in for a streaming provider; a server has always something that does.

    Raises:
        UsageError: The provider takes windows, which a server decodes in processes of its own.
        ProviderError: Nothing can stand in.
    """
    from asrctl.models.gguf_models import names_gguf
    from asrctl.providers.registry import AUTO_ORDER, PROVIDERS
    from asrctl.settings import Settings

    if first.is_windowed:
        raise UsageError(
            f"{first.provider} is set up for a server without streaming, which asrctl serve cannot use:"
            " give it a url that begins with ws:// or wss://, or take another --provider"
        )
    pooled = tuple(name for name in settings.providers if name in PROVIDERS and PROVIDERS[name].is_pooled)
    return settings.overridden(
        provider=settings.serve.fallback_provider or "auto",
        providers=pooled or AUTO_ORDER,
        model=settings.serve.fallback_model or (Settings().model if names_gguf(settings.model) else None),
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
    from asrctl.audio.gain_control import GainControlled
    from asrctl.audio.vad import SileroVad

    return GainControlled(SileroVad(_weights()))
