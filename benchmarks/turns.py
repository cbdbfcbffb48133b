"""What hearing the ends of turns gains, and costs: how soon finals come, how many sentences are cut in two.

Conversations of one half of the corpus, paced as from a microphone, with all pauses alike and with a model
that hears whether what was said before sounds finished. Options of that model are chosen on the other half:

    python -m benchmarks.turns benchmark-corpus --choose
    python -m benchmarks.turns benchmark-corpus --seconds 200

`--choose` decodes nothing. It says what would have become of each pause, by when the model is asked and which
probabilities count, if an answer takes 0.15 s: a pause within a clip should not end an utterance.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import jiwer
import numpy as np

from asrctl.audio.gain_control import GainControlled
from asrctl.bench.cost import Cost
from asrctl.bench.engine import Workers
from asrctl.bench.paced import Heard, Talk, latencies
from asrctl.bench.setup import Setup
from asrctl.end_of_turn.network import SmartTurn
from asrctl.end_of_turn.process import TurnProcess
from asrctl.models.store import ModelStore
from asrctl.models.turn_weights import resolve_turn
from asrctl.policy.end_of_turn import WINDOW_SAMPLES, TurnOptions
from asrctl.policy.endpointing import FRAME_SAMPLES, Endpointer, EndpointerOptions
from benchmarks.accuracy import normalise
from benchmarks.common import SAMPLE_RATE_HZ, Clip, Table, note, read_manifest, read_wav, silence, table
from benchmarks.live import wer_percent
from benchmarks.talks import (
    SHORTEST_CLIP_S,
    conversation,
    detector,
    keep,
    parser,
    setup_for,
    spread,
)

_ANSWER_S = 0.15
_ASK_S = (0.128, 0.16, 0.192, 0.256)
_FINISHED = (0.5, 0.7, 0.8, 0.9, 0.95)
_UNFINISHED = (0.02, 0.1, 0.3)
_SENTENCE_END = re.compile(r"(?<=[.?!])\s+")


def half_of(corpus: Path, half: str) -> list[Clip]:
    """Every second clip: one half is for choosing, the other for figures."""
    clips = [
        clip for clip in read_manifest(corpus) if not clip.synthetic and clip.duration_s > SHORTEST_CLIP_S
    ]
    return clips[half == "report" :: 2]


# Choosing


@dataclass(frozen=True, slots=True)
class PauseFound:
    """A pause in a clip, or the one after it.

    Attributes:
        lasted_s: How long; None after the clip.
        finished: What the network said, by when it was asked; only while the pause lasted.
    """

    lasted_s: float | None
    finished: dict[float, float]


def pauses_of(network: SmartTurn, corpus: Path, clip: Clip) -> Iterator[PauseFound]:
    """The pauses that the endpointer finds in a clip."""
    rng = np.random.default_rng(0)
    parts = [silence(0.5, rng), read_wav(corpus / clip.file), silence(2.0, rng)]
    samples = np.concatenate(parts).astype(np.float32) / np.float32(32768)
    endpointer = Endpointer(EndpointerOptions(trailing_silence_s=5.0, max_utterance_s=600.0))
    ask_frames = {round(ask_s * SAMPLE_RATE_HZ) // FRAME_SAMPLES: ask_s for ask_s in _ASK_S}
    asked: dict[float, float] = {}
    paused_frames = 0
    for probability in GainControlled(detector()).probabilities(samples):
        endpointer.push(float(probability))
        span = endpointer.open_span
        frames = endpointer.trailing_silence_samples // FRAME_SAMPLES if span else 0
        if not frames and asked:
            yield PauseFound((paused_frames + 1) * FRAME_SAMPLES / SAMPLE_RATE_HZ, asked)
            asked = {}
        if span and frames in ask_frames:
            end = endpointer.account.received_samples
            heard = samples[max(span.start_sample, end - WINDOW_SAMPLES) : end]
            asked[ask_frames[frames]] = network.finished(heard)
        paused_frames = frames
    if asked:
        yield PauseFound(None, asked)


def outcome(found: Sequence[PauseFound], turn: TurnOptions | None) -> tuple[int, list[float]]:
    """How many pauses within clips end an utterance; and how long after speech clips are seen to end."""
    cuts, waits = 0, list[float]()
    for pause in found:
        wait_s = EndpointerOptions().trailing_silence_s
        if turn and turn.ask_s in pause.finished:
            wanted_s = turn.silence_s(pause.finished[turn.ask_s])
            wait_s = wait_s if wanted_s is None else max(wanted_s, turn.ask_s + _ANSWER_S)
        if pause.lasted_s is None:
            waits.append(wait_s)
        else:
            cuts += pause.lasted_s > wait_s
    return cuts, waits


def choose(corpus: Path, half: str) -> Table:
    """What each choice of options would do."""
    network = SmartTurn(resolve_turn(ModelStore().root))
    found = [pause for clip in half_of(corpus, half) for pause in pauses_of(network, corpus, clip)]
    choices: list[TurnOptions | None] = [None]
    choices += [
        TurnOptions(ask_s, finished, unfinished)
        for ask_s, finished, unfinished in product(_ASK_S, _FINISHED, _UNFINISHED)
    ]
    rows = []
    for turn in choices:
        cuts, waits = outcome(found, turn)
        named = (turn.ask_s, turn.finished, turn.unfinished) if turn else ("-", "-", "-")
        rows.append(
            [*named, cuts, float(np.median(waits)), float(np.percentile(waits, 95)), float(np.mean(waits))]
        )
    within = sum(pause.lasted_s is not None for pause in found)
    title = f"{within} pauses within clips, {len(found) - within} after them"
    header = ["asked at s", "finished from", "unfinished to", "clips cut", "wait p50", "p95", "mean"]
    return table(header, rows, title)


# Figures


@dataclass(frozen=True, slots=True)
class Figures:
    """One way to end utterances.

    Attributes:
        turns: Whether the ends of turns are heard.
        utterances: Finals that came after a pause.
        final_s: From the end of speech to the final, median and p95.
        cut_in_two: Finals that end inside a sentence of the reference.
        wer_percent: Word error rate.
        cpu_per_audio_s: Processor time of all processes, in seconds per second of audio.
        peak_rss_mb: Their memory.
    """

    turns: bool
    utterances: int
    final_s: str
    cut_in_two: int
    wer_percent: float
    cpu_per_audio_s: float
    peak_rss_mb: float


class Hearing(Workers):
    """Workers, and a process that hears the ends of turns."""

    def __init__(self, setup: Setup) -> None:
        self._why = ""
        self._process = TurnProcess(None, self._failed)
        super().__init__(setup, turns=self._process)

    def _failed(self, reason: str) -> None:
        self._why = reason

    def wait_ready(self) -> None:
        """Block until both can work; ends the benchmark where the ends of turns cannot be heard."""
        super().wait_ready()

        async def answered() -> None:
            while await self._process.finished(np.zeros(WINDOW_SAMPLES, np.float32)) is None:
                if self._why:
                    raise SystemExit(self._why)

        self._runner.run(answered())

    def pids(self) -> list[int]:
        """Those of both."""
        return [*super().pids(), *self._process.pids()]

    def __exit__(self, *error: object) -> None:
        self._runner.run(self._process.close())
        super().__exit__(*error)


def cut_in_two(text: str, finals: Sequence[str]) -> int:
    """How many finals end inside a sentence of the reference, whose lines and full stops end sentences."""
    expected, ends = list[str](), set[int]()
    for sentence in (each for line in text.splitlines() for each in _SENTENCE_END.split(line)):
        expected += normalise(sentence).split()
        ends.add(len(expected))
    heard = [normalise(final).split() for final in finals]
    lasts = np.cumsum([len(words) for words in heard])
    alignment = jiwer.process_words(" ".join(expected), " ".join(word for words in heard for word in words))
    return sum(
        bool(words) and not _ends_at(int(last), alignment.alignments[0], ends)
        for words, last in zip(heard, lasts, strict=True)
    )


def _ends_at(last: int, chunks: Sequence[Any], ends: set[int]) -> bool:
    """Whether the first `last` words that were heard end where a sentence does, or where one may: words of
    the reference that were not heard there belong to either side."""
    for chunk in chunks:
        if chunk.hyp_start_idx < last < chunk.hyp_end_idx:
            at = min(chunk.ref_start_idx + last - chunk.hyp_start_idx, chunk.ref_end_idx)
            return at in ends
    touching = [chunk for chunk in chunks if last in (chunk.hyp_start_idx, chunk.hyp_end_idx)]
    least = min(chunk.ref_end_idx if chunk.hyp_end_idx == last else chunk.ref_start_idx for chunk in touching)
    most = max(
        chunk.ref_start_idx if chunk.hyp_start_idx == last else chunk.ref_end_idx for chunk in touching
    )
    return any(end in ends for end in range(min(least, most), max(least, most) + 1))


def measure(setup: Setup, talk: Talk, turn: TurnOptions | None) -> Figures:
    """One conversation, one way."""
    setup = replace(setup, stream=replace(setup.stream, turn=turn))
    with Hearing(setup) if turn else Workers(setup) as workers:
        workers.wait_ready()
        with Cost(workers.pids()) as cost:
            (heard,) = workers.play([talk], lambda _: None)
    late = latencies([talk], [heard], _as_heard(setup.stream.endpointing, turn))
    return Figures(
        turns=turn is not None,
        utterances=late.utterances,
        final_s=spread(late.final_s),
        cut_in_two=cut_in_two(talk.text or "", _texts(heard)),
        wer_percent=wer_percent([talk], [heard.text]),
        cpu_per_audio_s=round(cost.cpu_s * SAMPLE_RATE_HZ / len(talk.samples), 3),
        peak_rss_mb=round(cost.peak_rss_mb, 1),
    )


def _as_heard(options: EndpointerOptions, turn: TurnOptions | None) -> EndpointerOptions:
    """With the padding that finals have at their ends: whole frames, and no more than is waited for."""
    pad_s = min(options.pad_after_s, turn.ask_s) if turn else options.pad_after_s
    frames = -(-round(pad_s * SAMPLE_RATE_HZ) // FRAME_SAMPLES)
    return replace(options, pad_after_s=frames * FRAME_SAMPLES / SAMPLE_RATE_HZ)


def _texts(heard: Heard) -> list[str]:
    return [segment.text for segment in heard.segments]


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    made = parser("turns", __doc__)
    made.add_argument("--choose", action="store_true", help="print what options would do, on the other half")
    made.add_argument("--seconds", type=float, default=200.0, help="length of the conversation")
    made.add_argument("--seed", type=int, default=0, help="of the order of its clips")
    options = made.parse_args(arguments)
    if options.choose:
        found = choose(options.corpus, "choose")
        keep(options, {"half": "choose"}, found)
        return 0
    talk = conversation(options.corpus, half_of(options.corpus, "report"), options.seconds, options.seed)
    setup = setup_for(options.model)
    rows = []
    for turn in (None, TurnOptions()):
        rows.append(measure(setup, talk, turn))
        note(str(rows[-1]))
    header = ["ends of turns heard", "utterances", "final after speech s", "cut in two", "WER %"]
    header += ["CPU s per s", "RSS MB"]
    cells = [[*asdict(row).values()] for row in rows]
    keep(options, {"half": "report", "turn": asdict(TurnOptions()), "rows": cells}, table(header, cells))
    return 0


if __name__ == "__main__":
    sys.exit(main())
