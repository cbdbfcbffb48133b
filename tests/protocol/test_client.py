"""The client's end: what it says first, what it may send, and what it makes of the server's answers."""

from __future__ import annotations

import json

import pytest

from asrctl.protocol import (
    AudioAck,
    ClientOutput,
    ClientProtocol,
    ClientState,
    Close,
    Done,
    Dropped,
    Error,
    Final,
    GoAway,
    Limits,
    Metrics,
    Opened,
    Partial,
    Ready,
    Send,
    SendAudio,
    ServerMessage,
    SpeechStarted,
    Start,
    Status,
    encode,
)

from .sides import FORMAT, TOKEN


def ready(audio_offset: int = 0, session_id: str = "s1", window: int = 10) -> Ready:
    return Ready(session_id, TOKEN, audio_offset, 60, window, Limits(max_message_bytes=12), "m", "p", 0)


def tell(client: ClientProtocol, message: ServerMessage) -> list[ClientOutput]:
    """Have the server say something."""
    return client.receive_text(encode(message))


def said(outputs: list[ClientOutput]) -> list[dict[str, object]]:
    """The messages that the client wants to send."""
    return [json.loads(output.text) for output in outputs if isinstance(output, Send)]


def opened(audio_offset: int = 0) -> ClientProtocol:
    """A client with a session."""
    client = ClientProtocol(Start(FORMAT))
    client.connected()
    assert isinstance(tell(client, ready(audio_offset))[0], Opened)
    return client


def test_begins_with_start() -> None:
    """The first message asks for what was wanted, from where the audio begins."""
    client = ClientProtocol(Start(FORMAT, source="system", audio_offset=7))
    [start] = said(client.connected())
    assert (start["type"], start["source"], start["audio_offset"]) == ("start", "system", 7)
    assert (client.state, client.session_id) == (ClientState.OPENING, None)


def test_the_window() -> None:
    """Audio goes up to the window, in messages no longer than the server takes."""
    client = opened()
    assert (client.sendable_frames, client.max_message_frames) == (10, 6)
    assert client.audio(bytes(12)) == SendAudio(bytes(12))
    client.audio(bytes(8))
    assert client.sendable_frames == 0
    tell(client, AudioAck(received=3, committed=2))
    assert (client.sendable_frames, client.committed, client.next_offset) == (3, 2, 10)


@pytest.mark.parametrize("size", [0, 3, 14])
def test_audio_that_may_not_be_sent(size: int) -> None:
    """Half frames, nothing, and too long messages are the caller's mistakes."""
    with pytest.raises(ValueError, match="may be sent"):
        opened().audio(bytes(size))


def test_nothing_is_sent_while_away() -> None:
    """Without a session there is nothing to flush, keep alive or send."""
    client = ClientProtocol(Start(FORMAT))
    assert client.flush() == client.keep_alive() == client.check_finish() == client.lost_before(5) == []
    assert client.sendable_frames == 0


def test_flush_and_keep_alive() -> None:
    """They are one message each."""
    client = opened()
    assert said([*client.flush(), *client.keep_alive()]) == [
        {"type": "flush"},
        {"type": "ack", "event_id": 0},
    ]


def test_finish_waits_for_the_audio() -> None:
    """`finish` is said once all audio before it was sent, and audio beyond it never is."""
    client = opened()
    assert client.finish(4) == []
    assert client.sendable_frames == 4
    client.audio(bytes(8))
    assert said(client.check_finish()) == [{"type": "finish", "audio_offset": 4}]
    assert client.check_finish() == client.flush() == []
    assert client.sendable_frames == 0


def test_events_are_told_once() -> None:
    """An event that comes again is acknowledged again, and not told."""
    client, final = opened(), Final(0, 0, 1, "x", 1.0, 2, 5, id=1)
    first, second = tell(client, final), tell(client, final)
    assert first[0] == final
    assert said(first) == said(second) == [{"type": "ack", "event_id": 1}]
    assert len(second) == 1
    assert client.committed == 5  # whatever comes before a final was silence


def test_other_messages_are_passed_on() -> None:
    """What needs no bookkeeping comes out as it came in."""
    client = opened()
    for message in (
        SpeechStarted(0, 0.5),
        Partial(0, 0.5, 1.0, "a", "b"),
        Metrics(1, 0, 0, 0.1, 0),
        GoAway(3),
        Error("x", "y"),
        AudioAck(0, 0),
    ):
        assert tell(client, message) == [message]
    status = Status(1, 0, "load", "m", id=1)
    assert tell(client, status)[0] == status
    dropped = Dropped(3, 4, "x", id=2)
    assert tell(client, dropped)[0] == dropped


def test_resumes() -> None:
    """After a lost socket the client asks for its session and goes on where the server says."""
    client = opened()
    client.audio(bytes(12))
    tell(client, Status(1, 0, "load", "m", id=4))
    client.disconnected(1006)
    assert client.session_id == "s1"
    assert said(client.connected()) == [
        {"type": "resume", "session_id": "s1", "resume_token": TOKEN, "last_event_id": 4}
    ]
    assert tell(client, ready(audio_offset=3)) == [Opened(ready(audio_offset=3), resumed=True)]
    assert client.next_offset == 3


@pytest.mark.parametrize("code", [4401, 4409, 4410])
def test_a_session_that_is_gone(code: int) -> None:
    """Where the session cannot be resumed, a new one begins at `committed`; utterances are numbered on."""
    client = opened()
    tell(client, Final(3, 0, 1, "x", 1.0, 2, 5, id=9))
    client.disconnected(code)
    [start] = said(client.connected())
    assert (start["type"], start["audio_offset"]) == ("start", 5)
    tell(client, ready(5, "s2"))
    [final, _] = tell(client, Final(0, 0, 1, "y", 1.0, 5, 6, id=1))
    assert isinstance(final, Final)
    assert (final.utterance, client.committed) == (4, 6)


def test_done() -> None:
    """`done` ends it: everything is committed, and no socket matters any more."""
    client = opened()
    client.finish(0)
    done = Done(0, 0, 0, 0, 0, 1, id=1)
    assert tell(client, done) == [done]
    client.disconnected(1000)
    assert client.state is ClientState.DONE
    assert tell(client, done) == []


def test_audio_lost_while_open() -> None:
    """Audio that the buffer lost before it was sent is declared in pieces that the server takes."""
    client = opened()
    outputs = client.lost_before(9_600_007)
    assert [message["frames"] for message in said(outputs)] == [9_600_000, 7]
    assert client.next_offset == 9_600_007
    assert client.lost_before(3) == []


def test_skip() -> None:
    """What is lost at the position to be sent next is declared with its reason, whatever the window says."""
    client = opened()
    frames = client.sendable_frames
    assert said(client.skip(9_600_007, "overflow")) == [
        {"type": "skip", "frames": 9_600_000, "reason": "overflow"},
        {"type": "skip", "frames": 7, "reason": "overflow"},
    ]
    assert client.next_offset == 9_600_007 > frames
    assert [message["reason"] for message in said(client.skip(1, "") + client.skip(1, "x" * 501))] == [
        "lost",
        "x" * 500,
    ]
    client.finish(client.next_offset)
    assert client.skip(1, "too late") == []
    client.disconnected()
    assert client.skip(1, "nobody listens") == []


def test_audio_lost_while_away() -> None:
    """A resumed session is told what was lost meanwhile."""
    client = opened()
    client.disconnected()
    client.lost_before(8)
    client.connected()
    assert said(tell(client, ready(2))) == [
        {"type": "skip", "frames": 6, "reason": "the client could not hold it"}
    ]


def test_audio_lost_before_a_new_session() -> None:
    """A new session begins where there is audio; the loss is told here and is in the account."""
    client = opened()
    client.disconnected(4410)
    client.lost_before(8)
    lost, start = client.connected()
    assert lost == Dropped(0, 8, "the client could not hold it")
    assert said([start])[0]["audio_offset"] == 8
    assert client.account.dropped_samples == client.account.received_samples == 8


def test_a_server_that_breaks_the_protocol() -> None:
    """Messages out of order, broken ones and binary ones close the socket; unknown ones do not."""
    client = ClientProtocol(Start(FORMAT))
    client.connected()
    assert tell(client, AudioAck(0, 0)) == [Close(4400, "bad_request")]
    assert tell(client, Error("overload", "later", 3)) == [Error("overload", "later", 3)]
    client = opened()
    assert tell(client, ready()) == [Close(4400, "bad_request")]
    assert client.receive_text("{") == [Close(1007, "bad_json")]
    assert client.receive_text('{"type":"weather"}') == []
    assert [type(output) for output in client.receive_binary(b"")] == [Close]
