"""Who takes part in a comparison: a name, a side, and a command that prints the words of an audio file."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from asrctl.models.store import ModelStore
from benchmarks.common import note

OURS = "asrctl"
F16, Q8 = "tiny.en", "tiny.en-q8_0"
_STAMP = re.compile(r"^\[[\d:.]+ --> [\d:.]+\]\s*", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Contestant:
    """One way to transcribe.

    Attributes:
        name: Short, for tables.
        side: "asrctl", "whisper.cpp" or "faster-whisper".
        command: The words of the command line for an audio file.
        words: Takes the text out of what it printed.
    """

    name: str
    side: str
    command: Callable[[Path], list[str]]
    words: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Peers:
    """Where the others are; None leaves one out.

    Attributes:
        whisper_cli: whisper.cpp's `whisper-cli`.
        faster_whisper_python: A Python interpreter that can import faster-whisper.
        threads: For each contestant.
    """

    whisper_cli: Path | None
    faster_whisper_python: Path | None
    threads: int


def contestants(peers: Peers, store: ModelStore) -> list[Contestant]:
    """All that can take part on this machine; who cannot is named on stderr."""
    found = [*_ours(peers.threads)]
    if find_spec("pywhispercpp"):
        found.append(_binding(peers.threads, store))
    if peers.whisper_cli and shutil.which(peers.whisper_cli):
        found += _whisper_cli(peers.whisper_cli, peers.threads, store)
    else:
        note("left out: whisper.cpp (--whisper-cli PATH)")
    if peers.faster_whisper_python and shutil.which(peers.faster_whisper_python):
        found += _faster_whisper(peers.faster_whisper_python, peers.threads, store)
    else:
        note("left out: faster-whisper (--faster-whisper-python PATH)")
    return found


def asrctl_command(*options: str) -> list[str]:
    """Our command line, as it is installed beside the running interpreter."""
    program = Path(sys.executable).with_name("asrctl")
    start = [str(program)] if program.exists() else [sys.executable, "-m", "asrctl"]
    return [*start, *options]


def _ours(threads: int) -> Iterator[Contestant]:
    one, two = ("--workers", "1"), ("--workers", "2", "--threads", str(max(1, threads // 2)))
    other = ("--provider", "faster_whisper", "--model", F16)
    beam = ("--beam-size", "5")
    settings: dict[str, tuple[str, ...]] = {
        "default": (),
        "f16": ("--model", F16),
        "f16, 2 workers": ("--model", F16, *two),
        "q8_0": ("--model", Q8),
        "q8_0, 2 workers": ("--model", Q8, *two),
        "q8_0, no VAD": ("--model", Q8, "--no-vad"),
        "q8_0, beam 5": ("--model", Q8, *beam),
        "q8_0, beam 5, 2 workers": ("--model", Q8, *beam, *two),
        "faster_whisper": (*other, *one, "--threads", str(threads)),
        "faster_whisper, 2 workers": (*other, *two),
        "faster_whisper, beam 5": (*other, *beam, *one, "--threads", str(threads)),
        "faster_whisper, beam 5, 2 workers": (*other, *beam, *two),
    }
    for name, options in settings.items():
        yield _asrctl(name, options)


def _asrctl(name: str, options: tuple[str, ...]) -> Contestant:
    def command(audio: Path) -> list[str]:
        return asrctl_command("transcribe", str(audio), "--format", "txt", *options)

    return Contestant(f"{OURS} {name}", OURS, command, str)


def _whisper_cli(program: Path, threads: int, store: ModelStore) -> Iterator[Contestant]:
    greedy = ("-bs", "1", "-bo", "1")
    for label, model_name in (("f16", F16), ("q8_0", Q8)):
        model = store.resolve(model_name).path
        for name, options in {
            "greedy": greedy,
            "greedy -nf": (*greedy, "-nf"),
            "default (beam 5)": (),
            "beam 5 -nf": ("-nf",),
        }.items():
            yield _cli(f"whisper.cpp {label} {name}", program, model, threads, options)


def _cli(name: str, program: Path, model: Path, threads: int, options: tuple[str, ...]) -> Contestant:
    def command(audio: Path) -> list[str]:
        return [str(program), "-m", str(model), "-t", str(threads), *options, "-np", "-f", str(audio)]

    return Contestant(name, "whisper.cpp", command, lambda text: _STAMP.sub("", text))


def _binding(threads: int, store: ModelStore) -> Contestant:
    script, model = Path(__file__).with_name("whisper_cpp_peer.py"), store.resolve(Q8).path

    def command(audio: Path) -> list[str]:
        return [sys.executable, str(script), str(model), str(audio), "--threads", str(threads)]

    return Contestant("whisper.cpp q8_0 greedy, by pywhispercpp", "whisper.cpp", command, str)


def _faster_whisper(python: Path, threads: int, store: ModelStore) -> Iterator[Contestant]:
    model = store.ct2_directory(F16)
    for beam in ("1", "5"):
        for name, options in {
            "sequential": (),
            "sequential, VAD": ("--vad",),
            "batched 8": ("--batch-size", "8"),
            "batched 16": ("--batch-size", "16"),
        }.items():
            settings = ("--threads", str(threads), "--beam-size", beam, *options)
            yield _peer_script(f"faster-whisper {name}, beam {beam}", python, model, settings)


def _peer_script(name: str, python: Path, model: Path, options: tuple[str, ...]) -> Contestant:
    script = Path(__file__).with_name("faster_whisper_peer.py")

    def command(audio: Path) -> list[str]:
        return [str(python), str(script), str(model), str(audio), *options]

    return Contestant(name, "faster-whisper", command, str)
