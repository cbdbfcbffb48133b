"""Realtime servers over loopback when something is wrong: what passes is not noticed, the rest is said."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest

from asrctl.errors import DecodeError, ProviderError
from asrctl.policy.backoff import BackoffOptions
from asrctl.providers.base import DecodeOptions
from asrctl.providers.remote.backlog import Backlog
from asrctl.providers.remote.conversation import Conversation
from asrctl_tests.scripted import speak

from .brains import OpenAiBrain, VllmBrain
from .ears import PATIENCE_S, Ear, Stream, in_loop, request, until
from .remote_cases import BRAINS, ERROR, NOWHERE, both, error_event, lost, server
from .remote_server import After, Fault, Mute, Once, RealtimeServer, Refuse, Say, Slow, Unfinished, serving
from .remote_streams import open_stream, recognizer, settings


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
@in_loop
async def test_faults_that_pass(name: str, fault: Fault) -> None:
    """After a fault that says nothing about the next try, the stream goes on, and nobody notices."""
    chosen = {"max_message_bytes": 200_000, "completion_timeout_s": 1.0}
    async with (
        serving(server(name, fault, fault)) as url,
        open_stream(settings(url, name, **chosen)) as stream,
    ):
        stream.utter(1, 2)
        stream.utter(3)
        assert await stream.ear.wait_completed(2) == ["w1 w2", "w3"]


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
@in_loop
async def test_faults_that_do_not_pass(name: str, fault: Fault, message: str) -> None:
    """What would end the same way is not tried again: the stream is lost at once."""
    given = server(name, fault)
    async with serving(given) as url, open_stream(settings(url, name)) as stream:
        assert message in await lost(stream)
        assert given.handshakes == 1


@pytest.mark.parametrize(
    ("name", "code"),
    [("openai", "invalid_api_key"), ("openai", "model_not_found"), ("vllm", "unknown_event")],
)
@in_loop
async def test_errors_that_do_not_pass(name: str, code: str) -> None:
    """An error event that would come again ends the stream, with the server's words."""
    given = server(name, After(say=error_event(name, "no such thing", code=code)))
    async with serving(given) as url, open_stream(settings(url, name)) as stream:
        assert "no such thing" in await lost(stream)
        assert given.handshakes == 1


@both
@in_loop
async def test_errors_that_pass(name: str) -> None:
    """Another error event costs the link, and no words."""
    fault = After(4_000, say=error_event(name, "overloaded", code="rate_limit_exceeded"))
    given = server(name, fault)
    async with serving(given) as url, open_stream(settings(url)) as stream:
        stream.utter(1, 2, 3)
        assert await stream.ear.wait_completed(1) == ["w1 w2 w3"]
        assert given.handshakes == 2


@in_loop
async def test_an_unknown_dialect_is_a_clear_end() -> None:
    """A server whose first event is none that we know is not tried again."""
    given = RealtimeServer(OpenAiBrain, [Say('{"type": "hello"}')])
    async with serving(given) as url, open_stream(settings(url)) as stream:
        assert "no realtime dialect" in await lost(stream)


@both
@pytest.mark.parametrize("fault", [Mute(), Unfinished()], ids=str)
@in_loop
async def test_a_server_that_does_not_answer_is_left(name: str, fault: Fault) -> None:
    """A session that does not begin, and text that does not come, cost the link after their time-outs."""
    chosen = {"first_event_timeout_s": 0.2, "completion_timeout_s": 0.3}
    given = server(name, fault)
    async with serving(given) as url, open_stream(settings(url, name, **chosen)) as stream:
        stream.utter(1, 2)
        assert await stream.ear.wait_completed(1) == ["w1 w2"]
        assert given.handshakes == 2
        assert stream.ear.last_heard(0) in ("", "w1 w2")


@both
@in_loop
async def test_a_server_that_never_answers_is_given_up(name: str) -> None:
    """An outage has an end: `Lost` says why and names the oldest utterance, and nothing comes after it."""
    given = RealtimeServer(BRAINS[name], itertools.repeat(Mute()))
    chosen = {"first_event_timeout_s": 0.1, "outage_s": 0.5}
    async with serving(given) as url, open_stream(settings(url, name, **chosen)) as stream:
        stream.utter(1, 2)
        stream.utter(3)
        end = await stream.ear.wait_lost()
        assert type(end.error) is ProviderError and end.utterance == 0
        said = len(stream.ear.spoken)
        stream.utter(4)
        assert len(stream.ear.spoken) == said


@both
@in_loop
async def test_an_outage_ends_before_a_longer_time_out(name: str) -> None:
    """Once a link was lost, the whole time until text comes again is bounded, whatever is waited for."""
    given = RealtimeServer(BRAINS[name], [After(2_000, code=1011), *[Mute()] * 9])
    chosen = {"first_event_timeout_s": 2 * PATIENCE_S, "outage_s": 0.3}
    async with serving(given) as url, open_stream(settings(url, name, **chosen)) as stream:
        stream.utter(1, 2)
        # No number: whoever waits may have seen several streams end like this.
        assert (await lost(stream)).endswith(": no text came, although it was tried again")


@in_loop
async def test_an_outage_that_is_over_does_not_count() -> None:
    """Each outage has its own time: many short ones, longer than one may last together, are survived."""
    given = RealtimeServer(VllmBrain, [Once()] * 12)
    slow = BackoffOptions(first_s=0.05, max_s=0.05, jitter=0.0, max_attempts=3)
    async with (
        serving(given) as url,
        open_stream(settings(url, "vllm", outage_s=0.5), backoff=slow) as stream,
    ):
        for number in range(12):
            stream.utter(number)
            await stream.ear.wait_completed(number + 1)
        await until(lambda: given.handshakes == 13)


@in_loop
async def test_attempts_have_an_end() -> None:
    """So many refusals in a row, and no more."""
    given = RealtimeServer(OpenAiBrain, itertools.repeat(Refuse(503)))
    few = BackoffOptions(first_s=0.001, max_s=0.002, max_attempts=4)
    async with serving(given) as url, open_stream(settings(url), backoff=few) as stream:
        assert "gave up after 4 attempts" in await lost(stream)
        assert given.handshakes == 4


@in_loop
async def test_what_the_server_asks_for_is_honoured() -> None:
    """A `Retry-After` longer than an outage may last ends the stream at once."""
    given = RealtimeServer(OpenAiBrain, [Refuse(503, retry_after="60")])
    async with serving(given) as url, open_stream(settings(url, outage_s=5.0)) as stream:
        assert "the server is full" in await lost(stream)
        assert given.handshakes == 1


@pytest.mark.parametrize("name", ["openai", "vllm"])
@in_loop
async def test_an_utterance_that_is_refused_again_and_again(name: str) -> None:
    """A server that cannot make text of an utterance is asked three times; then it alone fails."""
    if name == "vllm":
        say = error_event(name, "bad audio", code="processing_error")
    else:
        kind = "conversation.item.input_audio_transcription.failed"
        say = json.dumps({"type": kind, "item_id": "item_0", "error": ERROR | {"message": "bad audio"}})
    given = RealtimeServer(BRAINS[name], [After(12_000, say=say)] * 3)
    async with serving(given) as url, open_stream(settings(url)) as stream:
        stream.feed(speak([1, 2, 3]))
        await until(lambda: given.handshakes >= 4)
        assert not stream.ear.failed  # it has not ended yet
        stream.end()
        stream.utter(4)
        failed = await stream.ear.wait_failed()
        assert failed.utterance == 0
        assert isinstance(failed.error, DecodeError) and "bad audio" in str(failed.error)
        assert await stream.ear.wait_completed(1) == ["w4"]
        assert stream.ear.completed[0].utterance == 1


@in_loop
async def test_a_server_that_ends_utterances_though_told_not_to_is_left() -> None:
    """It has agreed to our ends, and would split what it was not told to."""
    say = json.dumps({"type": "input_audio_buffer.committed", "item_id": "item_9"})
    given = RealtimeServer(OpenAiBrain, [After(3_000, say=say)])
    async with serving(given) as url, open_stream(settings(url)) as stream:
        stream.feed(speak([1]))
        assert "by itself" in await lost(stream)


@in_loop
async def test_more_audio_than_may_wait() -> None:
    """A server that does not keep up costs the stream when the buffer is full, not the memory."""
    given = RealtimeServer(OpenAiBrain, itertools.repeat(Mute()))
    async with serving(given) as url, open_stream(settings(url, buffer_s=1.0)) as stream:
        stream.feed(np.zeros(20_000, np.float32))
        assert "does not keep up" in await lost(stream)


@in_loop
async def test_after_a_loss_others_are_not_begun_for_a_while() -> None:
    """`open` says at once that the server was given up; after a while it lets one in, and then all."""
    now_s = [0.0]
    given = RealtimeServer(OpenAiBrain, [Refuse(401)])
    async with (
        serving(given) as url,
        recognizer(settings(url, pause_s=60.0), clock=lambda: now_s[0]) as remote,
    ):
        await lost(Stream(remote))
        with pytest.raises(ProviderError, match="API key"):
            remote.open(request(), Ear())
        now_s[0] = 61.0
        trial = Stream(remote)
        with pytest.raises(ProviderError):
            remote.open(request(), Ear())
        trial.utter(1)
        await trial.ear.wait_completed(1)
        remote.open(request(), Ear())


@in_loop
async def test_no_realtime_server_translates() -> None:
    """It is said at once, so that another provider can be asked."""
    async with recognizer(settings(NOWHERE)) as remote:
        with pytest.raises(ProviderError, match="translate"):
            remote.open(request(DecodeOptions(translate=True)), Ear())


@in_loop
async def test_a_link_that_is_lost_between_utterances_is_made_again() -> None:
    """The next utterance finds a link."""
    given = RealtimeServer(VllmBrain, [After(8_000, code=1001)])
    async with serving(given) as url, open_stream(settings(url)) as stream:
        stream.utter(1)
        await stream.ear.wait_completed(1)
        await until(lambda: given.handshakes == 2)
        stream.utter(2)
        assert await stream.ear.wait_completed(2) == ["w1", "w2"]


@in_loop
async def test_heard_text_is_not_taken_back() -> None:
    """What a second link hears again is said from where the first one broke."""
    given: Any = RealtimeServer(VllmBrain, [After(20_000, code=1011)])
    async with serving(given) as url, open_stream(settings(url)) as stream:
        stream.feed(speak([1, 2]))
        await stream.ear.wait(lambda: stream.ear.last_heard(0) == "w1 w2")
        stream.feed(speak([3, 4, 5]))
        await stream.ear.wait(lambda: stream.ear.last_heard(0) == "w1 w2 w3 w4 w5")
        assert given.handshakes == 2
        lengths = [len(one.stable) for one in stream.ear.heard(0)]
        assert lengths == sorted(lengths)
        stream.end()
        assert await stream.ear.wait_completed(1) == ["w1 w2 w3 w4 w5"]


@pytest.mark.parametrize("where", [(Conversation, "receive"), (Backlog, "heard")])
@in_loop
async def test_a_mistake_of_ours_is_no_silence(where: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong in the task of a stream, it is told that it is lost."""

    def broken(*_: Any) -> None:
        raise ZeroDivisionError("a mistake")

    async with serving(server("openai")) as url, open_stream(settings(url)) as stream:
        monkeypatch.setattr(*where, broken)
        stream.utter(1)
        assert "the provider failed: ZeroDivisionError" in await lost(stream)
