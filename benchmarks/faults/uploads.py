"""Strangers at the web port whose bodies never end or are not what they say, and whose upgrades are none."""

from __future__ import annotations

import asyncio
import gzip
import os
import socket
import struct

from benchmarks.faults.kinds import kind
from benchmarks.faults.web import GET
from benchmarks.faults.wire import Link, part, post, upgrade

_PIECE = 1 << 14
_UPLOADS = (
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
    "/inference",
    "/asr",
    "/detect-language",
    "/v1/listen",
    "/render?format=txt",
    "/v1/realtime/client_secrets",
)


# Bodies


@kind("web")
async def expects_continue(link: Link) -> None:
    """Asks whether it may send, and does not."""
    await link.send(post("/v1/audio/transcriptions", 1_000_000, more="Expect: 100-continue\r\n"))


@kind("web")
async def body_of_a_get(link: Link) -> None:
    """Chunks behind a GET, without end."""
    await link.send(GET + b"Transfer-Encoding: chunked\r\n\r\n")
    await link.flood(b"400\r\n" + bytes(1024) + b"\r\n")


@kind("web")
async def body_where_none_belongs(link: Link) -> None:
    """A gigabyte to a page that takes none."""
    await link.send(b"POST /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n")
    await link.flood(bytes(_PIECE))


@kind("web")
async def endless_chunks(link: Link) -> None:
    """An upload in chunks that never ends: each brings one byte."""
    await link.send(post("/inference", None))
    await link.flood(b"1\r\na\r\n" * 512)


@kind("web")
async def endless_chunk_extension(link: Link) -> None:
    """A chunk whose first line never ends."""
    await link.send(post("/inference", None) + b"1;")
    await link.flood(b"a" * _PIECE)


@kind("web")
async def giant_chunk(link: Link) -> None:
    """A chunk of 2^64 - 1 bytes."""
    await link.send(post("/inference", None) + b"FFFFFFFFFFFFFFFF\r\nabc")


@kind("web")
async def endless_trailers(link: Link) -> None:
    """Headers behind the last chunk, without end."""
    await link.send(post("/inference", None) + b"0\r\n")
    await link.flood(b"X-A: b\r\n" * 512)


@kind("web")
async def huge_content_length(link: Link) -> None:
    """An upload of 2^62 bytes is announced."""
    await link.send(post(link.dice.choice(_UPLOADS), 1 << 62))


@kind("web", 80)
async def dripped_upload(link: Link) -> None:
    """An upload at five bytes a second, at each door that takes one."""
    await link.send(post(link.dice.choice(_UPLOADS), 1_000_000) + part())
    await link.drip(b"a")


@kind("web", 80)
async def dripped_recording(link: Link) -> None:
    """The same without a form, as Deepgram's clients send files."""
    await link.send(post("/v1/listen", 1_000_000, "audio/wav"))
    await link.drip(b"RIFF")


@kind("web")
async def stalled_upload(link: Link) -> None:
    """An upload that stops in the middle."""
    await link.send(post(link.dice.choice(_UPLOADS), 1_000_000) + part(content=bytes(300_000)))


@kind("web")
async def upload_with_bad_json(link: Link) -> None:
    """Deep JSON where JSON is wanted."""
    body = b"[" * 100_000
    await link.send(post("/render?format=srt", len(body), "application/json") + body)
    await link.send(post("/v1/realtime/client_secrets", len(body), "application/json") + body)


# Forms


@kind("web")
async def endless_part_headers(link: Link) -> None:
    """A part of a form whose headers never end."""
    await link.send(post("/inference", 1 << 30) + b"--x\r\n")
    await link.flood(b"X-A: b\r\n" * 1024)


@kind("web")
async def endless_part_header_line(link: Link) -> None:
    """A part with one header line that never ends."""
    await link.send(post("/inference", 1 << 30) + b"--x\r\nX-A: ")
    await link.flood(b"a" * _PIECE)


@kind("web")
async def a_hundred_thousand_parts(link: Link) -> None:
    """A form of empty fields."""
    await link.send(post("/inference", 1 << 30))
    await link.flood(part("a", b"\r\n", "") * 200)


@kind("web")
async def a_hundred_thousand_files(link: Link) -> None:
    """A form of empty files: each may cost a descriptor."""
    await link.send(post("/asr", 1 << 30))
    await link.flood(part("file", b"\r\n") * 200)


@kind("web")
async def endless_field(link: Link) -> None:
    """A gigabyte of prompt."""
    await link.send(post("/v1/audio/transcriptions", 1 << 30) + part("prompt", b"", ""))
    await link.flood(b"a" * _PIECE)


@kind("web")
async def endless_preamble(link: Link) -> None:
    """Bytes before the first part of a form."""
    await link.send(post("/v1/audio/transcriptions", 1 << 30))
    await link.flood(b"-" * _PIECE)


@kind("web")
async def strange_boundaries(link: Link) -> None:
    """No boundary, an empty one, one of 5,000 letters."""
    kinds = (
        "multipart/form-data",
        'multipart/form-data; boundary=""',
        "multipart/form-data; boundary=" + "x" * 5000,
    )
    await link.send(post("/asr", 1000, link.dice.choice(kinds)) + bytes(1000))


def _form(content: bytes, filename: str = "a.wav", path: str = "/inference", more: str = "") -> bytes:
    body = part(content=content, filename=filename) + b"\r\n--x--\r\n"
    return post(path, len(body), more=more) + body


def _wav(rate: int, channels: int, size: int, bits: int = 16) -> bytes:
    step = channels * bits // 8
    form = struct.pack("<HHIIHH", 1, channels & 0xFFFF, rate, (rate * step) & 0xFFFFFFFF, step & 0xFFFF, bits)
    head = b"RIFF" + struct.pack("<I", size) + b"WAVEfmt " + struct.pack("<I", 16) + form
    return head + b"data" + struct.pack("<I", size) + bytes(2000)


@kind("web", 20)
async def lying_files(link: Link) -> None:
    """WAV headers with 4 GB, a gigahertz, 65,535 channels, a rate of nothing."""
    lies = ((16_000, 1, 0xFFFFFFFF), (1_000_000_000, 1, 4000), (16_000, 65_535, 4000), (0, 0, 0))
    await link.send(_form(_wav(*link.dice.choice(lies))))


@kind("web", 20)
async def files_of_noise(link: Link) -> None:
    """Bytes that begin like a container and go on at random."""
    begin = (
        b"OggS",
        b"fLaC",
        b"\x00\x00\x00\x20ftypM4A ",
        b"ID3\x04",
        b"\x1aE\xdf\xa3",
        b"RIFF\xff\xff\xff\xffWAVE",
    )
    await link.send(_form(link.dice.choice(begin) + os.urandom(50_000), "a.ogg"))


@kind("web", 20)
async def gzip_bomb(link: Link) -> None:
    """A body that says it is packed, and would be a hundred megabytes."""
    packed = gzip.compress(bytes(100_000_000), 1)
    await link.send(_form(packed, more="Content-Encoding: gzip\r\n"))


@kind("web", 20)
async def strange_file_names(link: Link) -> None:
    """Paths, NUL, escapes, five thousand letters."""
    names = ("../../../../etc/passwd", "a\x00b.wav", "\x1b[2J.wav", "x" * 5000, "/dev/zero", "-i /etc/passwd")
    await link.send(_form(_wav(16_000, 1, 2000), link.dice.choice(names)))


@kind("web", 20)
async def uploads_that_are_left(link: Link) -> None:
    """A file is uploaded, and the connection cut before the answer."""
    while link.busy:
        other = await link.another("web")
        await other.send(_form(_wav(16_000, 1, 32_000) + bytes(320_000)))
        other.close()
        await asyncio.sleep(0.05)


@kind("web", 20)
async def answers_never_read(link: Link) -> None:
    """Uploads, whose streamed answers nobody reads."""
    link.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    body = part(content=_wav(16_000, 1, 32_000) + bytes(3_200_000))
    body += b"\r\n" + part("stream", b"true\r\n", "") + part("model", b"whisper-1\r\n", "") + b"--x--\r\n"
    await link.send(post("/v1/audio/transcriptions", len(body)) + body)


# Upgrades that are none


@kind("web")
async def wrong_upgrades(link: Link) -> None:
    """A version of old, a key that is none, no key at all, a protocol that is not there."""
    wrong = (
        upgrade("stream", version=8),
        upgrade("stream", key="x"),
        upgrade("stream", key=""),
        upgrade("stream").replace(b"asrctl.v1", b"asrctl.v9"),
        upgrade("stream").replace(b"/v1/stream", b"/v1/nothing"),
        upgrade("stream").replace(b"Upgrade: websocket", b"Upgrade: h2c"),
        upgrade("stream").replace(b"GET", b"POST"),
    )
    await link.send(link.dice.choice(wrong))


@kind("web")
async def upgrade_never_ended(link: Link) -> None:
    """All of a handshake but its last line; then that, byte by byte and never."""
    await link.send(upgrade(link.dice.choice(("stream", "realtime", "listen")))[:-2])
    await link.drip(b"X-A: b\r\n")


@kind("web")
async def many_subprotocols(link: Link) -> None:
    """Twelve thousand bytes of them."""
    await link.send(upgrade("stream", "Sec-WebSocket-Protocol: " + "asrctl.key.x, " * 800 + "x\r\n"))


@kind("web")
async def strange_extensions(link: Link) -> None:
    """Compression with absurd windows, and extensions that nobody knows."""
    wanted = (
        "Sec-WebSocket-Extensions: " + "permessage-deflate; server_max_window_bits=99, x-y, " * 100 + "z\r\n"
    )
    await link.send(upgrade("stream", wanted))


@kind("web")
async def talks_before_the_upgrade(link: Link) -> None:
    """Megabytes of frames come in one piece with the handshake."""
    await link.send(upgrade(link.dice.choice(("stream", "listen", "realtime"))) + bytes(2_000_000))


@kind("web")
async def upgrade_in_an_upgrade(link: Link) -> None:
    """A handshake, and others behind it without an end."""
    await link.flood(upgrade("stream"))


@kind("web")
async def endless_query(link: Link) -> None:
    """Seven thousand bytes of options, a thousand of them."""
    query = b"&".join(b"a%d=b" % number for number in range(1000))
    await link.send(upgrade("listen").replace(b"sample_rate=16000", b"sample_rate=16000&" + query))
