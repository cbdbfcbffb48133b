"""Which recognisers there are, whether they can run here, and why not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from asrctl.errors import ProviderError
from asrctl.providers.base import ModelSpec, WindowedModel

Obstacle = Callable[[str], str]
"""By a provider's name, why it cannot run as it is set up; empty if it can."""


@dataclass(frozen=True, slots=True)
class Provider:
    """A recogniser that asrctl can use.

    Attributes:
        name: As in `--provider`.
        requires: The module that must be importable; empty when nothing is needed.
        enable: What to do where it is missing.
        weights: Kind of weights it loads, "ggml" or "ctranslate2"; "script" for those that ship for tests.
        load: Makes a loaded model; imports heavy modules only then. None for a provider that is fed a stream,
            which is made from settings of its own.
        set_up: What has to be set before it can run; empty for nothing.
    """

    name: str
    requires: str
    enable: str
    weights: str
    load: Callable[[ModelSpec], WindowedModel] | None
    set_up: str = ""

    @property
    def is_streaming(self) -> bool:
        """Whether it is, or may be, fed a stream instead of windows."""
        return self.load is None

    def missing(self, installed: Callable[[str], bool], obstacle: Obstacle | None = None) -> str:
        """Why it cannot run here and what would enable it; empty if it can.

        Args:
            installed: Whether a module is there.
            obstacle: Why a provider that has to be set up cannot run as it is; None if nothing is set up.
        """
        if self.requires and not installed(self.requires):
            return f"the package {self.requires.strip('_')} is not installed: {self.enable}"
        if self.set_up and obstacle is not None:
            return obstacle(self.name)
        return self.set_up


def _whisper_cpp(spec: ModelSpec) -> WindowedModel:
    from asrctl.providers.whisper_cpp import WhisperCpp

    return WhisperCpp(spec)


def _faster_whisper(spec: ModelSpec) -> WindowedModel:
    from asrctl.providers.faster_whisper import FasterWhisper

    return FasterWhisper(spec)


def _scripted(spec: ModelSpec) -> WindowedModel:
    from asrctl.providers.scripted import Scripted

    return Scripted(spec)


PROVIDERS = {
    provider.name: provider
    for provider in (
        Provider("whisper_cpp", "_pywhispercpp", "pip install pywhispercpp", "ggml", _whisper_cpp),
        Provider(
            "faster_whisper",
            "faster_whisper",
            'pip install "asrctl[faster-whisper]"',
            "ctranslate2",
            _faster_whisper,
        ),
        Provider(
            "voxtral", "", "", "voxtral", None, "its program or its weights are not set up: see [voxtral]"
        ),
        Provider("remote", "", "", "none", None, "no server is set: [remote] url, or ASRCTL_REMOTE__URL"),
        Provider("scripted", "", "", "script", _scripted),
        Provider("scripted_stream", "", "", "script", None),
    )
}

AUTO_ORDER = ("whisper_cpp", "faster_whisper")
"""What `--provider auto` tries, in order."""


def is_installed(module: str) -> bool:
    """Whether a module can be found; it is not imported, since native imports can crash."""
    return find_spec(module) is not None


def choose(
    name: str,
    order: Sequence[str] = AUTO_ORDER,
    installed: Callable[[str], bool] = is_installed,
    obstacle: Obstacle | None = None,
) -> Provider:
    """The provider called `name`, or for "auto" the first of `order` that can run here.

    Raises:
        ProviderError: No such provider, or it cannot run here.
    """
    return line_up(name, order, installed, obstacle)[0]


def line_up(
    name: str,
    order: Sequence[str] = AUTO_ORDER,
    installed: Callable[[str], bool] = is_installed,
    obstacle: Obstacle | None = None,
) -> list[Provider]:
    """The provider called `name` alone, or for "auto" all of `order` that can run here: each stands in for
    those before it.

    Args:
        name: A provider's, or "auto".
        order: The best first.
        installed: Whether a module is there.
        obstacle: Why a provider that has to be set up cannot run; None if nothing is set up.

    Raises:
        ProviderError: No such provider, or it cannot run here.
    """
    if name == "auto":
        candidates = [_named(candidate) for candidate in dict.fromkeys(order)]
        reasons = {each.name: each.missing(installed, obstacle) for each in candidates}
        if able := [each for each in candidates if not reasons[each.name]]:
            return able
        listed = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        raise ProviderError(f"no provider can run here: {listed or 'the list of providers is empty'}")
    provider = _named(name)
    if reason := provider.missing(installed, obstacle):
        raise ProviderError(f"provider {name} cannot run: {reason}")
    return [provider]


def _named(name: str) -> Provider:
    provider = PROVIDERS.get(name)
    if provider is None:
        raise ProviderError(f"no provider called {name!r}; there are: auto, {', '.join(sorted(PROVIDERS))}")
    return provider


def load(spec: ModelSpec) -> WindowedModel:
    """Load the weights with the provider that `spec` names.

    Raises:
        ProviderError: The provider cannot run here, or decodes no windows.
        ModelError: The weights do not load.
    """
    provider = choose(spec.provider)
    if provider.load is None:
        raise ProviderError(f"provider {provider.name} is fed a stream, and decodes no windows")
    return provider.load(spec)
