"""Which provider is chosen, what is said where none can be, and providers of other packages."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from asrctl.errors import ProviderError
from asrctl.providers.base import ModelSpec
from asrctl.providers.plugin import Plugin
from asrctl.providers.registry import AUTO_ORDER, PROVIDERS, built_in, is_installed, line_up, load


def fake(name: str, missing: str = "") -> Plugin:
    return Plugin(name, "for this test", missing=lambda setup: missing)


def those(*plugins: Plugin) -> Mapping[str, Plugin]:
    return {plugin.name: plugin for plugin in plugins}


BOTH = those(fake("whisper_cpp"), fake("faster_whisper"))
ONE = those(fake("whisper_cpp", "the package x is not installed: pip install x"), fake("faster_whisper"))
NONE = those(fake("whisper_cpp", "pip install x"), fake("faster_whisper", "pip install y"))


def test_auto_takes_the_first_that_can_run() -> None:
    """whisper.cpp before faster-whisper, whichever is installed."""
    assert line_up("auto", providers=BOTH)[0].name == "whisper_cpp"
    assert line_up("auto", providers=ONE)[0].name == "faster_whisper"
    assert line_up("auto", ("faster_whisper", "whisper_cpp"), providers=BOTH)[0].name == "faster_whisper"


def test_auto_with_nothing_installed() -> None:
    """The error names each candidate and what would enable it."""
    with pytest.raises(ProviderError, match=r"whisper_cpp: pip install x; faster_whisper: pip") as caught:
        line_up("auto", providers=NONE)
    assert "\n" not in str(caught.value)


def test_auto_with_an_empty_order() -> None:
    """An empty list of providers is said to be one."""
    with pytest.raises(ProviderError, match="list of providers is empty"):
        line_up("auto", (), providers=BOTH)


def test_named_but_not_installed() -> None:
    """A provider asked for by name is not replaced by another: the error says how to install it."""
    with pytest.raises(ProviderError, match=r"provider whisper_cpp cannot run: the package .* pip install"):
        line_up("whisper_cpp", providers=ONE)


@pytest.mark.parametrize("name", AUTO_ORDER)
def test_a_package_that_is_missing_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it; also to a worker that is told to load it."""
    monkeypatch.setattr("asrctl.providers.plugin.is_installed", lambda module: False)
    monkeypatch.setattr("asrctl.providers.registry.is_installed", lambda module: False)
    for attempt in (lambda: line_up(name), lambda: load(ModelSpec(name, Path("x")))):
        with pytest.raises(ProviderError, match=f"provider {name} cannot run: the package .* pip install"):
            attempt()


def test_unknown_names() -> None:
    """A name nobody knows is answered with those there are, also in the order for "auto"."""
    with pytest.raises(ProviderError, match=r"no provider called 'vosk'; there are: auto, faster_whisper"):
        line_up("vosk")
    with pytest.raises(ProviderError, match="'vosk'"):
        line_up("auto", ("vosk",))


def test_is_installed() -> None:
    """Modules are looked for without being imported."""
    assert is_installed("json")
    assert not is_installed("surely_no_such_module")
    assert not is_installed("surely_no_such_module.inner")


def test_every_provider_is_called_what_it_says() -> None:
    """Names match their keys; each has a summary, and either loads windows or starts."""
    for name, plugin in PROVIDERS.items():
        assert plugin.name == name and plugin.summary
        assert (plugin.load is None) != (plugin.start is None)
        assert bool(plugin.weights) == plugin.is_pooled
        plugin.settings()


def test_a_line_up_is_all_that_can_run() -> None:
    """In the order asked for, each once; a provider asked for by name stands alone."""
    order = ("mine", "faster_whisper", "whisper_cpp", "faster_whisper")
    names = [each.name for each in line_up("auto", order, providers={**BOTH, "mine": fake("mine")})]
    assert names == ["mine", "faster_whisper", "whisper_cpp"]
    names = [each.name for each in line_up("auto", order, providers={**BOTH, "mine": fake("mine", "no")})]
    assert names == ["faster_whisper", "whisper_cpp"]
    assert [each.name for each in line_up("whisper_cpp", order, providers=BOTH)] == ["whisper_cpp"]


def test_a_provider_that_streams_decodes_no_windows(tmp_path: Path) -> None:
    """A worker that is told to load it says so."""
    with pytest.raises(ProviderError, match="scripted_stream cannot run: it decodes no windows"):
        load(ModelSpec("scripted_stream", tmp_path))


def test_load(tmp_path: Path) -> None:
    """The spec's provider loads the spec's weights."""
    script = tmp_path / "script.json"
    script.write_text("{}")
    with closing(load(ModelSpec("scripted", script))) as model:
        assert model.description() == "scripted"
    with pytest.raises(ProviderError, match="vosk"):
        load(ModelSpec("vosk", script))


def run(code: str) -> str:
    """Run code in a fresh interpreter without the packages of the tests."""
    command = [sys.executable, "-c", code]
    paths = [path for path in sys.path if "plugins" not in path]
    environment = {"PYTHONPATH": ":".join(paths), "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def test_the_providers_for_tests_are_not_offered_to_users() -> None:
    """Outside the tests nobody can choose them, and no message names them."""
    code = (
        "from asrctl.providers.registry import PROVIDERS, line_up\n"
        "from asrctl.errors import ProviderError\n"
        "print(*PROVIDERS)\n"
        "try:\n    line_up('scripted')\nexcept ProviderError as error:\n    print(error)"
    )
    names, message = run(code).splitlines()
    assert "scripted" not in names and "whisper_cpp" in names
    assert message.startswith("no provider called 'scripted'; there are: auto, faster_whisper")
    assert "scripted_stream" not in message


def test_no_search_for_a_provider_of_asrctl() -> None:
    """Entry points are looked at for unknown names only, and no other provider is imported."""
    code = (
        "import sys\nfrom asrctl.providers.registry import line_up\nline_up('auto')\n"
        "print('importlib.metadata' in sys.modules, 'numpy' in sys.modules,"
        " [name for name in sys.modules if name.endswith('.plugin')])"
    )
    assert run(code) == "False False ['asrctl.providers.plugin']\n"


def test_every_folder_is_a_provider() -> None:
    """A package beside this registry is found by its name, without being listed anywhere."""
    folders = {
        path.parent.name
        for path in Path(sys.modules["asrctl.providers"].__file__ or "").parent.glob("*/plugin.py")
    }
    assert folders and folders <= set(PROVIDERS)
    assert all(built_in(name) is PROVIDERS[name] for name in folders)
