"""kill -9 of workers that listen to streams, in the middle of utterances: does every word come, once?

python -m benchmarks.killed_streams --kills 100

Utterances of known words are played at their own pace, two at a time, to streams that share a worker process,
as those of transcribe.cpp do; the model is a script. At a random moment of each of the first session's
utterances the process is killed. Nobody stands in: the next process hears the utterances from their start.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import tempfile
from functools import partial
from pathlib import Path

from asrctl.providers.base import ModelSpec
from asrctl.providers.plugin import Serving
from asrctl.streaming.fallback import Fallback
from asrctl.workers.listener import ListenerOptions
from asrctl.workers.listeners import Listeners
from benchmarks.common import machine, save, table
from benchmarks.failover import Outcome, play, summary

_SESSIONS = 2
_FAULTS = ("lost", "repeated", "out of order", "stable text changed", "unbalanced")


async def play_with_kills(recognizer: Listeners, kills: int, dice: random.Random) -> list[Outcome]:
    """As many rounds as kills, one utterance of each session in a round."""
    outcomes = list[Outcome]()
    for _ in range(kills):
        spoken = [[dice.randrange(1, 4096) for _ in range(dice.randint(3, 12))] for _ in range(_SESSIONS)]
        # From the onset, as the endpointer sees it, to just before the end of the pause makes it final.
        kill_s = dice.uniform(0.15, 0.2 * len(spoken[0]) + 0.45)
        fallback = Fallback([recognizer])
        await recognizer.wait_ready()
        (pid,) = recognizer.pids()
        played = [play(fallback, spoken[0], kill_s, partial(os.kill, pid, signal.SIGKILL))]
        played += [play(fallback, numbers, None, lambda: None) for numbers in spoken[1:]]
        outcomes += await asyncio.gather(*played)
    return outcomes


async def measure(kills: int, seed: int) -> dict[str, float]:
    """Play all; what became of the words, and how many processes were replaced."""
    with tempfile.TemporaryDirectory() as directory:
        script = Path(directory, "script.json")
        script.write_text(json.dumps({}))
        options = ListenerOptions(Serving(_SESSIONS, _SESSIONS))
        recognizer = Listeners(ModelSpec("scripted", script), "script", options)
        try:
            outcomes = await play_with_kills(recognizer, kills, random.Random(seed))
        finally:
            await recognizer.close()
    return {"kills": kills, "workers replaced": recognizer.restarts, **summary(outcomes)}


def main() -> int:
    """Measure, print, and save if asked; the exit code is 1 if a word is lost or repeated."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100, help="of the worker process; 100")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", action="store_true", help="save under benchmarks/results")
    options = parser.parse_args()
    found = asyncio.run(measure(options.kills, options.seed))
    del found["taken up"]  # there is nobody else
    shown = table(["figure", "value"], [[key, value] for key, value in found.items()])
    print(shown)
    if options.output:
        save("killed_streams", {"machine": machine(), "arguments": vars(options), **found}, shown)
    return int(any(found[key] for key in _FAULTS) or found["workers replaced"] != options.kills)


if __name__ == "__main__":
    sys.exit(main())
