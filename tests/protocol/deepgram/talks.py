"""A real stream beneath the dialect, with a recogniser that answers when it is told to."""

from __future__ import annotations

import json
from collections import deque
from typing import Any

import numpy as np

from asrctl.events import Event
from asrctl.policy.endpointing import EndpointerOptions
from asrctl.protocol.deepgram.live import DeepgramLive
from asrctl.protocol.deepgram.query import live_options
from asrctl.protocol.deepgram.shapes import Origin
from asrctl.protocol.dialect import CloseSocket, DialectOutput, Feed, Finish, Flush, Note, Open, SendText
from asrctl.protocol.openai.models import Served
from asrctl.providers.recognizer import Completed, Failed, Heard
from asrctl.streaming import commands
from asrctl.streaming.stream import Stream, StreamOptions

from ...policy.clock import Clock
from ...streaming.speech import LevelDetector, Samples, heard_in, silence, speak

ORIGIN = Origin("an-id", "2026-11-28T12:00:00.000Z", "tiny", "1.0")
SERVED = Served("tiny", multilingual=True)
RAW = {"encoding": "linear16", "sample_rate": "16000"}
CUTS = EndpointerOptions(overlong_s=2.0, max_utterance_s=3.0)


class Talk:
    """One socket. What was sent is in `said`, by type in `of`; `closed` is the close frame."""

    def __init__(self, **query: str) -> None:
        self.clock = Clock()
        self.dialect = DeepgramLive(live_options({**RAW, **query}.items(), SERVED), ORIGIN, self.clock)
        self.stream = Stream(LevelDetector(), StreamOptions(endpointing=CUTS))
        self.said: list[dict[str, Any]] = []
        self.notes: list[Note] = []
        self.opened: list[Open] = []
        self.closed: CloseSocket | None = None
        self.fed_samples = 0
        self._audio: list[Samples] = []
        self._waiting: deque[tuple[int, Samples]] = deque()
        self._next = 0
        self._do(self.dialect.opened())

    # The client

    def text(self, message: object) -> None:
        """Send a message, or a text that is none."""
        raw = message if isinstance(message, str) else json.dumps(message)
        self._do(self.dialect.receive_text(raw))

    def ask(self, kind: str) -> None:
        """Send a message without fields."""
        self.text({"type": kind})

    def audio(self, samples: Samples) -> None:
        """Send audio, in real time."""
        for piece in np.array_split(samples, max(1, len(samples) // 1600)):
            self.clock.advance(len(piece) / 16_000)
            self._do(self.dialect.receive_binary(np.round(piece * 32767).astype("<i2").tobytes()))

    def talk(self, *numbers: int) -> None:
        """Send words."""
        self.audio(speak(list(numbers)))

    def pause(self, duration_s: float) -> None:
        """Send silence, with the time looked at now and then."""
        for _ in range(round(duration_s / 0.25)):
            self.audio(silence(0.25))
            self._do(self.dialect.check_time())

    def wait(self, duration_s: float) -> None:
        """Send nothing."""
        self.clock.advance(duration_s)
        self._do(self.dialect.check_time())

    # The server

    def answer(self, *, lost: bool = False) -> None:
        """What was said in the oldest utterance that waits, or that it is lost."""
        if not self._waiting:
            return
        number, samples = self._waiting.popleft()
        spoken = Failed(number, OSError("gone")) if lost else Completed(number, heard_in(samples))
        self._follow(self.stream.hear(spoken))

    def answer_all(self) -> None:
        """All that waits."""
        while self._waiting:
            self.answer()

    def guess(self) -> None:
        """What the newest utterance seems to say."""
        number = self._next if self._audio else self._next - 1
        samples = np.concatenate(self._audio) if self._audio else silence(0.5)
        said = tuple(heard_in(samples).text.split())
        self._follow(self.stream.hear(Heard(number, said[:-1], said[-1:], len(samples))))

    def leave(self) -> None:
        """The server shuts down."""
        self._do(self.dialect.going_away())

    def hear(self, event: Event) -> None:
        """An event that the stream does not have."""
        self._do(self.dialect.hear(event))

    def tell(self, outputs: list[DialectOutput]) -> None:
        """Whatever else the dialect says."""
        self._do(outputs)

    def _do(self, outputs: list[DialectOutput]) -> None:
        for output in outputs:
            assert self.closed is None, "something came after the close frame"
            if isinstance(output, SendText):
                self.said.append(json.loads(output.text))
                assert output.droppable == (self.said[-1].get("is_final") is False)
            elif isinstance(output, Feed):
                samples = np.frombuffer(output.data, "<i2").astype(np.float32) / 32767
                self.fed_samples += len(samples)
                self._follow(self.stream.feed(samples))
            elif isinstance(output, Flush):
                self._follow(self.stream.flush())
            elif isinstance(output, Finish):
                self._follow(self.stream.finish())
            elif isinstance(output, Open):
                self.opened.append(output)
            elif isinstance(output, Note):
                self.notes.append(output)
            else:
                assert isinstance(output, CloseSocket)
                self.closed = output

    def _follow(self, outputs: list[Any]) -> None:
        for output in outputs:
            if isinstance(output, commands.Feed):
                self._audio.append(output.samples)
            elif isinstance(output, commands.End):
                audio = np.concatenate(self._audio) if self._audio else silence(0.1)
                self._waiting.append((self._next, audio))
                self._audio, self._next = [], self._next + 1
            elif not isinstance(output, commands.Pause | commands.Drop):
                self._do(self.dialect.hear(output))

    # What was sent

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Messages of a type."""
        return [each for each in self.said if each["type"] == kind]

    @property
    def finals(self) -> list[dict[str, Any]]:
        """Results for good."""
        return [each for each in self.of("Results") if each["is_final"]]

    @property
    def words(self) -> list[str]:
        """Of all finals."""
        return [word for final in self.finals for word in heard(final)["transcript"].split()]


def heard(results: dict[str, Any]) -> dict[str, Any]:
    """The alternative of results."""
    [alternative] = results["channel"]["alternatives"]
    assert isinstance(alternative, dict)
    return alternative
