"""The client's end: what it says first, what it may send, and what it makes of the server's answers."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.protocol.client import ClientOutput, ClientProtocol, ClientState, Opened, SendAudio
from asrctl.protocol.codec import encode
from asrctl.protocol.messages import (
    AudioAck,
    Done,
    Dropped,
    Error,
    Final,
    GoAway,
    Limits,
    Metrics,
    Partial,
    Ready,
    ServerMessage,
    Speaker,
    SpeakersLost,
    SpeechEnded,
    SpeechStarted,
    Start,
    Status,
)
from asrctl.protocol.server import Close, Send

from .sides import FORMAT, TOKEN


def ready(audio_offset: int = 0, session_id: str = "s1", window: int = 10) -> Ready:
    return Ready(session_id, TOKEN, audio_offset, 60, window, Limits(max_message_bytes=12), "m", "p", 0)


def tell(client: ClientProtocol, message: ServerMessage) -> list[ClientOutput]:
    """Have the server say something."""
    return client.receive_text(encode(message))


def said(outputs: list[ClientOutput]) -> list[dict[str, object]]:
    """The messages that the client wants to send."""
    return [json.loads(output.text) for output in outputs if isinstance(output, Send)]


def opened(audio_offset: int = 0, sent: int = 0) -> ClientProtocol:
    """A client with a session, in which so many frames were sent already."""
    client = ClientProtocol(Start(FORMAT, audio_offset=audio_offset))
    client.connected()
    assert isinstance(tell(client, ready(audio_offset))[0], Opened)
    for _ in range(sent):
        client.audio(bytes(2))
    return client


def broken(client: ClientProtocol, message: ServerMessage) -> str:
    """What is wrong with what the server said, which changed nothing."""
    before = (client.committed, client.next_offset, client.account)
    (close,) = tell(client, message)
    assert isinstance(close, Close) and close.code == 4400
    assert before == (client.committed, client.next_offset, client.account)
    return close.reason


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
    tell(client, AudioAck(received=1, committed=1))
    assert (client.sendable_frames, client.committed) == (3, 2), "neither goes back"


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
    assert not client.finish_sent
    assert client.sendable_frames == 4
    client.audio(bytes(8))
    assert said(client.check_finish()) == [{"type": "finish", "audio_offset": 4}]
    assert client.finish_sent
    assert client.check_finish() == client.flush() == []
    assert client.sendable_frames == 0


def test_events_are_told_once() -> None:
    """An event that comes again is acknowledged again, and not told."""
    client, final = opened(sent=5), Final(0, 0, 1, "x", 1.0, 2, 5, id=1)
    first, second = tell(client, final), tell(client, final)
    assert first[0] == final
    assert said(first) == said(second) == [{"type": "ack", "event_id": 1}]
    assert len(second) == 1
    assert client.committed == 5  # whatever comes before a final was silence


def test_other_messages_are_passed_on() -> None:
    """What needs no bookkeeping comes out as it came in."""
    client = opened(sent=4)
    for message in (
        SpeechStarted(0, 0.5),
        SpeechEnded(0, 0.9),
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
    lost = SpeakersLost("x", id=3)
    assert tell(client, lost)[0] == lost


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
    client = opened(sent=7)
    tell(client, Final(3, 0, 1, "x", 1.0, 2, 5, id=9))
    client.disconnected(code)
    [start] = said(client.connected())
    assert (start["type"], start["audio_offset"]) == ("start", 5)
    tell(client, ready(5, "s2"))
    client.audio(bytes(2))
    [final, _] = tell(client, Final(0, 0, 1, "y", 1.0, 5, 6, id=1))
    assert isinstance(final, Final)
    assert (final.utterance, client.committed) == (4, 6)
    changed, ack = tell(client, Speaker(0, "Speaker 1", id=2))
    assert changed == Speaker(4, "Speaker 1", id=2)
    assert said([ack]) == [{"type": "ack", "event_id": 2}]


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
    client = opened(sent=2)
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
    assert broken(client, AudioAck(0, 0)) == "the first message must be ready or error"
    assert tell(client, Error("overload", "later", 3)) == [Error("overload", "later", 3)]
    client = opened()
    assert broken(client, ready()) == "ready comes once"
    assert client.receive_text("{") == [Close(1007, "text messages must be JSON")]
    assert client.receive_text('{"type":"weather"}') == []
    assert [type(output) for output in client.receive_binary(b"")] == [Close]


@pytest.mark.parametrize(
    "message",
    [
        Final(0, 0, 1, "x", 1.0, 0, 7, id=1),
        Dropped(0, 10**12, "x", id=1),
        AudioAck(received=7, committed=0),
    ],
)
def test_an_answer_for_audio_that_was_not_sent(message: ServerMessage) -> None:
    """It is a lie, and nothing is forgotten for it; what was sent up to the last frame may be answered."""
    assert broken(opened(sent=6), message).endswith(", and 6 were sent")
    assert tell(opened(sent=7), AudioAck(7, 7)) == [AudioAck(7, 7)]


def test_an_answer_for_audio_that_was_not_received() -> None:
    """What a server answers for it has received."""
    reason = broken(opened(sent=6), AudioAck(received=5, committed=6))
    assert reason == "it answers for audio up to 6, and received 5"


def test_an_answer_for_what_an_earlier_socket_sent() -> None:
    """What was sent before a resume counts, also where the server asks for some of it again."""
    client = opened(sent=8)
    client.disconnected()
    client.connected()
    tell(client, ready(3))
    client.audio(bytes(2))
    final = Final(0, 0, 1, "x", 1.0, 0, 8, id=1)
    assert tell(client, final)[0] == final


def test_a_new_session_was_sent_nothing_yet() -> None:
    """What an earlier session was sent does not entitle a new one to answer for it."""
    client = opened(sent=8)
    client.disconnected(4410)
    client.connected()
    tell(client, ready(0, "s2"))
    assert "were sent" in broken(client, AudioAck(1, 0))


@pytest.mark.parametrize(("finish", "audio_offset"), [(None, 6), (6, 5), (6, 10**12), (8, 6)])
def test_done_at_another_place(finish: int | None, audio_offset: int) -> None:
    """`done` is believed after `finish` only, and at the same position."""
    client = opened(sent=6)
    if finish is not None:
        client.finish(finish)
    done = Done(audio_offset, 0, 0, 0, 0, 1, id=1)
    assert broken(client, done) == "it ended the session before the audio did"
    assert client.state is ClientState.OPEN


def test_a_final_that_ends_before_it_begins() -> None:
    """It is refused."""
    assert broken(opened(sent=6), Final(0, 0, 1, "x", 1.0, 5, 4, id=1)).startswith(
        "it answers for the frames"
    )


def test_finals_that_overlap() -> None:
    """No frame is counted twice: the account balances whatever the server says."""
    client = opened(sent=9)
    tell(client, Final(0, 0, 1, "x", 1.0, 2, 6, id=1))
    tell(client, Final(1, 0, 1, "y", 1.0, 1, 8, id=2))
    tell(client, Dropped(0, 7, "z", id=3))
    account = client.account
    assert (account.received_samples, account.speech_samples) == (8, 6)
    assert (account.silence_samples, account.dropped_samples) == (2, 0)


@pytest.mark.parametrize("audio_offset", [2, 9])
def test_resumed_at_an_impossible_place(audio_offset: int) -> None:
    """A session goes on between what is committed and what was sent."""
    client = opened(sent=8)
    tell(client, AudioAck(8, 3))
    client.disconnected()
    client.connected()
    assert broken(client, ready(audio_offset)).startswith("it asks for audio that is not there")
    tell(client, ready(3 + audio_offset % 2 * 5))
    assert client.state is ClientState.OPEN


def test_begun_at_an_impossible_place() -> None:
    """A new session begins where the client said."""
    client = ClientProtocol(Start(FORMAT, audio_offset=5))
    client.connected()
    for audio_offset in (4, 6):
        assert broken(client, ready(audio_offset)).startswith("it asks for audio that is not there")


def test_resumed_as_another_session() -> None:
    """Nobody is given another session than the one asked for."""
    client = opened()
    client.disconnected()
    client.connected()
    assert broken(client, ready(0, "s2")) == "it resumed another session"


def test_messages_too_short_for_a_frame() -> None:
    """A limit below one frame would stop the client for ever."""
    client = ClientProtocol(Start(FORMAT))
    client.connected()
    message = Ready("s1", TOKEN, 0, 60, 10, Limits(max_message_bytes=1), "m", "p", 0)
    assert broken(client, message) == "it takes no messages as long as one frame"


def test_a_number_that_grows_too_large() -> None:
    """An utterance's number may be the largest there is; counted on over sessions it is one too many."""
    client = opened()
    tell(client, SpeechStarted(0, 0.0))
    client.disconnected(4410)
    client.connected()
    tell(client, ready(0, "s2"))
    assert broken(client, SpeechStarted(2**53 - 1, 0.0)).startswith("utterance must be")


SMALL = st.integers(0, 12)
ANY = SMALL | st.integers(0, 2**53 - 1)
SAID = st.one_of(
    st.builds(ready, SMALL, st.sampled_from(["s1", "s2"]), st.integers(1, 2**53 - 1)),
    st.builds(AudioAck, ANY, ANY),
    st.builds(SpeechStarted, ANY, st.just(0.0)),
    st.builds(SpeechEnded, ANY, st.just(0.0)),
    st.builds(Final, ANY, st.just(0.0), st.just(0.0), st.just("x"), st.just(1.0), ANY, ANY, id=ANY),
    st.builds(Dropped, ANY, ANY, st.just("x"), st.none() | ANY, id=ANY),
    st.builds(Done, ANY, *[st.floats(0, 1e15)] * 4, ANY, id=ANY),
)
STEPS = st.lists(SAID | st.sampled_from(["send", "finish", "cut", "gone", "lose"]), max_size=40)


@given(STEPS)
def test_whatever_a_server_says(steps: list[ServerMessage | str]) -> None:
    """No server makes a client fail otherwise than by a close, or forget audio that was never sent."""
    client, sent, finished = opened(), 0, False
    for step in steps:
        if step == "send" and client.sendable_frames:
            client.audio(bytes(2))
        elif step == "finish" and not finished:
            finished = True
            client.finish(max(client.next_offset, sent))
        elif step == "lose" and client.state is not ClientState.DONE and not finished:
            client.lost_before(max(client.next_offset, sent) + 1)
        elif step in ("cut", "gone") and client.state is not ClientState.DONE:
            client.disconnected(4410 if step == "gone" else None)
            client.connected()
        elif not isinstance(step, str):
            outputs = tell(client, step)
            if any(isinstance(output, Close) for output in outputs):
                client.disconnected(1000)
                client.connected()
        sent = max(sent, client.next_offset, client.oldest_offset)
        account = client.account
        assert client.committed <= sent
        assert min(account.speech_samples, account.silence_samples, account.dropped_samples) >= 0
        assert account.received_samples == client.committed
