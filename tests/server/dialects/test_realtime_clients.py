"""Unmodified clients of OpenAI's realtime transcription, against a server with real weights."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import numpy as np
import openai
import pytest

from asrctl.audio.sample import SAMPLE_WORDS, sample_speech
from asrctl.providers.base import DecodeOptions
from asrctl.providers.recognizer import Completed, Spoken, StreamRequest
from asrctl.providers.remote.recognizer import RemoteRecognizer
from asrctl.providers.remote.settings import RemoteSettings

from ...streaming.speech import silence
from ..servers import Running, pcm

pytestmark = pytest.mark.integration
SPEECH = np.concatenate((silence(0.3), sample_speech(), silence(1.0)))
PATIENCE_S = 60.0


def at(samples: Any, rate_hz: int) -> bytes:
    """Samples as PCM of another rate."""
    import soxr

    return pcm(np.clip(soxr.resample(samples, 16_000, rate_hz), -1, 1))


def heard(text: str) -> set[str]:
    return {word.strip(".,").casefold() for word in text.split()}


async def test_openai_python(real: Running) -> None:
    """Its own types, told of nothing but the address: turns, and then commits on the same socket."""
    client = openai.AsyncOpenAI(api_key="any", base_url=f"http://127.0.0.1:{real.server.port}/v1")
    audio = at(SPEECH, 24_000)
    async with (
        asyncio.timeout(PATIENCE_S),
        client.realtime.connect(extra_query={"intent": "transcription"}) as connection,
    ):
        transcripts: list[str] = []
        deltas = ""
        for offset in range(0, len(audio), 4_801):
            piece = base64.b64encode(audio[offset : offset + 4_801]).decode()
            await connection.input_audio_buffer.append(audio=piece)
        async for event in connection:
            assert event.type != "error"
            if event.type == "conversation.item.input_audio_transcription.completed":
                transcripts.append(event.transcript)
                break
        input_: Any = {"transcription": {"model": "gpt-realtime-whisper"}, "turn_detection": None}
        await connection.session.update(session={"type": "transcription", "audio": {"input": input_}})
        await connection.input_audio_buffer.append(audio=base64.b64encode(audio).decode())
        await connection.input_audio_buffer.commit()
        async for event in connection:
            assert event.type != "error"
            if event.type == "conversation.item.input_audio_transcription.delta":
                deltas += event.delta or ""
            if event.type == "conversation.item.input_audio_transcription.completed":
                transcripts.append(event.transcript)
                assert event.usage.type == "duration"
                break
    await client.close()
    assert all(heard(text) >= SAMPLE_WORDS for text in transcripts)
    assert deltas == transcripts[1]


async def test_our_own_client(real: Running) -> None:
    """The provider `remote` has its text from `/v1/realtime` of another asrctl."""
    settings = RemoteSettings(url=f"ws://127.0.0.1:{real.server.port}/v1/realtime", dialect="openai")
    recognizer = RemoteRecognizer(settings)
    said: asyncio.Queue[Spoken] = asyncio.Queue()
    stream = recognizer.open(StreamRequest(DecodeOptions(language="en"), "s"), said.put_nowait)
    try:
        async with asyncio.timeout(PATIENCE_S):
            for _ in range(2):
                for offset in range(0, len(SPEECH), 1600):
                    stream.feed(SPEECH[offset : offset + 1600])
                stream.end()
            completed: list[Completed] = []
            while len(completed) < 2:
                if isinstance(spoken := await said.get(), Completed):
                    completed.append(spoken)
    finally:
        stream.close()
        await recognizer.close()
    assert all(heard(each.hypothesis.text) >= SAMPLE_WORDS for each in completed)
