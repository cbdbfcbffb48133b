"""Realtime servers over loopback: what a stream says when all is well, and when it is not."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import time
from functools import partial
from typing import Any

import numpy as np
import pytest

from asrctl.errors import DecodeError, ProviderError
from asrctl.policy.backoff import BackoffOptions
from asrctl.providers.base import DecodeOptions
from asrctl.providers.remote.backlog import Backlog
from asrctl.providers.remote.conversation import Conversation
from asrctl.providers.scripted import speak

from .ears import PATIENCE_S, Ear, Stream, in_loop, request, until
from .remote_server import (
    After,
    Fault,
    Mute,
    Once,
    OpenAiBrain,
    OwnTurnsBrain,
    RealtimeServer,
    Refuse,
    Say,
    Slow,
    Unfinished,
    VllmBrain,
    serving,
)
from .remote_streams import open_stream, recognizer, settings

BRAINS = {
    "openai": OpenAiBrain,
    "openai at 16 kHz": partial(OpenAiBrain, 16_000),
    "openai, early deltas": partial(OpenAiBrain, early=True),
    "openai, backwards": partial(OpenAiBrain, backwards=True, lazy=3),
    "openai, ends utterances": OwnTurnsBrain,
    "vllm": VllmBrain,
}
every_brain = pytest.mark.parametrize("name", list(BRAINS))
both = pytest.mark.parametrize("name", ["openai", "vllm"])
ERROR = {"type": "server_error", "code": None, "message": "something broke"}
NOWHERE = "ws://127.0.0.1:9"


def server(name: str, *faults: Fault | None) -> RealtimeServer:
    return RealtimeServer(BRAINS[name], faults)


def dialect_of(name: str) -> str:
    return name.split()[0].strip(",")


def error_event(name: str, message: str = "something broke", **more: str) -> str:
    """An error as the dialect has it."""
    if name == "vllm":
        return json.dumps({"type": "error", "error": message, "code": more.get("code", "engine")})
    return json.dumps({"type": "error", "error": ERROR | {"message": message} | more})


async def lost(stream: Stream) -> str:
    """Why a stream was lost."""
    return str((await stream.ear.wait_lost()).error)


@every_brain
@pytest.mark.parametrize("configured", [True, False])
@in_loop
async def test_utterances_come_back(name: str, configured: bool) -> None:
    """Each utterance gives its words once, whether the dialect is configured or guessed."""
    dialect = dialect_of(name) if configured else "auto"
    async with serving(server(name)) as url, open_stream(settings(url, dialect)) as stream:
        stream.utter(1, 2, 3)
        stream.utter(4)
        stream.utter(5, 6, chunk=333)
        assert await stream.ear.wait_completed(3) == ["w1 w2 w3", "w4", "w5 w6"]
        for number, text in enumerate(stream.ear.texts):
            assert text.startswith(stream.ear.last_heard(number))


@pytest.mark.parametrize("name", ["openai, early deltas", "vllm"])
@in_loop
async def test_text_grows_while_audio_comes(name: str) -> None:
    """Partials come before the end, with the samples that were sent; their words are the text."""
    async with serving(server(name)) as url, open_stream(settings(url)) as stream:
        stream.feed(speak([7, 8, 9]))
        await stream.ear.wait(lambda: stream.ear.last_heard(0) == "w7 w8 w9")
        assert not stream.ear.texts
        heard = stream.ear.heard(0)[-1]
        assert (heard.stable, heard.unstable, heard.samples) == (("w7", "w8"), ("w9",), 9_600)
        stream.end()
        assert await stream.ear.wait_completed(1) == ["w7 w8 w9"]


@every_brain
@in_loop
async def test_times_count_from_the_utterances_first_sample(name: str) -> None:
    """Each hypothesis covers its own utterance, and knows the language that was asked for."""
    decode = DecodeOptions(language="de")
    async with serving(server(name)) as url, open_stream(settings(url), decode) as stream:
        stream.utter(1)
        stream.utter(2, 3)
        stream.utter(4)
        await stream.ear.wait_completed(3)
        hypothesis = stream.ear.completed[1].hypothesis
        assert [(segment.start_s, segment.end_s) for segment in hypothesis.segments] == [(0.0, 0.4)]
        assert hypothesis.language == "de" and hypothesis.inference_s >= 0


@pytest.mark.parametrize("name", ["openai", "openai, ends utterances", "vllm"])
@in_loop
async def test_utterances_without_sound_or_words(name: str) -> None:
    """Nothing, next to nothing, and silence are completed without text."""
    async with serving(server(name)) as url, open_stream(settings(url)) as stream:
        stream.end()
        stream.utter(1)
        stream.end()
        stream.feed(np.zeros(10, np.float32))
        stream.end()
        stream.feed(np.zeros(16_000, np.float32))
        stream.end()
        stream.utter(2)
        assert await stream.ear.wait_completed(6) == ["", "w1", "", "", "", "w2"]


@every_brain
@pytest.mark.parametrize("samples", [1, 10, 100])
@in_loop
async def test_the_shortest_utterances_come_to_their_end(name: str, samples: int) -> None:
    """An utterance too short for a resampler to give anything is completed all the same."""
    async with serving(server(name)) as url, open_stream(settings(url)) as stream:
        for _ in range(3):
            stream.feed(np.zeros(samples, np.float32))
            stream.end()
        await stream.ear.wait_completed(3)


@in_loop
async def test_the_session_is_set_up_as_asked() -> None:
    """Model, language, prompt and what is set go to the server; what is left open is left out."""
    given = server("openai")
    more = {"keywords": ("Ada",), "languages": ("de", "fr"), "delay": "low"}
    decode = DecodeOptions(language="de", prompt="Names")
    async with serving(given) as url:
        for chosen, options in [
            (settings(url), decode),
            (settings(url, model=""), DecodeOptions(language="auto")),
            (settings(url, model="gpt-realtime-whisper", **more), decode),
        ]:
            async with open_stream(chosen, options) as stream:
                stream.utter(1)
                await stream.ear.wait_completed(1)
    asked = [brain.session["audio"]["input"]["transcription"] for brain in given.brains]
    assert asked == [
        {"model": "words", "language": "de", "prompt": "Names"},
        {},
        {
            "model": "gpt-realtime-whisper",
            "language": "de",
            "keywords": ["Ada"],
            "languages": ["de", "fr"],
            "delay": "low",
        },
    ]
    assert given.requests[:2] == [
        "/v1/realtime?intent=transcription&model=words",
        "/v1/realtime?intent=transcription",
    ]


@in_loop
async def test_the_older_form_of_a_session_is_answered_in_kind() -> None:
    """Only what we want is said, with the server's own model where we name none."""
    given = server("openai, ends utterances")
    async with serving(given) as url:
        for model, decode in (("mine", DecodeOptions(language="de")), ("", DecodeOptions(language="auto"))):
            async with open_stream(settings(url, model=model), decode) as stream:
                stream.utter(1)
                await stream.ear.wait_completed(1)
    asked = [brain.session["input_audio_transcription"] for brain in given.brains]
    assert asked == [{"model": "mine", "language": "de"}, {"model": "theirs"}]


@pytest.mark.parametrize("announces", [True, False])
@in_loop
async def test_a_server_that_ends_utterances_by_itself(announces: bool) -> None:
    """What it cuts in several is one utterance again, and what it makes up of our silence is left out."""
    given = RealtimeServer(partial(OwnTurnsBrain, announces=announces))
    pause = np.zeros(16_000, np.float32)
    async with serving(given) as url, open_stream(settings(url)) as stream:
        for first in (1, 5):
            stream.feed(np.concatenate([speak([first, first + 1]), pause, speak([first + 2]), pause]))
            stream.end()
        texts = await stream.ear.wait_completed(2)
        if announces:
            assert texts == ["w1 w2 w3", "w5 w6 w7"]
            assert [one.stable for one in stream.ear.heard(0)][-1] == ("w1", "w2", "w3")
        else:
            assert [text.split()[:3] for text in texts] == [["w1", "w2", "w3"], ["w5", "w6", "w7"]]


@in_loop
async def test_a_generation_that_ends_early_is_continued() -> None:
    """vLLM may stop in the middle of an utterance: what it said is kept, and another one hears the rest."""
    given = RealtimeServer(partial(VllmBrain, early=2))
    async with serving(given) as url, open_stream(settings(url, "vllm")) as stream:
        for count, numbers in enumerate(([1, 2], [3, 4], [5])):
            # Further audio is sent when the server has said what it heard: what crosses its end is gone.
            stream.feed(np.concatenate([speak(numbers), np.zeros(1_600, np.float32)]))
            words = [f"w{number}" for number in range(1, (2, 4, 5)[count] + 1)]
            await stream.ear.wait(lambda words=words: stream.ear.last_heard(0).split() == words)  # type: ignore[misc]
            await asyncio.sleep(0.02)
        stream.end()
        stream.utter(6)
        assert await stream.ear.wait_completed(2) == ["w1 w2 w3 w4 w5", "w6"]
        assert given.handshakes == 1


@both
@in_loop
async def test_a_closed_stream_says_nothing(name: str) -> None:
    """After `close` nothing is said, not even `Lost`, and the server sees the end."""
    given = server(name)
    async with serving(given) as url, open_stream(settings(url)) as stream:
        stream.utter(1)
        await stream.ear.wait_completed(1)
        stream.utter(2, 3)
        stream.close()
        said = len(stream.ear.spoken)
        stream.utter(4)
        stream.close()
        await until(lambda: given.closes)
        assert len(stream.ear.spoken) == said


@in_loop
async def test_closing_at_any_moment_leaves_nothing_open() -> None:
    """Also while a link is being made, or given up; what was left open would be seen when it is collected."""
    given = RealtimeServer(VllmBrain, itertools.cycle([None, Say(b"\x00"), Mute(), After(code=1011)]))
    async with serving(given) as url:
        for count in range(1, 41):
            async with open_stream(settings(url)) as stream:
                stream.utter(1)
                await until(lambda count=count: given.handshakes >= count)  # type: ignore[misc]
        gc.collect()
    assert len(asyncio.all_tasks()) == 1
    gc.collect()


@both
@in_loop
async def test_nothing_is_said_of_a_dropped_utterance(name: str) -> None:
    """One that was sent, and one that waits, which is never sent."""
    given = server(name, Mute())
    async with serving(given) as url:
        async with open_stream(settings(url, name, first_event_timeout_s=0.1)) as stream:
            for number in range(4):
                stream.utter(number)
            stream.drop(1)
            await stream.ear.wait_completed(3)
            assert [each.utterance for each in stream.ear.completed] == [0, 2, 3]
        async with open_stream(settings(url, name)) as stream:
            stream.feed(speak([1, 2]))
            await until(lambda: given.brains[-1]._pcm)
            stream.end()
            stream.drop(0)
            stream.utter(3)
            await stream.ear.wait_completed(1)
            assert [(each.utterance, each.hypothesis.text) for each in stream.ear.completed] == [(1, "w3")]


@both
@in_loop
async def test_no_partials_where_none_are_wanted(name: str) -> None:
    """Neither for a request without them, nor while they are declined."""
    async with serving(server(name)) as url, recognizer(settings(url)) as remote:
        finals, stream = Stream(remote, request(pacing=None)), Stream(remote)
        stream.stream.want_partials(None)
        for each in (finals, stream):
            each.utter(1, 2)
            assert await each.ear.wait_completed(1) == ["w1 w2"]
            assert not each.ear.heard(0)


@in_loop
async def test_streams_are_independent() -> None:
    """Several streams of one recogniser do not mix, and one that is closed leaves the others alone."""
    async with serving(server("openai")) as url:
        async with recognizer(settings(url)) as remote:
            streams = [Stream(remote) for _ in range(4)]
            for number, stream in enumerate(streams):
                stream.utter(number)
            for number, stream in enumerate(streams):
                assert await stream.ear.wait_completed(1) == [f"w{number}"]
            streams[0].close()
            streams[1].utter(9)
            assert await streams[1].ear.wait_completed(2) == ["w1", "w9"]
        with pytest.raises(ProviderError, match="closed"):
            remote.open(request(), Ear())


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
        assert "0.3 s" in await lost(stream)


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


@pytest.mark.parametrize("dialect", ["openai", "vllm", "asrctl", "auto"])
@in_loop
async def test_nobody_there(dialect: str) -> None:
    """A port that nobody listens on is said at once, by the stream and before one is opened."""
    patient = BackoffOptions(first_s=10.0)
    began_s = time.monotonic()
    async with recognizer(settings(NOWHERE, dialect), patient) as remote:
        with pytest.raises(ProviderError, match="refused"):
            await remote.wait_ready()
        stream = Stream(remote)
        stream.utter(1)
        assert "refused" in await lost(stream)
        with pytest.raises(ProviderError, match=r"refused; tried again in \d+ s"):
            remote.open(request(), Ear())
    assert time.monotonic() - began_s < 2.0


@in_loop
async def test_a_server_that_goes_is_waited_for_a_moment_only() -> None:
    """It may be restarted; others do its work if it is not back soon."""
    async with recognizer(settings(NOWHERE, restart_s=0.3), BackoffOptions(0.05, 0.1)) as remote:
        async with serving(server("openai")) as url:
            remote._settings = settings(url, restart_s=0.3)
            stream = Stream(remote)
            stream.utter(1)
            await stream.ear.wait_completed(1)
        began_s = time.monotonic()
        stream.utter(2)
        assert "refused; gave up after 0.3 s" in await lost(stream)
        assert time.monotonic() - began_s < 2.0
        assert stream.ear.lost and stream.ear.lost.utterance == 1


@both
@in_loop
async def test_ready_is_asked_before_audio_is_sent(name: str) -> None:
    """`wait_ready` sees a session through its beginning, and says what is in its way."""
    given = server(name, None, Refuse(401), Say('{"type": "hello"}'), Mute())
    async with (
        serving(given) as url,
        recognizer(settings(url, "auto", first_event_timeout_s=0.2)) as remote,
    ):
        await remote.wait_ready()
        for reason in ("API key", "no realtime dialect", "did not give the session in time"):
            with pytest.raises(ProviderError, match=reason):
                await remote.wait_ready()
        assert given.handshakes == 4 and not given.brains[0]._pcm


@pytest.mark.parametrize("status", [403, 422])
@in_loop
async def test_a_server_that_may_want_a_model_is_said_to(status: int) -> None:
    """Some refuse the handshake without one in the URL, and do not say why."""
    given = RealtimeServer(OpenAiBrain, [Refuse(status)] * 2)
    async with serving(given) as url:
        async with open_stream(settings(url, model="")) as stream:
            assert "[remote] model" in await lost(stream)
        async with open_stream(settings(url)) as stream:
            assert "[remote] model" not in await lost(stream)


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
