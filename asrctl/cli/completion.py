"""Values that a shell completes: models, languages, providers, microphones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping


def models(incomplete: str) -> list[str]:
    """Names of the catalogues, those that are installed here among them."""
    from asrctl.models.catalog import ALIASES, CATALOG
    from asrctl.models.hub_catalog import HUB_CATALOG

    return _beginning(incomplete, [*CATALOG, *ALIASES, *HUB_CATALOG])


def languages(incomplete: str) -> list[tuple[str, str]]:
    """Codes with the languages' names."""
    from asrctl.languages import AUTO, NAMES

    named = [(AUTO, "detect it"), *sorted(NAMES.items())]
    return [(code, name) for code, name in named if code.startswith(incomplete.lower())]


def providers(incomplete: str) -> list[str]:
    """Those of this installation, and "auto"."""
    from asrctl.providers.registry import PROVIDERS

    return _beginning(incomplete, ["auto", *PROVIDERS])


def microphones(incomplete: str) -> list[str]:
    """Names of this machine's audio inputs; none where they cannot be asked for."""
    return _beginning(incomplete, _microphones())


def join_values(question: MutableMapping[str, str]) -> None:
    """Let `--model=ti`, which bash splits at the "=", be asked as `--model ti`: it replaces the last part."""
    words, current = question.get("COMP_WORDS", "").split("\n"), int(question.get("COMP_CWORD") or 0)
    marks = [n for n in range(1, current) if words[n : n + 1] == ["="] and words[n - 1].startswith("--")]
    question["COMP_WORDS"] = "\n".join(word for n, word in enumerate(words) if n not in marks)
    question["COMP_CWORD"] = str(current - len(marks))


def _microphones() -> Iterator[str]:
    from asrctl.audio.devices import input_devices, load_portaudio
    from asrctl.errors import AsrctlError

    try:
        yield from (device.name for device in input_devices(load_portaudio()))
    except AsrctlError:
        return  # a shell has no use for the reason


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if name.startswith(incomplete))
