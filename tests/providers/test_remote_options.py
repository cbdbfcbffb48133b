"""Where a server is, what is asked of it, and what proves that we may: checked once, and never shown."""

from __future__ import annotations

import json
import logging
import ssl
import subprocess
import traceback
from pathlib import Path
from typing import Any

import pytest

from asrctl.errors import AsrctlError, ProviderError, UsageError
from asrctl.providers.remote.address import address_of
from asrctl.providers.remote.key import find_key
from asrctl.providers.remote.plugin import PLUGIN
from asrctl.providers.remote.recognizer import RemoteRecognizer
from asrctl.providers.remote.settings import RemoteSettings
from asrctl.providers.remote.windows import RemoteWindows
from asrctl.settings import load

from .ears import Ear, Stream, in_loop, request
from .http_server import HttpServer, Reply, serving_http
from .remote_server import After, RealtimeServer, Refuse, serving
from .remote_streams import KEY, open_stream, recognizer, settings
from .test_remote_windows import decode, decoder


@pytest.mark.parametrize(
    ("url", "dialect", "expected", "resolved"),
    [
        ("ws://h", "auto", "ws://h/v1/realtime?intent=transcription", "auto"),
        ("wss://h:1/v1", "auto", "wss://h:1/v1/realtime?intent=transcription", "auto"),
        ("wss://h/x?a=b", "auto", "wss://h/x?a=b&intent=transcription", "auto"),
        ("wss://h/v1/realtime?intent=x", "openai", "wss://h/v1/realtime?intent=x", "openai"),
        ("https://h/v1", "openai", "wss://h/v1/realtime?intent=transcription", "openai"),
        ("http://h/v1/realtime", "auto", "ws://h/v1/realtime?intent=transcription", "auto"),
        ("https://h/v1/realtime/", "auto", "wss://h/v1/realtime/?intent=transcription", "auto"),
        ("http://h", "vllm", "ws://h/v1/realtime", "vllm"),
        ("ws://h/v1/stream", "auto", "ws://h/v1/stream", "asrctl"),
        ("http://h:8765", "asrctl", "ws://h:8765/v1/stream", "asrctl"),
        ("https://h", "auto", "https://h/v1/audio/transcriptions", "transcriptions"),
        ("http://h/v1/", "auto", "http://h/v1/audio/transcriptions", "transcriptions"),
        ("http://h/mine", "auto", "http://h/mine", "transcriptions"),
        ("wss://h", "transcriptions", "https://h/v1/audio/transcriptions", "transcriptions"),
        ("ws://[::1]:80/v1#part", "vllm", "ws://[::1]:80/v1/realtime", "vllm"),
        ("wss://h/v1/listen", "auto", "wss://h/v1/listen", "deepgram"),
        ("https://h/v1/listen?model=x", "auto", "wss://h/v1/listen?model=x", "deepgram"),
        ("http://h", "deepgram", "ws://h/v1/listen", "deepgram"),
        ("wyoming://h", "auto", "wyoming://h:10300", "wyoming"),
        ("tcp://[::1]:1/", "wyoming", "tcp://[::1]:1", "wyoming"),
    ],
)
def test_what_a_url_leaves_open_follows(url: str, dialect: str, expected: str, resolved: str) -> None:
    """Scheme, path and query fit the dialect; where the dialect is left open, the URL tells it."""
    address = address_of(url, dialect)
    assert (address.url, address.dialect) == (expected, resolved)
    assert "?" not in address.place and address.place in expected


@pytest.mark.parametrize(
    ("url", "dialect", "query"),
    [
        ("ws://h", "auto", "intent=transcription&model=a%2Fb"),
        ("ws://h?model=own", "openai", "model=own&intent=transcription"),
        ("wss://api.openai.com", "openai", "intent=transcription"),
        ("ws://h", "vllm", ""),
        ("ws://h", "asrctl", ""),
        ("http://h", "auto", ""),
    ],
)
def test_the_model_is_in_the_url_where_servers_want_it(url: str, dialect: str, query: str) -> None:
    """Those of OpenAI's kind, but for OpenAI's own; what the URL says already stays."""
    assert address_of(url, dialect, "a/b").url.partition("?")[2] == query


@pytest.mark.parametrize(
    "url", ["h", "ftp://h", "ws://", "tcp://", "ws://h:0", "ws://h:x", "ws://u:sk-1@h", "ws://[h"]
)
def test_what_is_no_url_is_refused_unseen(url: str) -> None:
    """The message says what a URL looks like, and repeats nothing of this one, which may hold a key."""
    with pytest.raises(UsageError, match="url must") as caught:
        RemoteSettings(url)
    assert "sk-1" not in str(caught.value)


@pytest.mark.parametrize("changes", [{"api_key": "a\r\nX-Evil: 1"}, {"api_key": "schlüssel"}])
def test_values_that_make_no_sense(changes: dict[str, Any]) -> None:
    """They are refused where the settings are made."""
    with pytest.raises(UsageError, match="remote: "):
        RemoteSettings("ws://h", **changes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('dialect = "esperanto"', "remote.dialect is 'esperanto'"),
        ("connect_timeout_s = 0", "remote.connect_timeout_s is 0: it should be from 0.01 to 600"),
        ("completion_timeout_s = inf", "remote.completion_timeout_s is inf"),
        ("outage_s = nan", "remote.outage_s is nan"),
        ("buffer_s = -1", "remote.buffer_s is -1"),
        ("max_message_bytes = 0", "remote.max_message_bytes is 0"),
        ('url = "ftp://h"', "url must be like"),
        ("outages = 3", "there is no setting remote.outages; did you mean remote.outage_s?"),
    ],
)
def test_a_mistake_in_the_section_is_named(text: str, message: str, tmp_path: Path) -> None:
    """The section of the config file is checked by the class, bounds and all."""
    config = tmp_path / "config.toml"
    config.write_text(f"[remote]\n{text}\n")
    with pytest.raises(UsageError) as caught:
        load(config, {})
    assert message in str(caught.value)


def test_a_wrong_key_is_not_shown(tmp_path: Path) -> None:
    """Also where it is refused."""
    config = tmp_path / "config.toml"
    config.write_text("[remote]\napi_key = 123456\n")
    with pytest.raises(UsageError, match=r"remote\.api_key is \.\.\.:"):
        load(config, {})


def test_settings_come_from_file_and_environment(tmp_path: Path) -> None:
    """Time-outs, lists and all."""
    config = tmp_path / "config.toml"
    config.write_text('[remote]\nurl = "https://h"\ncompletion_timeout_s = 300\n')
    environ = {"ASRCTL_REMOTE__KEYWORDS": "Ada, Bob", "ASRCTL_REMOTE__OUTAGE_S": "600"}
    loaded = load(config, environ).settings.of(PLUGIN)
    assert loaded == RemoteSettings(
        "https://h", completion_timeout_s=300.0, outage_s=600.0, keywords=("Ada", "Bob")
    )


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (RemoteSettings(), ""),
        (RemoteSettings("ws://h"), ""),
        (RemoteSettings("wss://h/v1/realtime", "openai", "gpt-realtime-whisper"), "takes no prompt"),
        (RemoteSettings("wss://h/v1/realtime", "openai", "gpt-4o-transcribe"), ""),
        (RemoteSettings("ws://h/v1/realtime", "vllm", "m"), "vLLM"),
    ],
)
def test_who_takes_no_vocabulary(settings: RemoteSettings, reason: str) -> None:
    """It is known before anything is sent."""
    said = PLUGIN.no_vocabulary(PLUGIN.setup(settings=settings))
    assert (reason in said) if reason else said == ""


@in_loop
async def test_the_plug_in_starts_what_the_url_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams or windows; without a URL or a package it says what is missing."""
    sockets = PLUGIN.setup(settings=RemoteSettings("ws://h"))
    windows = PLUGIN.setup(settings=RemoteSettings("http://h", model="m"))
    assert PLUGIN.start
    for setup, kind, windowed in ((sockets, RemoteRecognizer, False), (windows, RemoteWindows, True)):
        started = PLUGIN.start(setup)
        assert isinstance(started, kind) and PLUGIN.missing(setup) == ""
        assert PLUGIN.translates(setup) is PLUGIN.takes_windows(setup) is windowed
        assert (started.name, started.description, started.pids()) == ("remote", started.description, [])
        await started.close()
    assert (PLUGIN.model(sockets), PLUGIN.model(windows)) == ("remote", "m")
    assert "no server is set: [remote] url" in PLUGIN.missing(PLUGIN.setup())
    with pytest.raises(ProviderError, match="no server is set"):
        PLUGIN.start(PLUGIN.setup())
    monkeypatch.setattr("asrctl.providers.plugin.is_installed", lambda module: False)
    assert "websockets is not installed" in PLUGIN.missing(sockets)
    assert "httpx is not installed" in PLUGIN.missing(windows)


def test_where_a_key_comes_from() -> None:
    """The options' first, then the vendor's variable for the vendor alone, then the keyring's."""
    environ = {"OPENAI_API_KEY": "sk-env"}
    openai, other = "wss://api.openai.com/v1/realtime", "wss://example.org/v1/realtime"

    def keyring(host: str) -> str:
        return f"ring-{host}"

    assert find_key(RemoteSettings(openai, api_key="sk-own"), environ, keyring) == "sk-own"
    assert find_key(RemoteSettings(openai), environ, keyring) == "sk-env"
    assert find_key(RemoteSettings(other), environ, keyring) == "ring-example.org"
    assert find_key(RemoteSettings(other), environ, lambda host: "") == ""


def test_a_keyring_that_is_there_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package `keyring` is used if it can be imported; one that fails is as good as none."""
    (tmp_path / "keyring.py").write_text(
        "def get_password(service, name):\n"
        "    if name == 'locked':\n"
        "        raise RuntimeError('locked')\n"
        "    return f'{service}/{name}'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find_key(RemoteSettings("wss://example.org"), {}) == "asrctl/example.org"
    assert find_key(RemoteSettings("wss://locked"), {}) == ""


# A key is sent, and not shown


def shown(error: BaseException) -> str:
    """All that a traceback or a log could show of an error."""
    return "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))


@in_loop
async def test_the_key_is_sent_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    """With everything logged, neither a good link nor a refused one shows the key."""
    caplog.set_level(logging.DEBUG)
    given = RealtimeServer(faults=[None, *[Refuse(401, body=f"bad key {KEY}")] * 2])
    async with serving(given) as url, recognizer(settings(url)) as remote:
        stream = Stream(remote)
        stream.utter(1)
        await stream.ear.wait_completed(1)
        error = (await Stream(remote).ear.wait_lost()).error
        with pytest.raises(ProviderError) as refused:
            remote.open(request(), Ear())
        with pytest.raises(ProviderError) as not_ready:
            await remote.wait_ready()
        seen = repr(settings(url)) + str(settings(url)) + repr(remote) + remote.description
    assert given.keys == [f"Bearer {KEY}"] * 3
    assert KEY not in seen + caplog.text + shown(error) + shown(refused.value) + shown(not_ready.value)


@in_loop
async def test_a_server_that_repeats_the_key_is_not_quoted() -> None:
    """What the server says is shown without the key, and without the rest of the URL."""
    error = {"type": "invalid_request_error", "message": f"no {KEY}\nhere"}
    say = json.dumps({"type": "error", "error": error})
    given = RealtimeServer(faults=[After(say=say)])
    async with (
        serving(given) as url,
        open_stream(settings(f"{url}/v1/realtime?token=hidden")) as stream,
    ):
        message = str((await stream.ear.wait_lost()).error)
    assert "no [key] here" in message and KEY not in message and "hidden" not in message


@in_loop
async def test_the_key_of_another_asrctl_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    """The native protocol's client keeps it as well."""
    caplog.set_level(logging.DEBUG)
    given = RealtimeServer(faults=[Refuse(401, body=f"bad key {KEY}")])
    async with serving(given) as url, open_stream(settings(f"{url}/v1/stream?token=hidden")) as stream:
        message = shown((await stream.ear.wait_lost()).error)
    assert given.keys == [f"Bearer {KEY}"]
    assert KEY not in message + caplog.text and "hidden" not in message


@in_loop
async def test_the_key_of_a_request_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    """Plain HTTP: sent as a bearer, and in no log and no error."""
    caplog.set_level(logging.DEBUG)
    body = b'{"error": {"message": "Incorrect API key: %s"}}' % KEY.encode()
    with serving_http(HttpServer([None, Reply(404, body)])) as given:
        async with decoder(settings(f"{given.url}?token=hidden")) as windows:
            await decode(windows, 1)
            with pytest.raises(AsrctlError, match=r"Incorrect API key: \[key\]") as caught:
                await decode(windows, 1)
            seen = repr(windows) + windows.description
    assert given.keys == [f"Bearer {KEY}"] * 2
    assert KEY not in caplog.text + shown(caught.value) + seen
    assert "hidden" not in caplog.text + shown(caught.value) + seen


# Certificates


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server's certificate that nobody vouches for."""
    directory = tmp_path_factory.mktemp("certificate")
    key, certificate = str(directory / "key.pem"), str(directory / "cert.pem")
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    try:
        subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("there is no openssl to make a certificate with")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


@in_loop
async def test_a_certificate_that_does_not_verify_ends_it(stranger: ssl.SSLContext) -> None:
    """wss to a stranger is refused at once, with the reason, and without the key being sent."""
    given = RealtimeServer(tls=stranger)
    async with serving(given) as url, open_stream(settings(url)) as stream:
        assert "certificate does not verify" in str((await stream.ear.wait_lost()).error)
    assert given.url.startswith("wss://") and not given.keys


@in_loop
async def test_a_certificate_that_does_not_verify_ends_a_request(stranger: ssl.SSLContext) -> None:
    """The same for https."""
    given = RealtimeServer(tls=stranger)
    async with serving(given) as url, decoder(settings(url, "transcriptions")) as windows:
        with pytest.raises(ProviderError, match="certificate does not verify"):
            await decode(windows, 1)
    assert not given.keys
