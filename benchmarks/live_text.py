"""What live recognition makes of conversations, at leisure, against the same recordings as files.

python -m benchmarks.live_text benchmark-corpus --talks 10 --seconds 600
python -m benchmarks.live_text benchmark-corpus --talks 2 --longer-than 8 --cut-at 10 12 15
python -m benchmarks.live_text benchmark-corpus --talks 1 --effort light normal thorough

Nothing is paced and nothing waits, so that the words are the same each time: what differs from the file is
due to how live speech is cut into utterances and how those are decoded, not to load.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

from asrctl.engine.pool import WorkerPool
from asrctl.engine.stream import Stream, StreamOptions
from asrctl.engine.utterance import Decode, Output

from asrctl.bench.paced import Talk
from asrctl.policy.endpointing import EndpointerOptions
from asrctl.policy.window import Effort
from asrctl.streaming.events import Final
from asrctl.transcript import SAMPLE_RATE_HZ, join_text
from benchmarks.accuracy import accuracy
from benchmarks.common import note, table
from benchmarks.live import conversation
from benchmarks.serve_sessions import clips_of, detector, keep, parser, serve_options, transcripts

_CHUNK_SAMPLES = 1600


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


def finals_of(talk: Talk, pool: WorkerPool, cut_at_s: float, effort: Effort) -> tuple[list[Final], float]:
    """A talk's finals, and the time that their decodes took."""
    endpointing = EndpointerOptions(overlong_s=cut_at_s)
    stream = Stream(detector(), StreamOptions(endpointing=endpointing, pacing=None))
    finals, outputs, decoding_s = list[Final](), deque[Output](), 0.0
    for at in range(0, len(talk.samples) + _CHUNK_SAMPLES, _CHUNK_SAMPLES):
        chunk = talk.samples[at : at + _CHUNK_SAMPLES]
        outputs.extend(stream.feed(chunk) if len(chunk) else stream.finish())
        while outputs:
            output = outputs.popleft()
            if isinstance(output, Decode):
                hypothesis = pool.submit(output.samples, replace(output.options, effort=effort)).result()
                decoding_s += hypothesis.inference_s
                outputs.extend(stream.resolve(output.job, hypothesis))
            elif isinstance(output, Final):
                finals.append(output)
    return finals, decoding_s


def row(
    talks: Sequence[Talk], offline: Sequence[str], pool: WorkerPool, cut_at_s: float, effort: Effort
) -> Row:
    """Hear all talks one way."""
    heard = [finals_of(talk, pool, cut_at_s, effort) for talk in talks]
    finals = [each for each, _ in heard]
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
        decoding_s=round(sum(taken_s for _, taken_s in heard), 1),
    )


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = _options(arguments)
    served = serve_options(options.model)
    clips = [clip for clip in clips_of(options.corpus) if clip.duration_s > options.longer_than]
    talks = [conversation(options.corpus, clips, options.seconds, seed) for seed in range(options.talks)]
    note(f"{len(talks)} talks, {sum(len(talk.samples) for talk in talks) / SAMPLE_RATE_HZ:.0f} s")
    offline = transcripts(served, talks)
    ways = [(cut_at_s, effort) for cut_at_s in options.cut_at for effort in options.effort]
    with WorkerPool(served.models.main.spec, served.pool) as pool:
        pool.wait_ready()
        rows = [row(talks, offline, pool, *way) for way in ways]
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
    made.add_argument("--talks", type=int, default=2, help="different orders of the clips")
    made.add_argument("--seconds", type=float, default=float("inf"), help="of each; all clips by default")
    made.add_argument("--longer-than", type=float, default=0.0, help="seconds, of the clips to be played")
    made.add_argument("--cut-at", type=float, nargs="+", default=[EndpointerOptions().overlong_s])
    made.add_argument("--effort", type=Effort, nargs="+", choices=list(Effort), default=[Effort.LIGHT])
    return made.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
