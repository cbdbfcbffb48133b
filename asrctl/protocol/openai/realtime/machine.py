"""One socket of OpenAI's realtime transcription: a `Dialect`.

With turn detection each utterance of the server is an item. Without, the client commits: an item is all that
was said between two commits, however many utterances the server made of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from asrctl.events import Dropped, Event, Final, Finished, Flushed, Partial, SpeechEnded, SpeechStarted
from asrctl.policy.admission import Refusal
from asrctl.policy.token_bucket import TokenBucket
from asrctl.protocol.codes import CloseCode
from asrctl.protocol.dialect import CloseSocket, DialectOutput, Discard, Feed, Flush, Note, SendText
from asrctl.protocol.openai.errors import RequestRefused
from asrctl.protocol.openai.models import Served
from asrctl.protocol.openai.realtime.client_event import ClientEvent
from asrctl.protocol.openai.realtime.config import RealtimeConfig, updated
from asrctl.protocol.openai.realtime.items import Item, Items
from asrctl.protocol.openai.realtime.link import Form, Link, LinkState, Overflow
from asrctl.protocol.openai.realtime.mark import Mark
from asrctl.protocol.openai.realtime.voice import Voice

_LEAST_COMMIT_S = 0.1
_IDLE_S = 60.0
"""A session without audio for so long gives its place back; the socket stays."""
_EXPIRY_S = 3600.0
"""A socket that says nothing for so long is closed."""
_ROUNDING_S = 1e-6
_LEAVING = "the server is shutting down, and this audio was not transcribed"
_CLEARED = "the client cleared it"
_MOST_NOTES = 8
_WRONG_PER_S, _WRONG_BURST_S = 0.2, 200.0
"""Events that are wrong or unknown, until audio comes: a socket that says little else is closed."""
_TOO_MANY_WRONG = "too_many_errors", "too many events were wrong", CloseCode.POLICY, "invalid_request_error"


class Realtime:
    """See `Dialect`; one that has said `CloseSocket` says nothing more."""

    def __init__(
        self, config: RealtimeConfig, served: Served, session_id: str, clock: Callable[[], float]
    ) -> None:
        """A socket that is about to be accepted.

        Args:
            config: What the session is until the client says otherwise.
            served: The models of the server.
            session_id: Random; ids of events and items are made of it.
            clock: Monotonic seconds.
        """
        self._config = config
        self._served = served
        self._session_id = session_id
        self._clock = clock
        self._voice = Voice(session_id)
        self._say = self._voice.say
        self._link = Link(self._form)
        self._items = Items(self._say, f"item_{session_id.removeprefix('sess_')}")
        self._utterances: dict[int, Item] = {}
        self._tail: Item | None = None
        """Without turn detection: the item that is not committed yet."""
        self._marks: deque[Mark] = deque()
        self._commits = 0
        self._answered_commits = 0  # how many there were when a mark was last answered
        self._odd = b""
        self._audio_s = self._committed_s = 0.0
        self._answered_s = 0.0  # turns and silence up to there are known
        self._is_leaving = False
        self._spoke_s = self._audio_came_s = clock()
        self._unknown: set[str] = set()
        self._wrong = TokenBucket(_WRONG_PER_S, _WRONG_BURST_S, clock)

    @property
    def _form(self) -> Form:
        return Form(self._config.request(self._served), self._by_turns)

    # Dialect

    def opened(self) -> list[DialectOutput]:
        """Tell what the session is."""
        self._items.is_live, self._items.is_flat = self._config.is_live, self._config.is_flat
        return [self._session("session.created")]

    def receive_text(self, text: str) -> list[DialectOutput]:
        """Take an event of the client."""
        self._spoke_s = self._clock()
        cause = None
        try:
            event = ClientEvent.read(text)
            cause = event.event_id
            return self._take(event)
        except RequestRefused as refused:
            return self._refused(refused.code, refused.message, cause, refused.param)
        except Overflow as overflow:
            return self.refused(Refusal(str(overflow), 5))

    def receive_binary(self, data: bytes) -> list[DialectOutput]:
        """Audio comes in events."""
        self._spoke_s = self._clock()
        return self._refused("invalid_event", "audio comes as base64 in input_audio_buffer.append")

    def refused(self, refusal: Refusal) -> list[DialectOutput]:
        """No session is to be had, or too much waits in it: come back later."""
        message = f"{refusal.reason}; try again in {refusal.retry_after_s} s"
        return self._closed("rate_limit_exceeded", message, CloseCode.OVERLOAD, "rate_limit_error")

    def failed(self, reason: str) -> list[DialectOutput]:
        """The session broke: what it owed has failed."""
        return self._closed("session_failed", f"the session failed: {reason}", CloseCode.INTERNAL)

    def going_away(self) -> list[DialectOutput]:
        """What was fed is committed, and becomes final; what comes from here on will have failed."""
        outputs = self._commit_buffer() if not self._by_turns and self._buffered_s else []
        self._is_leaving = True
        if self._link.state is not LinkState.OPEN:
            return outputs
        self._marks.append(Mark(is_last=True))
        return [*outputs, *self._link.ask(Flush())]

    def ended(self) -> list[DialectOutput]:
        """What has no answer has failed."""
        outputs: list[DialectOutput] = [*self._items.fail(_LEAVING)]
        known_s = max(self._committed_s, self._answered_s if self._by_turns else 0.0)
        if self._audio_s - known_s > _ROUNDING_S:
            begun = [item for item in self._utterances.values() if not item.committed]
            item = begun[0] if begun else self._tail or self._items.begin(known_s)
            item.lost = _LEAVING
            outputs += [*self._items.commit(item, self._audio_s), *self._items.complete(item)]
        return [*outputs, CloseSocket(CloseCode.RESTART, "restart")]

    def check_time(self) -> list[DialectOutput]:
        """Give an idle session's place back; close a socket that nobody uses."""
        now_s = self._clock()
        if now_s - self._spoke_s >= _EXPIRY_S:
            message = f"nothing came for {_EXPIRY_S / 60:g} minutes"
            return self._closed("session_expired", message, 1001, "invalid_request_error")
        return self._link.finish() if now_s - self._audio_came_s >= _IDLE_S else []

    def hear(self, event: Event) -> list[DialectOutput]:
        """Take an event of the session."""
        if isinstance(event, Finished):
            return self._finished()
        if isinstance(event, Flushed):
            return self._flushed()
        return self._hear_turn(event) if self._link.form.by_turns else self._hear_part(event)

    # What the client asks for

    def _take(self, event: ClientEvent) -> list[DialectOutput]:
        kind = event.kind
        if self._is_leaving and kind != "input_audio_buffer.append":
            return []  # the end answers for it
        if kind in ("session.update", "transcription_session.update"):
            return self._update(kind, event.fields.get("session"))
        if kind == "input_audio_buffer.append":
            return self._append(event.audio())
        if kind == "input_audio_buffer.commit":
            return self._commit(event.event_id)
        if kind == "input_audio_buffer.clear":
            return self._clear()
        if not self._wrong.take():
            return self._closed(*_TOO_MANY_WRONG)
        if kind in self._unknown or len(self._unknown) >= _MOST_NOTES:
            return []
        self._unknown.add(kind)
        return [Note("event.ignored", {"type": kind[:100]})]

    def _update(self, kind: str, session: object) -> list[DialectOutput]:
        config = updated(self._config, session, self._served)
        outputs: list[DialectOutput] = []
        if self._config.turn_detection is None and config.turn_detection is not None and self._is_committable:
            outputs = self._commit()  # nobody would ever commit it
        elif self._config.turn_detection is not None and config.turn_detection is None:
            self._committed_s = self._audio_s  # what came until now are turns, which end with their session
        if (config.encoding, config.rate_hz) != (self._config.encoding, self._config.rate_hz):
            self._odd = b""
        self._config = config
        self._items.is_live, self._items.is_flat = config.is_live, config.is_flat
        return [*outputs, *self._link.change(self._form), self._session(f"{kind}d")]

    def _append(self, audio: Iterable[bytes]) -> list[DialectOutput]:
        self._audio_came_s = self._clock()
        return [output for piece in audio for output in self._feed(piece)]

    def _feed(self, data: bytes) -> list[DialectOutput]:
        data = self._odd + data
        whole = len(data) - len(data) % (2 if self._config.encoding == "pcm_s16le" else 1)
        data, self._odd = data[:whole], data[whole:]
        if not data:
            return []
        self._wrong.refill()
        self._audio_s += len(data) / self._form.bytes_per_s
        if self._is_leaving:
            return []
        return self._link.ask(Feed(data))

    @property
    def _buffered_s(self) -> float:
        return max(0.0, self._audio_s - self._committed_s)

    @property
    def _is_committable(self) -> bool:
        return self._buffered_s >= _LEAST_COMMIT_S - _ROUNDING_S

    @property
    def _by_turns(self) -> bool:
        return self._config.turn_detection is not None

    def _commit(self, cause: str | None = None) -> list[DialectOutput]:
        if not self._is_committable:
            message = (
                "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, "
                f"but buffer only has {1000 * self._buffered_s:.2f}ms of audio."
            )
            return self._refused("input_audio_buffer_commit_empty", message, cause)
        return self._commit_buffer()

    def _commit_buffer(self) -> list[DialectOutput]:
        if self._by_turns:
            self._marks.append(Mark(commits=self._commits, span_s=(self._committed_s, self._audio_s)))
            self._committed_s = self._audio_s  # all of it is asked for: another commit finds nothing
            return self._answered(Flush())
        item, self._tail = self._uncommitted(), None
        outputs: list[DialectOutput] = [*self._items.commit(item, self._audio_s)]
        self._commits, self._committed_s = self._commits + 1, self._audio_s
        self._marks.append(Mark(item))
        return [*outputs, *self._answered(Flush())]

    def _clear(self) -> list[DialectOutput]:
        self._committed_s, self._odd = self._audio_s, b""
        if self._tail is not None:
            self._items.forget(self._tail)
            self._tail = None
        self._marks.append(Mark())
        cleared = self._say("input_audio_buffer.cleared")
        return [*self._answered(Discard(_CLEARED, open_only=self._by_turns)), cleared]

    def _answered(self, step: Flush | Discard) -> list[DialectOutput]:
        """Ask for what `Flushed` answers; where no session is, nothing has to be waited for."""
        return self._link.ask(step) if self._link.has_work else self._flushed()

    # What the session says

    def _flushed(self) -> list[DialectOutput]:
        """The oldest of what is to be answered is answered."""
        mark = self._marks.popleft()
        if mark.is_last:
            self._answered_s = self._link.fed_s
            return self.ended()
        if mark.item is not None:
            return [*self._items.complete(mark.item)]
        before, self._answered_commits = self._answered_commits, self._commits
        if mark.commits is None or max(before, mark.commits) != self._commits:
            return []
        item = self._items.begin(mark.span_s[0])  # nothing was said in it
        self._commits = self._answered_commits = self._commits + 1
        return [*self._items.commit(item, mark.span_s[1]), *self._items.complete(item)]

    def _finished(self) -> list[DialectOutput]:
        """A session is over; what waits for no audio is answered without another."""
        self._answered_s = self._link.fed_s
        if self._is_leaving:
            return self.ended()
        outputs = self._link.finished()
        while self._marks and not self._link.has_work:
            outputs += self._flushed()
        return outputs

    def _hear_turn(self, event: Event) -> list[DialectOutput]:
        """An utterance of the server is an item."""
        if isinstance(event, SpeechStarted):
            return [self._begin_turn(event)]
        if isinstance(event, SpeechEnded):
            return self._end_turn(self._utterances[event.utterance], event)
        if isinstance(event, Partial):
            return [*self._items.hear(self._utterances[event.utterance], event.stable, final=False)]
        if isinstance(event, Final):
            item = self._utterances.pop(event.utterance)
            return [*self._items.take(item, event, self._link), *self._items.complete(item)]
        if isinstance(event, Dropped) and event.utterance is not None:
            item = self._utterances.pop(event.utterance)
            if item.committed:
                item.lost = event.reason
                return [*self._items.complete(item)]
            self._items.forget(item)
        return []

    def _begin_turn(self, event: SpeechStarted) -> SendText:
        start_s = self._link.begun_s + event.start_s
        item = self._utterances[event.utterance] = self._items.begin(start_s)
        named = {"audio_start_ms": round(1000 * start_s), "item_id": item.item_id}
        return self._say("input_audio_buffer.speech_started", **named)

    def _end_turn(self, item: Item, event: SpeechEnded) -> list[DialectOutput]:
        end_s = self._link.begun_s + event.end_s
        self._commits, self._committed_s = self._commits + 1, max(self._committed_s, end_s)
        named = {"audio_end_ms": round(1000 * end_s), "item_id": item.item_id}
        return [
            self._say("input_audio_buffer.speech_stopped", **named),
            *self._items.commit(item, end_s),
        ]

    def _hear_part(self, event: Event) -> list[DialectOutput]:
        """An utterance of the server is a part of an item; which, is in the order of commits."""
        if isinstance(event, Partial) and (self._marks or not self._config.is_live):
            return []  # it may not speak before the items before it, and its final says the same
        if not isinstance(event, Partial | Final | Dropped):
            return []
        item = self._marks[0].item if self._marks else self._uncommitted()
        if item is None:
            return []
        if isinstance(event, Dropped):
            item.lost = event.reason
            return []
        if isinstance(event, Partial):
            return [*self._items.hear(item, event.stable, final=False)]
        return [*self._items.take(item, event, self._link)]

    def _uncommitted(self) -> Item:
        self._tail = self._tail or self._items.begin(self._committed_s)
        return self._tail

    # What is said

    def _session(self, kind: str) -> SendText:
        return self._say(kind, session=self._config.shown(self._session_id))

    def _refused(
        self, code: str, message: str, cause: str | None = None, param: str | None = None
    ) -> list[DialectOutput]:
        """An event is wrong."""
        if not self._wrong.take():
            return self._closed(*_TOO_MANY_WRONG)
        return [self._voice.error(code, message, cause, param=param)]

    def _closed(
        self, code: str, message: str, close_code: int, kind: str = "server_error"
    ) -> list[DialectOutput]:
        """What is owed has failed; say why, and close."""
        failed = self._items.fail(message)
        return [*failed, self._voice.error(code, message, kind=kind), CloseSocket(close_code, code)]
