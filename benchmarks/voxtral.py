"""What the voxtral provider adds to voxtral: delay, process starts, and words kept when processes are killed.

python -m benchmarks.voxtral --utterances 40 --deaths 100

It runs on the stand-in of the tests, which reads, waits and prints as voxtral does and takes `--step-ms` for
each token. Its own delay is known: it logs when it prints, and when it asks for more audio.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from asrctl.engine.lineup import Lineup, Member
from asrctl.engine.pool import WorkerPool
from asrctl.engine.session import Session
from asrctl.engine.slot import HealthCheck, PoolOptions
from asrctl.engine.stream import Stream
from asrctl.providers.voxtral.model import Voxtral
from asrctl.providers.voxtral.options import VoxtralOptions
from asrctl.providers.voxtral.session import VoxtralSession

from asrctl.policy.backoff import BackoffOptions
from asrctl.providers.base import Completed, DecodeOptions, Heard, ModelSpec, Spoken
from asrctl.providers.scripted import speak
from asrctl.streaming.events import Event, Final, Finished, ProviderChanged
from benchmarks.common import SAMPLE_RATE_HZ, machine, save, table
from tests.providers.voxtral_standin import install, make_weights
from tests.streaming.speech import LevelDetector, silence

_CHUNK_SAMPLES = SAMPLE_RATE_HZ // 50
_PATIENCE_S = 60.0
_LOAD_S = 1.0
_WORDS = range(3, 16)
_DEATH_LOAD_S = 0.05
_DEATH_STEP_MS = 1.0
_DEATH_UTTERANCES = 4
_DEATH_WITHIN_S = 0.4

Numbers = tuple[int, ...]
"""Words of an utterance, as `speak` takes them."""


@dataclass
class Told:
    """What a stream said, with the time."""

    pieces: list[tuple[float, str]] = field(default_factory=list)
    completed_s: list[float] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    news: queue.SimpleQueue[Spoken] = field(default_factory=queue.SimpleQueue)

    def say(self, spoken: Spoken) -> None:
        """What the provider calls."""
        now_s = time.monotonic()
        if isinstance(spoken, Heard):
            self.pieces.append((now_s, spoken.text))
        elif isinstance(spoken, Completed):
            self.completed_s.append(now_s)
            self.texts.append(spoken.hypothesis.text)
        self.news.put(spoken)

    def wait(self) -> Spoken:
        """The next that is not a mere piece."""
        while isinstance(spoken := self.news.get(timeout=_PATIENCE_S), Heard):
            pass
        return spoken


@contextmanager
def standin(step_ms: float, load_s: float = _LOAD_S, **changes: Any) -> Iterator[tuple[VoxtralOptions, Path]]:
    """Options for a stand-in that takes so long for a token, and the file that it logs to."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        log = directory / "log"
        binary = install(directory, load_s=load_s, step_s=step_ms / 1000, log=str(log))
        weights = make_weights(directory / "voxtral-model")
        yield VoxtralOptions(binary, weights, **changes), log


def utterances(count: int, dice: random.Random) -> list[Numbers]:
    """Random words, none of them twice."""
    numbers = iter(dice.sample(range(4096), 4096))
    return [tuple(next(numbers) for _ in range(dice.choice(_WORDS))) for _ in range(count)]


def text_of(numbers: Numbers) -> str:
    """What is to be heard."""
    return " ".join(f"w{number}" for number in numbers)


def pace(session: VoxtralSession, samples: Any) -> None:
    """Feed samples as a microphone does."""
    due_s = time.monotonic()
    for at in range(0, len(samples), _CHUNK_SAMPLES):
        due_s += _CHUNK_SAMPLES / SAMPLE_RATE_HZ
        time.sleep(max(0.0, due_s - time.monotonic()))
        session.feed(samples[at : at + _CHUNK_SAMPLES])


# Delay


def delays(count: int, step_ms: float, dice: random.Random) -> dict[str, Any]:
    """Play utterances at real-time pace; added delays in seconds, and the processes started meanwhile."""
    told = Told()
    with standin(step_ms) as (options, log), Voxtral(options) as model:
        model.wait_ready()
        session = model.open(DecodeOptions(), told.say)
        model.wait_ready()
        starts, spoken = model.starts, utterances(count, dice)
        for numbers in spoken:
            pace(session, speak(numbers))
            session.complete()
            told.wait()
        events = [json.loads(line) for line in log.read_text().splitlines()]
        mine = [event for event in events if event["pid"] == session.pid]
        prints = [(event["at_s"], event["text"]) for event in mine if event["event"] == "prints"]
        asks_s = [event["at_s"] for event in mine if event["event"] == "asks"]
        return {
            "step_ms": step_ms,
            "good": sum(text == text_of(each) for text, each in zip(told.texts, spoken, strict=True)),
            "pieces_s": piece_delays(prints, told.pieces),
            "completed_s": [at_s - last_before(asks_s, at_s) for at_s in told.completed_s],
            "after_text_s": [at_s - last_before([p[0] for p in prints], at_s) for at_s in told.completed_s],
            "starts": model.starts - starts,
        }


def piece_delays(prints: Sequence[tuple[float, str]], heard: Sequence[tuple[float, str]]) -> list[float]:
    """Seconds from each piece's print to its being said; matched by the letters printed and said so far."""
    arrivals = list(_ends(heard))
    return [
        next(at_s for at_s, said in arrivals if said >= printed) - printed_s
        for printed_s, printed in _ends(prints)
    ]


def _ends(pieces: Sequence[tuple[float, str]]) -> Iterator[tuple[float, int]]:
    letters = 0
    for at_s, text in pieces:
        letters += len(text.replace(" ", ""))
        yield at_s, letters


def last_before(times_s: Sequence[float], at_s: float) -> float:
    """The latest of `times_s` that is not after `at_s`."""
    return max(each for each in times_s if each <= at_s)


def direct(step_ms: float, count: int, dice: random.Random) -> list[float]:
    """The stand-in by itself, fed through a bare pipe at the same pace: from a word's end to its print."""
    spoken = utterances(count, dice)
    with standin(step_ms) as (options, log):
        command = options.command(monitored=False)
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
            assert process.stdin
            pipe = process.stdin
            pipe.write(bytes(SAMPLE_RATE_HZ * 2))
            pipe.flush()
            time.sleep(_LOAD_S * 2)
            ends_s: list[float] = []
            for numbers in spoken:
                for number in numbers:
                    _pace_pipe(pipe, speak([number]))
                    ends_s.append(time.monotonic())
        events = [json.loads(line) for line in log.read_text().splitlines()]
    prints = [(event["at_s"], event["text"]) for event in events if event["event"] == "prints"]
    return _word_delays(ends_s, [number for numbers in spoken for number in numbers], prints)


def through(step_ms: float, count: int, dice: random.Random) -> list[float]:
    """The same through the provider, in one utterance each: from a word's end to its being said."""
    told, ends_s, spoken = Told(), list[float](), utterances(count, dice)
    with standin(step_ms) as (options, _), Voxtral(options) as model:
        model.wait_ready()
        session = model.open(DecodeOptions(), told.say)
        for numbers in spoken:
            for number in numbers:
                pace(session, speak([number]))
                ends_s.append(time.monotonic())
        session.complete()
        told.wait()
    return _word_delays(ends_s, [number for numbers in spoken for number in numbers], told.pieces)


def _pace_pipe(pipe: Any, samples: Any) -> None:
    due_s = time.monotonic()
    for at in range(0, len(samples), _CHUNK_SAMPLES):
        due_s += _CHUNK_SAMPLES / SAMPLE_RATE_HZ
        time.sleep(max(0.0, due_s - time.monotonic()))
        pipe.write(np.rint(samples[at : at + _CHUNK_SAMPLES] * 32_768).astype("<i2").tobytes())
        pipe.flush()


def _word_delays(
    ends_s: Sequence[float], numbers: Sequence[int], pieces: Sequence[tuple[float, str]]
) -> list[float]:
    arrivals, letters, delays_s = list(_ends(pieces)), 0, list[float]()
    for end_s, number in zip(ends_s, numbers, strict=True):
        letters += len(f"w{number}")
        delays_s.append(next(at_s for at_s, count in arrivals if count >= letters) - end_s)
    return delays_s


# Deaths


def deaths(count: int, dice: random.Random) -> dict[str, Any]:
    """Kill streams' processes at random moments of live sessions that have another provider to fall back on.

    Returns:
        How many processes were killed, and how many utterances had each word once, in order, books balanced.
    """
    restarts = BackoffOptions(first_s=0.02, max_s=0.1, max_attempts=10)
    killed, good, total, changes = 0, 0, 0, 0
    with (
        standin(_DEATH_STEP_MS, _DEATH_LOAD_S, restarts=restarts) as (options, log),
        Voxtral(options) as model,
        fallback(log.parent) as pool,
    ):
        lineup = Lineup([Member("voxtral", streaming=model), Member("scripted", recognizer=pool)])
        while killed < count:
            model.wait_ready(_PATIENCE_S)
            spoken = utterances(_DEATH_UTTERANCES, dice)
            killer = Killer(model, dice.uniform(0.0, _DEATH_WITHIN_S))
            texts, changed, balanced = live(lineup, spoken, dice)
            killed += killer.stop()
            total += len(spoken)
            changes += changed
            words = " ".join(map(text_of, spoken)).split()
            good += len(spoken) if " ".join(texts).split() == words and balanced else 0
    return {"killed": killed, "utterances": total, "good": good, "provider_changes": changes}


@contextmanager
def fallback(directory: Path) -> Iterator[WorkerPool]:
    """A pool that hears the same words."""
    script = directory / "words.json"
    script.write_text("{}")
    health = HealthCheck(speak([1, 2, 3]), frozenset({"w1", "w2", "w3"}), DecodeOptions())
    with WorkerPool(ModelSpec("scripted", script, use_gpu=False), PoolOptions(health=health)) as pool:
        pool.wait_ready()
        yield pool


class Killer:
    """kill -9 for the first stream there is, after a while."""

    def __init__(self, model: Voxtral, after_s: float) -> None:
        self._model = model
        self._killed = False
        self._timer = threading.Timer(after_s, self._kill)
        self._timer.start()

    def _kill(self) -> None:
        for pid in self._model.stream_pids()[:1]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self._killed = True

    def stop(self) -> bool:
        """Whether it killed anything; it will not any more."""
        self._timer.cancel()
        self._timer.join()
        return self._killed


def live(lineup: Lineup, spoken: Sequence[Numbers], dice: random.Random) -> tuple[list[str], int, bool]:
    """A session at full speed: texts of its finals, changes of provider, whether its books balance."""
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    texts, changes = list[str](), 0
    with Session(Stream(LevelDetector()), lineup, events.put) as session:
        for numbers in spoken:
            for part in (silence(dice.uniform(0.6, 1.5)), speak(numbers), silence(0.6)):
                session.feed(part)
        session.finish()
        while not isinstance(event := events.get(timeout=_PATIENCE_S), Finished):
            changes += isinstance(event, ProviderChanged)
            if isinstance(event, Final):
                texts.append(event.segment.text)
    return texts, changes, event.account.dropped_samples == event.account.pending_samples == 0


# The command line


def percentiles_ms(values_s: Sequence[float]) -> list[float]:
    """p50, p95 and the largest, in milliseconds."""
    return [round(float(value) * 1000, 1) for value in (*np.percentile(values_s, (50, 95)), max(values_s))]


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code: 1 if a goal was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.voxtral", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--utterances", type=int, default=40, help="at real-time pace, about 2 s each")
    parser.add_argument("--deaths", type=int, default=100, help="processes to kill")
    parser.add_argument("--step-ms", type=float, nargs="+", default=[0.0, 24.0], help="for one token")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", action="store_true", help="write results/voxtral.json")
    options = parser.parse_args(arguments)
    result: dict[str, Any] = {"machine": machine(), "delays": [], "ends": []}
    rows, good = [], True
    for step_ms in options.step_ms:
        dice = random.Random(options.seed)
        run = delays(options.utterances, step_ms, dice)
        result["delays"].append(run)
        good &= run["good"] == options.utterances and run["starts"] == 0
        for name, key in (
            ("piece said after it was printed", "pieces_s"),
            ("utterance completed after voxtral was done with it", "completed_s"),
            ("utterance completed after its last text", "after_text_s"),
        ):
            rows.append([name, step_ms, *percentiles_ms(run[key])])
            good &= key == "after_text_s" or percentiles_ms(run[key])[1] < 100
        for name, measured in (("bare pipe", direct), ("provider", through)):
            values_s = measured(step_ms, options.utterances // 2, random.Random(options.seed))
            result["ends"].append({"step_ms": step_ms, "by": name, "values_s": values_s})
            rows.append([f"word's end to its text, {name}", step_ms, *percentiles_ms(values_s)])
        print(f"{run['good']} of {options.utterances} utterances whole, {run['starts']} processes started")
    result["deaths"] = fate = deaths(options.deaths, random.Random(options.seed))
    tables = [
        table(["milliseconds", "step", "p50", "p95", "max"], rows),
        table(list(fate), [list(fate.values())]),
    ]
    print(*tables, sep="\n\n")
    if options.output:
        save("voxtral", result, *tables)
    return int(not good or fate["good"] != fate["utterances"])


if __name__ == "__main__":
    sys.exit(main())
