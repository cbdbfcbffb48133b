"""What the voxtral provider adds to voxtral: delay, process starts, and words kept when processes are killed.

python -m benchmarks.voxtral --utterances 40 --deaths 100

It runs on the stand-in of the tests, which reads, waits and prints as voxtral does and takes `--step-ms` for
each token. Its own delay is known: it logs when it prints, and when it asks for more audio.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from asrctl.providers.recognizer import Completed, Heard, Lost, Spoken
from asrctl.providers.voxtral.settings import VoxtralSettings
from asrctl_tests.scripted import speak
from benchmarks.common import SAMPLE_RATE_HZ, machine, save, table
from benchmarks.voxtral_deaths import deaths
from benchmarks.voxtral_standin import LOAD_S, standin, text_of, utterances
from tests import plugins
from tests.providers.ears import request
from tests.providers.voxtral_standin import install, make_weights

_CHUNK_SAMPLES = SAMPLE_RATE_HZ // 50
_PATIENCE_S = 60.0
WITH_PARTIALS = request()


@dataclass
class Told:
    """What a stream said, with the time.

    Attributes:
        letters: How many letters were said so far, whenever there were more.
        completed_s: When utterances were complete.
        texts: And what they say.
    """

    letters: list[tuple[float, int]] = field(default_factory=list)
    completed_s: list[float] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    lost: Lost | None = None

    def say(self, spoken: Spoken) -> None:
        """What the provider calls."""
        now_s = time.monotonic()
        if isinstance(spoken, Heard):
            self._said(now_s, "".join((*spoken.stable, *spoken.unstable)))
        elif isinstance(spoken, Completed):
            self._said(now_s, spoken.hypothesis.text)
            self.completed_s.append(now_s)
            self.texts.append(spoken.hypothesis.text)
        elif isinstance(spoken, Lost):
            self.lost = spoken
        self.changed.set()

    def _said(self, now_s: float, text: str) -> None:
        """The open utterance says this by now."""
        letters = sum(map(_letters, self.texts)) + _letters(text)
        if not self.letters or letters > self.letters[-1][1]:
            self.letters.append((now_s, letters))

    async def wait(self, count: int) -> None:
        """Wait until so many utterances are complete.

        Raises:
            ProviderError: The stream was lost.
        """
        async with asyncio.timeout(_PATIENCE_S):
            while len(self.texts) < count:
                if self.lost is not None:
                    raise self.lost.error
                self.changed.clear()
                await self.changed.wait()


def _letters(text: str) -> int:
    return len(text.replace(" ", ""))


async def pace(feed: Callable[[Any], None], samples: Any) -> None:
    """Feed samples as a microphone does."""
    due_s = time.monotonic()
    for at in range(0, len(samples), _CHUNK_SAMPLES):
        due_s += _CHUNK_SAMPLES / SAMPLE_RATE_HZ
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        feed(samples[at : at + _CHUNK_SAMPLES])


# Delay


async def delays(count: int, step_ms: float, dice: random.Random) -> dict[str, Any]:
    """Play utterances at real-time pace; added delays in seconds, and the processes started meanwhile."""
    told = Told()
    async with standin(step_ms) as found:
        recognizer = found.recognizer
        stream = recognizer.open(WITH_PARTIALS, told.say)
        await recognizer.wait_ready()
        starts, spoken = recognizer.starts, utterances(count, dice)
        for number, numbers in enumerate(spoken, 1):
            await pace(stream.feed, speak(numbers))
            stream.end()
            await told.wait(number)
        mine = [event for event in found.log if event["pid"] == stream.pid]
        starts = recognizer.starts - starts
    prints = [(event["at_s"], event["text"]) for event in mine if event["event"] == "prints"]
    asks_s = [event["at_s"] for event in mine if event["event"] == "asks"]
    prints_s = [at_s for at_s, _ in prints]
    return {
        "step_ms": step_ms,
        "good": sum(text == text_of(each) for text, each in zip(told.texts, spoken, strict=True)),
        "pieces_s": [_arrival(told.letters, count) - at_s for at_s, count in _ends(prints)],
        "completed_s": [at_s - last_before(asks_s, at_s) for at_s in told.completed_s],
        "after_text_s": [at_s - last_before(prints_s, at_s) for at_s in told.completed_s],
        "starts": starts,
    }


def _arrival(letters: Sequence[tuple[float, int]], count: int) -> float:
    """When so many letters were there."""
    return next(at_s for at_s, said in letters if said >= count)


def _ends(pieces: Sequence[tuple[float, str]]) -> Iterator[tuple[float, int]]:
    """Of pieces of text: when each came, and the letters until its end."""
    letters = 0
    for at_s, text in pieces:
        letters += _letters(text)
        yield at_s, letters


def last_before(times_s: Sequence[float], at_s: float) -> float:
    """The latest of `times_s` that is not after `at_s`."""
    return max(each for each in times_s if each <= at_s)


async def direct(step_ms: float, count: int, dice: random.Random) -> list[float]:
    """The stand-in by itself, fed through a bare pipe at the same pace: from a word's end to its print."""
    with tempfile.TemporaryDirectory() as name:
        directory, log = Path(name), Path(name, "log")
        program = install(directory, load_s=LOAD_S, step_s=step_ms / 1000, log=str(log))
        weights = make_weights(directory / "voxtral-model")
        command = VoxtralSettings().command(program, weights, monitored=False)
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, bufsize=0
        ) as process:
            assert process.stdin
            pipe = process.stdin
            pipe.write(bytes(SAMPLE_RATE_HZ * 2))
            await asyncio.sleep(LOAD_S * 2)
            words = [number for numbers in utterances(count, dice) for number in numbers]
            ends_s = await _say(words, lambda samples: _write(pipe, samples))
        events = [json.loads(line) for line in log.read_text().splitlines()]
    prints = [(event["at_s"], event["text"]) for event in events if event["event"] == "prints"]
    return _word_delays(ends_s, words, list(_ends(prints)))


async def through(step_ms: float, count: int, dice: random.Random) -> list[float]:
    """The same through the provider, in one utterance: from a word's end to its being said."""
    told = Told()
    async with standin(step_ms) as found:
        stream = found.recognizer.open(WITH_PARTIALS, told.say)
        words = [number for numbers in utterances(count, dice) for number in numbers]
        ends_s = await _say(words, stream.feed)
        stream.end()
        await told.wait(1)
    return _word_delays(ends_s, words, told.letters)


async def _say(words: Sequence[int], feed: Callable[[Any], None]) -> list[float]:
    """Say words at their own pace; when each of them ended."""
    ends_s = []
    for number in words:
        await pace(feed, speak([number]))
        ends_s.append(time.monotonic())
    return ends_s


def _write(pipe: Any, samples: Any) -> None:
    pipe.write(np.rint(samples * 32_768).astype("<i2").tobytes())


def _word_delays(
    ends_s: Sequence[float], words: Sequence[int], letters: Sequence[tuple[float, int]]
) -> list[float]:
    ends = accumulate(len(f"w{number}") for number in words)
    return [_arrival(letters, count) - end_s for end_s, count in zip(ends_s, ends, strict=True)]


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
    plugins.install()
    result: dict[str, Any] = {"machine": machine(), "delays": [], "ends": []}
    rows, good = [], True
    for step_ms in options.step_ms:
        dice = random.Random(options.seed)
        run = asyncio.run(delays(options.utterances, step_ms, dice))
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
            dice = random.Random(options.seed)
            values_s = asyncio.run(measured(step_ms, max(1, options.utterances // 2), dice))
            result["ends"].append({"step_ms": step_ms, "by": name, "values_s": values_s})
            rows.append([f"word's end to its text, {name}", step_ms, *percentiles_ms(values_s)])
        print(f"{run['good']} of {options.utterances} utterances whole, {run['starts']} processes started")
    result["deaths"] = fate = asyncio.run(deaths(options.deaths, random.Random(options.seed)))
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
