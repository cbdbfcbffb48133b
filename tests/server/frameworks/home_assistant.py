"""A WAV file of 16 kHz on standard input, through the Wyoming integration of Home Assistant, to a host.

As JSON: what the integration knows of the service, and what its speech-to-text entity makes of the audio, and
then of silence. Only the parts of Home Assistant that talk to the service run.
"""

from __future__ import annotations

import asyncio
import io
import json
import sys
import wave
from collections.abc import AsyncIterator

from homeassistant.components import stt
from homeassistant.components.wyoming.data import WyomingService
from homeassistant.components.wyoming.stt import WyomingSttProvider
from homeassistant.config_entries import ConfigEntry

PATIENCE_S = 60.0
PIECE_BYTES = 2048
METADATA = stt.SpeechMetadata(
    "en",
    stt.AudioFormats.WAV,
    stt.AudioCodecs.PCM,
    stt.AudioBitRates.BITRATE_16,
    stt.AudioSampleRates.SAMPLERATE_16000,
    stt.AudioChannels.CHANNEL_MONO,
)


async def pieces(audio: bytes) -> AsyncIterator[bytes]:
    """Audio as it comes from a satellite."""
    for begin in range(0, len(audio), PIECE_BYTES):
        yield audio[begin : begin + PIECE_BYTES]


async def main() -> None:
    """The service is asked what it is, and then twice."""
    host, port = sys.argv[1].split(":")
    with wave.open(io.BytesIO(sys.stdin.buffer.read())) as file:
        audio = file.readframes(file.getnframes())
    where = {"host": host, "port": int(port)}
    entry = ConfigEntry(
        version=1, minor_version=1, domain="wyoming", title="asrctl", data=where, source="user"
    )
    async with asyncio.timeout(PATIENCE_S):
        service = await WyomingService.create(host, int(port))
        assert service is not None, "it could not connect"
        entity = WyomingSttProvider(entry, service)
        results = [
            await entity.async_process_audio_stream(METADATA, pieces(each))
            for each in (audio, bytes(len(audio)))
        ]
    said = {
        "platforms": service.platforms,
        "name": entity.name,
        "languages": entity.supported_languages,
        "suits": entity.check_metadata(METADATA),
        "results": [(each.result, each.text) for each in results],
    }
    print(json.dumps(said))


asyncio.run(main())
