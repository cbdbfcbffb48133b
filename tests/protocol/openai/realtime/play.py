"""A client and a session around a realtime machine, without a server between them."""

from __future__ import annotations

import base64
import json
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from asrctl.events import (
    Dropped,
    Event,
    Final,
    Finished,
    Flushed,
    Partial,
    SpeechEnded,
    SpeechStarted,
)
from asrctl.protocol.dialect import (
    CloseSocket,
    DialectOutput,
    Discard,
    Feed,
    Finish,
    Flush,
    Note,
    Open,
    SendText,
    SessionRequest,
)
from asrctl.protocol.openai.models import Served
from asrctl.protocol.openai.realtime.config import RealtimeConfig
from asrctl.protocol.openai.realtime.machine import Realtime
from asrctl.transcript import AudioAccount, Segment

SERVED = Served("tiny", multilingual=True)
SPEECH, SILENCE = b"\x01", b"\x00"
TEXT = "conversation.item.input_audio_transcription."


@dataclass
class Session:
    """What a server does of the seam: speech is bytes of 1, silence bytes of 0, and each utterance a word."""

    request: SessionRequest
    events: deque[Event] = field(default_factory=deque)
    open: bool = False
    utterance: int = -1
    samples: int = 0
    fed: int = 0

    def take(self, step: Feed | Flush | Discard | Finish) -> None:
        """Do what is asked; the events wait to be delivered."""
        if isinstance(step, Feed):
            self.fed += len(step.data)
            if (step.data[:1] == SPEECH) != self.open:
                self._end() if self.open else self._begin()
        elif isinstance(step, Discard):
            if self.open:
                self.open = False
                self.events.append(Dropped(self.utterance, 0, 0, step.reason))
            self.events.append(Flushed(0))
        else:
            if self.open:
                self._end()
            self.events.append(Flushed(0) if isinstance(step, Flush) else Finished(AudioAccount()))

    @property
    def at_s(self) -> float:
        size = 2 if self.request.encoding == "pcm_s16le" else 1
        return self.fed / (size * self.request.sample_rate_hz)

    def _begin(self) -> None:
        self.open = True
        self.utterance += 1
        self.events.append(SpeechStarted(self.utterance, max(0.0, self.at_s - 0.2)))
        if self.request.partials:
            self.events.append(partial(self.utterance, f"w{self.utterance}"))

    def _end(self) -> None:
        self.open = False
        self.events += (SpeechEnded(self.utterance, self.at_s), final(self.utterance))


def partial(utterance: int, stable: str, unstable: str = "") -> Partial:
    return Partial(utterance, 1, 0.0, 1.0, stable, unstable)


def final(utterance: int, text: str | None = None) -> Final:
    said = f"w{utterance} end" if text is None else text
    return Final(utterance, Segment(0.0, 1.0, said, 0.9), 0, 16_000, "test", "en")


class Play:
    """Asks of a machine what a client asks, and hands it a session's events."""

    def __init__(self, served: Served = SERVED, **config: Any) -> None:
        self.now_s = 100.0
        self.machine = Realtime(
            RealtimeConfig(config.pop("model", served.name), **config), served, "sess_x", lambda: self.now_s
        )
        self.said: list[dict[str, Any]] = []
        self.asked: list[DialectOutput] = []
        self.session: Session | None = None
        self.close: CloseSocket | None = None
        self.do(self.machine.opened())

    def do(self, outputs: Iterable[DialectOutput]) -> None:
        """Act on what follows."""
        for output in outputs:
            assert self.close is None
            if isinstance(output, SendText):
                self.said.append(json.loads(output.text))
                continue
            self.asked.append(output)
            if isinstance(output, CloseSocket):
                self.close = output
            elif isinstance(output, Open):
                assert self.session is None
                self.session = Session(output.request)
            elif not isinstance(output, Note):
                assert self.session is not None
                assert isinstance(output, Feed | Flush | Discard | Finish)
                self.session.take(output)

    def send(self, kind: str, **fields: Any) -> None:
        """An event of the client."""
        self.do(self.machine.receive_text(json.dumps({"type": kind, **fields})))

    def append(self, data: bytes) -> None:
        self.send("input_audio_buffer.append", audio=base64.b64encode(data).decode())

    def speak(self, seconds: float = 0.5, kind: bytes = SPEECH) -> None:
        """So much audio at 24 kHz."""
        self.append(kind * round(48_000 * seconds))

    def commit(self) -> None:
        self.send("input_audio_buffer.commit")

    def update(self, **session: Any) -> None:
        self.send("session.update", session=session)

    def deliver(self, count: int = 10**6) -> None:
        """Events of the session, as far as there are any."""
        while count > 0 and self.session is not None and self.session.events and self.close is None:
            event = self.session.events.popleft()
            if isinstance(event, Finished):
                self.session = None
            self.do(self.machine.hear(event))
            count -= 1

    def kinds(self, start: int = 1) -> list[str]:
        return [each["type"].rpartition("input_audio_transcription.")[2] for each in self.said[start:]]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [each for each in self.said if each["type"].endswith(kind)]

    @property
    def transcripts(self) -> list[str]:
        return [each["transcript"] for each in self.of(".completed")]


def check_order(said: list[dict[str, Any]]) -> None:
    """What clients rely on, whatever happened."""
    ids = [each["event_id"] for each in said]
    assert len(set(ids)) == len(ids)
    chain = [
        (each["previous_item_id"], each["item_id"]) for each in said if each["type"].endswith(".committed")
    ]
    assert [before for before, _ in chain] == [None, *(item for _, item in chain)][: len(chain)]
    order = [item for _, item in chain]
    ended: list[str] = []
    texts: dict[str, str] = {}
    committed: set[str] = set()
    for each in said:
        if each["type"].endswith(".committed"):
            committed.add(each["item_id"])
        if not each["type"].startswith(TEXT):
            continue
        item = each["item_id"]
        assert item not in ended
        if each["type"].endswith(".delta"):
            assert each["delta"]
            assert all(other in ended for other in texts if other != item and other in order)
            texts[item] = texts.get(item, "") + each["delta"]
        elif not each["type"].endswith(".segment"):
            assert item in committed
            assert order[len(ended)] == item
            ended.append(item)
            if each["type"].endswith(".completed"):
                assert texts.get(item, "") == each["transcript"]
                assert each["usage"]["seconds"] >= 0
    assert [each["item"]["id"] for each in said if each["type"].endswith("item.done")] == order
