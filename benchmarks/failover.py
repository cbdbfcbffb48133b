"""Streams that break at random moments: does every word come, once, and how much later?

python -m benchmarks.failover --losses 100

Utterances of known words are played at their own pace to sessions whose streaming provider breaks once, at a
random moment between the first word and the final; a pool with the scripted windowed provider stands in. The
same utterances are played without a loss too. Nothing is recognised by a model: what is measured is what the
engine adds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asrctl.events import Dropped, Event, Final, Finished, Partial, ProviderChanged
from asrctl.providers.base import ModelSpec
from asrctl.providers.recognizer import Recognizer
from asrctl.streaming.fallback import Fallback
from asrctl.streaming.pooled import PooledRecognizer
from asrctl.streaming.session import Session
from asrctl.streaming.stream import StreamOptions
from asrctl.workers.pool import WorkerPool
from asrctl_tests.scripted import speak
from asrctl_tests.scripted_stream import ScriptedStream, StreamScript
from benchmarks.common import SAMPLE_RATE_HZ, machine, note, save, table
from tests.streaming.speech import LevelDetector

_CHUNK_SAMPLES = SAMPLE_RATE_HZ // 50
_PAUSE_S = 0.8
_PATIENCE_S = 60.0
_LAG_S = 0.005
_DECODE_S = 0.05


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one utterance.

    Attributes:
        spoken: Its words.
        heard: The words of its finals.
        final_s: From the end of speech to the final.
        shrank: Whether text that was shown as stable changed.
        balanced: Whether no audio is unaccounted for, or dropped.
        changed: Whether another provider took it up.
    """

    spoken: list[str]
    heard: list[str]
    final_s: float
    shrank: bool
    balanced: bool
    changed: bool


async def play_broken(pool: WorkerPool, numbers: list[int], break_s: float | None) -> Outcome:
    """Play one utterance to a stream of its own with the pool behind it; see `play`."""
    streaming = ScriptedStream(StreamScript(lag_s=_LAG_S))
    recognizer = Fallback([streaming, PooledRecognizer("pool", "script", pool, lambda: "")])
    outcome = await play(recognizer, numbers, break_s, lambda: streaming.break_all("broken by the benchmark"))
    await streaming.close()
    return outcome


async def play(
    recognizer: Recognizer, numbers: list[int], break_s: float | None, breaks: Callable[[], None]
) -> Outcome:
    """Play one utterance, and break its stream after so long; None leaves it whole."""
    speech = speak(numbers)
    audio = np.concatenate([speech, np.zeros(round(_PAUSE_S * SAMPLE_RATE_HZ), np.float32)])
    events: list[tuple[float, Event]] = []

    def listen(event: Event) -> None:
        events.append((time.perf_counter(), event))

    async with Session(LevelDetector(), StreamOptions(), recognizer, listen) as session:
        started_s = time.perf_counter()
        for at in range(0, len(audio), _CHUNK_SAMPLES):
            await asyncio.sleep(max(0.0, started_s + at / SAMPLE_RATE_HZ - time.perf_counter()))
            if break_s is not None and at / SAMPLE_RATE_HZ >= break_s:
                breaks()
                break_s = None
            session.feed(audio[at : at + _CHUNK_SAMPLES])
        session.finish()
        async with asyncio.timeout(_PATIENCE_S):
            await session.wait_ended()
    spoken = [f"w{number}" for number in numbers]
    return _outcome(events, spoken, started_s + len(speech) / SAMPLE_RATE_HZ)


def _outcome(events: Sequence[tuple[float, Event]], spoken: list[str], speech_ended_s: float) -> Outcome:
    heard, final_s, stable, shrank, balanced, changed = list[str](), 0.0, "", False, False, False
    for at_s, event in events:
        if isinstance(event, Final):
            heard += event.segment.text.split()
            final_s = at_s - speech_ended_s
        elif isinstance(event, Partial):
            shrank |= not event.stable.startswith(stable)
            stable = event.stable
        elif isinstance(event, Dropped):
            heard.append(f"[dropped: {event.reason}]")
        elif isinstance(event, ProviderChanged):
            changed = True
        elif isinstance(event, Finished):
            balanced = event.account.pending_samples == event.account.dropped_samples == 0
    return Outcome(spoken, heard, final_s, shrank, balanced, changed)


def summary(outcomes: Iterable[Outcome]) -> dict[str, float]:
    """How many words came how often, and how late finals were."""
    outcomes = list(outcomes)
    lost = sum((Counter(each.spoken) - Counter(each.heard)).total() for each in outcomes)
    repeated = sum((Counter(each.heard) - Counter(each.spoken)).total() for each in outcomes)
    finals_s = [each.final_s for each in outcomes]
    return {
        "utterances": len(outcomes),
        "words": sum(len(each.spoken) for each in outcomes),
        "lost": lost,
        "repeated": repeated,
        "out of order": sum(each.heard != each.spoken for each in outcomes),
        "taken up": sum(each.changed for each in outcomes),
        "stable text changed": sum(each.shrank for each in outcomes),
        "unbalanced": sum(not each.balanced for each in outcomes),
        "final p50 s": round(float(np.median(finals_s)), 3),
        "final p95 s": round(float(np.percentile(finals_s, 95)), 3),
    }


async def play_all(
    pool: WorkerPool, utterances: Sequence[list[int]], breaks_s: Sequence[float | None], parallel: int
) -> dict[str, float]:
    """Play all utterances, so many at once."""
    places = asyncio.Semaphore(parallel)

    async def in_its_place(numbers: list[int], break_s: float | None) -> Outcome:
        async with places:
            return await play_broken(pool, numbers, break_s)

    outcomes = await asyncio.gather(*map(in_its_place, utterances, breaks_s))
    return summary(outcomes)


async def measure(losses: int, parallel: int, seed: int) -> dict[str, dict[str, float]]:
    """Play all utterances, with and without a loss."""
    dice = random.Random(seed)
    utterances = [[dice.randrange(1, 4096) for _ in range(dice.randint(3, 25))] for _ in range(losses)]
    # From the onset, as the endpointer sees it, to just before the end of the pause makes it final.
    breaks_s = [dice.uniform(0.15, 0.2 * len(numbers) + 0.45) for numbers in utterances]
    with tempfile.TemporaryDirectory() as directory:
        script = Path(directory) / "script.json"
        script.write_text(json.dumps({"delay_s": _DECODE_S}))
        async with WorkerPool(ModelSpec("scripted", script)) as pool:
            await pool.wait_ready()
            whole = await play_all(pool, utterances, [None] * losses, parallel)
            note("streams stay whole: done")
            broken = await play_all(pool, utterances, breaks_s, parallel)
    return {"whole": whole, "broken": broken}


def main() -> int:
    """Measure, print, and save if asked; fails if a word is lost or repeated."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--losses", type=int, default=100, help="streams that break; 100")
    parser.add_argument("--parallel", type=int, default=5, help="sessions at once; 5")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", action="store_true", help="save under benchmarks/results")
    args = parser.parse_args()
    results = asyncio.run(measure(args.losses, args.parallel, args.seed))
    whole, broken = results["whole"], results["broken"]
    found = table(["figure", "whole", "broken"], [[key, whole[key], broken[key]] for key in whole])
    print(found)
    print(
        f"delay added: p50 {broken['final p50 s'] - whole['final p50 s']:.3f} s, "
        f"p95 {broken['final p95 s'] - whole['final p95 s']:.3f} s"
    )
    if args.output:
        save("failover", {"machine": machine(), "arguments": vars(args), **results}, found)
    bad = ("lost", "repeated", "out of order", "stable text changed", "unbalanced")
    return int(any(result[key] for result in results.values() for key in bad))


if __name__ == "__main__":
    sys.exit(main())
