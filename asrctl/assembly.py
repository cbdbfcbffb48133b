"""From settings to recognisers at work: provider, weights, options, processes, and who stands in for whom."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from asrctl.detect.cpus import available_cpus
from asrctl.detect.quick import defaults
from asrctl.errors import UsageError
from asrctl.languages import check_language
from asrctl.models.catalog import ALIASES, CATALOG
from asrctl.models.gguf_models import names_gguf, resolve_gguf
from asrctl.models.store import ModelStore
from asrctl.policy.chain import ChainOptions
from asrctl.policy.vocabulary import checked_terms, fit
from asrctl.policy.window import Effort
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.providers.plugin import Serving, Setup
from asrctl.providers.recognizer import Recognizer
from asrctl.providers.registry import PROVIDERS, line_up
from asrctl.streaming.fallback import Fallback
from asrctl.streaming.pooled import DeferredRecognizer, PooledRecognizer, ServiceRecognizer
from asrctl.streaming.source import in_thread
from asrctl.workers.listener import ListenerOptions
from asrctl.workers.listeners import Listeners
from asrctl.workers.options import HealthCheck, PoolOptions
from asrctl.workers.pool import WorkerPool

if TYPE_CHECKING:
    from asrctl.models.files import Progress
    from asrctl.providers.plugin import Plugin
    from asrctl.settings import Settings
    from asrctl.workers.standby import Standby

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """What will decode, and how; nothing is loaded yet.

    Attributes:
        model: The name to show: the catalog's, or the path's.
        spec: What a worker loads; of a provider that is started from a setup, only the name counts.
        decode: How each window is decoded.
        workers: Processes.
        setup: That setup; None for providers that load a model.
        serving: How streams are served, for a model that listens to them; None for windows.
        multilingual: Whether the model knows languages other than English.
        reserves: Who stands in, the best first.
    """

    model: str
    spec: ModelSpec
    decode: DecodeOptions
    workers: int
    setup: Setup | None = None
    serving: Serving | None = None
    multilingual: bool = True
    reserves: tuple[Reserve, ...] = ()

    @property
    def provider(self) -> str:
        """The provider's name."""
        return self.spec.provider

    @property
    def is_pooled(self) -> bool:
        """Whether it decodes windows in worker processes."""
        return PROVIDERS[self.spec.provider].is_pooled and self.serving is None

    @property
    def is_windowed(self) -> bool:
        """Whether it decodes windows, as files want it."""
        plugin = PROVIDERS[self.spec.provider]
        return self.is_pooled or (self.setup is not None and plugin.takes_windows(self.setup))

    def with_words(self) -> Plan:
        """The same, with the times of words."""
        return replace(self, decode=replace(self.decode, word_timestamps=True))


@dataclass(frozen=True, slots=True)
class Reserve:
    """A provider that stands in for others; its weights are found, or fetched, when it has to."""

    provider: str
    prepare: Callable[[], Plan]


def prepare(settings: Settings, progress: Progress | None = None) -> Plan:
    """Choose the provider, find (or make, or fetch) the weights, check that they suit each other.

    Raises:
        ProviderError: No such provider, or it cannot run here.
        ModelError: No such model, or it cannot be had.
        UsageError: The model cannot do what is asked.
    """
    order = settings.providers
    if names_gguf(settings.model):
        order = tuple(name for name, plugin in PROVIDERS.items() if plugin.weights == "gguf")
    chosen, *others = line_up(settings.provider, order, settings.setup_of)
    settings = settings.overridden(vocabulary=fitting_terms(settings.vocabulary))
    reserves = tuple(Reserve(other.name, partial(_prepared, settings, other)) for other in others)
    return replace(_prepared(settings, chosen, progress), reserves=reserves)


def fitting_terms(vocabulary: Iterable[str]) -> tuple[str, ...]:
    """As many terms as recognisers are told; those that there is no room for are named in the log.

    Raises:
        UsageError: There are too many, or one of them is none.
    """
    found = fit(checked_terms(vocabulary))
    if found.left_out:
        _log.warning("vocabulary: no room is left for %s", ", ".join(found.left_out))
    return found.kept


def _prepared(settings: Settings, plugin: Plugin, progress: Progress | None = None) -> Plan:
    if settings.translate and not plugin.translates(settings.setup_of(plugin)):
        raise UsageError(f"{plugin.name} cannot translate: take another provider")
    if settings.vocabulary and (reason := plugin.no_vocabulary(settings.setup_of(plugin))):
        _log.warning("vocabulary: %s works without: %s", plugin.name, reason)
    if not plugin.is_pooled:
        setup = settings.setup_of(plugin)
        model = plugin.model(setup) or plugin.name
        decode = _decoding(settings, model, multilingual=True)
        return Plan(model, ModelSpec(plugin.name, Path(model)), decode, workers=1, setup=setup)
    found = _weights(settings, plugin, progress)
    if settings.translate and not found.multilingual:
        raise UsageError(f"{found.name} cannot translate: it knows English only; take one such as base")
    suited, setup = defaults(settings.workers), settings.setup_of(plugin)
    decode = _decoding(settings, found.name, found.multilingual)
    serving = plugin.serving(setup) if found.streams else None
    wanted = settings.threads or (1 if serving else suited.threads)  # of each stream, or of each worker
    threads = min(wanted, available_cpus())
    if threads < wanted:  # they wait for each other without sleeping: 999 took minutes for a sentence
        _log.warning("threads: %d instead of %d: no more processors are available", threads, wanted)
    spec = ModelSpec(
        plugin.name,
        found.path,
        threads,
        options=plugin.options(setup),
        parallel=plugin.parallel(setup.settings, threads),
        together=plugin.together(setup.settings),
    )
    return Plan(found.name, spec, decode, suited.workers, serving=serving, multilingual=found.multilingual)


def _decoding(settings: Settings, model: str, multilingual: bool) -> DecodeOptions:
    return DecodeOptions(
        language=check_language(settings.language, multilingual=multilingual, model=model),
        translate=settings.translate,
        prompt=settings.prompt,
        vocabulary=settings.vocabulary,
        beam_size=settings.beam_size,
        word_timestamps=settings.word_timestamps,
    )


class _Found(NamedTuple):
    """Weights, and what is known of them."""

    name: str
    path: Path
    multilingual: bool = True
    streams: bool = False


def _weights(settings: Settings, plugin: Plugin, progress: Progress | None) -> _Found:
    if plugin.weights == "own":
        path = plugin.locate(settings.setup_of(plugin))
        return _Found(path.name, path)
    store = ModelStore(settings.models_dir)
    wanted = getattr(settings.of(plugin), "model", "") or settings.model
    if plugin.weights == "ctranslate2":
        path = store.ct2_directory(wanted, progress=progress)
        entry = CATALOG.get(ALIASES.get(wanted, wanted))
        return _Found(entry.base_name, path, entry.multilingual) if entry else _Found(path.name, path)
    resolve = partial(resolve_gguf, store) if plugin.weights == "gguf" else store.resolve
    model = resolve(wanted, progress=progress)
    return _Found(model.name, model.path, model.multilingual, model.streams)


# Starting


def start(
    plan: Plan,
    pool: PoolOptions | None = None,
    chain: ChainOptions | None = None,
    standby: Standby | None = None,
) -> Fallback:
    """Start the chosen provider, in a running event loop; it loads while the caller goes on.

    Reserves behind a provider that is fed streams are loaded at once, since it may break at any moment; those
    behind a pool of workers, which is local and tries again by itself, only when they are needed.

    Args:
        plan: What is to decode.
        pool: How its workers are kept; None for what suits live audio.
        chain: How long a provider that broke down is left alone.
        standby: A worker process that was started earlier.

    Raises:
        ProviderError: The chosen provider cannot run here.
    """
    first = _started(plan, pool or pool_options(plan), standby)
    reserves = [_reserve(reserve) for reserve in plan.reserves]
    if not plan.is_pooled:
        for reserve in reserves:
            reserve.start()
    return Fallback([first, *reserves], chain)


def _started(plan: Plan, options: PoolOptions, standby: Standby | None = None) -> Recognizer:
    if plan.serving is not None:
        return Listeners(plan.spec, plan.model, ListenerOptions(plan.serving, health=health_check(plan)))
    if plan.setup is None:
        pool = WorkerPool(plan.spec, options, standby=standby)
        return PooledRecognizer(plan.provider, plan.model, pool, lambda: pool.slots[0].description)
    begin = PROVIDERS[plan.provider].start
    assert begin is not None
    started = begin(plan.setup)
    return started if isinstance(started, Recognizer) else ServiceRecognizer(started)


def _reserve(reserve: Reserve) -> DeferredRecognizer:
    async def make() -> tuple[Recognizer, str]:
        plan = await in_thread(reserve.prepare)
        return _started(plan, pool_options(plan)), plan.decode.language

    plugin = PROVIDERS[reserve.provider]
    windowed = (plugin.is_pooled and plugin.listen is None) or reserve.prepare().is_windowed
    return DeferredRecognizer(reserve.provider, make, windowed=windowed)


def pool_options(plan: Plan) -> PoolOptions:
    """How workers are kept that decode live audio: each proves first that it understands speech."""
    return PoolOptions(workers=plan.workers, health=health_check(plan))


def health_check(plan: Plan) -> HealthCheck:
    """What a worker decodes before it is ready: speech in English, which all models of the catalog know."""
    from asrctl.audio.sample import SAMPLE_WORDS, sample_speech

    known = ALIASES.get(plan.model, plan.model) in CATALOG
    options = replace(
        plan.decode,
        language="en",
        translate=False,
        prompt="",
        vocabulary=(),
        beam_size=1,
        word_timestamps=True,
        effort=Effort.DRAFT,  # enough for this sample, and ready sooner
    )
    return HealthCheck(sample_speech(), SAMPLE_WORDS if known else frozenset(), options)
