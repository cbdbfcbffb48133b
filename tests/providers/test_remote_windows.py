"""Plain HTTP: one request a window, with what a server may answer, and what it should not."""

from __future__ import annotations

import gc
import json
import threading
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asrctl.errors import DecodeError, ProviderError
from asrctl.policy.backoff import BackoffOptions
from asrctl.policy.breaker import BreakerOptions
from asrctl.providers.base import Aborted, DecodeOptions
from asrctl.providers.remote.answer import hypothesis_of
from asrctl.providers.remote.multipart import form_of, wav_of
from asrctl.providers.remote.windows import RemoteWindows
from asrctl.providers.scripted import speak
from asrctl.transcript import Segment, Word

from .remote_server import Break, Hang, Hold, HttpFault, HttpServer, Reply, read_form, serving_http
from .remote_streams import PATIENCE_S, options, until
from .test_remote_dialects import JSON

NEVER = DecodeOptions()


def never() -> bool:
    return False


def error(message: str) -> bytes:
    return json.dumps({"error": {"message": message, "type": "invalid_request_error"}}).encode()


def test_a_window_is_heard_with_its_times() -> None:
    """Segments and words come with the server's times; the language stays a code."""
    wanted = DecodeOptions(language="en", prompt="Names, jargon", word_timestamps=True)
    with serving_http(HttpServer()) as server, RemoteWindows(options(server.url)) as model:
        heard = model.transcribe(speak([1, 2, 3]), wanted, never)
    assert heard.text == "w1 w2 w3" and heard.language == "en" and heard.inference_s > 0
    (segment,) = heard.segments
    assert segment.end_s == pytest.approx(0.6) and segment.confidence == pytest.approx(np.exp(-0.1))
    assert [word.text for word in segment.words] == ["w1", "w2", "w3"]
    assert [round(word.start_s, 3) for word in segment.words] == [0.0, 0.2, 0.4]
    assert server.forms == [
        [
            ("model", "words"),
            ("language", "en"),
            ("prompt", "Names, jargon"),
            ("response_format", "verbose_json"),
            ("timestamp_granularities[]", "segment"),
            ("timestamp_granularities[]", "word"),
        ]
    ]
    assert server.paths == ["/v1/audio/transcriptions"]


def test_a_connection_is_kept() -> None:
    """Windows after each other share a connection; one that the server closed meanwhile costs nothing."""
    once = BackoffOptions(max_attempts=1)
    with (
        serving_http(HttpServer([None, None, Break()])) as server,
        RemoteWindows(options(server.url, backoff=once)) as model,
    ):
        assert [model.transcribe(speak([n]), NEVER, never).text for n in range(3)] == ["w0", "w1", "w2"]
    assert server.connections == 2


def test_a_server_without_verbose_json_is_asked_for_json() -> None:
    """Once it was refused, it is not asked for again; the text is one segment as long as the window."""
    with serving_http(HttpServer(verbose=False)) as server, RemoteWindows(options(server.url)) as model:
        for number in (4, 5):
            (segment,) = model.transcribe(speak([number]), NEVER, never).segments
            assert (segment.text, segment.start_s, segment.end_s) == (f"w{number}", 0.0, 0.2)
    formats = [dict(form)["response_format"] for form in server.forms]
    assert formats == ["verbose_json", "json", "json"]


def test_translation_has_a_path_of_its_own() -> None:
    """`translate` asks the other endpoint, which takes no language."""
    wanted = DecodeOptions(language="de", translate=True)
    with serving_http(HttpServer()) as server, RemoteWindows(options(server.url, model="")) as model:
        model.transcribe(speak([1]), wanted, never)
    assert server.paths == ["/v1/audio/translations"]
    assert "language" not in dict(server.forms[0]) and dict(server.forms[0])["model"] == "whisper-1"


def test_silence_has_no_segments() -> None:
    """No words are no segments."""
    with serving_http(HttpServer()) as server, RemoteWindows(options(server.url)) as model:
        assert model.transcribe(np.zeros(16_000, np.float32), NEVER, never).segments == ()


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
def test_faults_that_pass(fault: HttpFault) -> None:
    """What may be better in a moment is tried again."""
    with serving_http(HttpServer([fault, fault])) as server, RemoteWindows(options(server.url)) as model:
        assert model.transcribe(speak([1, 2]), NEVER, never).text == "w1 w2"


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (400, DecodeError, "too bad"),
        (413, DecodeError, "HTTP 413"),
        (422, DecodeError, "too bad"),
        (401, ProviderError, "another API key"),
        (403, ProviderError, "does not let us in"),
        (404, ProviderError, "HTTP 404: too bad"),
        (301, ProviderError, "HTTP 301"),
    ],
)
def test_faults_that_do_not_pass(status: int, kind: type[Exception], message: str) -> None:
    """The audio's fault is a DecodeError, another a ProviderError; nothing is tried again."""
    always = [Reply(status, error("too bad"))] * 9
    with (
        serving_http(HttpServer(always)) as server,
        RemoteWindows(options(server.url)) as model,
        pytest.raises(kind, match=message) as caught,
    ):
        model.transcribe(speak([1]), NEVER, never)
    assert type(caught.value) is kind
    assert len(server.forms) <= 2  # the second for json
    assert "\n" not in str(caught.value) and server.url in str(caught.value)


@pytest.mark.parametrize("body", [b"", b"no JSON", b"[]", b'{"text": 1}', b"\xff", b"[" * 100_000])
def test_answers_that_are_none(body: bytes) -> None:
    """What is no transcription is a DecodeError; the model can still be used."""
    with serving_http(HttpServer([Reply(200, body)])) as server, RemoteWindows(options(server.url)) as model:
        with pytest.raises(DecodeError, match="the server's answer"):
            model.transcribe(speak([1]), NEVER, never)
        assert model.transcribe(speak([1]), NEVER, never).text == "w1"


def test_an_answer_that_is_too_long() -> None:
    """It is not read to its end."""
    always = [Reply(200, b"x" * 100_000)]
    with (
        serving_http(HttpServer(always)) as server,
        RemoteWindows(options(server.url, max_message_bytes=10_000)) as model,
        pytest.raises(ProviderError, match="too long"),
    ):
        model.transcribe(speak([1]), NEVER, never)


def test_a_server_that_does_not_answer_in_time() -> None:
    """Each request has a time-out, and trying has an end."""
    with serving_http(HttpServer([Hang()] * 20)) as server:
        chosen = options(
            server.url,
            connect_timeout_s=0.1,
            completion_timeout_s=0.1,
            backoff=BackoffOptions(first_s=0.001, max_s=0.002, max_attempts=2),
        )
        with RemoteWindows(chosen) as model, pytest.raises(ProviderError, match="no answer in time"):
            model.transcribe(speak([1]), NEVER, never)


def test_retry_after_is_honoured() -> None:
    """The wait is the server's; one that is longer than an outage may last is not begun."""
    slept: list[float] = []
    now_s = [0.0]

    def sleep(duration_s: float) -> None:
        slept.append(duration_s)
        now_s[0] += duration_s

    later = [Reply(503, headers=(("Retry-After", "7"),)), None, Reply(503, headers=(("Retry-After", "90"),))]
    with serving_http(HttpServer(later)) as server:
        model = RemoteWindows(options(server.url), clock=lambda: now_s[0], sleep=sleep, random=lambda: 0.0)
        assert model.transcribe(speak([1]), NEVER, never).text == "w1"
        assert sum(slept) == pytest.approx(7.0)
        with pytest.raises(ProviderError, match="the server is full"):
            model.transcribe(speak([1]), NEVER, never)
        assert sum(slept) == pytest.approx(7.0)
        model.close()


def test_a_breaker_leaves_a_dead_server_alone() -> None:
    """After failures in a row, requests fail at once, until one is tried after a while."""
    now_s = [0.0]
    changes: dict[str, Any] = {"breaker": BreakerOptions(2, 60.0), "backoff": BackoffOptions(max_attempts=1)}
    with serving_http(HttpServer([Reply(500)] * 2)) as server:
        model = RemoteWindows(options(server.url, **changes), clock=lambda: now_s[0])
        for _ in range(4):
            with pytest.raises(ProviderError):
                model.transcribe(speak([1]), NEVER, never)
        assert len(server.forms) == 2
        now_s[0] = 61.0
        assert model.transcribe(speak([1]), NEVER, never).text == "w1"
        model.close()


@pytest.mark.parametrize("fault", [Hang(), Reply(503, headers=(("Retry-After", "20"),))], ids=str)
def test_a_request_is_given_up_when_nobody_wants_it(fault: HttpFault) -> None:
    """`should_abort` ends a request, and the wait before the next; the model can be used again."""
    asked = threading.Event()
    with serving_http(HttpServer([fault])) as server, RemoteWindows(options(server.url)) as model:
        started_s = time.monotonic()

        def should_abort() -> bool:
            asked.set()
            return server.connections > 0 and (bool(server.forms) or isinstance(fault, Hang))

        with pytest.raises(Aborted):
            model.transcribe(speak([1]), NEVER, should_abort)
        assert asked.is_set() and time.monotonic() - started_s < PATIENCE_S
        assert model.transcribe(speak([2]), NEVER, never).text == "w2"


def test_an_answer_that_comes_when_it_is_given_up() -> None:
    """The connection is closed all the same; that it is not would be seen when it is collected."""
    held = threading.Event()

    def should_abort() -> bool:
        held.set()
        until(lambda: not any(thread.name == "asrctl-request" for thread in threading.enumerate()))
        return True

    with serving_http(HttpServer([Hold(held)])) as server:
        with RemoteWindows(options(server.url)) as model, pytest.raises(Aborted):
            model.transcribe(speak([1]), NEVER, should_abort)
        gc.collect()
    assert len(server.forms) == 1


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    answer=st.fixed_dictionaries(
        {"text": st.text(max_size=20) | JSON},
        optional={
            "segments": JSON | st.lists(st.dictionaries(st.sampled_from(["start", "end", "text"]), JSON)),
            "words": JSON | st.lists(st.dictionaries(st.sampled_from(["start", "end", "word"]), JSON)),
            "language": JSON,
        },
    )
)
def test_any_json_is_an_answer_or_an_error(answer: dict[str, Any]) -> None:
    """Times lie within the window, in order; what is no transcription is a DecodeError and nothing else."""
    try:
        heard = hypothesis_of(json.dumps(answer).encode(), 2.0, "en", 0.1)
    except DecodeError:
        assert not isinstance(answer["text"], str)
        return
    words = [word for segment in heard.segments for word in segment.words]
    parts: list[Word | Segment] = [*heard.segments, *words]
    for part in parts:
        assert 0.0 <= part.start_s <= part.end_s <= 2.0 and 0.0 <= part.confidence <= 1.0


@given(st.lists(st.tuples(st.sampled_from(["model", "prompt"]), st.text("äb c\"'", max_size=9))), st.binary())
def test_forms_arrive(fields: list[tuple[str, str]], audio: bytes) -> None:
    """Fields and file come out as they went in."""
    content_type, body = form_of(fields, wav_of(audio))
    assert read_form(content_type, body) == (fields, wav_of(audio))
