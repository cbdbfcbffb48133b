"""asrctl/ARCHITECTURE.md says what is so, and the code keeps the sizes that the house rules allow."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import pytest

import asrctl
from asrctl import providers
from asrctl.audio.decoders import _ORDER, _ORDER_ELSE
from asrctl.settings import Settings
from tests.cli.commands import run
from tests.test_layers import ALLOWED
from tests.trace import calls_of

PACKAGE = Path(asrctl.__file__).parent
PAGE = (PACKAGE / "ARCHITECTURE.md").read_text(encoding="utf-8")
MOST_LINES = 350
MOST_LINES_OF_A_FUNCTION = 50
MOST_STOPS = {1: 18, 2: 22}


def section(title: str) -> str:
    """The text below a heading of the second level."""
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rooms() -> list[str]:
    """The rooms on the map, in its order."""
    return re.findall(r"^\| `(\w+)` \|", section("Rooms"), re.MULTILINE)


def walks() -> dict[int, list[str]]:
    """The stops of each walk."""
    found = re.findall(r"^### (\d)\. .+?\n(.*?)(?=\n### |\Z)", section("Walks"), re.MULTILINE | re.DOTALL)
    return {int(number): re.findall(r"^\d+\. `([\w.]+)`: ", text, re.MULTILINE) for number, text in found}


STOPS = sorted({stop for stops in walks().values() for stop in stops})
ELSEWHERE = set(re.findall(r"^\d+\. `([\w.]+)`: in the worker: ", PAGE, re.MULTILINE))
"""Stops in another process."""


def test_every_room_is_on_the_map() -> None:
    """And everything on the map is a room: a package or a module at the top of asrctl."""
    there = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    there |= {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert sorted(rooms()) == sorted(there)


def test_the_map_is_in_the_order_of_imports() -> None:
    """A room may import only rooms above it."""
    order = [room for room in rooms() if room in ALLOWED]
    wrong = [
        (room, other)
        for at, room in enumerate(order)
        for other in ALLOWED[room]
        if other in order and order.index(other) > at
    ]
    assert not wrong


def test_there_are_five_walks_without_gaps() -> None:
    """Each has stops that are numbered through."""
    assert sorted(walks()) == [1, 2, 3, 4, 5]
    for text in re.split(r"^### ", section("Walks"), flags=re.MULTILINE)[1:]:
        _, text = text.split("\n", 1)
        numbers = [int(number) for number in re.findall(r"^(\d+)\. ", text, re.MULTILINE)]
        stops = re.findall(r"^\d+\. `[\w.]+`: ", text, re.MULTILINE)
        assert numbers == list(range(1, len(stops) + 1))


@pytest.mark.parametrize("walk", sorted(MOST_STOPS))
def test_walks_are_short(walk: int) -> None:
    """A file becomes a subtitle, and a frame a final, in so few stops that a person can follow them."""
    assert len(walks()[walk]) <= MOST_STOPS[walk]


@pytest.mark.parametrize("stop", STOPS)
def test_every_stop_is_a_function(stop: str) -> None:
    """It can be imported, and is defined where the page says, not only named there."""
    found = _resolved(stop)
    assert callable(found)
    assert f"{found.__module__}.{found.__qualname__}" == f"asrctl.{stop}"


def _resolved(stop: str) -> Any:
    """The function of this name; its module is the longest part that can be imported."""
    parts = stop.split(".")
    at = next(at for at, part in enumerate(parts) if (PACKAGE.joinpath(*parts[:at], f"{part}.py")).exists())
    found: Any = import_module(".".join(["asrctl", *parts[: at + 1]]))
    for name in parts[at + 1 :]:
        found = getattr(found, name)
    return getattr(found, "__wrapped__", found)


def test_other_names_on_the_page_exist() -> None:
    """Paths of files, and functions and modules that are named outside the walks."""
    for path in re.findall(r"`([a-z_]+/[\w/]+\.(?:py|md))`", PAGE):
        assert (PACKAGE / path).exists() or (PACKAGE.parent / path).exists(), path
    for name in re.findall(r"`((?:[a-z_]+\.)+[A-Z]\w+(?:\.\w+)?)`", PAGE):
        assert callable(_resolved(name)), name


@pytest.mark.integration
def test_walks_are_walked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that becomes a subtitle, with a model made first, passes the stops in the page's order."""
    (tmp_path / "config.toml").touch()
    monkeypatch.setenv("ASRCTL_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("ASRCTL_MODELS_DIR", str(tmp_path / "models"))
    with calls_of(STOPS) as called:
        assert run("transcribe", str(PACKAGE / "assets" / "monday.wav"), "-o", str(tmp_path / "it.srt")) == 0
    for number in (1, 4, 5):
        stops = [stop for stop in walks()[number] if stop not in ELSEWHERE]
        assert stops == _longest_beginning(stops, called), f"walk {number}"


def _longest_beginning(stops: list[str], called: list[str]) -> list[str]:
    """As many of the stops as were called one after the other, whatever was called between."""
    later = iter(called)
    return [stop for stop in stops if any(stop == each for each in later)]


def test_the_table_of_decoders_is_theirs() -> None:
    """First, second and third are those that the code asks."""
    rows = re.findall(
        r"^\| (.+?) \| (.+?) \| (.*?) ?\| (.*?) ?\|$", section("Which decoder is asked first"), re.M
    )
    table = {row[0]: tuple(name.lower() for name in row[1:] if name) for row in rows}
    assert table["other WAV, AIFF, AU, CAF, W64"] == _ORDER["wav"] == _ORDER["aiff"] == _ORDER["caf"]
    assert table["MP4, Matroska, WebM, ASF, FLV"] == _ORDER["mp4"] == _ORDER["matroska"] == _ORDER["flv"]
    assert table["AAC, AC-3, DTS, AMR, TTA"] == _ORDER["stream"] == _ORDER["amr"] == _ORDER["tta"]
    assert table["WAV with DTS or AC-3 inside"] == _ORDER["coded"]
    assert table["anything else"] == table["MP3, FLAC, Ogg"] == _ORDER_ELSE


FOLDERS = [module.name for module in iter_modules(providers.__path__) if module.ispkg]


@pytest.mark.parametrize("name", sorted({*FOLDERS} - {*Settings().providers}))
def test_a_provider_is_named_in_its_folder_only(name: str) -> None:
    """Another one that ships with asrctl, or none of them, would change no other line of the code.

    Those of the default chain are its defaults; names of modules, such as `bench.remote`, are something else.
    """
    own = PACKAGE / "providers" / name
    named = re.compile(rf"(?<![\w./]){name}(?![\w./])|providers\.{name}\b", re.IGNORECASE)
    outside = [path for path in SOURCES if not path.is_relative_to(own)]
    found = {(_shown(path), text) for path in outside for text in _texts(path) if named.search(text)}
    assert found == set()


def _texts(path: Path) -> Iterator[str]:
    """Strings, docstrings among them, and the modules that are imported."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{each.name}" for each in node.names)
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names)


# Sizes


SOURCES = sorted(PACKAGE.rglob("*.py"))


def test_no_file_is_long() -> None:
    """A file is one noun."""
    lengths = {_shown(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {path: lines for path, lines in lengths.items() if lines > MOST_LINES} == {}


def test_no_function_is_long() -> None:
    """A function does one thing; what counts is its body, not its parameters and its docstring."""
    lengths = {f"{_shown(path)}: {name}": lines for path in SOURCES for name, lines in _functions(path)}
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES_OF_A_FUNCTION} == {}


def _functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
            yield node.name, (node.end_lineno or node.lineno) - body[0].lineno + 1


def _shown(path: Path) -> str:
    return str(path.relative_to(PACKAGE))
