"""Whether a realtime server is there, and ready: said at once, and before audio is sent."""

from __future__ import annotations

import time

import pytest

from asrctl.errors import ProviderError
from asrctl.policy.backoff import BackoffOptions

from .brains import OpenAiBrain
from .ears import SOON_S, Ear, Stream, in_loop, request
from .remote_cases import NOWHERE, both, lost, server
from .remote_server import Mute, RealtimeServer, Refuse, Say, serving
from .remote_streams import open_stream, recognizer, settings


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
    assert time.monotonic() - began_s < SOON_S


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
        assert time.monotonic() - began_s < SOON_S
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
    given = RealtimeServer(OpenAiBrain, [Refuse(status, body="")] * 2)
    async with serving(given) as url:
        async with open_stream(settings(url, model="")) as stream:
            assert "[remote] model" in await lost(stream)
        async with open_stream(settings(url)) as stream:
            assert "[remote] model" not in await lost(stream)
