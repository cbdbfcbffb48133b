"""wss and https, and certificates that are none."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import pytest

from asrctl.errors import UsageError
from asrctl.protocol.messages import Limits
from asrctl.providers.base import ModelSpec

from ..cli.commands import run
from .servers import PATIENCE_S, Running, options_for, running, spoken, until

Scripted = Callable[..., ModelSpec]


@pytest.mark.parametrize(("certificate", "key"), [("both.pem", None), ("cert.pem", "key.pem")])
def test_tls(
    scripted: Scripted,
    pems: Path,
    certificate: str,
    key: str | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With a certificate it is wss and https; our own client comes in if it trusts the certificate."""
    options = options_for(scripted(), certificate=pems / certificate, private_key=key and pems / key)
    (pems / "talk.pcm").write_bytes(spoken(1, 2))
    monkeypatch.chdir(pems)  # where the audio is kept that the server never got
    with running(options, ready=False) as server:
        address = server.url.replace("wss://", "https://").replace("/v1/stream", "/ready")
        context = ssl.create_default_context(cafile=pems / "cert.pem")
        until(lambda: server.server.engine.ready)
        with urlopen(address, context=context, timeout=PATIENCE_S) as answer:
            assert answer.status == 200
        args = ("transcribe", "--server", server.url, "--raw-rate", "16000", str(pems / "talk.pcm"))
        args += ("--wait-for-server", str(PATIENCE_S))
        assert run(*args) == 5
        assert "the server's certificate does not verify" in capsys.readouterr().err
        monkeypatch.setenv("SSL_CERT_FILE", str(pems / "cert.pem"))
        assert run(*args) == 0
        assert capsys.readouterr().out.split() == ["w1", "w2"]


def test_a_server_without_tls(
    scripted: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said what is wrong with the address, and not tried again."""
    (tmp_path / "talk.pcm").write_bytes(spoken(1))
    monkeypatch.chdir(tmp_path)
    with running(options_for(scripted())) as server:
        address = server.url.replace("ws://", "wss://")
        assert run("transcribe", "--server", address, "--raw-rate", "16000", str(tmp_path / "talk.pcm")) == 5
    said = capsys.readouterr().err
    assert "the server does not speak TLS" in said and "gave up after" not in said


def test_a_client_that_does_not_shake_hands_is_cut(scripted: Scripted, pems: Path) -> None:
    """Whoever connects and says nothing has as long as without TLS, not the minute that asyncio gives."""
    limits = replace(Limits(), handshake_timeout_s=0.5)
    options = options_for(scripted(), certificate=pems / "both.pem", limits=limits)
    with (
        running(options, ready=False) as server,
        socket.create_connection(("127.0.0.1", server.server.port), timeout=PATIENCE_S) as mute,
    ):
        assert mute.recv(1) == b""


@pytest.mark.parametrize(
    ("certificate", "key", "message"),
    [
        ("none.pem", None, "none.pem: No such file"),
        ("cert.pem", "none.pem", "none.pem: No such file"),
        (".", None, "Is a directory"),
        ("cert.pem", None, "its PEM key in .*cert.pem"),
        ("junk.pem", "key.pem", "expected a PEM certificate"),
        ("cert.pem", "junk.pem", "its PEM key in .*junk.pem"),
        ("cert.pem", "other.pem", "private key .*other.pem does not match it"),
        ("cert.pem", "locked.pem", "locked.pem: it is encrypted"),
    ],
)
def test_certificates_that_are_none(
    scripted: Scripted, pems: Path, certificate: str, key: str | None, message: str
) -> None:
    """A certificate that cannot be used is a mistake with a name, and leaves nothing running."""
    options = options_for(scripted(), certificate=pems / certificate, private_key=key and pems / key)
    with pytest.raises(UsageError, match=message):
        Running(options)
