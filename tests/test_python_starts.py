"""Every Python that asrctl starts leaves the working directory alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import asrctl

PACKAGE = Path(asrctl.__file__).parent


def starts() -> list[tuple[str, list[str]]]:
    """(place, further literal arguments) of each list or tuple that begins with `sys.executable`."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if "sys.executable" in text else ():
            if (
                isinstance(node, ast.List | ast.Tuple)
                and node.elts
                and ast.unparse(node.elts[0]) == "sys.executable"
            ):
                arguments = [
                    ast.literal_eval(each) for each in node.elts[1:] if isinstance(each, ast.Constant)
                ]
                found.append((f"{path.relative_to(PACKAGE)}:{node.lineno}", arguments))
    return found


def test_no_start_puts_the_working_directory_on_the_path() -> None:
    """`python -m` and `python -c` import from the current directory first, unless -P forbids it."""
    assert len(starts()) >= 5
    assert [place for place, arguments in starts() if arguments[0] != "-P"] == []


def test_each_use_of_the_interpreter_is_such_a_list() -> None:
    """So that the test above sees all of them."""
    text = "".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    assert text.count("sys.executable") == len(starts())


@pytest.mark.parametrize("module", ["asrctl.workers.child", "asrctl.audio.child", "asrctl.detect.child"])
def test_a_file_of_the_user_is_not_executed(module: str, tmp_path: Path) -> None:
    """`numpy.py`, `queue.py` and others beside the user are not what asrctl means by these names."""
    for name in ("numpy", "queue", "json", "asrctl"):
        (tmp_path / f"{name}.py").write_text("open('was-run', 'w').close()\nraise ImportError('mine')")
    request = '{"path": "none.flac", "library": "libsndfile", "parts": [[0, 1, null]]}'
    arguments = [request] if module == "asrctl.audio.child" else []
    subprocess.run(
        [sys.executable, "-P", "-m", module, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
        timeout=60,
    )
    assert not (tmp_path / "was-run").exists()
