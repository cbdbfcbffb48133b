"""Stands in for the `voxtral` program: its options, pipes, blocks, delays and restarts, without its model.

It writes the words that were spoken into its audio with `asrctl_tests.scripted.speak`, so that lost,
doubled and torn audio shows. It is a program of its own that needs the standard library only:

    python voxtral_standin.py SCRIPT -d DIR --stdin -I 0.5 --silent

SCRIPT is a JSON file; all keys may be left out:

    load_s            how long loading takes
    load_error        line on stderr with which loading fails
    step_s            how long a decoder step takes
    stdio_bytes       how far the C library reads ahead: 4096 on Linux, 65536 on macOS
    eos_after         silent steps after which the decoder says that the speech is over, and starts afresh
    prefix            what a word's number is put behind: "w"
    torn              write each byte by itself
    no_monitor        refuse --monitor, as older versions do
    usage_lines       how long the usage is that is printed then
    log               file that gets a JSON line, with the time, when it starts, asks for a block, or prints
    faults            {"word": "kill" | "exit" | "hang" | "rubbish" | "flood" | "restart"}
    fault_count       file with the number of faults that are still to happen; without it all do
"""

from __future__ import annotations

import array
import itertools
import json
import os
import shlex
import signal
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any, BinaryIO

STEP_SAMPLES = 1280
FRAME_SAMPLES = 160
WINDOW_SAMPLES = 400
LEFT_PAD_STEPS = 32
DELAY_STEPS = 6
RIGHT_PAD_STEPS = DELAY_STEPS + 1 + 10
PROMPT_STEPS = 1 + LEFT_PAD_STEPS + DELAY_STEPS
FIRST_FRAMES = 312
MOST_MEMORY_STEPS = 2000
MOST_SILENT_STEPS = 64
EMPTY_RESTARTS = 2
TOKEN_BYTES = 3

LOUD = round(0.1 * 32768)
WORD_LEAST_SAMPLES = 1600


class Ear:
    """Finds the words in audio; the end of each is where it stops being loud."""

    def __init__(self) -> None:
        self._at = 0
        self._start = -1
        self._level = 0

    def take(self, samples: array.array[int]) -> list[tuple[int, int]]:
        """The (end, number) of each word that ends in these samples."""
        words: list[tuple[int, int]] = []
        if self._start < 0 and not any(samples):
            self._at += len(samples)
            return words
        for sample in samples:
            loud = sample >= LOUD - 1
            if loud and self._start < 0:
                self._start, self._level = self._at, sample
            elif not loud and self._start >= 0:
                if self._at - self._start >= WORD_LEAST_SAMPLES:
                    words.append((self._at, round((self._level / 32768 - 0.1) * 8192)))
                self._start = -1
            self._at += 1
        return words


class Recognizer:
    """Encoder and decoder, reduced to when they run, what they forget, and what they say."""

    def __init__(self, script: dict[str, Any], interval_s: float, monitored: bool) -> None:
        self.script = script
        self.monitored = monitored
        self.interval_frames = max(1, int(interval_s * 100))
        self.ear = Ear()
        self.words: deque[tuple[int, int]] = deque()
        self.fed = 0
        self.heard_any = False
        self.forget_all()

    def forget_all(self) -> None:
        """A fresh encoder, with silence before its first sample, and a fresh decoder."""
        self.origin = self.fed
        self.cursor = 0
        self.encoded = 0
        self.empty_restarts = 0
        self.forget_text()

    def forget_text(self) -> None:
        """A fresh decoder, which takes the next steps as its prompt."""
        self.base = self.step = self.encoded
        self.started = False
        self.over = False
        self.silent_steps = 0
        self.memory_steps = 0
        self.wrote = False
        self.tokens: deque[bytes] = deque()

    def mark(self, symbols: str) -> None:
        if self.monitored:
            os.write(2, symbols.encode())

    def feed(self, samples: array.array[int]) -> bytes:
        """Take a block; what is to be printed."""
        self.fed += len(samples)
        self.words += self.ear.take(samples)
        return self.run(self.interval_frames)

    def finish(self) -> bytes:
        """The input has ended."""
        pad = -self.fed % STEP_SAMPLES + RIGHT_PAD_STEPS * STEP_SAMPLES
        self.fed += pad
        self.words += self.ear.take(array.array("h", bytes(2 * pad)))
        return self.run(1)

    def run(self, least_frames: int) -> bytes:
        present = self.fed - self.origin + LEFT_PAD_STEPS * STEP_SAMPLES + WINDOW_SAMPLES // 2
        frames = max(0, (present - WINDOW_SAMPLES) // FRAME_SAMPLES + 1)
        if frames - self.cursor >= (least_frames if self.cursor else FIRST_FRAMES):
            self.cursor = frames
            self.encoded = frames // 8
            self.mark("▶")
        text = self.decode()
        self.restart()
        return text

    def decode(self) -> bytes:
        """Make a token for each step that was encoded."""
        said: list[bytes] = []
        steps = 0
        if not self.started and self.encoded - self.base >= PROMPT_STEPS:
            self.started = True
            self.step = self.base + PROMPT_STEPS - 1
            self.swallow()
            self.mark("·")
        while self.started and not self.over and self.step < self.encoded:
            said += self.make_token()
            self.step += 1
            steps += 1
        if steps:
            self.mark("▪" if said else "▫" + self.warning())
        return b"".join(said)

    def warning(self) -> str:
        if self.silent_steps >= MOST_SILENT_STEPS - 8:
            return "☠"
        return "⚠" if self.silent_steps >= MOST_SILENT_STEPS // 2 else ""

    def heard_until(self, step: int) -> int:
        return self.origin + (step + 1 - LEFT_PAD_STEPS - DELAY_STEPS) * STEP_SAMPLES

    def swallow(self) -> None:
        """What would have been written during the prompt never is."""
        while self.words and self.words[0][0] <= self.heard_until(self.step - 1):
            self.words.popleft()

    def make_token(self) -> list[bytes]:
        time.sleep(self.script.get("step_s", 0.0))
        self.memory_steps += 1
        if self.words and self.words[0][0] <= self.heard_until(self.step):
            self.say(self.words.popleft()[1])
        if self.tokens:
            self.silent_steps = self.empty_restarts = 0
            self.wrote = True
            return [self.tokens.popleft()]
        self.over = self.wrote and self.silent_steps >= self.script.get("eos_after", 1 << 30)
        self.silent_steps += not self.over
        return []

    def say(self, number: int) -> None:
        name = f"w{number}"
        if name in self.script.get("faults", {}) and self.counts_down():
            self.fail(self.script["faults"][name])
        text = f" {self.script.get('prefix', 'w')}{number}".encode()
        text = text if self.heard_any else text.lstrip(b" ")
        self.heard_any = True
        self.tokens += (text[at : at + TOKEN_BYTES] for at in range(0, len(text), TOKEN_BYTES))

    def counts_down(self) -> bool:
        if "fault_count" not in self.script:
            return True
        counter = Path(self.script["fault_count"])
        left = int(counter.read_text())
        counter.write_text(str(max(0, left - 1)))
        return left > 0

    def fail(self, how: str) -> None:
        if how == "restart":
            self.over = True
            return
        os.write(2, f"about to {how}\n".encode())
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif how == "exit":
            os._exit(3)
        elif how == "rubbish":
            os.write(1, bytes(range(128, 256)) * 4)
        while how in ("hang", "flood"):
            if how == "flood":
                os.write(1, b"and so on " * 100)
            else:
                time.sleep(60)

    def restart(self) -> None:
        """Start afresh where the real one does."""
        forgets = self.memory_steps > MOST_MEMORY_STEPS or self.silent_steps >= MOST_SILENT_STEPS
        if not self.over and not forgets:
            return
        self.empty_restarts = 0 if self.wrote else self.empty_restarts + 1
        if forgets or self.empty_restarts >= EMPTY_RESTARTS:
            self.mark("⟳♻" if self.memory_steps > MOST_MEMORY_STEPS else "↯♻")
            lost = [word for word in self.words if word[0] <= self.fed]
            for word in lost:
                self.words.remove(word)
            self.forget_all()
        else:
            self.mark("↺✂")
            self.forget_text()


class Program:
    """The program around it: options, loading, reading, printing."""

    def __init__(self, script: dict[str, Any]) -> None:
        self.script = script
        self.log_path = script.get("log")

    def log(self, event: str, **details: Any) -> None:
        if self.log_path:
            line = (
                json.dumps({"event": event, "at_s": time.monotonic(), "pid": os.getpid(), **details}) + "\n"
            )
            with open(self.log_path, "ab", buffering=0) as file:
                file.write(line.encode())

    def complain(self, line: str) -> int:
        os.write(2, f"{line}\n".encode())
        return 1

    def run(self, arguments: list[str]) -> int:
        self.log("start")
        options: dict[str, str] = {}
        rest = iter(arguments)
        for argument in rest:
            if argument in ("-d", "-I"):
                options[argument] = next(rest, "")
            elif argument in ("--stdin", "--silent") or (
                argument == "--monitor" and not self.script.get("no_monitor")
            ):
                options[argument] = ""
            else:
                usage = "  --option  what it is good for\n" * self.script.get("usage_lines", 1)
                return self.complain(f"Unknown option: {argument}\nUsage: voxtral -d <model_dir>\n{usage}")
        if "-d" not in options or "--stdin" not in options:
            return self.complain("Usage: voxtral -d <model_dir> ...")
        if trouble := self.load(Path(options["-d"])):
            return self.complain(f"{trouble}\nFailed to load model from {options['-d']}")
        recognizer = Recognizer(self.script, float(options.get("-I", "2.0")), "--monitor" in options)
        return self.listen(recognizer)

    def load(self, directory: Path) -> str:
        """Map the weights; why they cannot be, if they cannot."""
        time.sleep(self.script.get("load_s", 0.0))
        path = directory / "consolidated.safetensors"
        try:
            with path.open("rb") as file:
                size = int.from_bytes(file.read(8), "little")
                tensors = json.loads(file.read(size) or b"{}")
        except OSError:
            return f"vox_load: cannot open {path}"
        for name, tensor in tensors.items():
            if 8 + size + tensor["data_offsets"][1] > path.stat().st_size:
                return f"safetensors_open: data out of bounds for {name}"
        return str(self.script.get("load_error", ""))

    def listen(self, recognizer: Recognizer) -> int:
        stdin: BinaryIO = open(0, "rb", buffering=self.script.get("stdio_bytes", 4096))  # noqa: SIM115
        head = stdin.read(4096)
        if len(head) < 4:
            return self.complain("Not enough data on stdin")
        for block in itertools.chain([head], iter(lambda: stdin.read(8192), b"")):
            samples = array.array("h", block[: len(block) // 2 * 2])
            self.print(recognizer.feed(samples))
            self.log("asks", fed_samples=recognizer.fed)
        self.print(recognizer.finish())
        os.write(1, b"\n")
        return 0

    def print(self, text: bytes) -> None:
        if not text:
            return
        self.log("prints", text=text.decode("utf-8", "replace"))
        for piece in [text[at : at + 1] for at in range(len(text))] if self.script.get("torn") else [text]:
            os.write(1, piece)


def install(directory: Path, **script: Any) -> Path:
    """Write a program `voxtral` that runs this file with a script; returns its path."""
    settings = directory / "script.json"
    settings.write_text(json.dumps(script))
    command = shlex.join([sys.executable, "-S", "-E", __file__, str(settings)])
    program = directory / "voxtral"
    program.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    program.chmod(0o755)
    return program


def make_weights(directory: Path, size_bytes: int = 8_860_000_000) -> Path:
    """Files as large as the published ones that take no room on the disk."""
    directory.mkdir(parents=True, exist_ok=True)
    table = json.dumps({"output.weight": {"data_offsets": [0, size_bytes]}}).encode()
    sizes = {"consolidated.safetensors": size_bytes + 8 + len(table), "tekken.json": 14_900_000}
    for name, size in {**sizes, "params.json": 1_300}.items():
        with (directory / name).open("wb") as file:
            file.truncate(size)
    with (directory / "consolidated.safetensors").open("r+b") as file:
        file.write(len(table).to_bytes(8, "little") + table)
    return directory


if __name__ == "__main__":
    sys.exit(Program(json.loads(Path(sys.argv[1]).read_text())).run(sys.argv[2:]))
