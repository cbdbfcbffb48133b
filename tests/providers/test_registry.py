"""Which provider is chosen, and what is said where none can be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from asrctl.errors import ProviderError
from asrctl.providers.base import ModelSpec
from asrctl.providers.registry import AUTO_ORDER, PROVIDERS, choose, is_installed, line_up, load


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
    assert not {"scripted", "scripted_stream"} & set(AUTO_ORDER)
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
        assert bool(provider.missing(only())) == bool(provider.requires or provider.set_up)
        assert provider.missing(only(provider.requires), lambda _: "") == ""


def test_what_has_to_be_set_up_says_what_is_missing() -> None:
    """Whatever the settings lack; without settings, what there is to set."""
    with pytest.raises(ProviderError, match=r"remote cannot run: no server is set: \[remote\] url"):
        choose("remote", installed=only())
    with pytest.raises(ProviderError, match="voxtral cannot run: no weights"):
        choose("voxtral", installed=only(), obstacle=lambda name: "no weights")
    assert choose("voxtral", installed=only(), obstacle=lambda name: "").is_streaming


def test_a_line_up_is_all_that_can_run() -> None:
    """In the order asked for, each once; a provider asked for by name stands alone."""
    order = ("voxtral", "faster_whisper", "whisper_cpp", "faster_whisper")
    both = only("_pywhispercpp", "faster_whisper")
    ready = {"obstacle": lambda name: ""}
    assert [each.name for each in line_up("auto", order, both, **ready)] == [
        "voxtral",
        "faster_whisper",
        "whisper_cpp",
    ]
    assert [each.name for each in line_up("auto", order, both)] == ["faster_whisper", "whisper_cpp"]
    assert [each.name for each in line_up("whisper_cpp", order, both)] == ["whisper_cpp"]


def test_a_provider_that_streams_decodes_no_windows(tmp_path: Path) -> None:
    """A worker that is told to load it says so."""
    with pytest.raises(ProviderError, match="is fed a stream"):
        load(ModelSpec("scripted_stream", tmp_path))


def test_load(tmp_path: Path) -> None:
    """The spec's provider loads the spec's weights."""
    script = tmp_path / "script.json"
    script.write_text("{}")
    with load(ModelSpec("scripted", script)) as model:
        assert model.description() == "scripted"
    with pytest.raises(ProviderError, match="vosk"):
        load(ModelSpec("vosk", script))
