"""whisper.cpp's own program, beside ours: the same weights, threads and audio, greedy."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from asrctl.bench.results import AT_S, Round
from asrctl.bench.setup import Setup, Speech
from asrctl.bench.wer import word_errors
from asrctl.errors import AsrctlError
from asrctl.transcript import SAMPLE_RATE_HZ

PROGRAM = "whisper-cli"
_GREEDY = ("--beam-size", "1", "--best-of", "1")
_TIMING = re.compile(r"^whisper_print_timings:\s+(load|total) time =\s+([\d.]+) ms", re.MULTILINE)
_KIB_PER_RSS = 1024 if sys.platform != "darwin" else 1
"""`ru_maxrss` is in bytes on macOS and in KiB elsewhere."""


@dataclass(frozen=True, slots=True)
class WhisperCli:
    """The program with the weights and threads of a setup.

    Attributes:
        program: Its path.
        setup: Of the provider whisper_cpp, with one worker.
    """

    program: str
    setup: Setup

    @property
    def name(self) -> str:
        """Model, program, 1 x threads."""
        return f"{self.setup.model} {PROGRAM} 1x{self.setup.spec.threads}"

    @property
    def description(self) -> dict[str, Any]:
        """For the record."""
        return {**self.setup.description, "provider": PROGRAM, "program": self.program}

    def run(self, speech: Speech) -> Round:
        """One transcription by a process of its own; its RTF is without the time for loading, as ours is.

        Raises:
            AsrctlError: The program cannot be run, failed, or says nothing of its times.
        """
        with tempfile.TemporaryDirectory(prefix="asrctl-") as directory:
            audio = Path(directory, "speech.wav")
            audio_s = _write(speech, audio)
            at_s, done = time.time(), _run(self._command(audio), Path(directory))
        times_s = {name: float(ms) / 1000 for name, ms in _TIMING.findall(done.errors)}
        if not {"load", "total"} <= times_s.keys():
            raise AsrctlError(f"{self.program} does not say how long it took: is it whisper.cpp's?")
        figures = {
            AT_S: at_s,
            "rtf": (times_s["total"] - times_s["load"]) / audio_s,
            "load_s": times_s["load"],
            "process_s": done.wall_s,
        }
        if done.cpu_s is not None:
            figures["cpu_per_audio_s"] = done.cpu_s / audio_s
            figures["peak_rss_mb"] = done.peak_rss_mb
        if speech.reference is not None:
            figures["wer_percent"] = word_errors(speech.reference, done.output).percent
        return figures

    def _command(self, audio: Path) -> list[str]:
        spec, language = self.setup.spec, self.setup.files.decode.language
        return [
            *(self.program, "--model", str(spec.path), "--file", str(audio)),
            *("--threads", str(spec.threads), "--language", language, "--no-timestamps", *_GREEDY),
        ]


@dataclass(frozen=True, slots=True)
class _Done:
    """What a process wrote and took; its cost is None where the system does not tell."""

    output: str
    errors: str
    wall_s: float
    cpu_s: float | None
    peak_rss_mb: float


def _run(command: list[str], directory: Path) -> _Done:
    output, errors = directory / "output", directory / "errors"
    started = time.perf_counter()
    with output.open("wb") as out, errors.open("wb") as err:
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        except OSError as error:
            raise AsrctlError(f"cannot run {command[0]}: {error.strerror or error}") from error
        code, cpu_s, peak_rss_mb = _wait(process)
    wall_s = time.perf_counter() - started
    said, complained = (path.read_text(encoding="utf-8", errors="replace") for path in (output, errors))
    if code:
        last = complained.strip().splitlines()[-1:] or ["it says nothing"]
        raise AsrctlError(f"{command[0]} failed with exit code {code}: {last[0]}")
    return _Done(said, complained, wall_s, cpu_s, peak_rss_mb)


def _wait(process: subprocess.Popen[bytes]) -> tuple[int, float | None, float]:
    """Exit code, processor time and peak memory of a process, when it has ended."""
    try:
        if sys.platform == "win32":
            return process.wait(), None, 0.0
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)  # reaped; `Popen` need not look for it
    except BaseException:
        process.kill()
        process.wait()
        raise
    return process.returncode, used.ru_utime + used.ru_stime, used.ru_maxrss * _KIB_PER_RSS / 1e6


def _write(speech: Speech, path: Path) -> float:
    """The speech as 16-bit WAV, which is what the program reads; returns its length in seconds."""
    count = 0
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        for chunk in speech.chunks():
            scaled = np.rint(chunk.clip(-1.0, 1.0) * np.float32(32767))
            file.writeframes(scaled.astype("<i2").tobytes())
            count += len(chunk)
    return count / SAMPLE_RATE_HZ
