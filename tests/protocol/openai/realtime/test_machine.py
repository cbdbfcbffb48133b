"""OpenAI's realtime transcription by the rules that clients rely on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asrctl.events import Dropped, Flushed, ProviderChanged, SpeechEnded, SpeechStarted
from asrctl.policy.admission import Refusal
from asrctl.protocol.dialect import CloseSocket, Discard, Feed, Finish, Note, Open
from asrctl.protocol.openai.models import Served
from asrctl.protocol.openai.realtime import client_event, link
from asrctl.protocol.openai.realtime.client_event import LongText
from asrctl.transcript import Segment, Word

from .play import SERVED, SILENCE, Play, check_order, final, partial

NULL: dict[str, Any] = {"audio": {"input": {"turn_detection": None}}}
LIVE = {"audio": {"input": {"transcription": {"model": "gpt-realtime-whisper"}}}}
DIARIZING = "gpt-4o-transcribe-diarize"
TELLING = {"audio": {"input": {"transcription": {"model": DIARIZING}}}}
YES, NO = Word(1.5, 1.8, "Yes,", 0.9, "Speaker 1"), Word(1.8, 2.0, "no.", 0.9, "Speaker 2")
CHANGING = Segment(1.5, 2.0, "Yes, no.", 0.9, (YES, NO), "Speaker 1")
TURN = [
    *("input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped"),
    *("input_audio_buffer.committed", "conversation.item.added", "conversation.item.done"),
    *("delta", "completed"),
]


def test_what_is_said_first() -> None:
    """`session.created`, with what is so."""
    [created] = Play().said
    assert created["type"] == "session.created"
    assert created["session"] == {
        "type": "transcription",
        "id": "sess_x",
        "object": "realtime.transcription_session",
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24_000},
                "transcription": {"model": "tiny"},
                "noise_reduction": None,
                "turn_detection": {
                    "type": "server_vad",
                    "threshold": 0.5,
                    "prefix_padding_ms": 200,
                    "silence_duration_ms": 500,
                },
            }
        },
        "include": None,
    }


def test_turns() -> None:
    """Each utterance is an item, its events in order, chained, and timed since the start of all audio."""
    play = Play()
    play.speak(1.0, SILENCE)
    for _ in range(2):
        play.speak(0.5)
        play.speak(0.5, SILENCE)
    play.deliver()
    assert play.kinds() == TURN * 2
    assert [each["audio_start_ms"] for each in play.of("started")] == [1300, 2300]
    assert [each["audio_end_ms"] for each in play.of("stopped")] == [2000, 3000]
    assert play.transcripts == ["w0 end", "w1 end"]
    assert play.of(".completed")[0]["usage"] == {"type": "duration", "seconds": 0.7}
    assert play.of(".completed")[0]["languages"] == [{"code": "en"}]
    assert play.of("item.done")[0]["item"]["content"] == [{"type": "input_audio", "transcript": None}]
    check_order(play.said)


def test_commits() -> None:
    """Without turn detection a commit is answered at once, its text comes in order; silence is ""."""
    play = Play()
    play.update(**NULL)
    for kinds in ((1, 0, 1, 0), (0,), (1,)):
        for speaks in kinds:
            play.speak(0.2, bytes([speaks]))
        play.commit()
    assert play.kinds()[1:] == TURN[2:5] * 3
    play.deliver()
    assert play.transcripts == ["w0 end w1 end", "", "w2 end"]
    assert [each["usage"]["seconds"] for each in play.of(".completed")] == [0.8, 0.2, 0.2]
    check_order(play.said)


def test_speakers() -> None:
    """The model that tells them apart has a segment said for each turn, before the item is complete."""
    play = Play(replace(SERVED, speakers=True))
    play.update(**TELLING)
    assert play.said[-1]["session"]["audio"]["input"]["transcription"] == {"model": DIARIZING}
    for _ in range(2):
        play.speak(0.5)
        play.speak(0.5, SILENCE)
    assert play.session is not None and play.session.request.speakers
    play.session.events[-1] = replace(final(1), segment=CHANGING)
    play.deliver()
    assert play.kinds()[-4:] == ["delta", "segment", "segment", "completed"]
    segments = play.of(".segment")
    assert [each["speaker"] for each in segments] == ["unknown", "A", "B"]
    assert [each["text"] for each in segments] == ["w0 end", "Yes,", "no."]
    assert [(each["start"], each["end"]) for each in segments[1:]] == [(0.2, 0.5), (0.5, 0.7)]
    assert len({each["id"] for each in segments}) == 3
    play.update(audio={"input": {"format": {"type": "audio/pcm", "rate": 16_000}}})
    play.deliver()
    play.speak(0.5)
    play.speak(0.5, SILENCE)
    assert play.session is not None
    play.session.events[-1] = replace(final(0), segment=CHANGING)
    play.deliver()
    assert [each["speaker"] for each in play.of(".segment")[3:]] == ["C", "D"], "they may be others"
    check_order(play.said)


def test_speakers_where_they_cannot_be_told_apart() -> None:
    """It is said what to install, and the session stays as it was."""
    play = Play()
    play.update(**TELLING)
    (error,) = play.of("error")
    assert error["error"]["param"] == "session.audio.input.transcription.model"
    assert "asrctl[speakers]" in error["error"]["message"]
    play.speak(0.5)
    play.speak(0.5, SILENCE)
    play.deliver()
    assert play.transcripts == ["w0 end"] and not play.of(".segment")


def test_text_before_the_commit() -> None:
    """A live model has no turn detection, and speaks while one speaks; so it is with a short delay."""
    play = Play()
    play.update(**LIVE)
    assert play.of(".updated")[0]["session"]["audio"]["input"]["turn_detection"] is None
    play.speak()
    play.deliver()
    assert [each["delta"] for each in play.of(".delta")] == ["w0"]
    play.commit()
    play.speak()
    play.deliver()
    assert play.transcripts == ["w0 end"]
    assert [each["delta"] for each in play.of(".delta")] == ["w0", " end", "w1"]
    check_order(play.said)
    explicit = Play()
    explicit.update(audio={"input": {**LIVE["audio"]["input"], "turn_detection": {"type": "server_vad"}}})
    assert explicit.of(".updated")[0]["session"]["audio"]["input"]["turn_detection"]["type"] == "server_vad"
    quick = Play(delay="low")
    quick.speak()
    quick.deliver()
    assert quick.kinds() == ["input_audio_buffer.speech_started", "delta"]
    slow = Play(delay="high")
    slow.speak()
    slow.deliver()
    assert slow.kinds() == ["input_audio_buffer.speech_started"]


def test_the_next_item_waits_for_the_one_before() -> None:
    """With text while one speaks too: no delta of an item comes before the one before it is completed."""
    for play in (Play(delay="minimal"), Play(model="gpt-live-transcribe")):
        play.speak()
        play.deliver()
        if play.machine._link.form.by_turns:
            play.do(play.machine.hear(SpeechEnded(0, 0.5)))
        else:
            play.commit()
            assert play.session is not None
            play.session.events.clear()
        before = len(play.said)
        play.speak(0.5, SILENCE)
        assert play.session is not None
        play.session.events.clear()
        if play.machine._link.form.by_turns:
            play.do(play.machine.hear(SpeechStarted(1, 0.6)))
        play.do(play.machine.hear(partial(1, "next")))
        assert "delta" not in play.kinds(before)
        play.do(play.machine.hear(final(0)))
        if not play.machine._link.form.by_turns:
            play.do(play.machine.hear(Flushed(0)))
            play.do(play.machine.hear(partial(1, "next")))
        assert [each["delta"] for each in play.of(".delta")] == ["w0", " end", "next"]
        check_order(play.said)


def test_a_commit_of_nothing() -> None:
    """Below 100 ms it is refused in the words that clients wait for, with the cause; the socket stays."""
    for settings in ({}, NULL):
        play = Play()
        play.update(**settings)
        play.speak(0.09)
        play.send("input_audio_buffer.commit", event_id="mine")
        error = play.said[-1]["error"]
        assert (error["type"], error["code"]) == ("invalid_request_error", "input_audio_buffer_commit_empty")
        assert (
            "buffer too small. Expected at least 100ms of audio, but buffer only has 90.00ms"
            in error["message"]
        )
        assert error["event_id"] == "mine"
        assert play.close is None
    play.speak(0.01)
    play.commit()
    assert play.said[-1]["type"] == "conversation.item.done"


def test_a_commit_among_turns() -> None:
    """It ends the utterance that is open; where none is, its item says nothing."""
    play = Play()
    play.speak()
    play.commit()
    play.deliver()
    assert play.kinds() == TURN
    play.speak(0.5, SILENCE)
    play.commit()
    play.deliver()
    assert play.transcripts == ["w0 end", ""]
    play.commit()
    assert play.said[-1]["error"]["code"] == "input_audio_buffer_commit_empty"
    check_order(play.said)


@pytest.mark.parametrize("lag", [True, False])
def test_each_commit_among_turns_is_answered(lag: bool) -> None:
    """Those that find nothing new are refused, however late the turn comes that the first one ended."""
    play = Play()
    play.speak(2.9)
    for name in ("first", "second", "third"):
        play.send("input_audio_buffer.commit", event_id=name)
        if not lag:
            play.deliver()
    play.deliver()
    errors = [each["error"] for each in play.said if each["type"] == "error"]
    assert [(each["code"], each["event_id"]) for each in errors] == [
        ("input_audio_buffer_commit_empty", name) for name in ("second", "third")
    ]
    assert play.transcripts == ["w0 end"]
    check_order(play.said)


def test_commits_among_turns_one_behind_the_other() -> None:
    """Each has an item of its own, also where the first was not answered when the second came."""
    play = Play()
    play.speak(0.5)
    play.commit()
    play.speak(0.5, SILENCE)
    play.commit()
    play.speak(0.2, SILENCE)
    play.deliver()
    assert play.transcripts == ["w0 end", ""]
    usage = [each["usage"]["seconds"] for each in play.said if each["type"].endswith(".completed")]
    assert usage[1] == pytest.approx(0.5)
    play.speak(0.1)
    play.commit()
    play.deliver()
    assert play.transcripts == ["w0 end", "", "w1 end"]
    check_order(play.said)


@pytest.mark.parametrize("by_turns", [True, False])
def test_clear(by_turns: bool) -> None:
    """It is answered; what it holds is dropped and says nothing, what was committed before is completed."""
    play = Play()
    if not by_turns:
        play.update(**NULL)
    play.speak()
    if by_turns:
        play.speak(0.5, SILENCE)
    else:
        play.commit()
    play.speak()
    play.speak(0.2, SILENCE) if not by_turns else None
    play.send("input_audio_buffer.clear")
    assert play.said[-1]["type"] == "input_audio_buffer.cleared"
    assert Discard("the client cleared it", open_only=by_turns) in play.asked
    play.deliver()
    assert play.transcripts == ["w0 end"]
    play.speak()
    play.commit()
    play.deliver()
    assert play.transcripts == ["w0 end", "w2 end"]
    check_order(play.said)


def test_clear_of_what_was_said_already() -> None:
    """Text that came before it belongs to no item; with nothing there it is answered too."""
    play = Play()
    play.update(**NULL)
    play.send("input_audio_buffer.clear")
    assert play.said[-1]["type"] == "input_audio_buffer.cleared"
    play.speak()
    play.speak(0.5, SILENCE)
    play.deliver()
    play.send("input_audio_buffer.clear")
    play.speak(0.2, SILENCE)
    play.commit()
    play.deliver()
    assert play.transcripts == [""]
    check_order(play.said)


def test_what_is_lost() -> None:
    """Audio that the server gives up is an item that failed, and no error; others go on."""
    for settings in ({}, NULL):
        play = Play()
        play.update(**settings)
        play.speak()
        if settings:
            play.commit()
        assert play.session is not None
        play.session.events = type(play.session.events)(
            event for event in play.session.events if type(event).__name__ not in ("Final", "Flushed")
        )
        play.deliver()
        if not settings:
            play.do(play.machine.hear(SpeechEnded(0, 0.5)))
        play.do(play.machine.hear(ProviderChanged("other", "why")))
        play.do(play.machine.hear(Dropped(None, 0, 1, "never came")))
        play.do(play.machine.hear(Dropped(0, 0, 1, "too late")))
        if settings:
            play.do(play.machine.hear(Flushed(0)))
        failed = play.of(".failed")[0]
        assert failed["error"]["code"] == "audio_dropped"
        assert failed["error"]["type"] == "server_error"
        assert not play.of("error")
        check_order(play.said)


def test_odd_bytes_and_other_formats() -> None:
    """Half a sample waits for the next message; telephone audio has whole bytes."""
    play = Play()
    play.append(b"\x00" * 3)
    play.append(b"\x00")
    play.append(b"\x00" * 4)
    play.append(b"")
    assert [output.data for output in play.asked if isinstance(output, Feed)] == [
        bytes(2),
        bytes(2),
        bytes(4),
    ]
    play.append(b"\x00")
    play.update(audio={"input": {"format": {"type": "audio/pcmu"}}})
    play.deliver()
    play.append(b"\x00" * 3)
    assert play.asked[-1] == Feed(bytes(3))
    assert play.session is not None
    assert (play.session.request.encoding, play.session.request.sample_rate_hz) == ("mulaw", 8000)


@pytest.mark.parametrize("audio", ["!!", "abc", 7, None, "ä"])
def test_bad_audio(audio: object) -> None:
    """It is refused with its cause; the socket stays, and what comes after is taken."""
    play = Play()
    play.send("input_audio_buffer.append", audio=audio, event_id="mine")
    error = play.said[-1]["error"]
    assert (error["code"], error["param"], error["event_id"]) == ("invalid_base64", "audio", "mine")
    play.speak()
    assert isinstance(play.asked[0], Open)


def test_too_much_audio_in_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused whole, however it came; what is just not too much is taken."""
    monkeypatch.setattr(client_event, "_MOST_AUDIO_BYTES", 1_000)
    play = Play()
    play.append(bytes(1_000))
    long = LongText('{"type": "input_audio_buffer.append", "audio": "", "event_id": "mine"}')
    long.audio = bytes(600), bytes(402)
    play.do(play.machine.receive_text(long))
    error = play.said[-1]["error"]
    assert (error["code"], error["param"], error["event_id"]) == ("audio_too_large", "audio", "mine")
    play.append(bytes(1_002))
    assert [output for output in play.asked if isinstance(output, Feed)] == [Feed(bytes(1_000))]


@pytest.mark.parametrize("text", ["{", "[1]", "7", '{"type": 7}', "[" * 10_000, ""])
def test_what_is_no_event(text: str) -> None:
    """It is an error, and the socket stays."""
    play = Play()
    play.do(play.machine.receive_text(text))
    assert play.said[-1]["error"]["code"] in ("invalid_json", "invalid_event")
    assert play.close is None


def test_events_that_are_not_ours() -> None:
    """They are noted once each, and never answered: clients take any error for the end."""
    play = Play()
    for number in range(19):
        play.send("response.create")
        play.send(f"other.{number}")
    assert len(play.said) == 1
    assert sum(isinstance(output, Note) for output in play.asked) == 8
    play.do(play.machine.receive_binary(b"\x00"))
    assert play.said[-1]["error"]["code"] == "invalid_event"


def test_places() -> None:
    """One is taken with the first audio, given back after a minute without, and taken again."""
    play = Play()
    play.update()
    play.now_s += 900
    play.do(play.machine.check_time())
    assert not play.asked
    play.speak()
    play.now_s += 59
    play.do(play.machine.check_time())
    assert play.asked[-1] != Finish()
    play.now_s += 1
    play.do(play.machine.check_time())
    assert play.asked[-1] == Finish()
    play.do(play.machine.check_time())
    play.deliver()
    assert play.session is None
    assert play.transcripts == ["w0 end"]
    play.speak()
    play.deliver()
    assert play.of("started")[-1]["audio_start_ms"] == 800
    play.now_s += 3600
    play.do(play.machine.check_time())
    assert play.said[-1]["error"]["code"] == "session_expired"
    assert play.close == CloseSocket(1001, "session_expired")


def test_what_is_asked_while_nothing_is_there() -> None:
    """After its session ended an item still has its text; a commit needs no new one."""
    play = Play()
    play.update(**NULL)
    play.speak()
    play.now_s += 60
    play.do(play.machine.check_time())
    play.deliver()
    play.commit()
    assert play.transcripts == ["w0 end"]
    assert sum(isinstance(output, Open) for output in play.asked) == 1
    play.speak(0.2)
    play.now_s += 60
    play.do(play.machine.check_time())
    play.commit()
    play.deliver()
    assert play.transcripts == ["w0 end", "w0 end"]
    assert sum(isinstance(output, Open) for output in play.asked) == 2
    check_order(play.said)


def test_refusals() -> None:
    """No room is an error and 1013; a session that breaks fails what it owes, an error, and 1011."""
    play = Play()
    play.do(play.machine.refused(Refusal("full", 7)))
    error = play.said[-1]["error"]
    assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
    assert "7 s" in error["message"]
    assert play.close == CloseSocket(1013, "rate_limit_exceeded")
    play = Play()
    play.update(**NULL)
    play.speak()
    play.commit()
    play.do(play.machine.failed("broken"))
    assert play.kinds()[-2:] == ["failed", "error"]
    assert play.close == CloseSocket(1011, "session_failed")
    check_order(play.said)


@pytest.mark.parametrize("settings", [{}, NULL])
def test_the_end_of_the_server(settings: dict[str, Any]) -> None:
    """What was fed is committed and completed, then 1012."""
    idle, play = Play(), Play()
    idle.do([*idle.machine.going_away(), *idle.machine.ended()])
    assert len(idle.said) == 1 and idle.close == CloseSocket(1012, "restart")
    play.update(**settings)
    play.speak()
    play.do(play.machine.going_away())
    play.deliver()
    assert play.transcripts == ["w0 end"] and not play.of(".failed")
    assert play.close == CloseSocket(1012, "restart")
    check_order(play.said)


@pytest.mark.parametrize("settings", [{}, NULL])
def test_audio_that_comes_while_the_server_ends(settings: dict[str, Any]) -> None:
    """It is an item that has failed, behind those that are answered; a commit of it gets no other answer."""
    play = Play()
    play.update(**settings)
    play.speak()
    play.do(play.machine.going_away())
    play.speak(0.25)
    play.commit()
    play.send("input_audio_buffer.clear")
    play.speak(0.05)
    play.deliver()
    assert play.transcripts == ["w0 end"]
    (failed,) = play.of(".failed")
    assert failed["item_id"] == play.of(".committed")[-1]["item_id"]
    assert failed["error"]["code"] == "audio_dropped" and "shutting down" in failed["error"]["message"]
    assert play.kinds()[-1] == "failed" and play.close == CloseSocket(1012, "restart")
    check_order(play.said)


def test_less_than_can_be_committed_at_the_end_of_the_server() -> None:
    """It is an item all the same: nobody could send it again."""
    play = Play()
    play.update(**NULL)
    play.speak(0.05)
    play.do(play.machine.going_away())
    play.deliver()
    assert len(play.of(".completed")) == 1 and play.close == CloseSocket(1012, "restart")


@pytest.mark.parametrize("settings", [{}, NULL])
@pytest.mark.parametrize("asked", [False, True])
def test_a_server_that_ends_before_all_is_answered(settings: dict[str, Any], asked: bool) -> None:
    """What was committed, and what was not, has failed: each once, and what was answered has not."""
    play = Play()
    play.update(**settings)
    play.speak()
    play.speak(0.5, SILENCE)
    if settings:
        play.commit()
    play.deliver()
    assert play.transcripts == ["w0 end"]
    play.speak(0.25)
    if asked:
        play.do(play.machine.going_away())
    play.do(play.machine.ended())
    assert play.transcripts == ["w0 end"] and len(play.of(".failed")) == 1
    assert len(play.of(".committed")) == 2 and play.close == CloseSocket(1012, "restart")
    check_order(play.said)


def test_a_server_that_ends_in_a_turn() -> None:
    """The item that speech began with is the one that fails."""
    play = Play()
    play.speak()
    play.deliver(1)
    assert play.kinds() == ["input_audio_buffer.speech_started"]
    play.do(play.machine.ended())
    (started,), (failed,) = play.of("speech_started"), play.of(".failed")
    assert started["item_id"] == failed["item_id"] == play.of(".committed")[0]["item_id"]


def test_silence_that_was_heard_has_not_failed() -> None:
    """A session without audio gave its place back; all of it was answered."""
    play = Play()
    play.speak(0.5, SILENCE)
    play.now_s += 61
    play.do(play.machine.check_time())
    play.deliver()
    play.do([*play.machine.going_away(), *play.machine.ended()])
    assert not play.of(".failed") and play.close == CloseSocket(1012, "restart")


@pytest.mark.parametrize("settings", [{}, NULL])
def test_audio_that_waits_for_another_session_when_the_server_ends(settings: dict[str, Any]) -> None:
    """No session begins any more: it has failed, and what the last one heard is answered."""
    play = Play()
    play.update(**settings)
    play.speak()
    play.update(audio={"input": {"format": {"type": "audio/pcmu"}}})
    play.append(b"\x01" * 4000)
    play.do(play.machine.going_away())
    play.deliver()
    assert sum(isinstance(output, Open) for output in play.asked) == 1
    assert len(play.of(".failed")) == 1 and play.close == CloseSocket(1012, "restart")
    check_order(play.said)


def test_another_form_in_the_middle() -> None:
    """The session ends with its text, the next begins with what came meanwhile, in its own form."""
    play = Play()
    play.speak()
    play.update(audio={"input": {"format": {"type": "audio/pcm", "rate": 16_000}}})
    play.append(b"\x01" * 16_000)
    play.update(audio={"input": {"format": {"type": "audio/pcma"}}})
    play.append(b"\x01" * 8_000)
    play.update(audio={"input": {"format": {"type": "audio/pcm", "rate": 16_000}}})
    play.append(b"\x01" * 16_000)
    play.commit()
    assert len([output for output in play.asked if isinstance(output, Open)]) == 1
    play.deliver()
    opened = [output.request.encoding for output in play.asked if isinstance(output, Open)]
    assert opened == ["pcm_s16le", "pcm_s16le", "alaw", "pcm_s16le"]
    assert play.transcripts == ["w0 end"] * 4
    assert [each["audio_start_ms"] for each in play.of("started")] == [300, 800, 1800, 2300]
    check_order(play.said)


def test_too_much_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a session ends, what is held for the next has a bound."""
    monkeypatch.setattr(link, "_MOST_HELD_BYTES", 100_000)
    play = Play()
    play.speak()
    play.update(audio={"input": {"format": {"type": "audio/pcm", "rate": 16_000}}})
    play.append(bytes(80_000))
    assert play.close is None
    play.append(bytes(80_000))
    assert play.close == CloseSocket(1013, "rate_limit_exceeded")


def test_from_commits_to_turns() -> None:
    """What was not committed is, since nobody would any more."""
    play = Play()
    play.update(**NULL)
    play.speak()
    play.update(audio={"input": {"turn_detection": {"type": "semantic_vad"}}})
    play.deliver()
    play.speak()
    play.speak(0.5, SILENCE)
    play.deliver()
    assert play.transcripts == ["w0 end", "w0 end"]
    check_order(play.said)


def test_the_older_shape() -> None:
    """Its update is answered in its own shape, and items are created."""
    play = Play()
    play.send(
        "transcription_session.update",
        session={
            "input_audio_format": "pcm16",
            "input_audio_transcription": {"model": "gpt-4o-transcribe", "language": "en", "prompt": "names"},
            "turn_detection": {"type": "server_vad", "silence_duration_ms": 300},
            "input_audio_noise_reduction": {"type": "near_field"},
            "include": ["item.input_audio_transcription.logprobs"],
        },
    )
    assert play.said[-1]["type"] == "transcription_session.updated"
    assert play.said[-1]["session"] == {
        "id": "sess_x",
        "object": "realtime.transcription_session",
        "modalities": ["text"],
        "input_audio_format": "pcm16",
        "input_audio_transcription": {"model": "gpt-4o-transcribe", "language": "en", "prompt": "names"},
        "input_audio_noise_reduction": {"type": "near_field"},
        "turn_detection": {
            "type": "server_vad",
            "threshold": 0.5,
            "prefix_padding_ms": 200,
            "silence_duration_ms": 300,
        },
        "include": ["item.input_audio_transcription.logprobs"],
    }
    play.speak()
    play.speak(0.5, SILENCE)
    play.deliver()
    assert play.kinds()[3:5] == ["input_audio_buffer.committed", "conversation.item.created"]
    opened = play.asked[0]
    assert isinstance(opened, Open)
    assert (opened.request.language, opened.request.prompt) == ("en", "names")
    assert opened.request.endpointing is not None
    assert opened.request.endpointing.trailing_silence_s == 0.3


def test_what_a_model_of_one_language_is_told() -> None:
    """Another language is refused, and says which value it was; nothing changes."""
    play = Play(Served("tiny.en", multilingual=False))
    play.send(
        "session.update",
        event_id="u",
        session={"audio": {"input": {"transcription": {"language": "de"}, "turn_detection": None}}},
    )
    error = play.said[-1]["error"]
    assert error["param"] == "session.audio.input.transcription.language"
    assert (error["code"], error["event_id"]) == ("unsupported_language", "u")
    play.update()
    assert play.said[-1]["session"]["audio"]["input"]["turn_detection"] is not None


STEPS = st.one_of(
    st.tuples(st.just("append"), st.sampled_from([b"\x01", b"\x00"]), st.floats(0.01, 0.3)),
    st.tuples(st.sampled_from(["commit", "clear", "rest", "null", "vad", "live", "8k", "16k", "away"])),
    st.tuples(st.just("deliver"), st.integers(1, 6)),
)


@example([("append", b"\x01", 0.25), ("null",), ("commit",)])
@example([("append", b"\x01", 0.25), ("null",), ("append", b"\x01", 0.25), ("commit",)])
@given(st.lists(STEPS, max_size=40))
def test_any_order_of_things(steps: list[tuple[Any, ...]]) -> None:
    """What clients rely on holds, and every commit is answered in the end."""
    play = Play()
    formats = {"8k": {"type": "audio/pcmu"}, "16k": {"type": "audio/pcm", "rate": 16_000}}
    turns = {"null": None, "vad": {"type": "server_vad"}}
    for step in steps:
        match step:
            case ("append", kind, seconds):
                play.append(kind * round(48_000 * seconds))
            case ("deliver", count):
                play.deliver(count)
            case ("rest",):
                play.now_s += 61
                play.do(play.machine.check_time())
            case ("live",):
                play.update(audio={"input": {"transcription": {"delay": "low"}}})
            case ("away",):
                play.do(play.machine.going_away())
            case (("null" | "vad") as name,):
                play.update(audio={"input": {"turn_detection": turns[name]}})
            case (("8k" | "16k") as name,):
                play.update(audio={"input": {"format": formats[name]}})
            case (("commit" | "clear") as name,):
                play.send(f"input_audio_buffer.{name}")
        if play.close is not None:
            break
    play.deliver()
    check_order(play.said)
    errors = {each["error"]["code"] for each in play.of("error")}
    assert errors <= {"input_audio_buffer_commit_empty"}
    assert len(play.of(".committed")) == len(play.of(".completed")) + len(play.of(".failed"))
    assert not play.of(".failed") or ("away",) in steps
    assert not play.machine._marks or play.close is not None
    fed = sum(len(output.data) for output in play.asked if isinstance(output, Feed))
    assert fed <= sum(len(kind) * round(48_000 * seconds) for _, kind, seconds in _appends(steps))


def _appends(steps: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [step for step in steps if step[0] == "append"]


def test_base64_of_a_file() -> None:
    """A whole file in one message is one piece of audio."""
    play = Play()
    play.append(bytes(15 << 20))
    assert play.asked[-1] == Feed(bytes(15 << 20))
    assert len(play.said) == 1


@pytest.mark.parametrize(
    "wrong", ["no JSON", '{"type":"x"}', '{"type":"input_audio_buffer.append","audio":"%"}']
)
def test_nothing_but_wrong_events(wrong: str) -> None:
    """A socket that says nothing else is closed, and not as long as audio comes among them."""
    play = Play()
    for _ in range(5):
        for _ in range(30):
            play.do(play.machine.receive_text(wrong))
        play.append(bytes(480))
    assert play.close is None
    count = 0
    while play.close is None:
        play.now_s += 1.0
        play.do(play.machine.receive_text(wrong))
        count += 1
    assert 40 < count < 60
    assert play.close == CloseSocket(1008, "too_many_errors")
    assert play.of("error")[-1]["error"]["code"] == "too_many_errors"


def test_audio_that_was_decoded_as_it_came() -> None:
    """It is fed piece by piece; another field of the event is not taken for it."""
    play, text = Play(), LongText('{"type":"input_audio_buffer.append","audio":""}')
    text.audio = (bytes(3), bytes(5))
    play.do(play.machine.receive_text(text))
    assert play.asked[-2:] == [Feed(bytes(2)), Feed(bytes(6))]
    text.audio = None
    play.do(play.machine.receive_text(text))
    assert play.of("error")[-1]["error"]["code"] == "invalid_base64"
