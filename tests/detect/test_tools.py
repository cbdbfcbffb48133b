"""Running other people's programs: whatever they do, an answer or a reason comes back in time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from asrctl.detect.tools import NoAnswer, NotInstalled, child, run_tool
from asrctl.detect.tools import Tool as Started
from tests.detect.conftest import HANG, Tool

GENEROUS_S = 30.0


def wait_until(condition: Callable[[], bool], deadline_s: float = 20.0) -> bool:
    """Poll something that another process brings about."""
    end_s = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end_s:
            return False
        time.sleep(0.01)
    return True


def is_running(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_the_answer_is_what_it_prints(tool: Tool) -> None:
    """Standard output alone, in the language of programmers."""
    tool("speak", 'echo "$1 $LC_ALL"; echo noise >&2')
    assert run_tool(["speak", "hello"], GENEROUS_S) == "hello C\n"


def test_a_missing_tool_is_no_trouble() -> None:
    """Most machines have no GPU tools: that is told apart from a failure."""
    with pytest.raises(NotInstalled):
        run_tool(["no-such-tool-anywhere"], GENEROUS_S)


def test_a_tool_that_hangs_is_killed_with_all_its_children(tool: Tool, tmp_path: Path) -> None:
    """Nothing is left behind that nobody waits for."""
    pids = tmp_path / "pids"
    tool("stuck", f"sleep 1000 & echo $! $$ > {pids}; {HANG}")
    with pytest.raises(NoAnswer, match=r"did not answer within 0\.5 s"):
        run_tool(["stuck"], 0.5)
    if os.path.isdir("/proc/self") and pids.exists():
        assert wait_until(lambda: not any(is_running(int(pid)) for pid in pids.read_text().split()))


def test_a_tool_that_ends_while_its_child_keeps_the_pipe(tool: Tool) -> None:
    """Some tools start a daemon that holds on to their output: what was said by then counts."""
    tool("daemon", "echo answer; sleep 1000 &")
    assert run_tool(["daemon"], 1.0) == "answer\n"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo cannot open display >&2; exit 3", r"failed \(exit code 3\): cannot open display"),
        ("echo no driver; exit 9", r"failed \(exit code 9\): no driver"),
        ("kill -SEGV $$", r"failed \(killed by SIGSEGV\)"),
    ],
)
def test_a_tool_that_fails_says_why(tool: Tool, script: str, reason: str) -> None:
    """Its own first words are passed on, from standard error or else from standard output."""
    tool("bad", script)
    with pytest.raises(NoAnswer, match=reason):
        run_tool(["bad"], GENEROUS_S)


def test_a_file_that_is_no_program(tool: Tool) -> None:
    """It cannot be started, and that is the reason."""
    tool("broken", "").write_bytes(b"\x7fELF garbage")
    with pytest.raises(NoAnswer, match="cannot be run"):
        run_tool(["broken"], GENEROUS_S)


def test_bytes_that_are_no_text(tool: Tool) -> None:
    """They are replaced."""
    tool("bytes", r"printf '\377\376 ok'")
    assert run_tool(["bytes"], GENEROUS_S).endswith(" ok")


def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> str:
    """A Python module that children can run."""
    (tmp_path / "child_under_test.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "child_under_test"


def said(name: str, limit_s: float) -> str:
    """What it wrote."""
    return child(name, limit_s=limit_s).output(partial=True)


def test_what_a_child_said_before_it_crashed_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that crashes late has told something all the same."""
    code = "import os; print('half', flush=True); os.abort()"
    assert said(module(tmp_path, monkeypatch, code), GENEROUS_S) == "half\n"


def test_what_a_child_said_before_it_hung_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for one that hangs, as soon as its time is over."""
    code = "import threading; print('half', flush=True); threading.Event().wait()"
    assert said(module(tmp_path, monkeypatch, code), 3.0) == "half\n"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os; os.abort()", r"failed \(killed by SIGABRT\)"),
        ("raise SystemExit('no such library')", r"failed \(exit code 1\): no such library"),
    ],
)
def test_a_silent_child_has_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, reason: str
) -> None:
    """How it ended is told instead."""
    with pytest.raises(NoAnswer, match=reason):
        said(module(tmp_path, monkeypatch, code), GENEROUS_S)


def test_a_silent_child_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It did not answer in time."""
    code = "import threading; threading.Event().wait()"
    with pytest.raises(NoAnswer, match="did not answer"):
        said(module(tmp_path, monkeypatch, code), 0.3)


def test_programs_run_at_the_same_time(tool: Tool, tmp_path: Path) -> None:
    """Two that wait for each other both come to an answer, whichever is asked first."""
    meet = "echo > {0}; while [ ! -e {1} ]; do sleep 0.01; done; echo met"
    one, other = tmp_path / "one", tmp_path / "other"
    tool("first", meet.format(one, other))
    tool("second", meet.format(other, one))
    running = [Started([name], GENEROUS_S) for name in ("first", "second")]
    assert [each.output() for each in running] == ["met\n", "met\n"]
