"""A WAV file of 16 kHz on standard input, through each of pipecat's services to a host, the argument.

As JSON: what each service says. Frames come as fast as a pipeline takes them; turns that its own detector of
speech would find are frames of the script.
"""

from __future__ import annotations

import asyncio
import io
import json
import sys
import wave
from typing import Any

from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    InputAudioRawFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.runner import PipelineRunner
from pipecat.pipeline.task import PipelineParams, PipelineTask
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.deepgram.stt import DeepgramSTTService
from pipecat.services.openai.stt import OpenAIRealtimeSTTService, OpenAISTTService

PATIENCE_S = 60.0


class Sink(FrameProcessor):
    """Keeps what a service says."""

    def __init__(self) -> None:
        super().__init__()
        self.said: asyncio.Queue[str] = asyncio.Queue()

    async def process_frame(self, frame: Any, direction: Any) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, TranscriptionFrame):
            self.said.put_nowait(frame.text)
        await self.push_frame(frame, direction)


async def heard(service: Any, audio: bytes) -> str:
    """The first text that a service gives for one turn, or its error."""
    sink = Sink()
    task = PipelineTask(
        Pipeline([service, sink]), params=PipelineParams(audio_in_sample_rate=16_000), enable_rtvi=False
    )

    @task.event_handler("on_pipeline_error")
    async def failed(_: Any, frame: ErrorFrame) -> None:
        sink.said.put_nowait(f"error: {frame.error}")

    running = asyncio.create_task(PipelineRunner(handle_sigint=False).run(task))
    async with asyncio.timeout(PATIENCE_S):
        await task.queue_frame(VADUserStartedSpeakingFrame())
        for begin in range(0, len(audio), 640):
            await task.queue_frame(InputAudioRawFrame(audio[begin : begin + 640], 16_000, 1))
        await task.queue_frame(VADUserStoppedSpeakingFrame())
        text = await sink.said.get()
        await task.queue_frame(EndFrame())
        await running
    return text


async def main() -> None:
    """All services, one after the other."""
    host = sys.argv[1]
    with wave.open(io.BytesIO(sys.stdin.buffer.read())) as file:
        audio = file.readframes(file.getnframes())
    realtime = {"api_key": "any", "base_url": f"ws://{host}/v1/realtime"}
    services = {
        "file": OpenAISTTService(api_key="any", base_url=f"http://{host}/v1"),
        "turns of the server": OpenAIRealtimeSTTService(turn_detection={"type": "server_vad"}, **realtime),
        "turns of the client": OpenAIRealtimeSTTService(**realtime),
        "deepgram": DeepgramSTTService(api_key="any", base_url=f"ws://{host}"),
    }
    print(json.dumps({name: await heard(service, audio) for name, service in services.items()}))


asyncio.run(main())
