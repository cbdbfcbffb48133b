"""Servers of Wyoming, of Deepgram's kind, and whisper-asr-webservice, over loopback."""

from __future__ import annotations

import json
from functools import partial
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest

from asrctl.errors import ProviderError, StreamRefused, UsageError
from asrctl.protocol.wyoming.framing import encode
from asrctl.providers.base import DecodeOptions
from asrctl.providers.remote import link
from asrctl.providers.remote.address import address_of
from asrctl_tests.scripted import speak

from .brains import DeepgramBrain, WyomingBrain
from .ears import in_loop, until
from .http_server import HttpServer, serving_http
from .remote_server import RealtimeServer, Refuse, Say, serving
from .remote_streams import KEY, open_stream, recognizer, settings
from .test_remote_windows import decode, decoder
from .wyoming_server import WyomingServer, serving_wyoming


@pytest.mark.parametrize("closes", [False, True])
@in_loop
async def test_wyoming_answers_utterance_by_utterance(closes: bool) -> None:
    """Each utterance gives its words once, also where the server closes the connection after each."""
    server = WyomingServer(partial(WyomingBrain, closes=closes))
    async with serving_wyoming(server) as url, open_stream(settings(url)) as stream:
        stream.utter(1, 2, 3)
        stream.utter(4)
        stream.end()
        stream.utter(5, 6, chunk=333)
        assert await stream.ear.wait_completed(4) == ["w1 w2 w3", "w4", "", "w5 w6"]
        assert (len(server.brains) > 1) == closes


@in_loop
async def test_wyoming_is_told_language_model_and_words() -> None:
    """Before each utterance; what is not known is left out."""
    server = WyomingServer()
    decode = DecodeOptions(language="de", prompt="Ada", vocabulary=("Bo",))
    async with serving_wyoming(server) as url:
        async with open_stream(settings(url, keywords=("Herd",)), decode) as stream:
            stream.feed(speak([1, 2]))
            await stream.ear.wait(lambda: stream.ear.last_heard(0).startswith("w1"))
            assert server.brains[0].transcribe == {
                "name": "words",
                "language": "de",
                "transcript_terms": ["Herd", "Bo", "Ada"],
            }
        async with open_stream(settings(url, model=""), DecodeOptions(language="auto")) as stream:
            stream.feed(speak([1, 2]))
            await stream.ear.wait(lambda: stream.ear.last_heard(0).startswith("w1"))
            assert server.brains[1].transcribe == {}


@in_loop
async def test_signs_of_life_go_to_servers_that_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing is said, a socket is kept by what its dialect has for that."""
    monkeypatch.setattr(link, "_KEEP_ALIVE_S", 0.01)
    wyoming, deepgram = WyomingServer(), RealtimeServer(DeepgramBrain)
    async with serving_wyoming(wyoming) as url, open_stream(settings(url)):
        await until(lambda: bool(wyoming.brains) and wyoming.brains[0].pings > 2)
    async with serving(deepgram) as url, open_stream(settings(f"{url}/v1/listen")):
        await until(lambda: bool(deepgram.brains) and deepgram.brains[0].alive > 2)


@pytest.mark.parametrize(
    ("greeting", "hears", "reason"),
    [
        (b"SSH-2.0-OpenSSH\n", True, "does not speak Wyoming"),
        (encode("error", {"text": "no such model", "code": "bad_request"}), True, "no such model"),
        (encode("transcript", {"text": "hm"}), True, "was not sent"),
        (b"", False, "does not recognise speech"),
    ],
)
@in_loop
async def test_what_is_no_speech_service_is_told(greeting: bytes, hears: bool, reason: str) -> None:
    """By whoever waits for it to be ready."""
    server = WyomingServer(partial(WyomingBrain, hears=hears), greeting)
    async with serving_wyoming(server) as url, recognizer(settings(url)) as remote:
        with pytest.raises(ProviderError, match=reason):
            await remote.wait_ready()


@in_loop
async def test_a_wyoming_server_that_is_there_is_ready() -> None:
    """It says what it is; one that is not there is told of."""
    async with serving_wyoming(WyomingServer()) as url, recognizer(settings(url)) as remote:
        await remote.wait_ready()
    async with recognizer(settings(url)) as remote:
        with pytest.raises(ProviderError, match="connection refused"):
            await remote.wait_ready()


@in_loop
async def test_deepgram_gives_each_utterance_once_and_early_words() -> None:
    """Partials are what two interim results agree on; the final results are the text."""
    server = RealtimeServer(DeepgramBrain)
    async with serving(server) as url, open_stream(settings(f"{url}/v1/listen")) as stream:
        stream.feed(speak([1, 2, 3]))
        await stream.ear.wait(lambda: stream.ear.last_heard(0).startswith("w1"))
        assert "guess" not in stream.ear.last_heard(0)
        stream.feed(speak([4]))
        stream.end()
        stream.end()
        stream.utter(5, 6, chunk=333)
        assert await stream.ear.wait_completed(3) == ["w1 w2 w3 w4", "", "w5 w6"]


@in_loop
async def test_deepgram_is_told_in_the_url_what_comes() -> None:
    """With the key as it takes it; what the URL says already stays."""
    server = RealtimeServer(DeepgramBrain)
    async with serving(server) as url:
        chosen = settings(f"{url}/v1/listen?punctuate=false", keywords=("Ada", "Herd"))
        async with open_stream(chosen, DecodeOptions(language="de", vocabulary=("Bo",))) as stream:
            stream.utter(1)
            assert await stream.ear.wait_completed(1) == ["w1"]
    assert server.keys == [f"Token {KEY}"]
    assert parse_qs(urlsplit(server.requests[0]).query) == {
        "punctuate": ["false"],
        "encoding": ["linear16"],
        "sample_rate": ["16000"],
        "channels": ["1"],
        "endpointing": ["false"],
        "interim_results": ["true"],
        "model": ["words"],
        "language": ["de"],
        "keyterm": ["Ada", "Herd", "Bo"],
    }


@pytest.mark.parametrize(
    ("wanted", "asked"),
    [
        (DecodeOptions(), {"task": "transcribe", "language": "en"}),
        (
            DecodeOptions(language="auto", translate=True, prompt="Ada", word_timestamps=True),
            {"task": "translate", "initial_prompt": "Ada", "word_timestamps": "true"},
        ),
    ],
)
@in_loop
async def test_whisper_asr_webservice_is_asked_in_its_own_words(
    wanted: DecodeOptions, asked: dict[str, str]
) -> None:
    """All but the audio is in the query; what the URL says besides stays, and the answer is JSON."""
    with serving_http(HttpServer()) as server:
        async with decoder(settings(f"{server.url}/asr?vad_filter=true&output=txt")) as windows:
            assert (await decode(windows, 1, options=wanted)).text == "w1"
    path, _, query = server.paths[0].partition("?")
    assert (path, server.forms[0], server.file_fields) == ("/asr", [], ["audio_file"])
    assert dict(parse_qsl(query)) == {"vad_filter": "true", "output": "json"} | asked


@pytest.mark.parametrize(
    ("url", "dialect"),
    [("ws://h", "wyoming"), ("tcp://h", "openai"), ("tcp://h/v1", "wyoming"), ("tcp://h?a=b", "auto")],
)
def test_wyoming_has_a_host_and_a_port_and_no_more(url: str, dialect: str) -> None:
    """Anything else is a mistake."""
    with pytest.raises(UsageError, match=r"wyoming|tcp"):
        address_of(url, dialect)


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (Refuse(400, body="not \x1b[31min\nGerman"), "HTTP 400: not \ufffd[31min German"),
        (Refuse(422, body='{"error": {"message": "no such model"}}'), "HTTP 422: no such model"),
        (Refuse(403, body="x" * 5000), "the server does not let this client in (403): ".ljust(300, "x")),
        (Refuse(400, body="Bad Request\n"), "HTTP 400; some servers want a model: [remote] model"),
    ],
)
@in_loop
async def test_a_refusal_is_told_in_the_servers_words(refusal: Refuse, reason: str) -> None:
    """In one line that is safe and not long; advice is for those that say nothing."""
    async with (
        serving(RealtimeServer(faults=[refusal])) as url,
        recognizer(settings(url, model="")) as remote,
    ):
        with pytest.raises(ProviderError) as caught:
            await remote.wait_ready()
    assert str(caught.value) == f"{url}: {reason}"


NO_GERMAN = "no German here"


@pytest.mark.parametrize("path", ["/v1/realtime", "/v1/listen", "wyoming"])
@in_loop
async def test_what_is_refused_at_the_beginning_is_not_asked_again(path: str) -> None:
    """Whoever has the stream is told that it is for good."""
    error = {"type": "invalid_request_error", "code": "unsupported_language", "message": NO_GERMAN}
    said = json.dumps({"type": "error", "error": error})
    realtime = RealtimeServer(faults=[Refuse(400, body=NO_GERMAN) if "listen" in path else Say(said)])
    wyoming = WyomingServer(greeting=encode("error", {"text": NO_GERMAN, "code": "bad_request"}))
    async with serving(realtime) as ws, serving_wyoming(wyoming) as tcp:
        url = tcp if path == "wyoming" else f"{ws}{path}"
        async with open_stream(settings(url), DecodeOptions(language="de")) as stream:
            stream.utter(1)
            lost = await stream.ear.wait_lost()
    assert isinstance(lost.error, StreamRefused) and NO_GERMAN in str(lost.error)
    assert realtime.handshakes + len(wyoming.brains) == 1
