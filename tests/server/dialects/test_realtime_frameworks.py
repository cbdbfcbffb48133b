"""The speech-to-text services of voice-agent frameworks, unmodified, where they are installed.

They are large (pipecat-ai with numba and others, livekit-plugins-openai with its own native code), so that no
extra brings them; see conftest.py.
"""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from asrctl.audio.sample import SAMPLE_WORDS, sample_speech

from ...streaming.speech import silence
from ..servers import Running, pcm
from .test_realtime_clients import at, heard

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore")]
SPEECH = np.concatenate((silence(0.3), sample_speech(), silence(1.0)))
PATIENCE_S = 60.0


@pytest.mark.parametrize("by_turns", [True, False])
async def test_pipecat(real: Running, by_turns: bool) -> None:
    """Its OpenAI realtime service, with the server's turns and with its own."""
    from pipecat.frames.frames import (
        EndFrame,
        ErrorFrame,
        InputAudioRawFrame,
        TranscriptionFrame,
        VADUserStoppedSpeakingFrame,
    )
    from pipecat.pipeline.pipeline import Pipeline
    from pipecat.pipeline.task import PipelineParams, PipelineTask
    from pipecat.processors.frame_processor import FrameProcessor
    from pipecat.services.openai.stt import OpenAIRealtimeSTTService

    said: asyncio.Queue[Any] = asyncio.Queue()

    class Sink(FrameProcessor):  # type: ignore[misc]
        async def process_frame(self, frame: Any, direction: Any) -> None:
            await super().process_frame(frame, direction)
            if isinstance(frame, TranscriptionFrame):
                said.put_nowait(frame.text)
            await self.push_frame(frame, direction)

    url = f"ws://127.0.0.1:{real.server.port}/v1/realtime"
    more: dict[str, Any] = {"turn_detection": {"type": "server_vad"}} if by_turns else {}
    service = OpenAIRealtimeSTTService(api_key="any", base_url=url, **more)
    task = PipelineTask(
        Pipeline([service, Sink()]), params=PipelineParams(audio_in_sample_rate=16_000), enable_rtvi=False
    )

    @task.event_handler("on_pipeline_error")  # type: ignore[untyped-decorator]
    async def failed(_: Any, frame: ErrorFrame) -> None:
        said.put_nowait(frame.error)

    from pipecat.pipeline.runner import PipelineRunner

    running = asyncio.create_task(PipelineRunner(handle_sigint=False).run(task))
    audio = pcm(SPEECH)
    async with asyncio.timeout(PATIENCE_S):
        for begin in range(0, len(audio), 640):
            await task.queue_frame(InputAudioRawFrame(audio[begin : begin + 640], 16_000, 1))
        await task.queue_frame(VADUserStoppedSpeakingFrame())
        text = await said.get()
        await task.queue_frame(EndFrame())
        await running
    assert heard(text) >= SAMPLE_WORDS


@pytest.mark.parametrize("model", ["gpt-4o-mini-transcribe", "gpt-realtime-whisper"])
async def test_livekit(real: Running, model: str) -> None:
    """Its OpenAI plug-in, with the server's turns, and with a model that has none."""
    from livekit import rtc
    from livekit.agents import stt, utils
    from livekit.plugins import openai as plugin

    async with utils.http_context.open():
        base = f"http://127.0.0.1:{real.server.port}/v1"
        service = plugin.STT(model=model, base_url=base, api_key="any", use_realtime=True)
        stream = service.stream()
        audio = at(SPEECH, 24_000)
        text = ""
        async with asyncio.timeout(PATIENCE_S):
            for begin in range(0, len(audio), 960):
                piece = audio[begin : begin + 960]
                stream.push_frame(rtc.AudioFrame(piece, 24_000, 1, len(piece) // 2))
            async for event in stream:
                if event.type == stt.SpeechEventType.FINAL_TRANSCRIPT:
                    text = event.alternatives[0].text
                    break
        await stream.aclose()
        await service.aclose()
    assert heard(text) >= SAMPLE_WORDS
