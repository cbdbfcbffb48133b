"""A folder over each address that `--cluster` takes, interrupted and gone on with, against one machine.

python -m benchmarks.batch_ways --corpus benchmark-corpus       # Linux: the nodes are in a network namespace

One of the recordings is long, and so decoded in pieces. Each time the command gets Ctrl-C once there are
some results, and is given again with `--skip-existing`. Transcripts have to be those of one process.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.batch import differing, folder_of, transcribed
from benchmarks.common import CORPUS, SAMPLE_RATE_HZ, machine, note, read_wav, save, table, write_wav

WAYS = ("local", "127.0.0.1:6379", "ray://127.0.0.1:10001")
"""Of one machine, of a node of the cluster, and of its server for clients; see `tests.cluster.nodes`."""
LONG_S = 960.0
"""Longer than what one task decodes; see `asrctl.cluster.worker`."""
_LENGTH_S = 4.0
_POLL_S = 0.1
_HEADER = ["--cluster", "at Ctrl-C", "its exit code", "in the end", "twice", "differing", "s", "s going on"]


def recordings(corpus: Path, folder: Path, files: int) -> None:
    """Short ones, and the long one, which is begun first since it is the largest."""
    folder_of(corpus, folder, files - 1, _LENGTH_S)
    part = read_wav(corpus / "long_a.wav")
    write_wav(folder / "long.wav", [part, part[: round(LONG_S * SAMPLE_RATE_HZ) - len(part)]])


def over(address: str, folder: Path, out: Path, provider: str) -> dict[str, Any]:
    """Interrupt the command once a third of the transcripts is there, and give it again; what happened."""
    stop_after = len(list(folder.iterdir())) // 3
    command = transcribed(folder, out, "--cluster", address, "--provider", provider, "--skip-existing")
    started_s = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    while process.poll() is None and len(_inodes(out)) < stop_after:
        time.sleep(_POLL_S)
    process.send_signal(signal.SIGINT)
    code, stopped_s = process.wait(), time.monotonic()
    before = _inodes(out)
    again = subprocess.run(command, stdin=subprocess.DEVNULL).returncode
    after = _inodes(out)
    twice = [name for name, inode in before.items() if after.get(name) != inode]
    times = {"seconds": stopped_s - started_s, "again_s": time.monotonic() - stopped_s}
    return {"before": len(before), "after": len(after), "twice": twice, "codes": [code, again], **times}


def _inodes(out: Path) -> dict[str, int]:
    """Transcripts by name, and as what they were written."""
    return {path.name: path.stat().st_ino for path in out.glob("*") if path.suffix != ".part"}


def inside(root: Path, provider: str) -> None:
    """All ways, in the namespaces; prints what happened."""
    from tests.cluster.nodes import Nodes

    found = {}
    with Nodes(2):
        for number, way in enumerate(WAYS):
            found[way] = over(way, root / "in", root / str(number), provider)
            note(f"{way}: {found[way]}")
    print(json.dumps(found))


def _row(found: tuple[str, dict[str, Any]]) -> list[object]:
    way, run = found
    counts = [run["before"], run["codes"][0], run["after"], len(run["twice"]), len(run["different"])]
    return [way, *counts, run["seconds"], run["again_s"]]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code: 1 if a transcript is missing, written twice, or differs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batch_ways", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="made by benchmarks.corpus")
    parser.add_argument("--files", type=int, default=25)
    parser.add_argument("--provider", default="auto")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--output", action="store_true", help="keep it in results/batch_ways.json")
    options = parser.parse_args(arguments)
    if options.inside:
        inside(options.inside, options.provider)
        return 0
    from tests.cluster.nodes import isolated, why_not

    if reason := why_not():
        note(reason)
        return 2
    about, how = machine(), ["--provider", options.provider]
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        recordings(options.corpus, root / "in", options.files)
        subprocess.run(transcribed(root / "in", root / "alone", "--workers", "2", *how), check=True)
        there = [sys.executable, "-m", "benchmarks.batch_ways", "--inside", str(root), *how]
        ran = subprocess.run(isolated(there), stdout=subprocess.PIPE, text=True, check=True)
        found = json.loads(ran.stdout)
        for number, way in enumerate(WAYS):
            found[way]["different"] = differing(root / "alone", root / str(number))
    shown = table(_HEADER, map(_row, found.items()), f"{options.files} recordings, one of {LONG_S:.0f} s")
    print(shown)
    if options.output:
        save("batch_ways", {"machine": about, **found}, shown)
    whole = [options.files, [130, 0], [], []]
    ends = [[run["after"], run["codes"], run["twice"], run["different"]] for run in found.values()]
    return int(any(end != whole for end in ends))


if __name__ == "__main__":
    sys.exit(main())
