"""Plain HTTP: one request a window, with what a server may answer, and what it should not."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from asrctl.errors import DecodeError, ProviderError
from asrctl.policy.backoff import BackoffOptions
from asrctl.policy.priority import Kind, Ticket
from asrctl.providers.base import DecodeOptions
from asrctl.providers.remote.settings import RemoteSettings
from asrctl.providers.remote.windows import RemoteWindows
from asrctl.transcript import Hypothesis
from asrctl_tests.scripted import speak

from .ears import SOON_S, in_loop, until
from .http_server import Break, Hang, Hold, HttpFault, HttpServer, Reply, serving_http
from .remote_streams import IMPATIENT, settings

PLAIN = DecodeOptions()
TICKET = Ticket("", Kind.FINAL)


def error(message: str) -> bytes:
    return json.dumps({"error": {"message": message, "type": "invalid_request_error"}}).encode()


@asynccontextmanager
async def decoder(
    chosen: RemoteSettings, backoff: BackoffOptions = IMPATIENT, **more: Any
) -> AsyncIterator[RemoteWindows]:
    """A decoder that is closed in the end."""
    windows = RemoteWindows(chosen, backoff, **more)
    try:
        yield windows
    finally:
        await windows.close()


async def decode(windows: RemoteWindows, *numbers: int, options: DecodeOptions = PLAIN) -> Hypothesis:
    return await windows.decode(speak(numbers), options, TICKET)


@in_loop
async def test_a_window_is_heard_with_its_times() -> None:
    """Segments and words come with the server's times; the language stays a code."""
    wanted = DecodeOptions(language="en", prompt="Names, jargon", vocabulary=("Bo",), word_timestamps=True)
    more = {"keywords": ("Ada", "Bob"), "languages": ("en", "de")}
    with serving_http(HttpServer()) as server:
        async with decoder(settings(server.url, **more)) as windows:
            heard = await decode(windows, 1, 2, 3, options=wanted)
    assert heard.text == "w1 w2 w3" and heard.language == "en" and heard.inference_s > 0
    (segment,) = heard.segments
    assert segment.end_s == pytest.approx(0.6) and segment.confidence == pytest.approx(np.exp(-0.1))
    assert [word.text for word in segment.words] == ["w1", "w2", "w3"]
    assert [round(word.start_s, 3) for word in segment.words] == [0.0, 0.2, 0.4]
    assert server.forms == [
        [
            ("model", "words"),
            ("language", "en"),
            ("keywords[]", "Ada"),
            ("keywords[]", "Bob"),
            ("languages[]", "en"),
            ("languages[]", "de"),
            ("prompt", "Names, jargon Bo"),
            ("response_format", "verbose_json"),
            ("timestamp_granularities[]", "segment"),
            ("timestamp_granularities[]", "word"),
        ]
    ]
    assert server.paths == ["/v1/audio/transcriptions"]


@in_loop
async def test_a_connection_is_kept() -> None:
    """Windows after each other share a connection; one that the server cuts is made again."""
    with serving_http(HttpServer([None, None, Break()])) as server:
        async with decoder(settings(server.url)) as windows:
            assert [(await decode(windows, number)).text for number in range(3)] == ["w0", "w1", "w2"]
    assert server.connections == 2


@in_loop
async def test_so_many_windows_at_a_time() -> None:
    """Others wait until one is done."""
    held = threading.Event()
    with serving_http(HttpServer([Hold(held)] * 3)) as server:
        async with decoder(settings(server.url, requests=2)) as windows:
            assert windows.width == 2
            tasks = [asyncio.create_task(decode(windows, number)) for number in range(3)]
            await until(lambda: server.connections == 2)
            await asyncio.sleep(0.05)
            assert server.connections == 2
            held.set()
            assert [(await task).text for task in tasks] == ["w0", "w1", "w2"]


@in_loop
async def test_a_server_without_verbose_json_is_asked_for_json() -> None:
    """Once it was refused, it is not asked for again; the text is one segment as long as the window."""
    with serving_http(HttpServer(verbose=False)) as server:
        async with decoder(settings(server.url)) as windows:
            for number in (4, 5):
                (segment,) = (await decode(windows, number)).segments
                assert (segment.text, segment.start_s, segment.end_s) == (f"w{number}", 0.0, 0.2)
    formats = [dict(form)["response_format"] for form in server.forms]
    assert formats == ["verbose_json", "json", "json"]


@in_loop
async def test_translation_has_a_path_of_its_own() -> None:
    """`translate` asks the other endpoint, which takes no language."""
    wanted = DecodeOptions(language="de", translate=True)
    with serving_http(HttpServer()) as server:
        async with decoder(settings(f"{server.url}/v1/audio/transcriptions?a=b")) as windows:
            await decode(windows, 1, options=wanted)
    assert server.paths == ["/v1/audio/translations?a=b"]
    assert "language" not in dict(server.forms[0])


@pytest.mark.parametrize(
    ("wanted", "asked"),
    [
        (DecodeOptions(language="de", translate=True), {"language": "de", "translate": "true"}),
        (DecodeOptions(language="auto"), {"language": "auto"}),
        (DecodeOptions(language="en,de"), {"language": "auto"}),
    ],
)
@in_loop
async def test_whisper_cpps_server_is_asked_in_its_own_words(
    wanted: DecodeOptions, asked: dict[str, str]
) -> None:
    """Untold it takes everything for English, says [BLANK_AUDIO] and cuts segments inside words."""
    always = {"model": "words", "suppress_nst": "true", "split_on_word": "true"}
    always |= {"no_language_probabilities": "true", "response_format": "verbose_json"}
    with serving_http(HttpServer()) as server:
        async with decoder(settings(f"{server.url}/inference", keywords=("Ada",))) as windows:
            await decode(windows, 1, options=wanted)
    assert server.paths == ["/inference"]
    assert dict(server.forms[0]) == always | asked


@in_loop
async def test_no_model_is_the_servers_own_choice() -> None:
    """Nothing is sent in its place; a server that wants one is quoted, with what to set."""
    with serving_http(HttpServer()) as server:
        async with decoder(settings(server.url, model="")) as windows:
            assert (await decode(windows, 1)).text == "w1"
        assert "model" not in dict(server.forms[0])
    with serving_http(HttpServer(needs_model=True)) as server:
        async with decoder(settings(server.url, model="")) as windows:
            with pytest.raises(
                ProviderError, match=r"422: model: Field required; .*\[remote\] model"
            ) as caught:
                await decode(windows, 1)
            assert type(caught.value) is ProviderError


@in_loop
async def test_silence_has_no_segments() -> None:
    """No words are no segments."""
    with serving_http(HttpServer()) as server:
        async with decoder(settings(server.url)) as windows:
            assert (await windows.decode(np.zeros(16_000, np.float32), PLAIN, TICKET)).segments == ()


@pytest.mark.parametrize(
    "fault",
    [
        Reply(500),
        Reply(502, b"<html>"),
        Reply(503, headers=(("Retry-After", "0"),)),
        Reply(429),
        Reply(408),
        Reply(200, b'{"text": "w1 w', missing_bytes=9),
        Break(),
    ],
    ids=str,
)
@in_loop
async def test_faults_that_pass(fault: HttpFault) -> None:
    """What may be better in a moment is tried again."""
    with serving_http(HttpServer([fault, fault])) as server:
        async with decoder(settings(server.url)) as windows:
            assert (await decode(windows, 1, 2)).text == "w1 w2"


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (400, DecodeError, "too bad"),
        (413, DecodeError, "HTTP 413"),
        (422, DecodeError, "too bad"),
        (401, ProviderError, "another API key"),
        (403, ProviderError, "does not let us in"),
        (404, ProviderError, "HTTP 404: too bad; the url may need another path, such as /inference"),
        (301, ProviderError, "HTTP 301"),
    ],
)
@in_loop
async def test_faults_that_do_not_pass(status: int, kind: type[Exception], message: str) -> None:
    """The audio's fault is a DecodeError, another a ProviderError; nothing is tried again."""
    always = [Reply(status, error("too bad"))] * 9
    with serving_http(HttpServer(always)) as server:
        async with decoder(settings(server.url)) as windows:
            with pytest.raises(kind, match=message) as caught:
                await decode(windows, 1)
    assert type(caught.value) is kind
    assert len(server.forms) <= 2  # the second for json
    assert "\n" not in str(caught.value) and server.url in str(caught.value)


@in_loop
async def test_a_lasting_internal_error_is_not_asked_for_long() -> None:
    """It may be due to the window: it is sent three times, whatever time is left."""
    with serving_http(HttpServer(itertools.repeat(Reply(500, error("a bug"))))) as server:
        async with decoder(settings(server.url)) as windows:
            with pytest.raises(ProviderError, match="HTTP 500: a bug"):
                await decode(windows, 1)
    assert len(server.forms) == 3


@pytest.mark.parametrize("body", [b"", b"no JSON", b"[]", b'{"text": 1}', b"\xff", b"[" * 100_000])
@in_loop
async def test_answers_that_are_none(body: bytes) -> None:
    """What is no transcription is a DecodeError; the decoder can still be used."""
    with serving_http(HttpServer([Reply(200, body)])) as server:
        async with decoder(settings(server.url)) as windows:
            with pytest.raises(DecodeError, match="the server's answer"):
                await decode(windows, 1)
            assert (await decode(windows, 1)).text == "w1"


@in_loop
async def test_an_answer_that_is_too_long() -> None:
    """It is not read to its end."""
    with serving_http(HttpServer([Reply(200, b"x" * 100_000)])) as server:
        async with decoder(settings(server.url, max_message_bytes=10_000)) as windows:
            with pytest.raises(ProviderError, match="too long"):
                await decode(windows, 1)


@in_loop
async def test_a_server_that_does_not_answer_in_time() -> None:
    """Each request has a time-out, and trying has an end."""
    few = BackoffOptions(first_s=0.001, max_s=0.002, max_attempts=2)
    with serving_http(HttpServer([Hang()] * 20)) as server:
        chosen = settings(server.url, connect_timeout_s=0.1, completion_timeout_s=0.1)
        async with decoder(chosen, few) as windows:
            with pytest.raises(ProviderError, match="no answer in time"):
                await decode(windows, 1)


@in_loop
async def test_retry_after_is_honoured() -> None:
    """The wait is the server's; one that is longer than an outage may last is not begun."""
    slept: list[float] = []
    now_s = [0.0]

    async def sleep(duration_s: float) -> None:
        slept.append(duration_s)
        now_s[0] += duration_s

    later = [Reply(503, headers=(("Retry-After", "7"),)), None, Reply(503, headers=(("Retry-After", "90"),))]
    with serving_http(HttpServer(later)) as server:
        chosen = settings(server.url)
        clock: dict[str, Any] = {"clock": lambda: now_s[0], "sleep": sleep, "random": lambda: 0.0}
        async with decoder(chosen, **clock) as windows:
            assert (await decode(windows, 1)).text == "w1"
            assert slept == [pytest.approx(7.0)]
            with pytest.raises(ProviderError, match="the server is full"):
                await decode(windows, 1)
            assert len(slept) == 1


@in_loop
async def test_a_dead_server_is_left_alone_for_a_while() -> None:
    """After it was given up, windows fail at once, with the reason, until one is tried."""
    now_s = [0.0]
    once = BackoffOptions(max_attempts=1)
    with serving_http(HttpServer([Reply(502)])) as server:
        chosen = settings(server.url, pause_s=60.0)
        async with decoder(chosen, once, clock=lambda: now_s[0]) as windows:
            for _ in range(3):
                with pytest.raises(ProviderError, match="HTTP 502"):
                    await decode(windows, 1)
            assert len(server.forms) == 1
            now_s[0] = 61.0
            assert (await decode(windows, 1)).text == "w1"


@in_loop
async def test_nobody_there() -> None:
    """A port that nobody listens on is said at once, by a window and before one is asked for."""
    began_s = time.monotonic()
    async with decoder(settings("http://127.0.0.1:9"), BackoffOptions(first_s=10.0)) as windows:
        for attempt in (windows.wait_ready(), decode(windows, 1)):
            with pytest.raises(ProviderError, match="refused"):
                await attempt
    assert time.monotonic() - began_s < SOON_S


@in_loop
async def test_ready_is_a_server_that_answers() -> None:
    """Whatever it says to a question that is none, but for a key that it does not take."""
    with serving_http(HttpServer()) as server:
        async with decoder(settings(server.url)) as windows:
            await windows.wait_ready()
            server.key = "Bearer another"
            with pytest.raises(ProviderError, match="another API key"):
                await windows.wait_ready()
    assert not server.forms


@pytest.mark.parametrize("fault", [Hang(), Reply(503, headers=(("Retry-After", "20"),))], ids=str)
@in_loop
async def test_a_request_is_given_up_when_nobody_wants_it(fault: HttpFault) -> None:
    """Cancelling ends a request, and the wait before the next; the decoder can be used again."""
    with serving_http(HttpServer([fault])) as server:
        async with decoder(settings(server.url, requests=1)) as windows:
            task = asyncio.create_task(decode(windows, 1))
            await until(lambda: server.requests)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await decode(windows, 2)).text == "w2"


@in_loop
async def test_close_tells_whoever_waits() -> None:
    """A request under way and one that waits its turn end with an error, and nothing is left open."""
    with serving_http(HttpServer([Hang()])) as server:
        async with decoder(settings(server.url, requests=1)) as windows:
            tasks = [asyncio.create_task(decode(windows, number)) for number in range(2)]
            await until(lambda: server.requests)
        for task in tasks:
            with pytest.raises(ProviderError, match="closed"):
                await task
        with pytest.raises(ProviderError, match="closed"):
            await decode(windows, 1)
        gc.collect()
