"""Where a server is, what is asked of it, and what proves that we may: checked once, and never shown."""

from __future__ import annotations

import json
import logging
import pickle
import ssl
import subprocess
import traceback
from pathlib import Path
from typing import Any

import pytest

from asrctl.errors import AsrctlError, ProviderError, UsageError
from asrctl.providers.base import DecodeOptions
from asrctl.providers.remote import RemoteOptions
from asrctl.providers.remote.address import address_of
from asrctl.providers.remote.key import find_key
from asrctl.providers.remote.model import RemoteModel
from asrctl.providers.remote.windows import RemoteWindows
from asrctl.providers.scripted import speak

from .remote_server import After, HttpServer, RealtimeServer, Refuse, Reply, serving, serving_http
from .remote_streams import KEY, Ear, open_stream, options, utter


@pytest.mark.parametrize(
    ("url", "dialect", "expected", "resolved"),
    [
        ("ws://h", "auto", "ws://h/v1/realtime?intent=transcription", "auto"),
        ("wss://h:1/v1", "auto", "wss://h:1/v1/realtime?intent=transcription", "auto"),
        ("wss://h/x?a=b", "auto", "wss://h/x?a=b&intent=transcription", "auto"),
        ("wss://h/v1/realtime?intent=x", "openai", "wss://h/v1/realtime?intent=x", "openai"),
        ("https://h/v1", "openai", "wss://h/v1/realtime?intent=transcription", "openai"),
        ("http://h", "vllm", "ws://h/v1/realtime", "vllm"),
        ("ws://h/v1/stream", "auto", "ws://h/v1/stream", "asrctl"),
        ("http://h:8765", "asrctl", "ws://h:8765/v1/stream", "asrctl"),
        ("https://h", "auto", "https://h/v1/audio/transcriptions", "transcriptions"),
        ("http://h/v1/", "auto", "http://h/v1/audio/transcriptions", "transcriptions"),
        ("http://h/mine", "auto", "http://h/mine", "transcriptions"),
        ("wss://h", "transcriptions", "https://h/v1/audio/transcriptions", "transcriptions"),
        ("ws://[::1]:80/v1#part", "vllm", "ws://[::1]:80/v1/realtime", "vllm"),
    ],
)
def test_what_a_url_leaves_open_follows(url: str, dialect: str, expected: str, resolved: str) -> None:
    """Scheme, path and query fit the dialect; where the dialect is left open, the URL tells it."""
    address = address_of(url, dialect)
    assert (address.url, address.dialect) == (expected, resolved)
    assert "?" not in address.place and address.place in expected


@pytest.mark.parametrize(
    "url", ["", "h", "ftp://h", "ws://", "ws://h:0", "ws://h:x", "ws://u:sk-1@h", "ws://[h"]
)
def test_what_is_no_url_is_refused_unseen(url: str) -> None:
    """The message says what a URL looks like, and repeats nothing of this one, which may hold a key."""
    with pytest.raises(UsageError, match="url must") as caught:
        RemoteOptions(url)
    assert "sk-1" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"dialect": "esperanto"},
        {"connect_timeout_s": 0},
        {"completion_timeout_s": float("inf")},
        {"outage_s": float("nan")},
        {"buffer_s": -1},
        {"max_message_bytes": 0},
        {"api_key": "a\r\nX-Evil: 1"},
        {"api_key": "schlüssel"},
    ],
)
def test_values_that_make_no_sense(changes: dict[str, Any]) -> None:
    """They are refused where the options are made."""
    with pytest.raises(UsageError, match="remote: "):
        RemoteOptions("ws://h", **changes)


def test_options_travel_to_workers() -> None:
    """Options can be given to another process, key and all."""
    chosen = options("https://h")
    assert pickle.loads(pickle.dumps(chosen)) == chosen
    assert chosen.is_windowed and not options("ws://h").is_windowed


def test_where_a_key_comes_from() -> None:
    """The options' first, then the vendor's variable for the vendor alone, then the keyring's."""
    environ = {"OPENAI_API_KEY": "sk-env"}
    openai, other = "wss://api.openai.com/v1/realtime", "wss://example.org/v1/realtime"

    def keyring(host: str) -> str:
        return f"ring-{host}"

    assert find_key(RemoteOptions(openai, api_key="sk-own"), environ, keyring) == "sk-own"
    assert find_key(RemoteOptions(openai), environ, keyring) == "sk-env"
    assert find_key(RemoteOptions(other), environ, keyring) == "ring-example.org"
    assert find_key(RemoteOptions(other), environ, lambda host: "") == ""


def test_a_keyring_that_is_there_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package `keyring` is used if it can be imported; one that fails is as good as none."""
    (tmp_path / "keyring.py").write_text(
        "def get_password(service, name):\n"
        "    if name == 'locked':\n"
        "        raise RuntimeError('locked')\n"
        "    return f'{service}/{name}'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find_key(RemoteOptions("wss://example.org"), {}) == "asrctl/example.org"
    assert find_key(RemoteOptions("wss://locked"), {}) == ""


# A key is sent, and not shown


def shown(error: BaseException) -> str:
    """All that a traceback or a log could show of an error."""
    return "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))


def test_the_key_is_sent_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    """With everything logged, neither a good link nor a refused one shows the key."""
    caplog.set_level(logging.DEBUG)
    given = RealtimeServer(faults=[None, Refuse(401, body=f"bad key {KEY}")])
    with serving(given) as url:
        chosen = options(url)
        model = RemoteModel(chosen)
        ear = Ear()
        session = model.open(DecodeOptions(), ear)
        utter(session, 1)
        ear.wait_completed(1)
        lost = Ear()
        model.open(DecodeOptions(), lost)
        error = lost.wait_lost()
        with pytest.raises(ProviderError) as refused:
            model.open(DecodeOptions(), Ear())
        model.close()
    assert given.keys == [f"Bearer {KEY}"] * 2
    seen = caplog.text + shown(error) + shown(refused.value) + repr(chosen) + str(chosen)
    assert KEY not in seen + repr(model) + model.description()


def test_a_server_that_repeats_the_key_is_not_quoted() -> None:
    """What the server says is shown without the key, and without the rest of the URL."""
    error = {"type": "invalid_request_error", "message": f"no {KEY}\nhere"}
    say = json.dumps({"type": "error", "error": error})
    given = RealtimeServer(faults=[After(say=say)])
    with serving(given) as url, open_stream(options(f"{url}/v1/realtime?token=hidden")) as (_, ear):
        message = str(ear.wait_lost())
    assert "no [key] here" in message and KEY not in message and "hidden" not in message


def test_the_key_of_another_asrctl_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    """The native protocol's client keeps it as well."""
    caplog.set_level(logging.DEBUG)
    with serving(given := RealtimeServer(faults=[Refuse(401, body=f"bad key {KEY}")])) as url:
        chosen = options(f"{url}/v1/stream?token=hidden")
        with open_stream(chosen) as (_, ear):
            message = shown(ear.wait_lost())
    assert given.keys == [f"Bearer {KEY}"]
    assert KEY not in message + caplog.text and "hidden" not in message


def test_the_key_of_a_request_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    """Plain HTTP: sent as a bearer, and in no log and no error."""
    caplog.set_level(logging.DEBUG)
    body = b'{"error": {"message": "Incorrect API key: %s"}}' % KEY.encode()
    with (
        serving_http(HttpServer([None, Reply(404, body)])) as given,
        RemoteWindows(options(given.url)) as model,
    ):
        model.transcribe(speak([1]), DecodeOptions(), lambda: False)
        with pytest.raises(AsrctlError, match=r"Incorrect API key: \[key\]") as caught:
            model.transcribe(speak([1]), DecodeOptions(), lambda: False)
    assert given.keys == [f"Bearer {KEY}"] * 2
    assert KEY not in caplog.text + shown(caught.value) + repr(model) + model.description()


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


def test_a_certificate_that_does_not_verify_ends_it(stranger: ssl.SSLContext) -> None:
    """wss to a stranger is refused at once, with the reason, and without the key being sent."""
    given = RealtimeServer(tls=stranger)
    with serving(given) as url, open_stream(options(url)) as (_, ear):
        assert "certificate does not verify" in str(ear.wait_lost())
    assert given.url.startswith("wss://") and not given.keys


def test_a_certificate_that_does_not_verify_ends_a_request(stranger: ssl.SSLContext) -> None:
    """The same for https."""
    with (
        serving(given := RealtimeServer(tls=stranger)) as url,
        RemoteWindows(options(url, "transcriptions")) as model,
        pytest.raises(ProviderError, match="certificate does not verify"),
    ):
        model.transcribe(speak([1]), DecodeOptions(), lambda: False)
    assert not given.keys
