"""Realtime servers over loopback: what a stream says when all is well, and when it is not."""

from __future__ import annotations

import asyncio
import gc
import itertools
from functools import partial

import numpy as np
import pytest

from asrctl.errors import ProviderError
from asrctl.providers.base import DecodeOptions
from asrctl_tests.scripted import speak

from .brains import OwnTurnsBrain, VllmBrain
from .ears import Ear, Stream, in_loop, request, until
from .remote_cases import both, dialect_of, every_brain, server
from .remote_server import After, Mute, RealtimeServer, Say, serving
from .remote_streams import open_stream, recognizer, settings


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
    decode = DecodeOptions(language="de", prompt="Names", vocabulary=("Bo",))
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
        {"model": "words", "language": "de", "prompt": "Names Bo"},
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
