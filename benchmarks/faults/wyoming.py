"""Strangers at the port of Wyoming."""

from __future__ import annotations

import asyncio
import json
import socket

from benchmarks.faults.kinds import kind
from benchmarks.faults.web import CLIENT_HELLO, GET
from benchmarks.faults.wire import Link, event

_PIECE = 1 << 14
_TIMES = {"start_s": 0, "rate": 16_000, "width": 2, "channels": 1}


@kind("wyoming", 200)
async def silent_at_wyoming(link: Link) -> None:
    """Connects and says nothing."""


@kind("wyoming")
async def garbage_at_wyoming(link: Link) -> None:
    """HTTP, TLS, bytes."""
    await link.send(link.dice.choice((GET + b"\r\n", CLIENT_HELLO, bytes(range(256)))))


@kind("wyoming")
async def endless_line(link: Link) -> None:
    """A header without an end."""
    await link.send(b'{"type":"')
    await link.flood(b"a" * _PIECE)


@kind("wyoming")
async def line_dripped(link: Link) -> None:
    """The same, slowly."""
    await link.drip(
        b'{"type":"describe","x":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'
    )


@kind("wyoming")
async def blank_lines_at_wyoming(link: Link) -> None:
    """Nothing, line by line."""
    await link.flood(b"\n" * _PIECE)


@kind("wyoming")
async def lying_lengths(link: Link) -> None:
    """Lengths below nothing, of a terabyte, of half a byte, in words."""
    lie = link.dice.choice((-1, 1 << 40, 0.5, "many", True, None, [1]))
    name = link.dice.choice(("data_length", "payload_length"))
    await link.send(json.dumps({"type": "describe", name: lie}).encode() + b"\n")


@kind("wyoming")
async def payload_dripped(link: Link) -> None:
    """A megabyte of audio at five bytes a second."""
    await link.event("audio-chunk", _TIMES, payload_length=1_000_000)
    await link.drip(b"a")


@kind("wyoming")
async def describe_and_never_read(link: Link) -> None:
    """Asks what there is, thousands of times, and reads nothing."""
    link.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    await link.flood(event("describe") * 200)


@kind("wyoming", 60, greedy=True)
async def ping_for_ever(link: Link) -> None:
    """Shows that it lives, and wants nothing."""
    while link.busy:
        await link.event("ping", {"text": "x" * 1000})
        await asyncio.sleep(0.5)


@kind("wyoming")
async def nonsense_at_wyoming(link: Link) -> None:
    """Deep JSON, lists, types that are none, rates of a gigahertz."""
    lines = (
        b"[" * 50_000 + b"\n",
        b"[]\n",
        b'{"type":5}\n',
        event("audio-chunk", {"rate": 10**9, "width": 2, "channels": 1}, bytes(100)),
        event("audio-chunk", {"rate": 16_000, "width": 99, "channels": -1}, bytes(100)),
        event("transcribe", {"language": ["en"], "name": "x" * 50_000}),
    )
    await link.send(link.dice.choice(lines))


@kind("wyoming", 16, greedy=True)
async def audio_before_its_start(link: Link) -> None:
    """A chunk that nothing announced, of half a sample more."""
    await link.send(event("audio-chunk", {"rate": 16_000, "width": 2, "channels": 1}, bytes(101)))


@kind("wyoming")
async def describe_and_half_close(link: Link) -> None:
    """Asks, and ends its direction."""
    await link.event("describe")
    link.writer.write_eof()


@kind("wyoming")
async def unknown_events(link: Link) -> None:
    """Events that nobody knows, with a payload each."""
    await link.flood(event("x-unknown", {"a": "b" * 1000}, bytes(1000)) * 20)
