"""whisper.cpp's own program, beside ours: the same weights, threads and audio, greedy."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import IO

import soundfile

from asrctl.bench.results import AT_S, Round
from asrctl.bench.rtf import Contestant
from asrctl.bench.setup import Setup, Speech
from asrctl.bench.wer import word_errors
from asrctl.errors import AsrctlError
from asrctl.transcript import SAMPLE_RATE_HZ

PROGRAM = "whisper-cli"
_GREEDY = ("--beam-size", "1", "--best-of", "1", "--no-timestamps")
_TIMING = re.compile(r"^whisper_print_timings:\s+(load|total) time =\s+([\d.]+) ms", re.MULTILINE)
_KIB_PER_RSS = 1024 if sys.platform != "darwin" else 1
"""`ru_maxrss` is in bytes on macOS and in KiB elsewhere."""


def contestant(program: str, setup: Setup) -> Contestant:
    """The program with the weights and threads of a setup of whisper_cpp with one worker."""
    name = f"{setup.model} {PROGRAM} 1x{setup.spec.threads}"
    description = {**setup.description, "provider": PROGRAM, "program": program}
    return Contestant(name, description, partial(run, program, setup))


def run(program: str, setup: Setup, speech: Speech) -> Round:
    """One transcription by a process of its own; its RTF is without the time for loading, as ours is.

    Raises:
        AsrctlError: The program cannot be run, failed, or prints no times.
    """
    with tempfile.TemporaryDirectory(prefix="asrctl-") as directory:
        audio = Path(directory, "speech.wav")
        audio_s = _write(speech, audio)
        command = [program, "--model", str(setup.spec.path), "--file", str(audio), *_GREEDY]
        command += ["--threads", str(setup.spec.threads), "--language", setup.files.decode.language]
        at_s, started = time.time(), time.perf_counter()
        output, errors, cost = _run(command)
        wall_s = time.perf_counter() - started
    times_s = {name: float(ms) / 1000 for name, ms in _TIMING.findall(errors)}
    if not {"load", "total"} <= times_s.keys():
        raise AsrctlError(f"{program} does not say how long it took: is it whisper.cpp's?")
    figures = {AT_S: at_s, "rtf": (times_s["total"] - times_s["load"]) / audio_s, "load_s": times_s["load"]}
    figures["process_s"] = wall_s
    if cost is not None:
        figures["cpu_per_audio_s"], figures["peak_rss_mb"] = cost[0] / audio_s, cost[1]
    if speech.reference is not None:
        figures["wer_percent"] = word_errors(speech.reference, output).percent
    return figures


def _run(command: list[str]) -> tuple[str, str, tuple[float, float] | None]:
    """What a program writes on both outputs; its processor time and peak MB where the system tells."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors)
        except OSError as error:
            raise AsrctlError(f"cannot run {command[0]}: {error.strerror or error}") from error
        cost = _wait(process)
        said, complained = (_text(file) for file in (output, errors))
    if process.returncode:
        last = complained.strip().splitlines()[-1:] or ["it says nothing"]
        raise AsrctlError(f"{command[0]} failed with exit code {process.returncode}: {last[0]}")
    return said, complained, cost


def _wait(process: subprocess.Popen[bytes]) -> tuple[float, float] | None:
    try:
        if sys.platform == "win32":
            process.wait()
            return None
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)  # reaped; `Popen` need not look for it
    except BaseException:
        process.kill()
        process.wait()
        raise
    return used.ru_utime + used.ru_stime, used.ru_maxrss * _KIB_PER_RSS / 1e6


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")


def _write(speech: Speech, path: Path) -> float:
    """The speech as 16-bit WAV, which is what the program reads; returns its length in seconds."""
    with soundfile.SoundFile(path, "w", SAMPLE_RATE_HZ, 1, "PCM_16") as file:
        for chunk in speech.chunks():
            file.write(chunk)
        return float(file.frames) / SAMPLE_RATE_HZ
