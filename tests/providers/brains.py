"""One socket's side of a realtime server: strict, and without the socket.

The words are in the audio, see `scripted.speak`. What no server takes is answered with an error, or is the
end of the test.
"""

from __future__ import annotations

import base64
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from asrctl.protocol.wyoming.framing import EventReader, WyomingEvent

WORD_S = 0.18
"""A word of `speak`, without the pause after it."""
_LOUD = 0.08
_TOLERANCE_S = 0.003


def words_in(pcm: bytes, rate_hz: int, *, whole: bool = True) -> list[str]:
    """The words in PCM made by `speak`; one that is too short or too long shows it.

    Args:
        pcm: Signed 16 bit.
        rate_hz: Its rate.
        whole: Whether a word at the very end is over.
    """
    samples: NDArray[np.float64] = np.frombuffer(pcm, "<i2") / 32768
    loud = np.concatenate(([False], np.abs(samples) >= _LOUD, [False]))
    edges = np.flatnonzero(np.diff(loud.astype(np.int8)))
    words = []
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        if end == len(samples) and not whole:
            break
        length_s = (end - start) / rate_hz
        number = round((float(np.median(samples[start:end])) - 0.1) * 8192)
        good = abs(length_s - WORD_S) <= _TOLERANCE_S
        words.append(f"w{number}" if good else f"w{number}:{length_s * 1000:.0f}ms")
    return words


class Broken(AssertionError):
    """The client said what no server takes."""


class Brain(Protocol):
    """One socket's side of the server."""

    def hello(self) -> list[dict[str, Any]]: ...
    def receive(self, message: Any) -> list[dict[str, Any]]: ...


class OpenAiBrain:
    """OpenAI's transcription dialect.

    Args:
        rate_hz: The rate that the server wants.
        early: Whether deltas come while audio is appended, as newer models do, or after the commit.
        backwards: Whether items that were committed while others waited are answered last to first.
        lazy: How many commits are waited for before any is answered.
    """

    def __init__(
        self, rate_hz: int = 24_000, *, early: bool = False, backwards: bool = False, lazy: int = 1
    ) -> None:
        self.rate_hz = rate_hz
        self.session: dict[str, Any] = {}
        self._early = early
        self._backwards = backwards
        self._lazy = lazy
        self._pcm = bytearray()
        self._told = 0
        self._items = 0
        self._waiting: list[tuple[str, list[str]]] = []

    def hello(self) -> list[dict[str, Any]]:
        format_ = {"type": "audio/pcm", "rate": self.rate_hz}
        session = {"type": "transcription", "audio": {"input": {"format": format_}}}
        return [{"type": "session.created", "session": session}]

    def receive(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        kind = message["type"]
        if kind == "session.update":
            return self._update(message["session"])
        if kind == "input_audio_buffer.append":
            self._pcm += base64.b64decode(message["audio"], validate=True)
            return self._deltas(whole=False) if self._early else []
        if kind == "input_audio_buffer.commit":
            return self._commit(message.get("event_id"))
        raise Broken(kind)

    def _update(self, session: dict[str, Any]) -> list[dict[str, Any]]:
        audio = session["audio"]["input"]
        if session["type"] != "transcription" or audio["turn_detection"] is not None:
            raise Broken(str(session))
        if audio["format"] != {"type": "audio/pcm", "rate": self.rate_hz}:
            raise Broken(str(audio["format"]))
        self.session = session
        return [{"type": "session.updated", "session": session}]

    @property
    def _item(self) -> str:
        return f"item_{self._items}"

    def _commit(self, event_id: str | None) -> list[dict[str, Any]]:
        if not self.session:
            raise Broken("committed before the session was set up")
        if len(self._pcm) < 2 * self.rate_hz // 10:
            error = {
                "type": "invalid_request_error",
                "code": "input_audio_buffer_commit_empty",
                "message": "buffer too small",
                "event_id": event_id,
            }
            return [{"type": "error", "error": error}]
        item, before = self._item, f"item_{self._items - 1}" if self._items else None
        events: list[dict[str, Any]] = [
            {"type": "input_audio_buffer.committed", "item_id": item, "previous_item_id": before},
            {"type": "conversation.item.added", "item": _item(item), "previous_item_id": before},
            {"type": "conversation.item.done", "item": _item(item), "previous_item_id": before},
        ]
        events += self._deltas(whole=True)
        self._waiting.append((item, words_in(bytes(self._pcm), self.rate_hz)))
        self._pcm.clear()
        self._told, self._items = 0, self._items + 1
        return events + self._completed()

    def _deltas(self, *, whole: bool) -> list[dict[str, Any]]:
        words = words_in(bytes(self._pcm), self.rate_hz, whole=whole)
        new, self._told = words[self._told :], max(self._told, len(words))
        return [_transcription("delta", self._item, delta=f" {word}") for word in new]

    def hurry(self) -> list[dict[str, Any]]:
        """Answer what waits."""
        self._lazy = 1
        return self._completed()

    def _completed(self) -> list[dict[str, Any]]:
        if not self._waiting or len(self._waiting) < self._lazy:
            return []
        waiting, self._waiting = self._waiting, []
        return [
            _transcription("completed", item, transcript=" ".join(words), usage=_USAGE)
            for item, words in (reversed(waiting) if self._backwards else waiting)
        ]


_USAGE = {"type": "duration", "seconds": 1.0}


def _item(item: str) -> dict[str, Any]:
    content = [{"type": "input_audio", "transcript": None}]
    return {"id": item, "type": "message", "role": "user", "status": "completed", "content": content}


def _transcription(what: str, item: str, **fields: object) -> dict[str, Any]:
    kind = f"conversation.item.input_audio_transcription.{what}"
    return {"type": kind, "item_id": item, "content_index": 0, **fields}


class OwnTurnsBrain:
    """A server like speaches: the older form of the dialect, and utterances that it ends by itself.

    It takes no format, no `turn_detection` of null, and no session without a model; it commits when half a
    second of silence follows speech, which it announces, and answers a commit as any other.

    Args:
        announces: Whether it says when speech starts and stops.
    """

    def __init__(self, *, announces: bool = True) -> None:
        self.session: dict[str, Any] = {}
        self.commits = 0
        self._announces = announces
        self._pcm = bytearray()
        self._items = 0
        self._speaking = False

    def hello(self) -> list[dict[str, Any]]:
        self.session = {
            "input_audio_format": "pcm16",
            "input_audio_transcription": {"model": "theirs"},
            "turn_detection": {"type": "server_vad", "silence_duration_ms": 500},
        }
        return [{"type": "session.created", "session": self.session}]

    def receive(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        kind = message["type"]
        if kind == "session.update":
            if set(message["session"]) - {"input_audio_transcription"}:
                raise Broken(str(message))
            self.session |= message["session"]
            if "model" not in self.session["input_audio_transcription"]:
                raise Broken("no model")
            return [{"type": "session.updated", "session": self.session}]
        if kind == "input_audio_buffer.append":
            self._pcm += base64.b64decode(message["audio"], validate=True)
            return self._listen()
        if kind == "input_audio_buffer.commit":
            self.commits += 1
            if len(self._pcm) < 4_800:
                return [{"type": "error", "error": {"message": "the buffer is too small"}}]
            return self._item("a commit")
        if kind == "input_audio_buffer.clear":
            self._pcm.clear()
            return [{"type": "input_audio_buffer.cleared"}]
        raise Broken(kind)

    def _listen(self) -> list[dict[str, Any]]:
        loud = np.flatnonzero(np.abs(np.frombuffer(bytes(self._pcm), "<i2")) > 0.08 * 32768)
        events: list[dict[str, Any]] = []
        if len(loud) and not self._speaking:
            self._speaking = True
            started = {"type": "input_audio_buffer.speech_started", "item_id": f"item_{self._items}"}
            events += [started] if self._announces else []
        if self._speaking and len(self._pcm) // 2 - int(loud[-1]) > 12_000:
            stopped = {"type": "input_audio_buffer.speech_stopped", "item_id": f"item_{self._items}"}
            events += [stopped] if self._announces else []
            events += self._item("silence")
        return events

    def _item(self, why: str) -> list[dict[str, Any]]:
        item, pcm = f"item_{self._items}", bytes(self._pcm)
        self._items, self._speaking = self._items + 1, False
        self._pcm.clear()
        text = " ".join(words_in(pcm, 24_000)) or f"words made up of {why}"
        return [
            {"type": "input_audio_buffer.committed", "item_id": item, "previous_item_id": None},
            _transcription("completed", item, transcript=text, usage=_USAGE),
        ]


class VllmBrain:
    """vLLM's dialect, with its habit of throwing away what comes before `transcription.done`.

    Args:
        early: After so many words a generation ends by itself; 0 for never.
    """

    def __init__(self, early: int = 0) -> None:
        self.model: str | None = None
        self._early = early
        self._pcm = bytearray()
        self._told = 0
        self._running = False

    def hello(self) -> list[dict[str, Any]]:
        return [{"type": "session.created", "id": "sess-1", "created": 1}]

    def receive(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        kind = message["type"]
        if kind == "session.update":
            self.model = message["model"]
            return []
        if kind == "input_audio_buffer.append":
            self._pcm += base64.b64decode(message["audio"], validate=True)
            return self._deltas(whole=False) if self._running else []
        if kind != "input_audio_buffer.commit":
            raise Broken(kind)
        if message.get("final") and self._early and not self._running:
            return []  # it crossed the end that came by itself
        if self.model is None:
            return [{"type": "error", "error": "Model not validated.", "code": "model_not_validated"}]
        return self._end() if message.get("final") else self._begin()

    def _begin(self) -> list[dict[str, Any]]:
        if self._running:
            raise Broken("a second generation")
        self._running, self._told = True, 0
        return self._deltas(whole=False)

    def _end(self) -> list[dict[str, Any]]:
        if not self._running:
            raise Broken("the end of no generation")
        text = "".join(f" {word}" for word in words_in(bytes(self._pcm), 16_000))
        events = self._deltas(whole=True)
        self._running = False
        self._pcm.clear()
        return [*events, {"type": "transcription.done", "text": text, "usage": {}}]

    def _deltas(self, *, whole: bool) -> list[dict[str, Any]]:
        words = words_in(bytes(self._pcm), 16_000, whole=whole)
        new, self._told = words[self._told :], max(self._told, len(words))
        deltas = [{"type": "transcription.delta", "delta": f" {word}"} for word in new]
        if whole or not self._early or len(words) < self._early:
            return deltas
        self._running = False
        self._pcm.clear()
        text = "".join(f" {word}" for word in words)
        return [*deltas, {"type": "transcription.done", "text": text, "usage": {}}]


class WyomingBrain:
    """Wyoming, with the habit of services to close the connection after a transcript.

    Args:
        chunks: Whether the transcript comes in chunks too.
        closes: Whether the connection is closed after a transcript.
        hears: Whether it recognises speech at all.
    """

    def __init__(self, *, chunks: bool = True, closes: bool = False, hears: bool = True) -> None:
        self.transcribe: dict[str, Any] | None = None
        self.pings = 0
        self._chunks = chunks
        self._closes = closes
        self._hears = hears
        self._events = EventReader()
        self._pcm = bytearray()
        self._told = 0
        self._started = False
        self.is_over = False

    def hello(self) -> list[dict[str, Any]]:
        return []

    def receive(self, message: bytes) -> list[dict[str, Any]]:
        self._events.feed(message)
        return [answer for event in iter(self._events.next, None) for answer in self._take(event)]

    def _take(self, event: WyomingEvent) -> list[dict[str, Any]]:
        if self.is_over:
            raise Broken("the connection was closed")
        match event.type:
            case "describe":
                return [{"type": "info", "asr": [{"name": "x"}] if self._hears else []}]
            case "ping":
                self.pings += 1
                return [{"type": "pong", "text": None}]
            case "transcribe":
                self.transcribe = dict(event.data)
            case "audio-start" if self.transcribe is not None:
                self._started = True
            case "audio-chunk" if self._started and event.data == {"rate": 16_000, "width": 2, "channels": 1}:
                self._pcm += event.payload
                return self._new(whole=False)
            case "audio-stop" if self._started:
                return self._answer()
            case _:
                raise Broken(event.type)
        return []

    def _new(self, *, whole: bool) -> list[dict[str, Any]]:
        words = words_in(bytes(self._pcm), 16_000, whole=whole)
        new, told = words[self._told :], self._told
        self._told = max(self._told, len(words))
        if not self._chunks:
            return []
        chunks = [f" {word}" if told + index else word for index, word in enumerate(new)]
        return [{"type": "transcript-chunk", "text": chunk} for chunk in chunks]

    def _answer(self) -> list[dict[str, Any]]:
        events, text = self._new(whole=True), " ".join(words_in(bytes(self._pcm), 16_000))
        self._pcm.clear()
        self._started, self._told, self.transcribe = False, 0, None
        self.is_over = self._closes
        return [*events, {"type": "transcript", "text": text}, {"type": "transcript-stop"}]


class DeepgramBrain:
    """Deepgram's live dialect without endpointing of its own; interim results end with a wrong guess."""

    def __init__(self) -> None:
        self.alive = 0
        self._pcm = bytearray()

    def hello(self) -> list[dict[str, Any]]:
        return []

    def receive(self, message: bytes | dict[str, Any]) -> list[dict[str, Any]]:
        if isinstance(message, bytes):
            self._pcm += message
            words = words_in(bytes(self._pcm), 16_000, whole=False)
            return [self._results([*words, f"guess{len(self._pcm)}"])]
        if message["type"] == "KeepAlive":
            self.alive += 1
            return []
        if message["type"] != "Finalize":
            raise Broken(message["type"])
        words = words_in(bytes(self._pcm), 16_000)
        self._pcm.clear()
        half = len(words) // 2
        first = [self._results(words[:half], is_final=True)] if half else []
        return [*first, self._results(words[half:], is_final=True, from_finalize=True)]

    def _results(self, words: list[str], **flags: bool) -> dict[str, Any]:
        channel = {"alternatives": [{"transcript": " ".join(words), "confidence": 0.9, "words": []}]}
        return {"type": "Results", "is_final": False, "from_finalize": False, "channel": channel, **flags}
