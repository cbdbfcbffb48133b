"""Clients that keep the rules, and take all that these give."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import struct

from benchmarks.faults.kinds import kind
from benchmarks.faults.wire import START, Link, event

_SECOND = bytes(32_000)
_TIMES = {"start_s": 0, "rate": 16_000, "width": 2, "channels": 1}


@kind("session", 6, greedy=True)
async def a_minute_at_once(link: Link) -> None:
    """Sends what it has as fast as the window lets it."""
    for _ in range(29):
        await link.binary(_SECOND)


@kind("session", 6, greedy=True)
async def never_reads(link: Link) -> None:
    """Flushes and speaks, and reads nothing."""
    link.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    while link.busy:
        await link.binary(bytes(3200))
        await link.message({"type": "flush"})
        await asyncio.sleep(0.1)


@kind("session", 6, greedy=True)
async def one_sample_a_message(link: Link) -> None:
    """Four hundred messages a second, with a sample each."""
    while link.busy:
        for _ in range(40):
            await link.binary(bytes(2))
        await asyncio.sleep(0.1)


@kind("session", 6, greedy=True)
async def fourteen_mebibytes_a_minute(link: Link) -> None:
    """Stereo float at 192 kHz, in the longest messages."""
    other = await link.another("stream")
    if other.refused:
        return
    await other.message(START | {"format": {"encoding": "pcm_f32le", "sample_rate": 192_000, "channels": 8}})
    for _ in range(14):
        await other.binary(bytes(1 << 20))
        await asyncio.sleep(0.17)
    other.close()


@kind("session", 16, greedy=True)
async def opens_to_the_limit_and_idles(link: Link) -> None:
    """Takes all places that are left, with one sample each."""
    await link.binary(bytes(2))


@kind("session", 4, greedy=True)
async def asks_for_metrics_of_silence(link: Link) -> None:
    """Skips ten minutes of audio, again and again."""
    while link.busy:
        await link.message({"type": "skip", "frames": 9_000_000, "reason": "x" * 500})
        await asyncio.sleep(1.5)


@kind("stream", 3, greedy=True)
async def begins_and_finishes(link: Link) -> None:
    """Sessions of nothing, one after the other."""
    while link.busy:
        other = await link.another("session")
        if not other.refused:
            await other.message({"type": "finish", "audio_offset": 0})
            await asyncio.wait_for(other.read_all(), 5.0)
        other.close()
        await asyncio.sleep(0.02)


@kind("stream", 3, greedy=True)
async def resumes_again_and_again(link: Link) -> None:
    """Takes its own session over, ten times a second."""
    await link.message(START)
    ready = None
    while link.busy:
        other = await link.another("stream") if ready else link
        if ready and not other.refused:
            keys = {name: ready[name] for name in ("session_id", "resume_token")}
            await other.message({"type": "resume", "last_event_id": 0} | keys)
            await other.binary(bytes(3200))
        if ready is None:
            ready = await _ready(link)
        await asyncio.sleep(0.1)
        if other is not link:
            other.close()


async def _ready(link: Link) -> dict[str, object] | None:
    head = await link.reader.readexactly(2)
    size = head[1]
    if size == 126:
        size = struct.unpack("!H", await link.reader.readexactly(2))[0]
    found: dict[str, object] = json.loads(await link.reader.readexactly(size))
    return found if found["type"] == "ready" else None


@kind("realtime", 4, greedy=True)
async def fifteen_mebibytes_at_once(link: Link) -> None:
    """The longest `append` that OpenAI's clients may send, several times."""
    audio = base64.b64encode(bytes(15 << 20)).decode()
    for _ in range(3):
        await link.message({"type": "input_audio_buffer.append", "audio": audio})


@kind("realtime", 6, greedy=True)
async def never_commits(link: Link) -> None:
    """Without turn detection, audio that is never committed."""
    quiet = {"audio": {"input": {"turn_detection": None}}, "type": "transcription"}
    await link.message({"type": "session.update", "session": quiet})
    audio = base64.b64encode(bytes(480_000)).decode()
    while link.busy:
        await link.message({"type": "input_audio_buffer.append", "audio": audio})
        await asyncio.sleep(0.05)


@kind("listen", 6, greedy=True)
async def audio_faster_than_time(link: Link) -> None:
    """A recording at twenty times its speed, no answer is read."""
    while link.busy:
        await link.binary(bytes(64_000))
        await asyncio.sleep(0.1)


@kind("wyoming", 6, greedy=True)
async def never_stops(link: Link) -> None:
    """Audio at twenty times its speed, and never an end."""
    await link.event("audio-start", {"rate": 16_000, "width": 2, "channels": 1})
    while link.busy:
        await link.event("audio-chunk", {"rate": 16_000, "width": 2, "channels": 1}, bytes(64_000))
        await asyncio.sleep(0.1)


@kind("wyoming", 6, greedy=True)
async def utterances_without_waiting(link: Link) -> None:
    """Hundreds of empty utterances, no transcript is read."""
    chunk = event("audio-chunk", {"rate": 16_000, "width": 2, "channels": 1}, bytes(3200))
    one = event("transcribe", {"language": "en"}) + event("audio-start", _TIMES) + chunk + event("audio-stop")
    while link.busy:
        await link.send(one * 5)
        await asyncio.sleep(0.05)
