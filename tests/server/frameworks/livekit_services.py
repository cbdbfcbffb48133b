"""A WAV file of 16 kHz on standard input, through each of LiveKit's services to a host, the argument.

As JSON: the final text of each.
"""

from __future__ import annotations

import asyncio
import io
import json
import sys
import wave
from typing import Any

from livekit import rtc
from livekit.agents import stt, utils
from livekit.plugins import deepgram, openai

PATIENCE_S = 60.0
PIECE = 320


def frame(audio: bytes) -> rtc.AudioFrame:
    """Audio as it comes from a room."""
    return rtc.AudioFrame(audio, 16_000, 1, len(audio) // 2)


async def streamed(service: stt.STT[Any], audio: bytes) -> str:
    """The first final text of a stream."""
    stream = service.stream()
    try:
        async with asyncio.timeout(PATIENCE_S):
            for begin in range(0, len(audio), 2 * PIECE):
                stream.push_frame(frame(audio[begin : begin + 2 * PIECE]))
            stream.flush()
            async for event in stream:
                if event.type == stt.SpeechEventType.FINAL_TRANSCRIPT:
                    return event.alternatives[0].text
    finally:
        await stream.aclose()
    return "the stream ended without a final"


async def recognized(service: stt.STT[Any], audio: bytes) -> str:
    """The text of a recording."""
    async with asyncio.timeout(PATIENCE_S):
        return (await service.recognize(frame(audio))).alternatives[0].text


async def main() -> None:
    """All services, one after the other."""
    host = sys.argv[1]
    with wave.open(io.BytesIO(sys.stdin.buffer.read())) as file:
        audio = file.readframes(file.getnframes())
    at: dict[str, Any] = {"base_url": f"http://{host}/v1", "api_key": "any"}
    said = {}
    async with utils.http_context.open():
        for model in ("gpt-4o-mini-transcribe", "gpt-realtime-whisper"):
            live = openai.STT(model=model, use_realtime=True, **at)
            said[model] = await streamed(live, audio)
            await live.aclose()
        said["file"] = await recognized(openai.STT(**at), audio)
        theirs = deepgram.STT(api_key="any", base_url=f"http://{host}/v1/listen")
        said["deepgram"] = await streamed(theirs, audio)
        said["deepgram file"] = await recognized(theirs, audio)
        await theirs.aclose()
    print(json.dumps(said))


asyncio.run(main())
