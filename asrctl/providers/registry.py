"""Which recognisers there are, whether they can run here, and why not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from asrctl.errors import ProviderError
from asrctl.providers.base import ModelSpec, WindowedModel


@dataclass(frozen=True, slots=True)
class Provider:
    """A recogniser that asrctl can use.

    Attributes:
        name: As in `--provider`.
        requires: The module that must be importable; empty when nothing is needed.
        enable: What to do where it is missing.
        weights: Kind of weights it loads, "ggml" or "ctranslate2".
        load: Makes a loaded model; imports heavy modules only then.
    """

    name: str
    requires: str
    enable: str
    weights: str
    load: Callable[[ModelSpec], WindowedModel]

    def missing(self, installed: Callable[[str], bool]) -> str:
        """Why it cannot run here and what would enable it; empty if it can."""
        if not self.requires or installed(self.requires):
            return ""
        return f"the package {self.requires.strip('_')} is not installed: {self.enable}"


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
        Provider("scripted", "", "", "script", _scripted),
    )
}

AUTO_ORDER = ("whisper_cpp", "faster_whisper")
"""What `--provider auto` tries, in order."""


def is_installed(module: str) -> bool:
    """Whether a module can be found; it is not imported, since native imports can crash."""
    return find_spec(module) is not None


def choose(
    name: str, order: Sequence[str] = AUTO_ORDER, installed: Callable[[str], bool] = is_installed
) -> Provider:
    """The provider called `name`, or for "auto" the first of `order` that can run here.

    Raises:
        ProviderError: No such provider, or it cannot run here.
    """
    if name == "auto":
        candidates = [_named(candidate) for candidate in order]
        for candidate in candidates:
            if not candidate.missing(installed):
                return candidate
        reasons = "; ".join(f"{each.name}: {each.missing(installed)}" for each in candidates)
        raise ProviderError(f"no provider can run here: {reasons or 'the list of providers is empty'}")
    provider = _named(name)
    if reason := provider.missing(installed):
        raise ProviderError(f"provider {name} cannot run: {reason}")
    return provider


def _named(name: str) -> Provider:
    provider = PROVIDERS.get(name)
    if provider is None:
        raise ProviderError(f"no provider called {name!r}; there are: auto, {', '.join(sorted(PROVIDERS))}")
    return provider


def load(spec: ModelSpec) -> WindowedModel:
    """Load the weights with the provider that `spec` names.

    Raises:
        ProviderError: The provider cannot run here.
        ModelError: The weights do not load.
    """
    return choose(spec.provider).load(spec)
