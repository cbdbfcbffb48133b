"""Processes that play the one that hears the ends of turns."""

from __future__ import annotations

import sys

_TAKE = (
    "import json, struct, sys, time\n"
    "def say(what): print(json.dumps(what), flush=True)\n"
    "def take():\n"
    "    header = sys.stdin.buffer.read(4)\n"
    "    if not header: sys.exit()\n"
    "    return sys.stdin.buffer.read(4 * struct.unpack('<I', header)[0])\n"
)


def counting() -> tuple[str, ...]:
    """One that answers with the number of samples, in thousands."""
    return _python("say({})\nwhile True: say(len(take()) / 4000)")


def saying(probability: float) -> tuple[str, ...]:
    """One that answers all questions alike."""
    return _python(f"say({{}})\nwhile True: take(); say({probability!r})")


def slow() -> tuple[str, ...]:
    """The same, after a while."""
    return _python("say({})\nwhile True: count = len(take()); time.sleep(0.3); say(count / 4000)")


def crashing() -> tuple[str, ...]:
    """One that dies of its first question."""
    return _python("import os; say({}); take(); os.abort()")


def refusing() -> tuple[str, ...]:
    """One that cannot begin."""
    return _python("say({'error': 'no weights'})")


def failing() -> tuple[str, ...]:
    """One that ends at once, with a complaint."""
    return _python("sys.exit('out of order')")


def stuck() -> tuple[str, ...]:
    """One that takes questions and says nothing."""
    return _python("say({}); take(); time.sleep(60)")


def babbling() -> tuple[str, ...]:
    """One that answers with something else."""
    return _python("say({}); take(); say('hello'); time.sleep(60)")


def loading_for_ever() -> tuple[str, ...]:
    """One that is never ready."""
    return _python("time.sleep(60)")


def _python(code: str) -> tuple[str, ...]:
    return sys.executable, "-c", _TAKE + code
