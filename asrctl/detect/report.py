"""The outcome of `asrctl detect`, as JSON and as a table that people like to read."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrctl.detect.config_file import MARK, masked
from asrctl.detect.machine import AudioInput, Cpu, Machine, Memory, WhisperBuild
from asrctl.detect.survey import BUSY_SHARE
from asrctl.policy.recommend import Capacity, Recommendation
from asrctl.policy.sizing import Wish

if TYPE_CHECKING:
    from asrctl.detect.calibrate import Calibration

SCHEMA = 1
_LABEL = 16
_WIDTH = 100


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that is told.

    Attributes:
        machine: What the probes found.
        wish: What was asked for.
        calibration: What was measured; None if it was not tried.
        recommendation: What to write.
        advice: What would make it better.
        path: The config.
        text: What it should hold.
        probe_s: How long the probes took.
    """

    machine: Machine
    wish: Wish
    calibration: Calibration | None
    recommendation: Recommendation
    advice: Sequence[str]
    path: Path
    text: str
    probe_s: float


def as_json(report: Report, written: bool, backup: Path | None) -> dict[str, Any]:
    """The document of `--json`; sizes are bytes, times seconds."""
    calibration = report.calibration
    machine = report.machine
    return {
        "schema": SCHEMA,
        "machine": asdict(machine),
        "wish": asdict(report.wish),
        "calibration": calibration
        and {
            "duration_s": calibration.duration_s,
            "busy_share": calibration.busy_share,
            "measured": [
                {"sessions": each.sessions, "speed": 1 / each.measurement.rtf, **asdict(each.measurement)}
                for each in calibration.measured
            ],
            "unmeasured": [asdict(each) for each in calibration.unmeasured],
        },
        "recommendation": asdict(report.recommendation),
        "advice": list(report.advice),
        "config": {
            "path": str(report.path),
            "written": written,
            "backup": str(backup) if backup else None,
            "text": masked(report.text),
        },
        "timing": {"probe_s": report.probe_s},
    }


def as_text(report: Report, bold: bool = False) -> str:
    """The table, at most `_WIDTH` wide.

    Args:
        report: What to tell.
        bold: Headings stand out, on a terminal.
    """
    lines: list[str] = []
    for heading, body in (
        ("This machine", _machine(report.machine)),
        ("Measured", _measured(report)),
        ("Recommended", _recommended(report)),
        ("Worth knowing", _notes(report)),
    ):
        section = [*body]
        if section:
            lines += [f"\033[1m{heading}\033[0m" if bold else heading, *section, ""]
    return "\n".join(lines)


def heading(machine: Machine, version: str) -> str:
    """The config's first line."""
    memory = machine.memory.usable_bytes
    size = f", {memory / 1e9:.1f} GB of memory" if memory else ""
    cores = _plural(machine.cpu.usable_cores, "usable core")
    return f"{MARK} {version} for: {machine.cpu.model or 'this machine'}, {cores}{size}."


def _machine(machine: Machine) -> Iterator[str]:
    system, whisper = machine.system, machine.whisper
    yield _line("system", _list([f"{system.name} {system.version}".strip(), system.architecture]))
    yield _line("processor", _processor(machine.cpu))
    yield _line("SIMD", " ".join(machine.cpu.features).upper() or "unknown")
    yield _line("memory", _memory(machine.memory))
    yield _line("GPU", _list(f"{gpu.name} ({gpu.api})" for gpu in machine.gpus) or "none found")
    for provider in machine.providers:
        build = _build(whisper) if whisper and provider.name == "whisper_cpp" else ""
        yield _line(provider.name, provider.missing or f"ready{build}")
    ready = [model.name for model in machine.models if model.source == "cached"]
    yield _line("models", _list(ready) or "none yet")
    if machine.audio_inputs is not None:
        yield _line("microphones", _microphones(machine.audio_inputs))


def _build(whisper: WhisperBuild) -> str:
    used = f", runs on {whisper.in_use}" if whisper.in_use else ""
    simd = f" with {' '.join(whisper.simd)}" if whisper.simd else ""
    return f"{used}, built for {_list([f'CPU{simd}', *whisper.backends])}"


def _processor(cpu: Cpu) -> str:
    cores = _plural(cpu.physical_cores or cpu.logical_cores or cpu.usable_cores, "core")
    fast = f", {cpu.performance_cores} of them fast" if cpu.performance_cores else ""
    usable = f", {cpu.usable_cores} usable" if cpu.usable_cores != cpu.physical_cores else ""
    return f"{cpu.model or 'unknown'}, {cores}{fast}{usable}"


def _microphones(inputs: Sequence[AudioInput]) -> str:
    default = [f"{each.name} (default)" for each in inputs if each.is_default]
    others = dict.fromkeys(each.name for each in inputs if not each.is_default)
    return _list([*default, *others]) or "none"


def _memory(memory: Memory) -> str:
    if memory.total_bytes is None:
        return "unknown"
    free = f", {memory.available_bytes / 1e9:.1f} GB free" if memory.available_bytes is not None else ""
    limit = f", limited to {memory.limit_bytes / 1e9:.1f} GB" if memory.limit_bytes else ""
    return f"{memory.total_bytes / 1e9:.1f} GB{limit}{free}"


def _measured(report: Report) -> Iterator[str]:
    calibration = report.calibration
    if calibration is None:
        return
    if calibration.measured:
        yield from _table([_HEADER, *map(_row, calibration.measured)])
    if calibration.busy_share > BUSY_SHARE:
        share = f"{calibration.busy_share:.0%} of the processors"
        yield _NOTE.fill(f"{share} were busy with other work: on a quiet machine these figures are better")
    for missed in calibration.unmeasured:
        candidate = missed.candidate
        what = f"{candidate.provider} {candidate.model} {candidate.workers} x {candidate.threads}"
        yield _NOTE.fill(f"{what}: not measured: {missed.reason}")


_HEADER = ("provider", "model", "processes x threads", "x real time", "memory", "load", "live sessions")


def _row(each: Capacity) -> Sequence[str]:
    done, candidate = each.measurement, each.measurement.candidate
    return (
        *(candidate.provider, candidate.model, f"{candidate.workers} x {candidate.threads}"),
        *(f"{1 / done.rtf:.1f}", f"{done.memory_bytes / 1e6:.0f} MB", f"{done.load_s:.1f} s"),
        str(each.sessions),
    )


def _recommended(report: Report) -> Iterator[str]:
    found = report.recommendation
    yield _line("model", f"{found.model} with {found.provider}")
    if found.stand_ins:
        yield _line("fallbacks", _list(found.stand_ins))
    layout = f"{_plural(found.workers, 'process', 'processes')} with {_plural(found.threads, 'thread')} each"
    yield _line("layout", layout)
    if found.sessions is not None:
        late = f"finals within {report.wish.latency_s:g} s of the end of speech"
        yield _line("live sessions", f"{found.sessions} at once, {late}")
    for reason in found.reasons:
        yield _NOTE.fill(f"- {reason}")
    if found.command:
        yield _NOTE.fill(f"- get the model with: {found.command}")


def _notes(report: Report) -> Iterator[str]:
    for line in report.advice:
        yield _NOTE.fill(f"- {line}")
    for trouble in report.machine.troubles:
        yield _NOTE.fill(f"- {trouble.probe}: {trouble.reason}")


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns as wide as need be; text to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  " + "  ".join(cells).rstrip()


def _line(label: str, text: str) -> str:
    first, rest = f"  {label:<{_LABEL}}", " " * (_LABEL + 2)
    return textwrap.fill(text, _WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False)


_NOTE = textwrap.TextWrapper(
    _WIDTH, initial_indent="  ", subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
)


def _list(items: Iterable[str]) -> str:
    return ", ".join(filter(None, items))


def _plural(count: int, noun: str, plural: str = "") -> str:
    return f"{count} {noun if count == 1 else plural or noun + 's'}"
