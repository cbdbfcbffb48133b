"""Which provider is chosen, and what is said where none can be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from asrctl.errors import ProviderError
from asrctl.providers.base import ModelSpec
from asrctl.providers.registry import AUTO_ORDER, PROVIDERS, choose, is_installed, load


def only(*modules: str) -> Callable[[str], bool]:
    """A machine on which just these modules are installed."""
    return lambda module: module in modules


def test_auto_takes_the_first_that_can_run() -> None:
    """whisper.cpp before faster-whisper, whichever is installed."""
    both = only("_pywhispercpp", "faster_whisper")
    assert choose("auto", installed=both).name == "whisper_cpp"
    assert choose("auto", installed=only("faster_whisper")).name == "faster_whisper"
    assert choose("auto", ("faster_whisper", "whisper_cpp"), installed=both).name == "faster_whisper"


def test_auto_never_takes_the_scripted_one() -> None:
    """What ships for tests is chosen by name alone."""
    assert "scripted" not in AUTO_ORDER
    assert choose("scripted", installed=only()).name == "scripted"


def test_auto_with_nothing_installed() -> None:
    """The error names each candidate and what would enable it."""
    with pytest.raises(ProviderError, match=r"whisper_cpp: .*pip install pywhispercpp") as caught:
        choose("auto", installed=only())
    assert "faster_whisper" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_auto_with_an_empty_order() -> None:
    """An empty list of providers is said to be one."""
    with pytest.raises(ProviderError, match="list of providers is empty"):
        choose("auto", (), installed=only())


@pytest.mark.parametrize("name", ["whisper_cpp", "faster_whisper"])
def test_named_but_not_installed(name: str) -> None:
    """A provider asked for by name is not replaced by another: the error says how to install it."""
    with pytest.raises(ProviderError, match=f"provider {name} cannot run: the package .* pip install"):
        choose(name, installed=only())
    assert choose(name, installed=only(PROVIDERS[name].requires)).name == name


def test_unknown_names() -> None:
    """A name nobody knows is answered with those there are, also in the order for "auto"."""
    with pytest.raises(ProviderError, match=r"no provider called 'vosk'; there are: auto, faster_whisper"):
        choose("vosk")
    with pytest.raises(ProviderError, match="'vosk'"):
        choose("auto", ("vosk",), installed=only())


def test_is_installed() -> None:
    """Modules are looked for without being imported."""
    assert is_installed("json")
    assert not is_installed("surely_no_such_module")


def test_every_provider_says_what_enables_it() -> None:
    """Names match their keys; what needs a package says how to get it."""
    for name, provider in PROVIDERS.items():
        assert provider.name == name
        assert bool(provider.requires) == bool(provider.enable)
        assert bool(provider.missing(only())) == bool(provider.requires)
        assert provider.missing(only(provider.requires)) == ""


def test_load(tmp_path: Path) -> None:
    """The spec's provider loads the spec's weights."""
    script = tmp_path / "script.json"
    script.write_text("{}")
    with load(ModelSpec("scripted", script)) as model:
        assert model.description() == "scripted"
    with pytest.raises(ProviderError, match="vosk"):
        load(ModelSpec("vosk", script))
