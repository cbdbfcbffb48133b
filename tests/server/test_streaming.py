"""A server whose main provider is fed streams: who has the utterances, and what clients are told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asrctl.policy.ladder import LadderOptions
from asrctl.protocol.client import Opened
from asrctl.protocol.messages import Partial, Status
from asrctl.providers.base import ModelSpec
from asrctl.server.options import NamedModel, ServeOptions, Streaming
from asrctl_tests.scripted import speak
from asrctl_tests.scripted_stream import ScriptedStream, StreamScript

from ..streaming.speech import silence
from .servers import Talker, check_account, options_for, pcm, running, script, spoken, until

MODEL = NamedModel("stream", ModelSpec("scripted_stream", Path()), multilingual=True)


@pytest.fixture
def options(tmp_path: Path) -> ServeOptions:
    """A streaming provider before a pool."""
    return options_for(
        script(tmp_path / "script.json"),
        streaming=Streaming(MODEL, ScriptedStream),
        retry_s=2.0,
        ladder=LadderOptions(calm_s=0.5, min_stay_s=0.5),
    )


def test_sessions_stream(options: ServeOptions) -> None:
    """Words come from the streaming provider, in one stream a session, and it is named where models are."""
    with running(options) as server:
        with Talker(server.url, spoken(*range(6))) as talker:
            done = talker.finish()
            ready = talker.of(Opened)[0].ready
        model = server.server.engine.streaming
        assert isinstance(model, ScriptedStream)
        assert talker.words == [f"w{n}" for n in range(6)] and model.opened == 1
        check_account(done)
        assert (ready.model, ready.provider) == ("stream", "scripted_stream")
        assert not talker.of(Status) and talker.of(Partial)
        body = json.loads(server.get("/capabilities")[1])
        assert body["models"]["streaming"]["provider"] == "scripted_stream"
        assert "scripted_stream" in body["providers"] and "scripted" in body["providers"]
        assert json.loads(server.get("/ready")[1])["provider"] == "scripted_stream"
        until(lambda: model.streams == 0)


def test_a_lost_stream_is_told_and_taken_up(options: ServeOptions) -> None:
    """In the middle of an utterance: its words come once, level 4 is announced, and later it is over."""
    speech = pcm(np.concatenate([speak(range(20)), silence(1), speak(range(20, 25)), silence(1)]))
    with running(options) as server, Talker(server.url, speech) as talker:
        model = server.server.engine.streaming
        assert isinstance(model, ScriptedStream)
        talker.send(2.0)
        talker.receive_until(Partial)
        model.refusal = "it restarts"
        server.call(lambda: model.break_all("the process died"))
        first = talker.receive_until(Status)
        assert (first.provider, first.reason, first.model) == ("scripted", "the process died", "words")
        until(lambda: server.metric("asrctl_level") == 4)
        assert server.server.engine.model.name == "words"
        assert server.get("/ready")[0] == 200
        model.refusal = ""
        until(lambda: server.metric("asrctl_level") == 0)
        assert server.server.engine.model.name == "stream"
        done = talker.finish()
        assert talker.words == [f"w{n}" for n in range(25)]
        check_account(done)
        assert done.dropped_s == 0
        told = talker.of(Status)
        # The session tells of its provider, the server of its level: which is first depends on its clock.
        assert {each.level - each.from_level for each in told[:2]} == {0, 4}
        assert {(each.provider, each.reason) for each in told[:2]} == {("scripted", "the process died")}
        assert (0, "scripted_stream") in [(each.level, each.provider) for each in told[2:]]


def test_a_provider_that_never_gets_ready_is_passed_over(options: ServeOptions) -> None:
    """The server is ready once that is certain, and the pool does the work."""

    class Broken(ScriptedStream):
        async def wait_ready(self) -> None:
            from asrctl.errors import ProviderError

            raise ProviderError("the program does not start")

    broken = replace(options, streaming=Streaming(MODEL, Broken))
    with running(broken) as server, Talker(server.url, spoken(1, 2)) as talker:
        talker.finish()
        assert talker.words == ["w1", "w2"]
        engine = server.server.engine  # it is tried again now and then
        until(
            lambda: (engine.model.name, engine.streaming_trouble) == ("words", "the program does not start")
        )


def test_more_sessions_than_streams(options: ServeOptions) -> None:
    """Whoever gets no stream is served by the pool, and everybody has their words."""
    few = replace(options, streaming=Streaming(MODEL, lambda: ScriptedStream(StreamScript(refusals=1))))
    with running(few) as server:
        talkers = [Talker(server.url, spoken(n, n + 1)).connect() for n in (1, 5)]
        for talker in talkers:
            talker.finish()
            talker.__exit__(None, None, None)
        assert [talker.words for talker in talkers] == [["w1", "w2"], ["w5", "w6"]]
        assert sum(bool(talker.of(Status)) for talker in talkers) == 1
