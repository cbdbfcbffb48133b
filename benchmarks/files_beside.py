"""What files beside live sessions cost these: latency of finals, words, steps on the ladder.

python -m benchmarks.files_beside --sessions 10 --files 10 --seconds 40 --rounds 2

One server with a real model. The same talks, each paced as audio comes from a microphone, without and with
so many recordings that curl uploads at once, long enough that the server works on them all the time. The
talks are the built-in sentence with pauses. Latency is wall time from the end of speech to the final, as in
benchmarks.live.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import soundfile

from asrctl.bench.paced import Talk, latencies
from asrctl.bench.setup import builtin
from asrctl.bench.wer import WordErrors, word_errors
from asrctl.client import ClientOptions
from asrctl.policy.endpointing import EndpointerOptions
from benchmarks.common import SAMPLE_RATE_HZ, Table, note, table
from benchmarks.serve_process import ServerProcess
from benchmarks.serve_sessions import Listened, levels, play
from benchmarks.talks import keep, parser

_GOAL_S = 0.1
_FILE_S = 900.0
_PATIENCE_S = 60.0
_DECODED = "asrctl_file_inference_seconds_total"


@dataclass(slots=True)
class Side:
    """Live sessions without or with files, over all rounds; latencies in seconds, one for each utterance."""

    final_s: list[float] = field(default_factory=list)
    words: WordErrors = field(default_factory=lambda: WordErrors(0, 0))
    dropped_s: float = 0.0
    level: int = 0
    files_s: float = 0.0
    """Time that files were decoded for."""

    def add(self, talks: Sequence[Talk], listened: Sequence[Listened]) -> None:
        """Add a round."""
        self.final_s += latencies(talks, [each.heard for each in listened], EndpointerOptions()).final_s
        for talk, each in zip(talks, listened, strict=True):
            self.words += word_errors(talk.text or "", each.text)
            self.dropped_s += each.done.dropped_s if each.done else len(talk.samples) / SAMPLE_RATE_HZ
        self.level = max([self.level, *(level for _, level in levels(listened))])

    @property
    def p95_s(self) -> float:
        """Of the finals."""
        return float(np.percentile(self.final_s, 95))


@contextmanager
def uploading(server: ServerProcess, recording: Path, count: int) -> Iterator[None]:
    """So many uploads; once the server has them all, they last to the end of the block."""
    url = f"http://{urlsplit(server.url).netloc}/v1/audio/transcriptions"
    command = ["curl", "-sS", "--noproxy", "*", "-o", "/dev/null", "-F", f"file=@{recording}", url]
    clients = [subprocess.Popen(command) for _ in range(count)]
    try:
        _wait_for(
            lambda: _files(server) == count and server.metrics()["asrctl_file_windows"] > 0,
            "the server did not take the files",
        )
        yield
        if _files(server) < count:
            raise RuntimeError("a file was done too early: the sessions were not beside it")
    finally:
        for client in clients:
            client.kill()
            client.wait()
        _wait_for(lambda: not _files(server), "the server did not let go of the files")


def _wait_for(reached: Callable[[], bool], message: str) -> None:
    """Raises TimeoutError, with the message, if it takes too long."""
    deadline_s = time.monotonic() + _PATIENCE_S
    while not reached():
        if time.monotonic() > deadline_s:
            raise TimeoutError(message)
        time.sleep(0.1)


def _files(server: ServerProcess) -> float:
    metrics = server.metrics()
    return sum(metrics[f'asrctl_files{{state="{state}"}}'] for state in ("at_work", "waiting"))


def measure(
    server: ServerProcess, talks: Sequence[Talk], recording: Path, files: int, rounds: int
) -> tuple[Side, Side]:
    """Without and with files in turn; which comes first alternates."""
    without, beside = Side(), Side()

    def run(side: Side) -> None:
        before_s = server.metrics()[_DECODED]
        side.add(talks, asyncio.run(play(server.url, talks, ClientOptions())))
        side.files_s += server.metrics()[_DECODED] - before_s

    for number in range(rounds):
        for side in (without, beside) if number % 2 == 0 else (beside, without):
            note(f"round {number + 1} of {rounds}, {files if side is beside else 0} files")
            if side is beside:
                with uploading(server, recording, files):
                    run(side)
            else:
                run(side)
    return without, beside


def report(without: Side, beside: Side) -> Table:
    """The figures, and whether the goal is met, which is printed."""
    more_s = beside.p95_s - without.p95_s
    met = more_s <= _GOAL_S and without.dropped_s == beside.dropped_s == 0.0  # what is dropped has no final
    print(f"finals' p95 at most {1000 * _GOAL_S:.0f} ms later beside files, nothing dropped: {_yes(met)}")
    header = ["live sessions", "finals", "p50 s", "p95 s", "p95 added ms", "WER %", "dropped s"]
    rows = [
        [
            name,
            len(side.final_s),
            float(np.median(side.final_s)),
            side.p95_s,
            round(1000 * (side.p95_s - without.p95_s), 1),
            side.words.percent,
            side.dropped_s,
            side.level,
            side.files_s,
        ]
        for name, side in (("alone", without), ("beside files", beside))
    ]
    return table([*header, "highest rung", "files decoded for s"], rows)


def _yes(met: bool) -> str:
    return "yes" if met else "no"


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    made = parser("files_beside", __doc__)
    made.add_argument("--sessions", type=int, default=10, help="live ones at once")
    made.add_argument("--files", type=int, default=10, help="at once")
    made.add_argument("--seconds", type=float, default=40.0, help="of each session")
    made.add_argument("--rounds", type=int, default=2, help="of each side")
    options = made.parse_args(arguments)
    speech = [builtin(options.seconds, seed) for seed in range(options.sessions)]
    talks = [Talk(each.samples(each.duration_s), each.reference) for each in speech]
    with tempfile.TemporaryDirectory() as directory:
        recording, long = Path(directory) / "long.flac", builtin(_FILE_S, options.sessions)
        soundfile.write(recording, long.samples(_FILE_S), SAMPLE_RATE_HZ)
        most = ("--max-sessions", str(options.sessions))
        with ServerProcess("--model", options.model, *most) as server:
            without, beside = measure(server, talks, recording, options.files, options.rounds)
    figures = {"alone_s": without.final_s, "beside_s": beside.final_s}
    keep(options, {"seconds": options.seconds, "rounds": options.rounds, **figures}, report(without, beside))
    return 0


if __name__ == "__main__":
    sys.exit(main())
