"""What telling speakers apart costs live sessions: how late finals are, processor time, memory.

Run by `python -m benchmarks.speakers CLIPS --live`. A conversation is played to a server twice, without
speakers and with them (which needs the times of words too); its finals are compared one by one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from asrctl.bench.paced import Heard, Talk, latencies
from asrctl.client import ClientOptions
from asrctl.events import Final, SpeakerChanged
from asrctl.policy.endpointing import EndpointerOptions
from benchmarks.common import SAMPLE_RATE_HZ, Table, note, table
from benchmarks.serve_process import ServerProcess
from benchmarks.serve_sessions import play
from benchmarks.talks import spread

_OFF = ClientOptions()
_ON = replace(_OFF, speakers=True, words=True)
_FREED_S = 3.0
"""Memory is looked at so long after the last session."""


def measure(talks: Sequence[Talk]) -> tuple[dict[str, Any], Table]:
    """Each conversation, one after the other; which way comes first alternates."""
    rounds: dict[bool, list[_Round]] = {False: [], True: []}
    with ServerProcess("--max-sessions", "2") as server:
        for number, talk in enumerate(talks):
            for told in (number % 2 == 1, number % 2 == 0):
                rounds[told].append(_Round(server, talk, _ON if told else _OFF))
            note(f"conversation {number + 1} of {len(talks)}")
        time.sleep(_FREED_S)
        freed_mb = server.memory().pss_mb
    off, on = rounds[False], rounds[True]
    later_s = [found for pair in zip(off, on, strict=True) for found in _later(*pair)]
    labels_s = [found for each in on for found in _labels(each.heard)]
    row = {
        "finals": len(later_s),
        "final_s": [spread([late for each in ways for late in each.final_s]) for ways in (off, on)],
        "later_s": spread(later_s),
        "label_s": spread(labels_s),
        "cpu_per_audio_s": [
            round(float(np.mean([each.cpu_per_audio_s for each in ways])), 4) for ways in (off, on)
        ],
        "memory_mb": round(max(each.memory_mb for each in on) - max(each.memory_mb for each in off)),
        "kept_mb": round(freed_mb - off[-1].memory_mb),
    }
    return row, report(row)


class _Round:
    """A conversation played to a server, one way; memory and processor time are those of its processes."""

    def __init__(self, server: ServerProcess, talk: Talk, options: ClientOptions) -> None:
        looks = list[tuple[float, float]]()

        def look() -> None:
            looks.append((sum(server.cpu_s()), server.memory().pss_mb))

        (listened,) = asyncio.run(play(server.url, [talk], options, look=look))
        self.heard = listened.heard
        self.memory_mb = looks[-1][1]
        self.cpu_per_audio_s = (looks[-1][0] - looks[0][0]) * SAMPLE_RATE_HZ / len(talk.samples)
        self.final_s = latencies([talk], [self.heard], EndpointerOptions()).final_s


def _finals(heard: Heard) -> dict[int, float]:
    """When finals came, by where they end."""
    return {event.end_sample: at_s for at_s, event in heard.events if isinstance(event, Final)}


def _later(off: _Round, on: _Round) -> Iterator[float]:
    """How much later the same finals came with speakers."""
    before, after = _finals(off.heard), _finals(on.heard)
    return (after[end] - before[end] for end in before.keys() & after.keys())


def _labels(heard: Heard) -> Iterator[float]:
    """How long after each final its speaker was said; 0 for those that had it."""
    waiting: dict[int, float] = {}
    for at_s, event in heard.events:
        if isinstance(event, Final) and event.segment.text:
            if event.segment.speaker:
                yield 0.0
            else:
                waiting[event.utterance] = at_s
        elif isinstance(event, SpeakerChanged) and event.speaker and event.utterance in waiting:
            yield at_s - waiting.pop(event.utterance)


def report(row: dict[str, Any]) -> Table:
    """A row without speakers, and one with them."""
    header = [
        "speakers",
        "final after speech s",
        "later by s",
        "label after final s",
        "CPU s per s",
        "memory MB",
    ]
    (off_s, on_s), (off_cpu, on_cpu) = row["final_s"], row["cpu_per_audio_s"]
    rows = [
        ["off", off_s, None, None, off_cpu, "0"],
        ["on", on_s, row["later_s"], row["label_s"], on_cpu, f"+{row['memory_mb']}"],
        ["off again", None, None, None, None, f"{row['kept_mb']:+d}"],
    ]
    return table(header, rows, f"p50 / p95 of {row['finals']} finals")
