"""Check subtitles by broadcasters' rules: an independent reading of SRT files, and an hour of them to read.

The rules are read back from the file alone; nothing of the code that wrote it is used.

    python -m benchmarks.subtitle_check FILE.srt ...        check files
    python -m benchmarks.subtitle_check --hour [--audio FILE ...]   make an hour of subtitles, and check it

The hour is made by a seeded generator out of sentences at the rates of real speech (`--seed`), with words
timed; recordings named by `--audio` are transcribed through the command and checked too.
"""

from __future__ import annotations

import argparse
import io
import itertools
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

import numpy as np

from asrctl.policy.words import syllables
from asrctl.render.subtitles import SrtWriter
from asrctl.transcript import AudioAccount, Segment, Timing, Transcript, Word

MAX_WIDTH, MAX_LINES, MAX_CPS, MIN_S, MIN_GAP_S, MAX_S = 42, 2, 20.0, 0.83, 0.08, 7.0
_TIMES = re.compile(r"(\d+):(\d\d):(\d\d),(\d{3}) --> (\d+):(\d\d):(\d\d),(\d{3})")
_PHRASE_END = re.compile(r"[.!?,;:…–—-]['\"”’)\]]*$")  # noqa: RUF001
_PAUSE_S = 0.3

SENTENCES = """
We went right through the billboard, ripped over a gas pump, and never stopped moving.
By now, it's like a moving bonfire.
I looked back at the diner to see if there was anyone there who could help me.
That was when I noticed that the entire place had been encircled.
I don't want anyone's life on my hands.
Is there anything I can do?
Reports, incredible as they seem, are not the results of mass hysteria.
What do they think we're imagining all this?
Shut up!
In all parts of the country, the wave of murder which is sweeping the eastern third of the nation is being
 committed by creatures who feast upon the flesh of their victims.
First eyewitness accounts of this grisly development came from people who were understandably frightened and
 almost incoherent.
Medical examinations of some of the victims bore out the fact that they had been partially devoured.
Thank you, Judy.
The body should be disposed of at once, preferably by cremation.
It's only a matter of minutes.
No, you're right.
The bereaved will have to forego the dubious comforts that a funeral service will give.
We need some bottles or jars to make bottletop cocktails to hold them up while we try to escape.
Ask not what your country can do for you; ask what you can do for your country.
Okay?
"""


class Shown(NamedTuple):
    """A cue as a player sees it; seconds."""

    start_s: float
    end_s: float
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Findings:
    """How many cues break which rule; `inside_phrases` ends neither at punctuation nor before a pause."""

    cues: int = 0
    too_fast: int = 0
    too_short: int = 0
    too_long: int = 0
    overlaps: int = 0
    small_gaps: int = 0
    wide_lines: int = 0
    many_lines: int = 0
    inside_phrases: int = 0

    def __str__(self) -> str:
        """All of them on a line."""
        return ", ".join(f"{item.name.replace('_', ' ')} {getattr(self, item.name)}" for item in fields(self))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns 1 if a hard rule is broken (reading speed and phrases are not)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--hour", action="store_true")
    parser.add_argument("--audio", nargs="*", type=Path, default=[])
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    texts = [(str(path), path.read_text(encoding="utf-8")) for path in options.files]
    if options.hour:
        texts.append((f"an hour, seed {options.seed}", an_hour(options.seed)))
    texts += [(path.name, transcribed(path)) for path in options.audio]
    broken = 0
    for name, text in texts:
        found = check(list(read(text)))
        broken += found.too_short + found.overlaps + found.small_gaps + found.wide_lines + found.many_lines
        print(f"{name}: {found}", flush=True)
    return 1 if broken else 0


def read(text: str) -> Iterator[Shown]:
    """The cues of an SRT file."""
    for block in text.strip().split("\n\n") if text.strip() else ():
        _, times, *lines = block.split("\n")
        found = _TIMES.fullmatch(times)
        assert found, f"not a line of times: {times}"
        numbers = [int(each) for each in found.groups()]
        start_s, end_s = (
            hours * 3600 + minutes * 60 + seconds + millis / 1000
            for hours, minutes, seconds, millis in (numbers[:4], numbers[4:])
        )
        yield Shown(start_s, end_s, tuple(lines))


def check(cues: Sequence[Shown]) -> Findings:
    """Count what breaks the rules; times are compared with half a millisecond of slack."""
    slack_s = 0.0005
    pairs = list(itertools.pairwise(cues))
    gaps_s = [later.start_s - one.end_s for one, later in pairs]
    lengths_s = [cue.end_s - cue.start_s for cue in cues]
    characters = [sum(len(line) for line in cue.lines) for cue in cues]
    return Findings(
        cues=len(cues),
        too_fast=sum(
            count > MAX_CPS * (length + slack_s) for count, length in zip(characters, lengths_s, strict=True)
        ),
        too_short=sum(length < MIN_S - slack_s for length in lengths_s),
        too_long=sum(length > MAX_S for length in lengths_s),
        overlaps=sum(gap < -slack_s for gap in gaps_s),
        small_gaps=sum(-slack_s <= gap < MIN_GAP_S - slack_s for gap in gaps_s),
        wide_lines=sum(len(line) > MAX_WIDTH for cue in cues for line in cue.lines),
        many_lines=sum(len(cue.lines) > MAX_LINES for cue in cues),
        inside_phrases=sum(
            not _PHRASE_END.search(one.lines[-1]) and later.start_s - one.end_s < _PAUSE_S
            for one, later in pairs
        ),
    )


def transcribed(path: Path) -> str:
    """A recording's subtitles, through the command."""
    command = [sys.executable, "-m", "asrctl", "transcribe", str(path), "--format", "srt"]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


def an_hour(seed: int) -> str:
    """An hour of sentences, as segments with word times, written as SRT."""
    dice = np.random.default_rng(seed)
    sentences = re.sub(r"\n ", " ", SENTENCES.strip()).split("\n")
    sink = io.StringIO()
    writer = SrtWriter(sink)
    segments: list[Segment] = []
    at_s = 1.0
    while at_s < 3600:
        words: list[Word] = []
        pace = dice.uniform(3.5, 5.5)  # syllables a second; a talk has 4 to 5
        for text in sentences[int(dice.integers(len(sentences)))].split():
            length_s = max(1, syllables(text)) / pace * dice.uniform(0.8, 1.2)
            words.append(Word(at_s, at_s + length_s, text, 0.9))
            at_s += length_s + (dice.uniform(0.1, 0.5) if _PHRASE_END.search(text) else 0.0)
        segments += _segments(words, dice)
        at_s += dice.choice([0.0, 0.2, 0.5, 1.0, 4.0])
    for segment in segments:
        writer.segment(segment)
    timing = Timing(0.0, 0.0, 1.0)
    account = AudioAccount()
    writer.finish(Transcript("hour", "", "", "en", at_s, tuple(segments), account, timing))
    return sink.getvalue()


def _segments(words: list[Word], dice: np.random.Generator) -> Iterator[Segment]:
    """A sentence as a recogniser gives it: whole, or now and then cut in two anywhere."""
    cut = int(dice.integers(1, len(words))) if len(words) > 6 and dice.random() < 0.3 else len(words)
    for part in (words[:cut], words[cut:]):
        if part:
            text = " ".join(word.text for word in part)
            yield Segment(part[0].start_s, part[-1].end_s, text, 0.9, tuple(part))


if __name__ == "__main__":
    sys.exit(main())
