"""Files beside live audio, clients that leave, full houses, and the end of the server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from asrctl.protocol.messages import Final
from asrctl.providers.base import ModelSpec
from asrctl.server.files import routes
from asrctl.server.files.limits import FileLimits

from ..servers import PATIENCE_S, Running, Talker, check_account, options_for, running, spoken, until
from .requests import FORM, HELLO, LONG, WORDS, Raw, form, post, said, wav

Scripted = Callable[..., ModelSpec]
ONE = wav(said([1, 2] * 15))
"""One utterance of 6 s, and so one window."""
TYPE = f"Content-Type: {FORM}"


@contextmanager
def posting(
    server: Running, count: int, file: bytes = LONG, **fields: str
) -> Iterator[list[Future[httpx.Response]]]:
    """So many files at once, in threads."""
    with ThreadPoolExecutor(count) as threads:
        yield [threads.submit(post, server, file=file, **fields) for _ in range(count)]


def at_work(server: Running) -> float:
    return server.metric('asrctl_files{state="at_work"}')


def waits(server: Running) -> float:
    return server.metric('asrctl_files{state="waiting"}')


def decoded_s(server: Running) -> float:
    """Time that the windows of files took that were decoded to their end."""
    return server.metric("asrctl_file_inference_seconds_total")


def test_ten_files_do_not_delay_live_finals(scripted: Scripted) -> None:
    """With ten files at hand, each window of which takes half a second, a live final does not wait for the
    window that runs: that is stopped. No file counts as load, and all are transcribed."""
    with running(options_for(scripted(delay_s=0.5))) as server, posting(server, 10, ONE) as files:
        until(lambda: at_work(server) == 2 and waits(server) == 8)
        until(lambda: server.metric("asrctl_file_windows") > 0)
        load = server.call(server.server.engine.meter.load)
        assert (load.finals, load.partials) == (0, 0)
        with Talker(server.url, spoken(*range(1, 6)), partials=False) as talker:
            _next_final(talker)
            before_s = decoded_s(server)
            for _ in range(4):
                _next_final(talker)
            # It would be four windows; a busy machine may let one by.
            assert decoded_s(server) - before_s < 1.0
        assert {len(file.result(60).json()["text"].split()) for file in files} == {30}
        assert decoded_s(server) >= 5.0


def _next_final(talker: Talker) -> None:
    """Say the next utterance, and wait for its final."""
    talker.send(1.0 if talker.protocol.next_offset else 1.3)
    talker.receive_until(Final)


def test_files_get_on_beside_live_audio(scripted: Scripted) -> None:
    """A session that never pauses gets all its words, and so does a file beside it."""
    with running(options_for(scripted(delay_s=0.05))) as server, posting(server, 1) as files:
        with Talker(server.url, spoken(*range(40), pause_s=0.6)) as talker:
            check_account(talker.finish())
            assert talker.words == [f"w{number}" for number in range(40)]
        assert len(files[0].result(60).json()["text"].split()) == 600


def test_a_client_that_leaves(scripted: Scripted) -> None:
    """What is decoded for it is stopped at once, and its place is free, whatever it waited for."""
    body = form(("file", LONG, "a.wav"))
    streamed = form(("stream", b"true", None), ("file", LONG, "a.wav"))
    options = options_for(scripted(hang_on=["w0"]), files=FileLimits(at_work=1))
    with running(options) as server:
        for content in (body, streamed):
            with Raw(server) as raw, Raw(server) as second:
                for each in (raw, second):
                    each.start(f"{TYPE}\r\nContent-Length: {len(content)}")
                    each.send(content)
                until(lambda: at_work(server) == 1 and waits(server) == 1)
                until(lambda: server.metric("asrctl_file_windows") > 0)
            until(lambda: at_work(server) + waits(server) + server.metric("asrctl_file_windows") == 0)
        assert post(server, file=HELLO).json()["text"] == WORDS
        assert server.metric("asrctl_worker_restarts_total") == 0


def test_a_full_house(scripted: Scripted) -> None:
    """Files beyond those at work and those that wait are refused unread, and told when to come again."""
    limits = FileLimits(at_work=1, waiting=1)
    with running(options_for(scripted(delay_s=0.2), files=limits)) as server, posting(server, 2) as files:
        until(lambda: at_work(server) == 1 and waits(server) == 1)
        with Raw(server) as raw:
            raw.start(f"{TYPE}\r\nContent-Length: 100000\r\nExpect: 100-continue")
            answer = raw.read(b"overloaded")
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 5\r\n" in answer
        assert server.get("/v1/models")[0] == 200
        assert all(file.result(60).status_code == 200 for file in files)


def test_while_the_model_loads(scripted: Scripted) -> None:
    """Nothing is taken that cannot be decoded yet."""
    with running(options_for(scripted(hang_on=["w1"])), ready=False) as server:
        answer = post(server)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "overloaded")
        assert answer.headers["retry-after"]


def test_a_stream_says_that_it_lives(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no text comes for a while, a comment does."""
    monkeypatch.setattr(routes, "_KEEP_ALIVE_S", 0.05)
    with running(options_for(scripted(delay_s=1.0))) as server:
        text = post(server, stream="true").text
    assert text.startswith(": working\n\n: working\n\n")
    assert text.endswith("data: [DONE]\n\n")


def test_the_end_of_the_server(scripted: Scripted) -> None:
    """Files that are done within the grace time are answered; the others are told, and nothing is left."""
    with (
        running(options_for(scripted(delay_s=0.3), grace_s=1.5)) as server,
        posting(server, 1, HELLO) as [short],
    ):
        until(lambda: at_work(server) == 1 or short.done())
        with posting(server, 2) as long, posting(server, 1, stream="true") as [stream]:
            until(lambda: at_work(server) == 2)
            started_s = time.monotonic()
            server.stop()
            assert time.monotonic() - started_s < PATIENCE_S / 4
            assert short.result(30).json()["text"] == WORDS
            for file in long:
                answer = file.result(30)
                assert (answer.status_code, answer.json()["error"]["code"]) == (503, "overloaded")
            assert '"code":"overloaded"' in stream.result(30).text or stream.result(30).status_code == 503


def test_the_end_by_force(scripted: Scripted) -> None:
    """The second signal does not wait for files."""
    options = options_for(scripted(delay_s=0.5), grace_s=60.0)
    with running(options) as server, ThreadPoolExecutor(1) as threads:
        file = threads.submit(post, server, file=LONG)
        until(lambda: at_work(server) == 1)
        server.server.stop()
        server.server.stop()
        server.join()
        assert file.exception(30) or file.result(30).status_code == 503


def test_words_of_a_crash(scripted: Scripted) -> None:
    """A window whose worker dies is decoded again by the next; the client sees nothing of it."""
    with running(options_for(scripted(crash_on=["w4"], crashes=1))) as server:
        assert post(server).json()["text"] == WORDS
        assert server.metric("asrctl_worker_restarts_total") == 1


def test_files_and_sessions_hear_the_same(scripted: Scripted) -> None:
    """The same audio has the same words as a file and as a session."""
    with running(options_for(scripted())) as server, Talker(server.url, spoken(7, 8)) as talker:
        talker.finish()
        assert post(server, file=wav(said([7], [8]))).json()["text"].split() == talker.words
