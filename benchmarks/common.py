"""What every benchmark needs: clips and references on disk, the machine's description, tables, results."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import wave
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16_000
RESULTS = Path(__file__).parent / "results"
CORPUS = Path("benchmark-corpus")
HARD = "hard.jsonl"
"""The manifest of the hard corpus, beside the clean one's."""
HALVES = ("choose", "report")
CLEAN = "clean"

Pcm = NDArray[np.int16]
"""Mono samples at 16 kHz."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A piece of speech whose words are known.

    Attributes:
        id: Its name, which is unique in the corpus.
        file: Path of a 16 kHz mono 16-bit WAV file, from the corpus directory.
        duration_s: Its length.
        text: What is said, as its publisher wrote it.
        source: The package it comes from, with its version.
        license: The package's licence.
        synthetic: Whether a machine speaks.
        language: The code of the language.
        condition: What was done to it, such as "babble" or "far"; "clean" for nothing.
        speaker: Who speaks; empty in old manifests.
        half: "choose" if settings may be chosen on it, "report" if figures are reported on it.
    """

    id: str
    file: str
    duration_s: float
    text: str
    source: str
    license: str
    synthetic: bool
    language: str = "en"
    condition: str = CLEAN
    speaker: str = ""
    half: str = ""


def read_manifest(corpus: Path, half: str = "") -> list[Clip]:
    """The clips of a corpus directory in the order of its manifest, or those of a half of the hard corpus."""
    lines = (corpus / (HARD if half else "manifest.jsonl")).read_text(encoding="utf-8").splitlines()
    clips = [Clip(**json.loads(line)) for line in lines]
    return [clip for clip in clips if not half or clip.half == half]


def write_manifest(path: Path, clips: Iterable[Clip]) -> None:
    """One clip a line, as JSON."""
    lines = "".join(json.dumps(asdict(clip), ensure_ascii=False) + "\n" for clip in clips)
    path.write_text(lines, encoding="utf-8")


def half_option(parser: argparse.ArgumentParser) -> None:
    """Add --half, which takes the hard corpus instead of the clean one."""
    about = (
        "of the hard corpus, instead of the clean one: settings are chosen on one, figures are of the other"
    )
    parser.add_argument("--half", choices=HALVES, default="", help=about)


def read_wav(path: Path) -> Pcm:
    """The samples of a 16 kHz mono 16-bit WAV file. Raises ValueError for another kind."""
    with wave.open(str(path), "rb") as file:
        if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (SAMPLE_RATE_HZ, 1, 2):
            raise ValueError(f"{path}: not 16 kHz mono 16-bit")
        return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")


def write_wav(path: Path, parts: Iterable[Pcm]) -> float:
    """Write samples as a 16-bit WAV file, part by part; returns its length in seconds."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        for part in parts:
            file.writeframes(part.astype("<i2").tobytes())
    return wav_duration_s(path)


def wav_duration_s(path: Path) -> float:
    """The length of a WAV file, from its header."""
    with wave.open(str(path), "rb") as file:
        return file.getnframes() / file.getframerate()


def silence(duration_s: float, rng: np.random.Generator) -> Pcm:
    """A pause as recordings have it: noise of about -72 dBFS, not zeros."""
    return rng.normal(0.0, 8.0, round(duration_s * SAMPLE_RATE_HZ)).astype(np.int16)


def machine() -> dict[str, Any]:
    """What the figures were measured on, and how busy it was when they began."""
    return {
        "processor": _processor_name(),
        "architecture": platform.machine(),
        "logical_cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": platform.system(),
        "python": platform.python_version(),
        "load_average_1m": round(psutil.getloadavg()[0], 2),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _processor_name() -> str:
    """The processor's name, with what it offers for matrix products where the kernel says so."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    fields = dict(line.split("\t", 1) for line in lines if "\t" in line)
    flags = set(fields.get("flags", "").split())
    name = fields.get("model name", platform.processor()).strip("\t: ")
    wide = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "amx_int8") if flag in flags]
    return f"{name} ({', '.join(wide)})" if wide else name


def save(name: str, data: dict[str, Any], *tables: Table) -> Path:
    """Write `results/<name>.json`: the tables of RESULTS.md, how they were made, and the raw data.

    Args:
        name: Of the file.
        data: Raw figures; its "machine" is that at the beginning of the measurement.
        tables: What `python -m benchmarks.report` shows.
    """
    about = data.get("machine") or machine()
    document = {
        "command": command(),
        "date": about["measured_at"][:10],
        "commit": _commit(),
        "machine": about,
        "tables": [asdict(each) for each in tables],
        "data": {key: value for key, value in data.items() if key != "machine"},
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False, default=str) + "\n", encoding="utf-8")
    return path


def command() -> str:
    """The command that runs now, as a reader can use it elsewhere: of paths, only the last part."""
    module = getattr(sys.modules["__main__"], "__spec__", None)
    start = ["python", "-m", module.name.removesuffix(".__main__")] if module else ["python", sys.argv[0]]
    return " ".join(Path(word).name if os.sep in word else word for word in [*start, *sys.argv[1:]])


def _commit() -> str:
    """The commit that is measured, with a + if files differ from it."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
            cwd=RESULTS.parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def median_of(values: Sequence[float]) -> float:
    """The median, rounded to what the measurement can carry."""
    return round(median(values), 4)


@dataclass(frozen=True, slots=True)
class Table:
    """A table as it is printed and kept.

    Attributes:
        header: Of each column.
        rows: As text; the first column is aligned left, the others right.
        title: What it shows, where a result has several.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""

    def __str__(self) -> str:
        """Markdown."""
        cells = [self.header, *self.rows]
        widths = [max(len(row[column]) for row in cells) for column in range(len(self.header))]
        lines = [" | ".join(_aligned(row, widths)) for row in cells]
        rule = " | ".join("-" * (width - 1) + (":" if i else "-") for i, width in enumerate(widths))
        return "\n".join(f"| {line} |" for line in [lines[0], rule, *lines[1:]])


def table(header: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> Table:
    """A table of any values."""
    return Table(list(header), [[_cell(value) for value in row] for row in rows], title)


def _aligned(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    for column, (cell, width) in enumerate(zip(row, widths, strict=True)):
        yield cell.rjust(width) if column else cell.ljust(width)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"
    return "-" if value is None else str(value)


def note(line: str) -> None:
    """Tell the person who waits; results go to stdout, this does not."""
    print(line, file=sys.stderr, flush=True)
