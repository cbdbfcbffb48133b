"""Both sides under test: a clock turned by hand, a server without an engine, a network that cuts."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

from asrctl.protocol.client import ClientOutput, ClientProtocol, ClientState, SendAudio
from asrctl.protocol.codes import CloseCode, Violation
from asrctl.protocol.messages import (
    AudioFormat,
    Done,
    Dropped,
    Final,
    Finish,
    Flush,
    KeptMessage,
    Limits,
    Ready,
    Resume,
    Skip,
    Start,
)
from asrctl.protocol.server import Audio, Close, Send, ServerOutput, ServerProtocol
from asrctl.protocol.session import EventLog, ServerSession

TOKEN = "a secret"
FORMAT = AudioFormat("pcm_s16le", 16_000, 1)
FRAME_BYTES = 2


class Clock:
    """Monotonic seconds that stand still until moved."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def ready_for(session: ServerSession) -> Ready:
    """What a server answers."""
    return Ready(
        session_id=session.session_id,
        resume_token=session.resume_token,
        audio_offset=session.received,
        resume_ttl_s=60,
        window_samples=session.window_samples,
        limits=Limits(),
        model="m",
        provider="p",
        level=0,
    )


def opened(clock: Clock | None = None, limits: Limits | None = None, window: int = 1000) -> ServerProtocol:
    """A server's socket with a session on it."""
    protocol = ServerProtocol(limits or Limits(), clock or Clock())
    [start] = protocol.receive_text('{"type":"start","format":{}}')
    assert isinstance(start, Start)
    session = ServerSession("s1", TOKEN, start, window)
    assert [type(output) for output in protocol.accept(session, ready_for(session))] == [Send]
    return protocol


def closed_with(outputs: list[ServerOutput]) -> tuple[int, str]:
    """Code and reason of the close frame that is the last output."""
    close = outputs[-1]
    assert isinstance(close, Close)
    return close.code, close.reason


@dataclass
class Engine:
    """Stands for recognition: of every 14 frames, the last 7 are speech; the final says their bytes.

    It holds what it was given until `work` is called, as a busy recogniser would.
    """

    session: ServerSession
    heard: bytearray = field(default_factory=bytearray)
    lost: list[tuple[int, int, str]] = field(default_factory=list)
    done: bool = False
    ending: bool = False
    committed: int = 0
    finals: int = 0
    counts: dict[str, int] = field(default_factory=lambda: {"speech": 0, "silence": 0, "dropped": 0})

    def __post_init__(self) -> None:
        self.base = self.committed = self.session.start.audio_offset

    def take(self, output: ServerOutput) -> None:
        """A request of the client's."""
        if isinstance(output, Audio):
            assert output.offset == self.base + len(self.heard) // FRAME_BYTES
            self.heard += output.data
        elif isinstance(output, Skip):
            at = self.base + len(self.heard) // FRAME_BYTES
            self.lost.append((at, at + output.frames, output.reason))
            self.heard += bytes(FRAME_BYTES * output.frames)
        elif isinstance(output, Finish):
            self.ending = True

    def work(self) -> list[KeptMessage]:
        """Decode some: the next stretch of speech, loss or silence, if it is complete."""
        end = self.base + len(self.heard) // FRAME_BYTES
        if self.committed == end:
            if not self.ending or self.done:
                return []
            self.done = True
            total = {name: count / 16_000 for name, count in self.counts.items()}
            return [
                Done(end, (end - self.base) / 16_000, total["speech"], total["silence"], total["dropped"], 0)
            ]
        at = self.committed
        for first, last, reason in self.lost:
            if first <= at < last:
                return [self._settle(Dropped(at, last, reason))]
        limit = min([end, *(first for first, _, _ in self.lost if first > at)])
        stop = min(limit, at + 7 - at % 7)
        if stop == end and stop % 7 and not self.ending:
            return []
        if at % 14 < 7:
            self.committed = stop
            self.counts["silence"] += stop - at
            return []
        data = bytes(self.heard[(at - self.base) * FRAME_BYTES : (stop - self.base) * FRAME_BYTES])
        self.finals += 1
        final = Final(self.finals - 1, at / 16_000, stop / 16_000, data.hex(), 1.0, at, stop)
        return [self._settle(final)]

    def _settle(self, event: Final | Dropped) -> Final | Dropped:
        self.counts["speech" if isinstance(event, Final) else "dropped"] += event.to - event.from_
        self.committed = event.to
        return event


class FakeServer:
    """Sessions with fake engines; any socket may be cut and the whole thing restarted."""

    def __init__(self, window: int, hold: int, log_limit: int = 4096) -> None:
        self.window, self.hold, self.log_limit = window, hold, log_limit
        self.engines: dict[str, Engine] = {}
        self.socket: ServerProtocol | None = None
        self.count = 0

    def restart(self) -> None:
        """All sessions are forgotten."""
        self.engines.clear()

    def connect(self) -> None:
        """A new socket."""
        self.socket = ServerProtocol(Limits(max_messages_per_s=10**6), Clock())

    def receive(self, frame: str | bytes) -> list[ServerOutput]:
        """A frame from the client; returns what goes back."""
        assert self.socket is not None
        if isinstance(frame, str):
            outputs = self.socket.receive_text(frame)
        else:
            outputs = self.socket.receive_binary(frame)
        back: list[ServerOutput] = []
        for output in outputs:
            if isinstance(output, Send | Close):
                back.append(output)
            elif isinstance(output, Start):
                back += self._start(output)
            elif isinstance(output, Resume):
                back += self._resume(output)
            elif not isinstance(output, Flush):
                assert self.socket.session is not None
                self.engines[self.socket.session.session_id].take(output)
        return back

    def _start(self, start: Start) -> list[ServerOutput]:
        assert self.socket is not None
        self.count += 1
        name = f"s{self.count}"
        session = ServerSession(name, TOKEN, start, self.window, EventLog(self.log_limit))
        self.engines[name] = Engine(session)
        return self.socket.accept(session, ready_for(session))

    def _resume(self, request: Resume) -> list[ServerOutput]:
        assert self.socket is not None
        engine = self.engines.get(request.session_id)
        if engine is None:
            return self.socket.refuse(Violation(CloseCode.SESSION_GONE, "session_gone", "no such session"))
        try:
            replay = engine.session.resume(request)
        except Violation as violation:
            return self.socket.refuse(violation)
        return self.socket.accept(engine.session, ready_for(engine.session), replay)

    def work(self) -> list[ServerOutput]:
        """One step of every engine; returns what the connected one has to send."""
        back: list[ServerOutput] = []
        for engine in self.engines.values():
            attached = self.socket is not None and self.socket.session is engine.session
            for event in engine.work():
                kept = engine.session.log.add(event)
                if attached and self.socket is not None:
                    back += self.socket.send(kept)
            ack = engine.session.advance(engine.committed, self.hold)
            if ack is not None and attached and self.socket is not None:
                back += self.socket.send(ack)
        return back


class Link:
    """A client, a server, and what is on its way between them."""

    def __init__(self, audio: bytes, server: FakeServer, dice: random.Random) -> None:
        self.audio, self.server, self.dice = audio, server, dice
        self.client = ClientProtocol(Start(FORMAT))
        self.up: deque[str | bytes] = deque()
        self.down: deque[Send | Close] = deque()
        self.finals: list[Final] = []
        self.drops: list[Dropped] = []
        self.dones: list[Done] = []
        self.sockets = 0
        self._finish_asked = False

    def step(self, name: str) -> None:
        """Do one thing, if it can be done now."""
        connected = self.client.state in (ClientState.OPENING, ClientState.OPEN)
        if name == "work":
            self.down += (
                [out for out in self.server.work() if isinstance(out, Send | Close)] if connected else []
            )
        elif name == "restart":
            self.cut()
            self.server.restart()
        elif not connected:
            if name == "connect" and self.client.state is ClientState.DISCONNECTED:
                self._connect()
        elif name == "cut":
            self.cut()
        elif name == "up" and self.up:
            replies = self.server.receive(self.up.popleft())
            self.down += [out for out in replies if isinstance(out, Send | Close)]
        elif name == "down" and self.down:
            self._take_down()
        elif name == "send":
            self._send()
        elif name == "lose":
            self._do(
                self.client.lost_before(min(self.client.next_offset + 5, len(self.audio) // FRAME_BYTES))
            )

    def cut(self, code: int | None = None) -> None:
        """The socket is gone, with all that was on its way."""
        if self.client.state is ClientState.DISCONNECTED:
            return
        self.up.clear()
        self.down.clear()
        self.server.socket = None
        self.client.disconnected(code)

    def _connect(self) -> None:
        self.sockets += 1
        self.server.connect()
        self._do(self.client.connected())

    def _take_down(self) -> None:
        item = self.down.popleft()
        if isinstance(item, Close):
            self.cut(item.code)
        else:
            self._do(self.client.receive_text(item.text))

    def _send(self) -> None:
        at = self.client.next_offset
        total = len(self.audio) // FRAME_BYTES
        count = min(self.client.sendable_frames, total - at, self.dice.choice((1, 2, 3, 11, 64)))
        if count > 0:
            self._do([self.client.audio(self.audio[at * FRAME_BYTES : (at + count) * FRAME_BYTES])])
        if at + max(count, 0) == total and not self._finish_asked:
            self._finish_asked = True
            self._do(self.client.finish(total))
        self._do(self.client.check_finish())

    def _do(self, outputs: list[ClientOutput]) -> None:
        for output in outputs:
            if isinstance(output, Send):
                self.up.append(output.text)
            elif isinstance(output, SendAudio):
                self.up.append(output.data)
            elif isinstance(output, Final):
                self.finals.append(output)
            elif isinstance(output, Dropped):
                self.drops.append(output)
            elif isinstance(output, Done):
                self.dones.append(output)
            elif isinstance(output, Close):
                raise AssertionError(output)
