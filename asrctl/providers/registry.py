"""Which providers there are, and which of them can run here.

Those of asrctl are known without a search: Whisper's two, and one for each package in this directory that has
a module `plugin`. Entry points of other packages are looked at only when a name is none of these, or when all
providers are asked for: that takes tens of milliseconds where many packages are installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

import asrctl.providers
from asrctl.errors import ProviderError
from asrctl.providers.base import ListeningModel, ModelSpec, WindowedModel
from asrctl.providers.plugin import Plugin, Setup, is_installed
from asrctl.providers.whisper import FASTER_WHISPER, WHISPER_CPP

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["AUTO_ORDER", "PROVIDERS", "is_installed", "line_up", "load", "load_listening"]

GROUP = "asrctl.providers"
"""The group of entry points."""

AUTO_ORDER = (WHISPER_CPP.name, FASTER_WHISPER.name)
"""What `--provider auto` tries, in order."""

_WHISPER = {plugin.name: plugin for plugin in (WHISPER_CPP, FASTER_WHISPER)}


class _Providers(Mapping[str, Plugin]):
    """Every provider by its name; those of asrctl first."""

    def __getitem__(self, name: str) -> Plugin:
        if (found := built_in(name)) is not None:
            return found
        return _loaded(name, _entry_points()[name])

    def __iter__(self) -> Iterator[str]:
        yield from _built_in_names()
        yield from (name for name in sorted(_entry_points()) if name not in _built_in_names())

    def __len__(self) -> int:
        return sum(1 for _ in self)


PROVIDERS: Mapping[str, Plugin] = _Providers()
"""Plug-ins by name; a plug-in is imported when it is looked up."""


def built_in(name: str) -> Plugin | None:
    """A provider that ships with asrctl; None if there is none of that name."""
    if name in _WHISPER:
        return _WHISPER[name]
    if name not in _built_in_names():
        return None
    plugin: Plugin = import_module(f"{asrctl.providers.__name__}.{name}.plugin").PLUGIN
    return plugin


def for_servers() -> Plugin:
    """The provider that has a server recognise."""
    found = (built_in(name) for name in _built_in_names())
    return next(plugin for plugin in found if plugin is not None and plugin.through is not None)


@cache
def _built_in_names() -> tuple[str, ...]:
    import pkgutil  # 1 ms, which nobody pays for Whisper

    folders = (module.name for module in pkgutil.iter_modules(asrctl.providers.__path__) if module.ispkg)
    return (*_WHISPER, *sorted(folders))


def _entry_points() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points  # 10 ms, which few runs need

    return {point.name: point for point in entry_points(group=GROUP)}


def _loaded(name: str, point: EntryPoint) -> Plugin:
    """The plug-in of another package; one that does not load is a provider that cannot run."""
    try:
        plugin = point.load()
    except Exception as error:  # whatever a module of somebody else raises
        return _broken(name, f"{point.value} does not load: {type(error).__name__}: {error}")
    if not isinstance(plugin, Plugin):
        return _broken(name, f"{point.value} is not a Plugin")
    if plugin.name != name:
        return _broken(name, f"{point.value} calls itself {plugin.name!r}")
    return plugin


def _broken(name: str, reason: str) -> Plugin:
    return Plugin(name, "a plug-in that does not load", missing=lambda setup: " ".join(reason.split()))


def line_up(
    name: str,
    order: Sequence[str] = AUTO_ORDER,
    setup: Callable[[Plugin], Setup] = Plugin.setup,
    providers: Mapping[str, Plugin] = PROVIDERS,
) -> list[Plugin]:
    """The provider called `name` alone, or for "auto" all of `order` that can run here: each stands in for
    those before it.

    Args:
        name: A provider's, or "auto".
        order: The best first.
        setup: What a provider is set up with; by default its default settings.
        providers: Those there are.

    Raises:
        ProviderError: No such provider, or it cannot run here.
    """
    if name == "auto":
        candidates = [_named(candidate, providers) for candidate in dict.fromkeys(order)]
        reasons = {each.name: each.missing(setup(each)) for each in candidates}
        if able := [each for each in candidates if not reasons[each.name]]:
            return able
        listed = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        raise ProviderError(f"no provider can run here: {listed or 'the list of providers is empty'}")
    plugin = _named(name, providers)
    if reason := plugin.missing(setup(plugin)):
        raise ProviderError(f"provider {name} cannot run: {reason}")
    return [plugin]


def _named(name: str, providers: Mapping[str, Plugin]) -> Plugin:
    plugin = providers.get(name)
    if plugin is None:
        raise ProviderError(f"no provider called {name!r}; there are: auto, {', '.join(sorted(providers))}")
    return plugin


def load(spec: ModelSpec) -> WindowedModel:
    """Load the weights with the provider that `spec` names, in a worker process.

    Raises:
        ProviderError: The provider cannot run here, or decodes no windows.
        ModelError: The weights do not load.
    """
    plugin = _installed(spec)
    if plugin.load is None:
        reason = plugin.missing(plugin.setup()) or "it decodes no windows in a worker process"
        raise ProviderError(f"provider {plugin.name} cannot run: {reason}")
    return plugin.load(spec)


def load_listening(spec: ModelSpec) -> ListeningModel:
    """The same for a model that listens to a stream; raises as `load`."""
    plugin = _installed(spec)
    if plugin.listen is None:
        raise ProviderError(f"provider {plugin.name} cannot run: it listens to no stream in a worker process")
    return plugin.listen(spec)


def _installed(spec: ModelSpec) -> Plugin:
    """The plug-in that `spec` names, with what it imports."""
    plugin = _named(spec.provider, PROVIDERS)
    if plugin.requires and not is_installed(plugin.requires):
        raise ProviderError(f"provider {plugin.name} cannot run: {plugin.missing(plugin.setup())}")
    return plugin
