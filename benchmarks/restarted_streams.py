"""Streams restarted where another had got to: are they cut into the same utterances?

python -m benchmarks.restarted_streams benchmark-corpus --talks 6

After a crash a client begins again at the committed sample, with a detector that has heard nothing. That is
tried every half second of each talk, once with a detector whose state is carried on, and once as it is: it
starts afresh after speech. No words are decoded.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from asrctl.audio import vad
from asrctl.policy.endpointing import FRAME_SAMPLES, Endpointer, Span, SpeechEnded
from benchmarks.common import half_option, table
from benchmarks.talks import detector, keep, parser, talks_of

_EVERY_FRAMES = 16
_NEVER = 1 << 40

Array = NDArray[np.float32]


@dataclass(slots=True)
class Restarts:
    """How restarted streams fared.

    Attributes:
        state: Of the detector.
        streams: Tried.
        same: Whose next utterance is that of the former stream, to the sample.
        start_differs: Whose next utterance starts elsewhere.
        end_differs: Or ends elsewhere.
    """

    state: str
    streams: int = 0
    same: int = 0
    start_differs: int = 0
    end_differs: int = 0


def utterances(samples: Array) -> tuple[list[Span], list[int]]:
    """All utterances of a talk, and what was settled after each frame."""
    endpointer, spans, settled = Endpointer(), list[Span](), list[int]()
    for probability in detector().probabilities(samples):
        events = endpointer.push(float(probability))
        spans += [event.span for event in events if isinstance(event, SpeechEnded)]
        settled.append(endpointer.settled_sample)
    return spans, settled


def next_utterance(samples: Array, from_sample: int) -> Span | None:
    """The first utterance that a stream begun there finds."""
    endpointer, listener = Endpointer(), detector()
    for at in range(from_sample, len(samples), FRAME_SAMPLES):
        for probability in listener.probabilities(samples[at : at + FRAME_SAMPLES]):
            for event in endpointer.push(float(probability)):
                if isinstance(event, SpeechEnded):
                    return Span(*(from_sample + edge for edge in event.span))
    return None


def try_all(state: str, talks: list[Array]) -> Restarts:
    """Restart all over the talks."""
    restarts = Restarts(state)
    for samples in talks:
        spans, settled = utterances(samples)
        for from_sample in settled[_EVERY_FRAMES::_EVERY_FRAMES]:
            expected = next((span for span in spans if span.end_sample > from_sample), None)
            if expected is None:
                break
            found = next_utterance(samples, from_sample)
            restarts.streams += 1
            restarts.same += found == expected
            restarts.start_differs += found is None or found.start_sample != expected.start_sample
            restarts.end_differs += found is None or found.end_sample != expected.end_sample
    return restarts


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    made = parser("restarted_streams", __doc__)
    half_option(made)
    made.add_argument("--talks", type=int, default=6, help="of a minute each")
    options = made.parse_args(arguments)
    talks = [talk.samples for talk in talks_of(options.corpus, options.talks, 60.0, half=options.half)]
    with patch.object(vad, "_FORGET_FRAMES", _NEVER):
        rows = [try_all("carried on", talks)]
    rows.append(try_all("afresh after speech", talks))
    found = table(list(asdict(rows[0])), [list(asdict(row).values()) for row in rows])
    keep(options, {"rows": [asdict(row) for row in rows]}, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
