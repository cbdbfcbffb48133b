"""A stage for providers that load no model of ours: those that are streams, and servers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Protocol

from asrctl.bench.cost import Cost
from asrctl.bench.paced import Heard, Talk, play
from asrctl.bench.stage import Played, Remembered, TellShare, Unpaced
from asrctl.engine.lineup import Lineup
from asrctl.engine.session import Session
from asrctl.engine.stream import SpeechDetector, Stream, StreamOptions
from asrctl.policy.endpointing import EndpointerOptions
from asrctl.providers.base import StreamingModel
from asrctl.stream.events import Final
from asrctl.transcript import SAMPLE_RATE_HZ

_MOST_PENDING_S = 90.0


class Live(Protocol):
    """Providers at work."""

    @property
    def lineup(self) -> Lineup:
        """Who recognises utterances."""
        ...

    @property
    def streaming(self) -> StreamingModel | None:
        """The first of them, if it is fed streams."""
        ...

    def wait_ready(self) -> None:
        """Block until the first can take a stream."""
        ...


class Fed:
    """Providers as they are used live; they start for each run. What a server costs is not seen here."""

    def __init__(
        self,
        name: str,
        start: Callable[[], AbstractContextManager[Live]],
        options: StreamOptions,
        detector: Callable[[], SpeechDetector],
    ) -> None:
        """Prepare; nothing is started.

        Args:
            name: Model and provider.
            start: Starts them.
            options: How live audio is cut.
            detector: Makes what finds speech.
        """
        self.name = name
        self._start = start
        self._options = options
        self._detector = detector
        self._unpaced = Remembered()

    @property
    def description(self) -> dict[str, Any]:
        """The name is all there is."""
        return {"provider": self.name}

    @property
    def endpointing(self) -> EndpointerOptions:
        """How ends of speech are found."""
        return self._options.endpointing

    def play(self, talks: Sequence[Talk], tell: TellShare) -> Played:
        """Start, play, end.

        Raises:
            ProviderError: The provider cannot run here, or does not get ready.
        """
        with self._start() as live:
            live.wait_ready()
            pids: Callable[[], list[int]] = getattr(live.streaming, "pids", list)
            unpaced = [self._unpaced.get(talk, lambda talk: self._decode(live, talk)) for talk in talks]
            with Cost(pids()) as cost:
                heard = play(live.lineup, talks, self._options, self._detector, tell)
        audio_s = sum(len(talk.samples) for talk in talks) / SAMPLE_RATE_HZ
        figures = {
            "cpu_per_audio_s": cost.cpu_s / audio_s,
            "parent_cpu_per_audio_s": cost.parent_s / audio_s,
            "peak_rss_mb": cost.peak_rss_mb,
            "busy_share": cost.busy_share,
        }
        return Played(heard, unpaced, figures)

    def _decode(self, live: Live, talk: Talk) -> Unpaced:
        """The talk as fast as it is taken, without partials."""
        heard = Heard()
        stream = Stream(self._detector(), replace(self._options, pacing=None))
        with Session(stream, live.lineup, heard) as session:
            for at in range(0, len(talk.samples), SAMPLE_RATE_HZ):
                session.feed(talk.samples[at : at + SAMPLE_RATE_HZ])
                session.wait_pending_below(round(_MOST_PENDING_S * SAMPLE_RATE_HZ))
            session.finish()
            session.wait_finished()
        finals = [event.segment for _, event in heard.events if isinstance(event, Final)]
        return Unpaced(heard.text, [word for segment in finals for word in segment.words])
