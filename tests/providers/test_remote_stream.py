"""Realtime servers over loopback: what a stream says when all is well, and when it is not."""

from __future__ import annotations

import gc
import itertools
import json
import threading
from functools import partial
from typing import Any

import numpy as np
import pytest

from asrctl.errors import DecodeError, ProviderError
from asrctl.policy.backoff import BackoffOptions
from asrctl.policy.breaker import BreakerOptions
from asrctl.providers.base import Completed, DecodeOptions, Heard, Lost, Spoken
from asrctl.providers.remote.model import RemoteModel
from asrctl.providers.remote.session import Voice
from asrctl.providers.scripted import speak

from .remote_server import (
    After,
    Fault,
    Mute,
    Once,
    OpenAiBrain,
    RealtimeServer,
    Refuse,
    Say,
    Slow,
    Unfinished,
    VllmBrain,
    serving,
)
from .remote_streams import PATIENCE_S, Ear, feed, open_stream, options, until, utter

BRAINS = {
    "openai": OpenAiBrain,
    "openai at 16 kHz": partial(OpenAiBrain, 16_000),
    "openai, early deltas": partial(OpenAiBrain, early=True),
    "openai, backwards": partial(OpenAiBrain, backwards=True, lazy=3),
    "vllm": VllmBrain,
}
every_brain = pytest.mark.parametrize("name", list(BRAINS))
both = pytest.mark.parametrize("name", ["openai", "vllm"])
ERROR = {"type": "server_error", "code": None, "message": "something broke"}


def server(name: str, *faults: Fault | None) -> RealtimeServer:
    return RealtimeServer(BRAINS[name], faults)


def error_event(name: str, message: str = "something broke", **more: str) -> str:
    """An error as the dialect has it."""
    if name == "vllm":
        return json.dumps({"type": "error", "error": message, "code": more.get("code", "engine")})
    return json.dumps({"type": "error", "error": ERROR | {"message": message} | more})


@every_brain
@pytest.mark.parametrize("configured", [True, False])
def test_utterances_come_back_in_order(name: str, configured: bool) -> None:
    """Each utterance gives its words once, in order, whether the dialect is configured or guessed."""
    dialect = name.split()[0].strip(",") if configured else "auto"
    with serving(server(name)) as url, open_stream(options(url, dialect)) as (session, ear):
        utter(session, 1, 2, 3)
        utter(session, 4)
        utter(session, 5, 6, chunk=333)
        assert ear.wait_completed(3) == ["w1 w2 w3", "w4", "w5 w6"]
        for heard, text in zip(ear.heard, ear.texts, strict=False):
            assert text.startswith(heard.strip())


@pytest.mark.parametrize("name", ["openai, early deltas", "vllm"])
def test_text_grows_while_audio_comes(name: str) -> None:
    """Pieces are said before the utterance has ended; together they are its text."""
    with serving(server(name)) as url, open_stream(options(url)) as (session, ear):
        feed(session, speak([7, 8, 9]))
        ear.wait(lambda: ear.heard[-1] == " w7 w8 w9")
        assert not ear.texts
        session.complete()
        assert ear.wait_completed(1) == ["w7 w8 w9"]


@every_brain
def test_times_count_from_the_utterances_first_sample(name: str) -> None:
    """Each hypothesis covers its own utterance, and knows the language that was asked for."""
    decode = DecodeOptions(language="de")
    with serving(server(name)) as url, open_stream(options(url), decode) as (session, ear):
        utter(session, 1)
        utter(session, 2, 3)
        utter(session, 4)
        ear.wait_completed(3)
        last = [each.hypothesis for each in ear.spoken if isinstance(each, Completed)][1]
        assert [(segment.start_s, segment.end_s) for segment in last.segments] == [(0.0, 0.4)]
        assert last.language == "de" and last.inference_s >= 0


@both
def test_utterances_without_sound_or_words(name: str) -> None:
    """Nothing, next to nothing, and silence are completed in their turn, without text."""
    with serving(server(name)) as url, open_stream(options(url)) as (session, ear):
        session.complete()
        utter(session, 1)
        session.complete()
        session.feed(np.zeros(10, np.float32))
        session.complete()
        session.feed(np.zeros(16_000, np.float32))
        session.complete()
        utter(session, 2)
        assert ear.wait_completed(6) == ["", "w1", "", "", "", "w2"]


@every_brain
@pytest.mark.parametrize("samples", [1, 10, 100])
def test_the_shortest_utterances_come_to_their_end(name: str, samples: int) -> None:
    """An utterance too short for a resampler to give anything is completed all the same."""
    with serving(server(name)) as url, open_stream(options(url)) as (session, ear):
        for _ in range(3):
            session.feed(np.zeros(samples, np.float32))
            session.complete()
        ear.wait_completed(3)


def test_the_session_is_set_up_as_asked() -> None:
    """Model, language and prompt go to the server; what is left open is left out."""
    with serving(given := server("openai")) as url:
        with open_stream(options(url), DecodeOptions(language="de", prompt="Names")) as (session, ear):
            utter(session, 1)
            ear.wait_completed(1)
        with open_stream(options(url, model=""), DecodeOptions(language="auto")) as (session, ear):
            utter(session, 1)
            ear.wait_completed(1)
    asked = [brain.session["audio"]["input"]["transcription"] for brain in given.brains]
    assert asked == [{"model": "words", "language": "de", "prompt": "Names"}, {}]
    assert given.requests[0] == "/v1/realtime?intent=transcription"


@both
def test_a_closed_stream_says_nothing(name: str) -> None:
    """After `close` nothing is said, not even `Lost`, and the server sees a proper end."""
    with serving(given := server(name)) as url, open_stream(options(url)) as (session, ear):
        utter(session, 1)
        ear.wait_completed(1)
        session.feed(speak([2, 3]))
        session.complete()
        session.close()
        said = len(ear.spoken)
        session.feed(speak([4]))
        session.complete()
        session.close()
        until(lambda: given.closes)
        assert given.closes == [1000]
        assert len(ear.spoken) == said


def test_closing_at_any_moment_leaves_nothing_open() -> None:
    """Also while a link is being made, or given up; what was left open would be seen when it is collected."""
    given = RealtimeServer(VllmBrain, itertools.cycle([None, Say(b"\x00"), Mute(), After(code=1011)]))
    with serving(given) as url:
        for count in range(1, 41):
            with open_stream(options(url)) as (session, _):
                utter(session, 1)
                until(lambda count=count: given.handshakes >= count)  # type: ignore[misc]
        gc.collect()
    gc.collect()


def test_hush_is_the_last_word() -> None:
    """What is being said is said to its end, which `hush` waits for; then nothing is."""
    said: list[Spoken] = []
    saying, go_on, hushed = threading.Event(), threading.Event(), threading.Event()

    def say(spoken: Spoken) -> None:
        saying.set()
        assert go_on.wait(PATIENCE_S)
        assert not hushed.is_set()
        said.append(spoken)

    voice = Voice(say)

    def hush() -> None:
        voice.hush()
        hushed.set()

    speaker = threading.Thread(target=voice, args=(Heard("one"),))
    speaker.start()
    assert saying.wait(PATIENCE_S)
    husher = threading.Thread(target=hush)
    husher.start()
    assert not hushed.is_set()
    go_on.set()
    husher.join(PATIENCE_S)
    speaker.join(PATIENCE_S)
    voice(Heard("two"))
    assert said == [Heard("one")]


def test_nothing_is_said_after_a_loss() -> None:
    """`Lost` is the last that a stream says."""
    said: list[Spoken] = []
    voice, lost = Voice(said.append), Lost(ProviderError("gone"))
    voice(lost)
    voice(Heard("late"))
    voice(lost)
    assert said == [lost]


def test_streams_are_independent() -> None:
    """Several streams of one model do not mix, and one that is closed leaves the others alone."""
    with serving(server("openai")) as url:
        model = RemoteModel(options(url))
        ears = [Ear() for _ in range(4)]
        sessions = [model.open(DecodeOptions(), ear) for ear in ears]
        for number, session in enumerate(sessions):
            utter(session, number)
        for number, ear in enumerate(ears):
            assert ear.wait_completed(1) == [f"w{number}"]
        sessions[0].close()
        utter(sessions[1], 9)
        assert ears[1].wait_completed(2) == ["w1", "w9"]
        model.close()
        with pytest.raises(ProviderError, match="closed"):
            model.open(DecodeOptions(), Ear())


@both
@pytest.mark.parametrize(
    "fault",
    [
        Refuse(503, retry_after="0"),
        Refuse(429),
        Refuse(502),
        After(code=1011),
        After(3_000, code=1012),
        After(3_000, code=1013, reason="try again later"),
        Say("this is no JSON"),
        Say('{"no": "type"}'),
        Say(b"\x00\x01"),
        Say('{"type": "x", "data": "' + "x" * 300_000 + '"}'),
        After(3_000, say="[" * 100_000),
        After(3_000, say='{"type": "transcription.done"}'),
        After(3_000, say='{"type": "conversation.item.input_audio_transcription.completed"}'),
        Slow(0.01),
    ],
    ids=str,
)
def test_faults_that_pass(name: str, fault: Fault) -> None:
    """After a fault that says nothing about the next try, the stream goes on, and nobody notices."""
    chosen = {"max_message_bytes": 200_000, "completion_timeout_s": 1.0}
    with (
        serving(server(name, fault, fault)) as url,
        open_stream(options(url, name, **chosen)) as (session, ear),
    ):
        utter(session, 1, 2)
        utter(session, 3)
        assert ear.wait_completed(2) == ["w1 w2", "w3"]


@both
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Refuse(401), "invalid API key (401)"),
        (Refuse(403), "does not let this client in"),
        (Refuse(404), "HTTP 404"),
        (After(code=3000, reason="invalid_request_error.invalid_api_key"), "3000"),
        (After(code=4000, reason="invalid_request_error.model_not_found"), "model_not_found"),
        (After(code=1003), "1003"),
    ],
    ids=str,
)
def test_faults_that_do_not_pass(name: str, fault: Fault, message: str) -> None:
    """What would end the same way is not tried again: the stream is lost at once."""
    with serving(given := server(name, fault)) as url, open_stream(options(url, name)) as (_, ear):
        assert message in str(ear.wait_lost())
        assert given.handshakes == 1


@pytest.mark.parametrize(
    ("name", "code"),
    [("openai", "invalid_api_key"), ("openai", "model_not_found"), ("vllm", "unknown_event")],
)
def test_errors_that_do_not_pass(name: str, code: str) -> None:
    """An error event that would come again ends the stream, with the server's words."""
    given = server(name, After(say=error_event(name, "no such thing", code=code)))
    with serving(given) as url, open_stream(options(url, name)) as (_, ear):
        assert "no such thing" in str(ear.wait_lost())
        assert given.handshakes == 1


@both
def test_errors_that_pass(name: str) -> None:
    """Another error event costs the link, and no words."""
    fault = After(4_000, say=error_event(name, "overloaded", code="rate_limit_exceeded"))
    with serving(given := server(name, fault)) as url, open_stream(options(url)) as (session, ear):
        utter(session, 1, 2, 3)
        assert ear.wait_completed(1) == ["w1 w2 w3"]
        assert given.handshakes == 2


def test_an_unknown_dialect_is_a_clear_end() -> None:
    """A server whose first event is none that we know is not tried again."""
    given = RealtimeServer(OpenAiBrain, [Say('{"type": "hello"}')])
    with serving(given) as url, open_stream(options(url)) as (_, ear):
        assert "no realtime dialect" in str(ear.wait_lost())


@both
@pytest.mark.parametrize("fault", [Mute(), Unfinished()], ids=str)
def test_a_server_that_does_not_answer_is_left(name: str, fault: Fault) -> None:
    """A session that does not begin, and text that does not come, cost the link after their time-outs."""
    chosen = {"first_event_timeout_s": 0.2, "completion_timeout_s": 0.3}
    with (
        serving(given := server(name, fault)) as url,
        open_stream(options(url, name, **chosen)) as (session, ear),
    ):
        utter(session, 1, 2)
        assert ear.wait_completed(1) == ["w1 w2"]
        assert given.handshakes == 2
        assert ear.heard[0] in ("", " w1 w2")


@both
def test_a_server_that_never_answers_is_given_up(name: str) -> None:
    """An outage has an end: `Lost` says why, and nothing comes after it."""
    given = RealtimeServer(BRAINS[name], itertools.repeat(Mute()))
    chosen = {"first_event_timeout_s": 0.1, "outage_s": 0.5}
    with serving(given) as url, open_stream(options(url, name, **chosen)) as (session, ear):
        utter(session, 1, 2)
        assert type(ear.wait_lost()) is ProviderError
        said = len(ear.spoken)
        utter(session, 3)
        assert len(ear.spoken) == said


@both
def test_an_outage_ends_before_a_longer_time_out(name: str) -> None:
    """Once a link was lost, the whole time until text comes again is bounded, whatever is waited for."""
    given = RealtimeServer(BRAINS[name], [After(2_000, code=1011), *[Mute()] * 9])
    chosen = {"first_event_timeout_s": 2 * PATIENCE_S, "outage_s": 0.3}
    with serving(given) as url, open_stream(options(url, name, **chosen)) as (session, ear):
        utter(session, 1, 2)
        assert "0.3 s" in str(ear.wait_lost())


def test_an_outage_that_is_over_does_not_count() -> None:
    """Each outage has its own time: many short ones, longer than one may last together, are survived."""
    given = RealtimeServer(VllmBrain, [Once()] * 12)
    slow = BackoffOptions(first_s=0.05, max_s=0.05, jitter=0.0, max_attempts=3)
    with (
        serving(given) as url,
        open_stream(options(url, "vllm", backoff=slow, outage_s=0.5)) as (session, ear),
    ):
        for number in range(12):
            utter(session, number)
            ear.wait_completed(number + 1)
        until(lambda: given.handshakes == 13)


def test_attempts_have_an_end() -> None:
    """So many refusals in a row, and no more."""
    given = RealtimeServer(OpenAiBrain, itertools.repeat(Refuse(503)))
    few = BackoffOptions(first_s=0.001, max_s=0.002, max_attempts=4)
    with serving(given) as url, open_stream(options(url, backoff=few)) as (_, ear):
        assert "gave up after 4 attempts" in str(ear.wait_lost())
        assert given.handshakes == 4


def test_what_the_server_asks_for_is_honoured() -> None:
    """A `Retry-After` longer than an outage may last ends the stream at once."""
    given = RealtimeServer(OpenAiBrain, [Refuse(503, retry_after="60")])
    with serving(given) as url, open_stream(options(url, outage_s=5.0)) as (_, ear):
        assert "the server is full" in str(ear.wait_lost())
        assert given.handshakes == 1


def test_nobody_there() -> None:
    """A port that nobody listens on is a clear end."""
    with serving(given := server("openai")) as url:
        pass
    few = BackoffOptions(first_s=0.001, max_s=0.002, max_attempts=2)
    with open_stream(options(url, backoff=few)) as (_, ear):
        assert "refused" in str(ear.wait_lost())
    assert given.handshakes == 0


@pytest.mark.parametrize("name", ["openai", "vllm"])
def test_an_utterance_that_is_refused_again_and_again(name: str) -> None:
    """A server that cannot make text of an utterance is asked three times; the audio is at fault then."""
    if name == "vllm":
        say = error_event(name, "bad audio", code="processing_error")
    else:
        kind = "conversation.item.input_audio_transcription.failed"
        say = json.dumps({"type": kind, "item_id": "item_0", "error": ERROR | {"message": "bad audio"}})
    given = RealtimeServer(BRAINS[name], itertools.repeat(After(12_000, say=say)))
    with serving(given) as url:
        model, ear = RemoteModel(options(url)), Ear()
        session = model.open(DecodeOptions(), ear)
        feed(session, speak([1, 2, 3]))
        error = ear.wait_lost()
        assert isinstance(error, DecodeError) and "bad audio" in str(error)
        assert given.handshakes == 3
        model.open(DecodeOptions(), Ear())  # the server is not to blame
        model.close()


def test_a_server_that_ends_utterances_by_itself_is_left() -> None:
    """We say where utterances end; a server that does it as well would split them."""
    say = json.dumps({"type": "input_audio_buffer.committed", "item_id": "item_9"})
    given = RealtimeServer(OpenAiBrain, [After(3_000, say=say)])
    with serving(given) as url, open_stream(options(url)) as (session, ear):
        session.feed(speak([1]))
        assert "by itself" in str(ear.wait_lost())


def test_more_audio_than_may_wait() -> None:
    """A server that does not keep up costs the stream when the buffer is full, not the memory."""
    given = RealtimeServer(OpenAiBrain, itertools.repeat(Mute()))
    with serving(given) as url, open_stream(options(url, buffer_s=1.0)) as (session, ear):
        feed(session, np.zeros(20_000, np.float32))
        assert "does not keep up" in str(ear.wait_lost())


def test_after_a_loss_others_are_not_begun_for_a_while() -> None:
    """`open` says at once that the server was given up; after a while it lets one in, and then all."""
    now_s = [0.0]
    given = RealtimeServer(OpenAiBrain, [Refuse(401)])
    with serving(given) as url:
        model = RemoteModel(options(url, breaker=BreakerOptions(5, 60.0)), clock=lambda: now_s[0])
        ear = Ear()
        model.open(DecodeOptions(), ear)
        ear.wait_lost()
        with pytest.raises(ProviderError, match="API key"):
            model.open(DecodeOptions(), Ear())
        now_s[0] = 61.0
        ear = Ear()
        trial = model.open(DecodeOptions(), ear)
        with pytest.raises(ProviderError):
            model.open(DecodeOptions(), Ear())
        utter(trial, 1)
        ear.wait_completed(1)
        model.open(DecodeOptions(), Ear())
        model.close()


def test_no_realtime_server_translates() -> None:
    """It is said at once, so that another provider can be asked."""
    model = RemoteModel(options("ws://127.0.0.1:1"))
    with pytest.raises(ProviderError, match="translate"):
        model.open(DecodeOptions(translate=True), Ear())
    model.close()


def test_a_link_that_is_lost_between_utterances_is_made_again() -> None:
    """The next utterance finds a link."""
    given = RealtimeServer(VllmBrain, [After(8_000, code=1001)])
    with serving(given) as url, open_stream(options(url)) as (session, ear):
        utter(session, 1)
        ear.wait_completed(1)
        until(lambda: given.handshakes == 2)
        utter(session, 2)
        assert ear.wait_completed(2) == ["w1", "w2"]


def test_heard_text_is_not_said_twice() -> None:
    """What a second link hears again is said from where the first one broke."""
    given: Any = RealtimeServer(VllmBrain, [After(20_000, code=1011)])
    with serving(given) as url, open_stream(options(url)) as (session, ear):
        feed(session, speak([1, 2]))
        ear.wait(lambda: ear.heard[-1] == " w1 w2")
        feed(session, speak([3, 4, 5]))
        ear.wait(lambda: ear.heard[-1] == " w1 w2 w3 w4 w5")
        assert given.handshakes == 2
        session.complete()
        assert ear.wait_completed(1) == ["w1 w2 w3 w4 w5"]
