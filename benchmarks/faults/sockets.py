"""Strangers behind a good handshake, at the WebSockets of all dialects."""

from __future__ import annotations

import asyncio
import json
import struct
import zlib

from benchmarks.faults.kinds import kind
from benchmarks.faults.wire import BINARY, CLOSE, PING, PONG, TEXT, Link, frame

_PIECE = 1 << 14


# Behind the handshake of asrctl.v1, without a session


@kind("stream", 200)
async def silent_socket(link: Link) -> None:
    """Shakes hands and says nothing."""


@kind("realtime", 60, greedy=True)
async def silent_realtime(link: Link) -> None:
    """The same at OpenAI's door."""


@kind("listen", 60)
async def silent_listen(link: Link) -> None:
    """The same at Deepgram's."""


@kind("stream")
async def pings_without_a_session(link: Link) -> None:
    """Shows that it lives, and begins nothing."""
    while link.busy:
        await link.send(frame(PING, b"x"))
        await asyncio.sleep(0.5)


@kind("realtime", 60, greedy=True)
async def pings_at_realtime(link: Link) -> None:
    """The same at OpenAI's door."""
    while link.busy:
        await link.send(frame(PING, b"x"))
        await asyncio.sleep(0.5)


@kind("stream")
async def ping_flood(link: Link) -> None:
    """Pings, and no answer is read."""
    await link.flood(frame(PING, bytes(125)) * 100)


@kind("session")
async def ping_flood_in_a_session(link: Link) -> None:
    """The same in a session."""
    await link.flood(frame(PING, bytes(125)) * 100)


@kind("listen")
async def pong_flood(link: Link) -> None:
    """Pongs that nobody asked for."""
    await link.flood(frame(PONG, b"") * 1000)


@kind("stream")
async def frame_of_2_to_the_63(link: Link) -> None:
    """A length with its highest bit set."""
    await link.send(frame(BINARY, b"", says=(1 << 63) + 5))


@kind("realtime")
async def frame_of_a_terabyte(link: Link) -> None:
    """A length that nobody has."""
    await link.send(frame(TEXT, b"", says=1 << 40))


@kind("stream")
async def frame_dripped(link: Link) -> None:
    """A message within all limits, at five bytes a second."""
    await link.send(frame(TEXT, b"", says=100_000))
    await link.drip(b"a")


@kind("realtime")
async def long_frame_dripped(link: Link) -> None:
    """Fifteen megabytes are announced, and come slowly."""
    await link.send(frame(TEXT, b"", says=15_000_000) + b"a" * 1_000_000)
    await link.drip(b"a")


@kind("stream")
async def frame_header_dripped(link: Link) -> None:
    """Half of a frame's header."""
    await link.send(frame(BINARY, b"", says=100_000)[:3])


@kind("stream")
async def fragments_without_end(link: Link) -> None:
    """A message of one-byte fragments."""
    await link.send(frame(TEXT, b"{", fin=False))
    await link.flood(frame(0, b"a", fin=False) * 500)


@kind("listen")
async def empty_fragments_without_end(link: Link) -> None:
    """A message of nothing, in fragments."""
    await link.send(frame(BINARY, b"", fin=False))
    await link.flood(frame(0, b"", fin=False) * 1000)


@kind("realtime")
async def fragments_with_pings_between(link: Link) -> None:
    """The same with control frames between."""
    await link.send(frame(TEXT, b"{", fin=False))
    await link.flood((frame(PING, b"x") + frame(0, b"a", fin=False)) * 200)


@kind("stream")
async def broken_frames(link: Link) -> None:
    """No mask, reserved bits, reserved opcodes, continuations of nothing, long and split control frames."""
    broken = (
        frame(TEXT, b"{}", masked=False),
        frame(BINARY, b"ab", rsv=4),
        frame(5, b"ab"),
        frame(0, b"ab"),
        frame(PING, bytes(126)),
        frame(PING, b"x", fin=False),
    )
    await link.send(link.dice.choice(broken))
    await link.drip(b"a")


@kind("stream")
async def strange_close_frames(link: Link) -> None:
    """Codes that are none, one byte, reasons that are not UTF-8."""
    payloads = (
        b"\x03",
        struct.pack("!H", 0),
        struct.pack("!H", 1005),
        struct.pack("!H", 9999),
        b"\x03\xe8\xff\xfe",
    )
    await link.send(frame(CLOSE, link.dice.choice(payloads)))
    await link.drip(b"a")


@kind("stream")
async def talks_after_its_close(link: Link) -> None:
    """Closes, and sends on."""
    await link.send(frame(CLOSE, struct.pack("!H", 1000)))
    await link.flood(frame(BINARY, bytes(1000)) * 20)


@kind("listen")
async def never_answers_the_close(link: Link) -> None:
    """Is closed for nonsense, and stays."""
    await link.message("[" * 5000)


@kind("stream")
async def compression_that_was_not_agreed(link: Link) -> None:
    """A packed message of a hundred megabytes."""
    await link.send(frame(TEXT, zlib.compress(bytes(100_000_000), 9), rsv=4))


@kind("stream")
async def nonsense_first(link: Link) -> None:
    """Deep JSON, long numbers, NaN, halves of characters, doubled keys, audio."""
    first: tuple[object, ...] = (
        "[" * 100_000,
        '{"type":"start","format":{"sample_rate":' + "9" * 5000 + "}}",
        '{"type":"start","format":{"sample_rate":NaN}}',
        '{"type":"start","format":{},"prompt":"\\ud800"}',
        '{"type":"start","type":"resume","format":{}}',
        '{"type":"start","format":{},"audio_offset":1e400}',
        {"type": ["start"]},
        {"type": "start", "format": {}, "endpointing": {"onset": 5, "offset": -1}},
    )
    await link.message(link.dice.choice(first))


@kind("stream", 20)
async def guessed_sessions(link: Link) -> None:
    """Guesses ids and tokens, a new socket for each."""
    while link.busy:
        other = await link.another("stream")
        if not other.refused:
            guess = f"{link.dice.getrandbits(128):032x}"
            await other.message(
                {"type": "resume", "session_id": guess, "resume_token": guess, "last_event_id": 0}
            )
        await asyncio.sleep(0.05)
        other.close()


# Behind the handshakes of the dialects


@kind("realtime")
async def nonsense_at_realtime(link: Link) -> None:
    """Events that there are not, base64 that is none, updates without end."""
    events: tuple[object, ...] = (
        {"type": "x" * 10_000},
        {"type": "input_audio_buffer.append", "audio": "%%%"},
        {"type": "input_audio_buffer.append", "audio": 5},
        {"type": "session.update", "session": [[[]]]},
        {"type": "conversation.item.truncate", "audio_end_ms": 10**300},
    )
    for _ in range(200):
        await link.message(link.dice.choice(events))


@kind("realtime")
async def update_flood(link: Link) -> None:
    """Settles its session again and again, and reads no answer."""
    update = {"type": "session.update", "session": {"type": "transcription"}}
    await link.flood(frame(TEXT, json.dumps(update).encode()) * 50)


@kind("realtime")
async def commit_flood(link: Link) -> None:
    """Commits nothing, again and again."""
    await link.flood(frame(TEXT, b'{"type":"input_audio_buffer.commit"}') * 50)


@kind("listen")
async def keepalive_flood(link: Link) -> None:
    """Says that it lives, thousands of times a second."""
    await link.flood(frame(TEXT, b'{"type":"KeepAlive"}') * 100)


@kind("listen", 60, greedy=True)
async def keepalive_for_ever(link: Link) -> None:
    """Says that it lives each second, and never speaks."""
    while link.busy:
        await link.message({"type": "KeepAlive"})
        await asyncio.sleep(1.0)


@kind("listen")
async def finalize_flood(link: Link) -> None:
    """Wants finals of nothing."""
    await link.flood(frame(TEXT, b'{"type":"Finalize"}') * 100)


@kind("listen")
async def speaks_after_the_end(link: Link) -> None:
    """Ends its stream, and sends on."""
    await link.message({"type": "CloseStream"})
    await link.flood(frame(BINARY, bytes(3200)))
