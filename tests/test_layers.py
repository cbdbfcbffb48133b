"""The direction of imports, read from the source, and the weight of the command line's."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import asrctl
import asrctl.errors

PACKAGE = Path(asrctl.__file__).parent

LOW = {"transcript", "events", "errors", "languages", "policy"}
"""Parts that all others may use."""

ALLOWED = {
    "errors": set(),
    "transcript": set(),
    "events": {"transcript"},
    "languages": {"errors"},
    "policy": {"transcript", "errors", "languages"},
    "protocol": {"transcript", "events", "errors", "policy", "languages"},
    "network": {"policy"},
    "render": {"transcript", "errors", "policy"},
    "settings": {"errors", "render", "providers"},
    "audio": {"transcript", "errors", "policy"},
    "models": {"transcript", "errors", "policy"},
    "speakers": {"transcript", "errors", "policy", "models", "audio"},
    "end_of_turn": {"transcript", "errors", "policy", "models", "audio"},
    "client": {"transcript", "errors", "policy", "protocol", "network", "audio"},
    "providers": {*LOW, "protocol", "network", "audio", "models", "client"},
    "workers": {*LOW, "providers"},
    "streaming": {*LOW, "audio", "speakers", "providers", "workers"},
    "remote_events": {"network", "protocol", "events", "streaming", "transcript"},
    "from_settings": {*LOW, "protocol", "settings", "audio", "providers", "streaming"},
    "assembly": {*LOW, "settings", "audio", "models", "providers", "workers", "streaming", "detect"},
    "recordings": {"transcript", "errors", "audio"},
    "engine": {"api", "recordings", "settings", "protocol", "events", "streaming", "transcript"},
    "api": {
        "recordings",
        *LOW,
        "settings",
        "audio",
        "models",
        "providers",
        "workers",
        "streaming",
        "assembly",
        "from_settings",
        "speakers",
        "protocol",
        "end_of_turn",
    },
    "cluster": {*LOW, "api", "assembly", "audio", "providers", "settings", "workers"},
    "detect": {*LOW, "settings", "audio", "models", "providers", "workers", "streaming"},
    "server": {
        *LOW,
        *("protocol", "audio", "render", "providers", "workers", "speakers", "streaming", "end_of_turn"),
        *("engine", "api"),
    },
    "bench": {
        *LOW,
        *(
            "settings",
            "protocol",
            "network",
            "client",
            "audio",
            "models",
            "providers",
            "workers",
            "streaming",
        ),
        *("remote_events",),
    },
    "__main__": {"cli", "engine", "errors", "workers"},
}
"""What of asrctl each part may import besides itself; a new part gets a line here.

`cli` may import all, and alone imports `settings`: what is below takes its options as arguments.
"""

PURE = {"policy", "protocol", "network", "render", "errors", "transcript", "events"}
"""Parts that import nothing but the standard library besides what is allowed above."""

FOR_TYPE_CHECKERS = {("asrctl.transcript", "numpy"), ("asrctl.transcript", "numpy.typing")}
"""What the type `Samples` is made of; see also `test_importing_the_command_line_is_light`."""


def part_of(module: str) -> str:
    """The part a dotted module of asrctl belongs to: "policy" of "asrctl.policy.window"."""
    return module.split(".")[1] if "." in module else ""


@functools.cache
def imports() -> frozenset[tuple[str, str]]:
    """(module, imported module) for each import in the package, also those inside functions."""
    return frozenset(_imports())


def _imports() -> Iterator[tuple[str, str]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(("asrctl", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
            ".__init__"
        )
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((module, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{module}: imports are absolute, so that this test can read them"
                assert node.module
                if node.module == "asrctl":  # the names are its parts, or its version
                    yield from ((module, f"asrctl.{alias.name}") for alias in node.names)
                else:
                    yield module, node.module


def test_the_parts_are_the_ones_with_rules() -> None:
    """A new part of the package says here what it may import."""
    assert {part_of(module) for module, _ in imports()} - {"", "cli"} <= set(ALLOWED)


@pytest.mark.parametrize("part", sorted(ALLOWED))
def test_imports_point_down(part: str) -> None:
    """No part imports one above it; nobody but `__main__` imports the command line."""
    wrong = [
        f"{module} imports {imported}"
        for module, imported in sorted(imports())
        if part_of(module) == part
        and imported.startswith("asrctl.")
        and part_of(imported) not in {part, "__version__", *ALLOWED[part]}
    ]
    assert not wrong


@pytest.mark.parametrize("part", sorted(PURE))
def test_pure_parts_need_the_standard_library_only(part: str) -> None:
    """Policies and formats can be read, tested and reused without anything installed."""
    wrong = [
        f"{module} imports {imported}"
        for module, imported in sorted(imports() - FOR_TYPE_CHECKERS)
        if part_of(module) == part
        and not imported.startswith("asrctl")
        and imported.split(".")[0] not in sys.stdlib_module_names
    ]
    assert not wrong


@pytest.mark.parametrize(
    "module", ["asrctl.cli.main", "asrctl.__main__", "asrctl.settings", "asrctl.transcript"]
)
def test_importing_the_command_line_is_light(module: str) -> None:
    """Nothing heavy is imported before a command asks for it."""
    heavy = (
        "{'numpy', 'pydantic', 'pydantic_settings', 'rich', 'soundfile', 'soxr', 'huggingface_hub', 'gguf'}"
    )
    code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_listing_models_is_light() -> None:
    """It decodes nothing."""
    code = "; ".join(
        (
            "import atexit, sys",
            "from asrctl.cli.main import main",
            "atexit.register(lambda: print('numpy' in sys.modules))",
            "main(['models', 'list'])",
        )
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_the_main_module_imports_nothing_of_the_command_line() -> None:
    """Worker processes import their parent's main module again; that must cost them nothing."""
    code = "import sys, asrctl.__main__; print('typer' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    """The docstring of errors.py shows every class, below its base, with its exit code."""
    drawn, above = [], list[str]()
    for line in (asrctl.errors.__doc__ or "").splitlines():
        if found := re.match(r"    ([│├└─ ]*)(\w+) +(\d+)", line):
            depth = len(found[1]) // 4
            above = [*above[:depth], found[2]]
            drawn.append((found[2], above[depth - 1] if depth else "Exception", int(found[3])))
    real = [
        (name, kind.__mro__[1].__name__, kind.exit_code)
        for name, kind in vars(asrctl.errors).items()
        if isinstance(kind, type) and issubclass(kind, asrctl.errors.AsrctlError)
    ]
    assert drawn == real
