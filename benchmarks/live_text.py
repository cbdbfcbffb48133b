"""What live recognition makes of conversations, at leisure, against the same recordings as files.

python -m benchmarks.live_text benchmark-corpus --talks 10 --seconds 600
python -m benchmarks.live_text benchmark-corpus --talks 2 --longer-than 8 --cut-at 10 12 15
python -m benchmarks.live_text benchmark-corpus --talks 1 --effort light normal thorough

Nothing is paced and nothing waits, so that the words are the same each time: what differs from the file is
due to how live speech is cut into utterances and how those are decoded, not to load.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

from asrctl.bench.engine import Workers
from asrctl.bench.paced import Talk
from asrctl.bench.setup import Samples, Setup
from asrctl.events import Event, Final
from asrctl.policy.endpointing import EndpointerOptions
from asrctl.policy.priority import Kind, Ticket
from asrctl.policy.window import Effort
from asrctl.providers.base import DecodeOptions
from asrctl.streaming.pooled import PooledRecognizer
from asrctl.streaming.session import Session
from asrctl.streaming.stream import StreamOptions
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis, join_text
from asrctl.workers.options import PoolOptions
from asrctl.workers.pool import BATCH, WorkerPool
from benchmarks.accuracy import accuracy
from benchmarks.common import half_option, note, table
from benchmarks.talks import SHORTEST_CLIP_S, detector, keep, parser, setup_for, talks_of, transcripts

_CHUNK_SAMPLES = 1600
_PENDING_SAMPLES = 60 * SAMPLE_RATE_HZ
"""More than the longest utterance, which is pending until it ends, and less than what would be shed."""


@dataclass(frozen=True, slots=True)
class Row:
    """One way to hear all talks; error rates in percent.

    Attributes:
        cut_at_s: Length from which on an utterance is cut where it is quiet.
        effort: With which finals are decoded.
        words: Words that were said.
        errors: Words that are wrong, missing or too many.
        wer: Their share.
        offline_wer: The same of the recordings as files.
        gaps: Of each talk: live minus offline, in points.
        utterances: Finals.
        cuts: Those that begin where the one before ends.
        longest_s: The longest of them.
        decoding_s: Time that the worker took.
    """

    cut_at_s: float
    effort: Effort
    words: int
    errors: int
    wer: float
    offline_wer: float
    gaps: list[float]
    utterances: int
    cuts: int
    longest_s: float
    decoding_s: float


class _Pool(WorkerPool):
    """Decodes everything with one effort, but for what is decoded again."""

    effort = Effort.LIGHT

    async def decode(self, samples: Samples, options: DecodeOptions, ticket: Ticket = BATCH) -> Hypothesis:
        """See `WorkerPool.decode`."""
        if ticket.kind is not Kind.AGAIN:
            options = replace(options, effort=self.effort)
        return await super().decode(samples, options, ticket)


async def finals_of(talk: Talk, pool: _Pool, cut_at_s: float) -> list[Final]:
    """A talk's finals."""
    events = list[Event]()
    options = StreamOptions(endpointing=EndpointerOptions(overlong_s=cut_at_s), pacing=None)
    recognizer = PooledRecognizer("", "", pool, lambda: "")
    async with Session(detector(), options, recognizer, events.append) as session:
        for at in range(0, len(talk.samples), _CHUNK_SAMPLES):
            session.feed(talk.samples[at : at + _CHUNK_SAMPLES])
            await session.wait_pending_below(_PENDING_SAMPLES)
        session.finish()
        await session.wait_ended()
    return [event for event in events if isinstance(event, Final)]


async def rows_of(
    talks: Sequence[Talk], offline: Sequence[str], setup: Setup, ways: Sequence[tuple[float, Effort]]
) -> list[Row]:
    """Hear all talks in each way."""
    rows = []
    async with _Pool(setup.spec, PoolOptions(workers=setup.workers, health=setup.health)) as pool:
        await pool.wait_ready()
        for cut_at_s, effort in ways:
            pool.effort, before_s = effort, pool.inference_s
            finals = [await finals_of(talk, pool, cut_at_s) for talk in talks]
            rows.append(row(talks, offline, finals, cut_at_s, effort, pool.inference_s - before_s))
    return rows


def row(
    talks: Sequence[Talk],
    offline: Sequence[str],
    finals: Sequence[Sequence[Final]],
    cut_at_s: float,
    effort: Effort,
    decoding_s: float,
) -> Row:
    """What one way comes to."""
    said = [talk.text or "" for talk in talks]
    live = [join_text(final.segment.text for final in each) for each in finals]
    by_talk = [accuracy(*pair) for pair in zip(said, live, strict=True)]
    files = [accuracy(*pair) for pair in zip(said, offline, strict=True)]
    words = sum(each.words for each in by_talk)
    errors = round(sum(each.wer_percent * each.words for each in by_talk) / 100)
    lengths = [final.end_sample - final.start_sample for each in finals for final in each]
    return Row(
        cut_at_s=cut_at_s,
        effort=effort,
        words=words,
        errors=errors,
        wer=round(100 * errors / words, 2),
        offline_wer=round(sum(each.wer_percent * each.words for each in files) / words, 2),
        gaps=[round(one.wer_percent - two.wer_percent, 2) for one, two in zip(by_talk, files, strict=True)],
        utterances=len(lengths),
        cuts=sum(one.end_sample == two.start_sample for each in finals for one, two in pairwise(each)),
        longest_s=round(max(lengths) / SAMPLE_RATE_HZ, 1),
        decoding_s=round(decoding_s, 1),
    )


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = _options(arguments)
    setup = setup_for(options.model)
    talks = talks_of(
        options.corpus, options.talks, options.seconds, half=options.half, longer_than_s=options.longer_than
    )
    note(f"{len(talks)} talks, {sum(len(talk.samples) for talk in talks) / SAMPLE_RATE_HZ:.0f} s")
    with Workers(setup) as workers:
        offline = transcripts(workers, talks)
    ways = [(cut_at_s, effort) for cut_at_s in options.cut_at for effort in options.effort]
    rows = asyncio.run(rows_of(talks, offline, setup, ways))
    header = ["cut at s", "effort", "words", "errors", "WER %", "offline WER %", "gap of each talk"]
    header += ["utterances", "cuts", "longest s", "decoding s"]
    cells = [{**asdict(each), "gaps": " ".join(f"{gap:+.2f}" for gap in each.gaps)} for each in rows]
    for each in rows:
        mean, worst = sum(each.gaps) / len(each.gaps), max(each.gaps)
        print(f"{each.cut_at_s:g} s, {each.effort}: {mean:+.2f} points on average, worst {worst:+.2f}")
    keep(
        options,
        {"rows": [asdict(each) for each in rows]},
        table(header, [list(each.values()) for each in cells]),
    )
    return 0


def _options(arguments: list[str] | None) -> Any:
    made = parser("live_text", __doc__)
    half_option(made)
    made.add_argument("--talks", type=int, default=2, help="different orders of the clips")
    made.add_argument("--seconds", type=float, default=float("inf"), help="of each; all clips by default")
    made.add_argument(
        "--longer-than", type=float, default=SHORTEST_CLIP_S, help="seconds, of the clips to be played"
    )
    made.add_argument("--cut-at", type=float, nargs="+", default=[EndpointerOptions().overlong_s])
    made.add_argument("--effort", type=Effort, nargs="+", choices=list(Effort), default=[Effort.LIGHT])
    return made.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
