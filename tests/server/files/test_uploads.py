"""Bodies that are too long, too slow, cut off, or have no room on the disk."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from asrctl.errors import UsageError
from asrctl.protocol.messages import Limits
from asrctl.providers.base import ModelSpec
from asrctl.server.files.limits import FileLimits

from ..servers import Running, options_for, running, until
from .requests import FORM, HELLO, TRANSCRIPTIONS, WORDS, Raw, client, form, post

Scripted = Callable[..., ModelSpec]
SMALL = FileLimits(upload_bytes=200_000, upload_idle_s=0.5)
TYPE = f"Content-Type: {FORM}"


def test_too_long_is_said_before_it_is_read(scripted: Scripted) -> None:
    """A length that is too much is refused by the header alone, and nobody is told to go on."""
    with running(options_for(scripted(), files=SMALL)) as server:
        with Raw(server) as raw:
            raw.start(f"{TYPE}\r\nContent-Length: 200001\r\nExpect: 100-continue")
            head = raw.read(b"content_too_large")
            assert head.startswith(b"HTTP/1.1 413 ")
            assert b"100 Continue" not in head
        assert post(server).json()["text"] == WORDS


def test_too_long_is_read_by_the_client_all_the_same(scripted: Scripted) -> None:
    """A client that sends all of it, and only then looks, finds the answer, and not a broken connection."""
    long = form(("file", bytes(20_000_000), "a"))
    with running(options_for(scripted(), files=SMALL)) as server, client(server) as http:
        for content in (long, iter([long[at : at + 65_536] for at in range(0, len(long), 65_536)])):
            answer = http.post(
                TRANSCRIPTIONS, content=content, headers={"Content-Type": FORM, "Connection": "close"}
            )
            assert answer.status_code == 413
            assert answer.json()["error"]["param"] == "file"


def test_expectations_are_met_when_they_can_be(shared: Running) -> None:
    """curl waits for 100 before it sends a long body."""
    body = form(("file", HELLO, "a.wav"), ("response_format", b"text", None))
    with Raw(shared) as raw:
        raw.start(f"{TYPE}\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\nConnection: close")
        assert raw.read(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        raw.send(body)
        assert raw.read().endswith(f"{WORDS}\n".encode())


def test_too_slow(scripted: Scripted) -> None:
    """An upload that stops, or trickles, is refused in time, and its place is free."""
    with running(options_for(scripted(), files=SMALL)) as server:
        for trickle in (b"", b"x"):
            with Raw(server) as raw:
                raw.start(f"{TYPE}\r\nContent-Length: 100000")
                raw.send(form(("file", HELLO, "a"))[:500])
                raw.socket.settimeout(0.1)
                answer = b""
                while b"upload_too_slow" not in answer:
                    if trickle:
                        raw.send(trickle)
                    try:
                        answer += raw.socket.recv(65536)
                    except TimeoutError:
                        continue
                assert answer.startswith(b"HTTP/1.1 400 ")
        until(lambda: server.metric('asrctl_files{state="waiting"}') == 0)


def test_a_slow_upload_that_moves_is_let(scripted: Scripted) -> None:
    """It may take longer than a connection without a request may live."""
    limits = replace(Limits(), handshake_timeout_s=1.5)
    body = form(("file", HELLO, "a.wav"))
    with running(options_for(scripted(delay_s=1.5), limits=limits)) as server, Raw(server) as raw:
        raw.start(f"{TYPE}\r\nContent-Length: {len(body)}\r\nConnection: close")
        step = len(body) // 12
        raw.socket.settimeout(0.2)
        for at in range(0, len(body), step):
            raw.send(body[at : at + step])
            with pytest.raises(TimeoutError):
                raw.socket.recv(1)
        raw.socket.settimeout(30.0)
        assert WORDS.encode() in raw.read()


def test_a_client_that_leaves_during_its_upload(scripted: Scripted) -> None:
    """Its place is free, and nothing stays on the disk."""
    with running(options_for(scripted())) as server:
        with Raw(server) as raw:
            raw.start(f"{TYPE}\r\nContent-Length: 100000")
            raw.send(form(("file", HELLO, "a"))[:20_000])
            until(lambda: server.metric('asrctl_files{state="waiting"}') == 1)
            assert list(Path(tempfile.gettempdir()).glob("asrctl-*/upload"))
        until(lambda: server.metric('asrctl_files{state="waiting"}') == 0)


def test_nothing_stays_on_the_disk(
    scripted: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Uploads are deleted, whether they were transcribed or refused."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "uploads"))
    (tmp_path / "uploads").mkdir()
    with running(options_for(scripted())) as server:
        assert post(server).status_code == 200
        assert post(server, file=b"text " * 100).status_code == 400
        assert post(server, stream="true").status_code == 200
        until(lambda: not list((tmp_path / "uploads").iterdir()))


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_a_full_disk(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """No room is the server's fault, and said before the upload."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1, 1, 1 << 20))
    with running(options_for(scripted())) as server:
        answer = post(server)
        assert (answer.status_code, answer.json()["error"]["code"]) == (507, "insufficient_storage")


def test_headers_stay_bounded_where_bodies_are_not(shared: Running) -> None:
    """A head without end is refused on the paths of files too, in one piece or in many."""
    for pieces in (1, 40):
        with Raw(shared) as raw:
            raw.send(f"POST {TRANSCRIPTIONS} HTTP/1.1\r\nHost: x\r\n".encode())
            for _ in range(pieces):
                raw.send(b"A: " + b"a" * (40_000 // pieces) + b"\r\n")
            assert raw.read().startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "wrong",
    [
        {"at_work": 0},
        {"waiting": -1},
        {"upload_bytes": 0},
        {"upload_idle_s": 0.0},
        {"spare_disk_bytes": -1},
    ],
)
def test_limits_make_sense(wrong: dict[str, float]) -> None:
    """Wrong limits are refused by name."""
    with pytest.raises(UsageError, match="files: "):
        FileLimits(**wrong)  # type: ignore[arg-type]
