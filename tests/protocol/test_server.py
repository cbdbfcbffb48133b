"""The server's end: each illegal order has its close code, and what is allowed changes the account."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.protocol.codes import Violation
from asrctl.protocol.messages import (
    AudioAck,
    Done,
    Dropped,
    Finish,
    Flush,
    Limits,
    Resume,
    Skip,
    Start,
    Status,
)
from asrctl.protocol.server import Audio, Close, Send, ServerOutput, ServerProtocol, ServerState
from asrctl.protocol.session import EventLog, ServerSession

from .sides import TOKEN, Clock, closed_with, opened, ready_for

START = '{"type":"start","format":{}}'
RESUME = '{"type":"resume","session_id":"s1","resume_token":"t","last_event_id":0}'
FLUSH = '{"type":"flush"}'
LIMITS = Limits(max_message_bytes=4000, max_messages_per_s=10, handshake_timeout_s=5, idle_timeout_s=20)

Sequence = Callable[[], list[ServerOutput]]


def fresh() -> ServerProtocol:
    """A socket that has said nothing."""
    return ServerProtocol(LIMITS, Clock())


def finishing() -> ServerProtocol:
    """A socket whose client has said `finish`."""
    protocol = opened(limits=LIMITS)
    assert protocol.receive_text('{"type":"finish","audio_offset":0}') == [Finish(0)]
    return protocol


def asking() -> ServerProtocol:
    """A socket whose `start` is being thought about."""
    protocol = fresh()
    protocol.receive_text(START)
    return protocol


def text(protocol: ServerProtocol, *frames: str) -> list[ServerOutput]:
    """What the last of some text frames leads to."""
    for frame in frames[:-1]:
        protocol.receive_text(frame)
    return protocol.receive_text(frames[-1])


@pytest.mark.parametrize(
    ("outputs", "code", "reason"),
    [
        (lambda: fresh().receive_binary(b"12"), 1003, "not_started"),
        (lambda: asking().receive_binary(b"12"), 1003, "not_started"),
        (lambda: text(fresh(), FLUSH), 4400, "bad_request"),
        (lambda: text(fresh(), '{"type":"finish","audio_offset":0}'), 4400, "bad_request"),
        (lambda: text(fresh(), '{"type":"ack","event_id":0}'), 4400, "bad_request"),
        (lambda: text(asking(), START), 4400, "bad_request"),
        (lambda: text(asking(), FLUSH), 4400, "bad_request"),
        (lambda: text(opened(), START), 4400, "bad_request"),
        (lambda: text(opened(), RESUME), 4400, "bad_request"),
        (lambda: text(opened(), '{"type":"ack","event_id":1}'), 4400, "bad_request"),
        (lambda: text(opened(), '{"type":"finish","audio_offset":1}'), 4409, "offset_gap"),
        (lambda: text(finishing(), '{"type":"finish","audio_offset":1}'), 4409, "offset_gap"),
        (lambda: text(finishing(), FLUSH), 4400, "bad_request"),
        (lambda: text(finishing(), '{"type":"skip","frames":1,"reason":"x"}'), 4400, "bad_request"),
        (lambda: finishing().receive_binary(b"12"), 4400, "bad_request"),
        (lambda: opened().receive_binary(b"123"), 1007, "bad_audio"),
        (lambda: opened().receive_binary(b""), 1007, "bad_audio"),
        (lambda: text(opened(), "{"), 1007, "bad_json"),
        (lambda: opened(limits=LIMITS).receive_binary(bytes(4002)), 1009, "too_big"),
        (lambda: text(opened(limits=LIMITS), "x" * 4001), 1009, "too_big"),
        (lambda: opened(window=3).receive_binary(bytes(8)), 1008, "window_exceeded"),
        (lambda: text(opened(limits=LIMITS), *[FLUSH] * 40), 1008, "too_many_messages"),
        (lambda: text(opened(), '{"type":"skip","frames":9600001,"reason":"x"}'), 4400, "bad_request"),
        (lambda: text(opened(limits=LIMITS), '{"type":"skip","frames":9600000,"reason":"x"}'), 1008,
         "too_many_messages"),
    ],
)  # fmt: skip
def test_violations(outputs: Sequence, code: int, reason: str) -> None:
    """A violation is answered by an `error` that says why, and the close code of the documentation."""
    error, close = outputs()
    assert isinstance(error, Send)
    document = json.loads(error.text)
    assert (document["type"], document["code"]) == ("error", reason)
    assert document["message"]
    assert close == Close(code, reason)


def test_nothing_after_a_close() -> None:
    """A socket that was closed says nothing and takes nothing any more."""
    protocol = fresh()
    assert closed_with(protocol.close(1012, "restart")) == (1012, "restart")
    assert protocol.state is ServerState.CLOSED
    assert protocol.receive_text(START) == protocol.receive_binary(b"12") == protocol.close(1000) == []
    assert protocol.send(Status(1, 0, "", "m")) == protocol.check_time() == []
    session = ServerSession("s1", TOKEN, Start(opened().session.start.format), 10)  # type: ignore[union-attr]
    assert protocol.accept(session, ready_for(session)) == []


@given(st.lists(st.integers(1, 90), max_size=20))
def test_offsets_are_implicit(sizes: list[int]) -> None:
    """Audio begins where the last ended, however it is cut."""
    protocol, at = opened(window=10_000), 0
    for size in sizes:
        assert protocol.receive_binary(bytes(2 * size)) == [Audio(bytes(2 * size), at)]
        at += size
    assert protocol.receive_text(json.dumps({"type": "finish", "audio_offset": at})) == [Finish(at)]


def test_messages_per_second() -> None:
    """Messages may come in a burst, and then as fast as the limit says."""
    clock = Clock()
    protocol = opened(clock, LIMITS)
    assert [protocol.receive_text(FLUSH) for _ in range(39)] == [[Flush()]] * 39  # one was start
    clock.now_s += 0.1
    assert protocol.receive_text(FLUSH) == [Flush()]
    assert closed_with(protocol.receive_text(FLUSH)) == (1008, "too_many_messages")


@pytest.mark.parametrize("frame", [ServerProtocol.receive_ping, ServerProtocol.receive_other])
@pytest.mark.parametrize("protocol", [fresh, asking, lambda: opened(limits=LIMITS), finishing])
def test_every_frame_counts(
    protocol: Callable[[], ServerProtocol], frame: Callable[[ServerProtocol], list[ServerOutput]]
) -> None:
    """Pings, pongs and fragments cost the server work too, in whatever state it is."""
    flooded = protocol()
    outputs = [output for _ in range(41) for output in frame(flooded)]
    assert closed_with(outputs) == (1008, "too_many_messages")
    assert not flooded.must_abort


def test_frames_after_the_close() -> None:
    """What was on its way when the socket was closed is let pass; a flood after it cuts the connection."""
    clock = Clock()
    protocol = ServerProtocol(LIMITS, clock)
    for _ in range(41):
        protocol.receive_ping()
    assert protocol.state is ServerState.CLOSED
    for frame in (protocol.receive_ping, protocol.receive_other) * 20:
        assert frame() == []
        assert not protocol.must_abort
    clock.now_s = 0.1
    assert protocol.receive_text(START) == []
    assert not protocol.must_abort
    assert protocol.receive_binary(b"12") == []
    assert protocol.must_abort


def test_length_is_in_bytes() -> None:
    """A text of 2,000 characters may have more bytes than a message may."""
    assert closed_with(opened(limits=LIMITS).receive_text("\N{SNOWMAN}" * 2000)) == (1009, "too_big")


def test_handshake_timeout() -> None:
    """A socket on which no `start` comes is closed."""
    clock = Clock()
    protocol = ServerProtocol(LIMITS, clock)
    clock.now_s = 4.9
    assert protocol.check_time() == []
    clock.now_s = 5.0
    assert closed_with(protocol.check_time()) == (4408, "handshake_timeout")


def test_idle_timeout() -> None:
    """A client that could send and does not is closed, unless it says that it is there."""
    clock = Clock()
    protocol = opened(clock, LIMITS)
    clock.now_s = 19
    protocol.receive_text('{"type":"ack","event_id":0}')
    clock.now_s = 38
    assert protocol.check_time() == []
    clock.now_s = 39
    assert closed_with(protocol.check_time()) == (4408, "idle")


def held_back(clock: Clock, received: int, window: int = 16_000, message: int = 800) -> ServerProtocol:
    """A socket over which so many samples came in messages of one length, of which none is acknowledged."""
    protocol = opened(clock, Limits(idle_timeout_s=20), window)
    for at in range(0, received, message):
        protocol.receive_binary(bytes(2 * min(message, received - at)))
    return protocol


def acknowledge(protocol: ServerProtocol, committed: int, hold: int = 0) -> None:
    """Tell the client how far things are."""
    assert protocol.session is not None
    assert protocol.session.advance(committed, hold) is not None


@pytest.mark.parametrize(
    ("received", "acknowledged", "message"),
    [
        (16_000, 800, 800),  # room for one message of the client's, but not for 100 ms
        (16_000, 1599, 800),
        (12_000, 0, 800),  # room for some messages, of which no ack told it
        (16_000, 3_000, 4_000),  # its messages are longer
    ],
)
def test_not_idle_while_held_back(received: int, acknowledged: int, message: int) -> None:
    """A client without room for a message, or without an ack since it spoke, is not to blame for its silence.

    Once it can speak it has as much time as any other.
    """
    clock = Clock()
    protocol = held_back(clock, received, message=message)
    if acknowledged:
        acknowledge(protocol, acknowledged)
    clock.now_s = 1000
    assert protocol.check_time() == []
    acknowledge(protocol, received)
    clock.now_s = 1019
    assert protocol.check_time() == []
    clock.now_s = 1020
    assert closed_with(protocol.check_time()) == (4408, "idle")


def test_the_longest_message_counts() -> None:
    """A client that sent a long message and then a short one may wait for room for a long one."""
    clock = Clock()
    protocol = held_back(clock, 14_000, message=4_000)
    protocol.receive_binary(bytes(2))
    acknowledge(protocol, 100)
    clock.now_s = 1000
    protocol.receive_binary(bytes(2))
    acknowledge(protocol, 101)
    clock.now_s = 2000
    assert protocol.check_time() == []
    short = held_back(clock, 14_000, message=400)
    acknowledge(short, 100)
    clock.now_s = 2020
    assert closed_with(short.check_time()) == (4408, "idle")


@pytest.mark.parametrize(("committed", "message"), [(1600, 800), (4_000, 4_000)])
def test_idle_with_room_enough(committed: int, message: int) -> None:
    """An ack that leaves room for a message ends the excuse."""
    clock = Clock()
    protocol = held_back(clock, 16_000, message=message)
    acknowledge(protocol, committed)
    clock.now_s = 20
    assert closed_with(protocol.check_time()) == (4408, "idle")


def test_idle_with_everything_acknowledged() -> None:
    """A client that is owed no ack has the whole window, whatever its messages were."""
    clock = Clock()
    protocol = held_back(clock, 1000, window=1000, message=1000)
    acknowledge(protocol, 0, hold=1000)
    clock.now_s = 20
    assert closed_with(protocol.check_time()) == (4408, "idle")


def test_pings_are_life() -> None:
    """A client that pings is there; one of which only pongs come may be a machine that is asleep."""
    clock = Clock()
    protocol = opened(clock, LIMITS)
    clock.now_s = 19
    assert protocol.receive_ping() == []
    clock.now_s = 38
    assert protocol.receive_other() == protocol.check_time() == []
    clock.now_s = 39
    assert closed_with(protocol.check_time()) == (4408, "idle")


def test_pings_are_no_handshake() -> None:
    """A stranger that only pings is sent away as soon as one that is silent."""
    clock = Clock()
    protocol = ServerProtocol(LIMITS, clock)
    clock.now_s = 4
    assert protocol.receive_ping() == []
    clock.now_s = 5
    assert closed_with(protocol.check_time()) == (4408, "handshake_timeout")


def test_not_idle_at_the_end() -> None:
    """A client that waits for `done` need not say anything."""
    clock = Clock()
    ending = opened(clock, LIMITS)
    ending.receive_text('{"type":"finish","audio_offset":0}')
    clock.now_s = 2000
    assert ending.check_time() == []


def test_finish_again() -> None:
    """`finish` may be said again, since a client that resumed cannot know whether it arrived."""
    assert finishing().receive_text('{"type":"finish","audio_offset":0}') == []


def test_skipped_audio_moves_the_positions() -> None:
    """A skip counts as sent, and opens the window enough that the client can go on."""
    protocol = opened(window=10)
    protocol.receive_binary(bytes(20))
    assert protocol.receive_text('{"type":"skip","frames":30,"reason":"x"}') == [Skip(30, "x")]
    assert protocol.session is not None
    assert (protocol.session.received, protocol.session.acknowledged) == (40, 30)
    protocol.session.advance(40, 10)
    assert protocol.receive_binary(bytes(2)) == [Audio(bytes(2), 40)]


def test_the_ack_falls_behind() -> None:
    """What the server is not willing to hold is not acknowledged; both positions only ever grow."""
    protocol = opened(window=100)
    protocol.receive_binary(bytes(200))
    session = protocol.session
    assert session is not None
    assert session.advance(10, 20) == AudioAck(30, 10)
    assert session.advance(5, 20) is None
    assert session.advance(10, 10) is None
    assert session.advance(90, 20) == AudioAck(100, 90)


def test_done_closes() -> None:
    """After `done` the socket is closed with 1000."""
    protocol = finishing()
    assert protocol.session is not None
    done = protocol.session.log.add(Done(0, 0, 0, 0, 0, 0))
    assert (done.id, done.last_event_id) == (1, 1)
    assert closed_with(protocol.send(done)) == (1000, "")


def test_acknowledged_events_are_forgotten() -> None:
    """Only what the client lacks is kept, and no more than the limit."""
    log = EventLog(2)
    assert log.forgotten_id == 0
    for frame in range(3):
        log.add(Dropped(frame, frame + 1, "x"))
    assert ([event.id for event in log.after(0)], log.forgotten_id, len(log)) == ([2, 3], 1, 2)
    log.acknowledge(2)
    assert ([event.id for event in log.after(0)], log.forgotten_id) == ([3], 2)
    log.acknowledge(3)
    assert (log.forgotten_id, len(log)) == (3, 0)


def test_ack_message() -> None:
    """A client's `ack` is nobody else's business."""
    protocol = opened()
    assert protocol.session is not None
    protocol.session.log.add(Dropped(0, 1, "x"))
    assert protocol.receive_text('{"type":"ack","event_id":1}') == []
    assert len(protocol.session.log) == 0


def resumable() -> ServerSession:
    """A session with three events, of which one is acknowledged, and audio beyond its last ack."""
    session = opened().session
    assert session is not None
    for frame in range(3):
        session.log.add(Dropped(frame, frame + 1, "x"))
    session.log.acknowledge(1)
    session.received = 50
    return session


def test_resume() -> None:
    """The events that the client lacks are sent again after `ready`, which says how far the audio came."""
    session = resumable()
    protocol = ServerProtocol(LIMITS, Clock())
    request = Resume("s1", TOKEN, 2)
    assert protocol.receive_text(
        json.dumps({"type": "resume", "session_id": "s1", "resume_token": TOKEN, "last_event_id": 2})
    ) == [request]
    replay = session.resume(request)
    assert len(session.log) == 1, "what the client says that it has is forgotten"
    outputs = protocol.accept(session, ready_for(session), replay)
    sent = [json.loads(out.text) for out in outputs if isinstance(out, Send)]
    assert [(each["type"], each.get("id")) for each in sent] == [("ready", None), ("dropped", 3)]
    assert sent[0]["audio_offset"] == session.acknowledged == 50
    assert protocol.state is ServerState.OPEN


def test_positions_are_told_again_after_a_resume() -> None:
    """The last ack may have been lost with the socket: the next socket hears it although nothing is new."""
    session = resumable()
    last = session.advance(40, 100)
    assert session.advance(40, 100) is None
    session.resume(Resume("s1", TOKEN, 2))
    assert session.advance(40, 100) == last == AudioAck(50, 40)
    assert session.advance(40, 100) is None


def test_resume_after_finish() -> None:
    """A session that is ending goes on ending, on any socket."""
    session = resumable()
    session.finish_offset = 50
    protocol = ServerProtocol(LIMITS, Clock())
    protocol.receive_text(RESUME)
    protocol.accept(session, ready_for(session))
    assert protocol.state is ServerState.FINISHING


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (Resume("s1", "wrong", 2), 4401),
        (Resume("s1", "wröng", 2), 4401),
        (Resume("s1", TOKEN, 4), 4400),
        (Resume("s1", TOKEN, 0), 4410),
    ],
)
def test_resume_refused(request_: Resume, code: int) -> None:
    """A wrong token, an event of the future, and events that are gone: nothing changes by it."""
    session = resumable()
    with pytest.raises(Violation) as caught:
        session.resume(request_)
    assert caught.value.close_code == code
    assert [event.id for event in session.log.after(0)] == [2, 3]


FINISH = '{"type":"finish","audio_offset":4}'
ACK = '{"type":"ack","event_id":0}'
SKIP = '{"type":"skip","frames":3,"reason":"x"}'


@given(st.lists(st.sampled_from([START, RESUME, FLUSH, "{", FINISH, ACK, SKIP]) | st.binary(max_size=9)))
def test_any_order(frames: list[str | bytes]) -> None:
    """Whatever comes in whatever order, there is at most one close, and nothing after it."""
    protocol, outputs = ServerProtocol(LIMITS, Clock()), list[ServerOutput]()
    for frame in frames:
        more = protocol.receive_text(frame) if isinstance(frame, str) else protocol.receive_binary(frame)
        outputs += more
        if more and isinstance(more[0], Start | Resume):
            session = ServerSession("s1", TOKEN, Start(opened().session.start.format), 6)  # type: ignore[union-attr]
            outputs += protocol.accept(session, ready_for(session))
    closes = [index for index, output in enumerate(outputs) if isinstance(output, Close)]
    assert closes in ([], [len(outputs) - 1])
