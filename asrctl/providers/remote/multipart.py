"""A window of audio as the body of a form."""

from __future__ import annotations

import secrets
import struct
from collections.abc import Iterable

from asrctl.transcript import SAMPLE_RATE_HZ


def wav_of(pcm: bytes) -> bytes:
    """PCM (mono, 16 kHz, 16 bit) as a WAV file."""
    pcm_format, channels, frame_bytes = 1, 1, 2
    bytes_per_s = SAMPLE_RATE_HZ * frame_bytes
    format_ = struct.pack("<HHIIHH", pcm_format, channels, SAMPLE_RATE_HZ, bytes_per_s, frame_bytes, 16)
    chunks = b"WAVEfmt " + struct.pack("<I", len(format_)) + format_ + b"data" + struct.pack("<I", len(pcm))
    return b"RIFF" + struct.pack("<I", len(chunks) + len(pcm)) + chunks + pcm


def form_of(fields: Iterable[tuple[str, str]], wav: bytes) -> tuple[str, bytes]:
    """A form with a file: the `Content-Type`, and the body."""
    boundary = f"asrctl-{secrets.token_hex(16)}"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields
    ]
    parts.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="audio.wav"\r\n'
        "Content-Type: audio/wav\r\n\r\n".encode()
    )
    end = f"\r\n--{boundary}--\r\n".encode()
    return f"multipart/form-data; boundary={boundary}", b"".join([*parts, wav, end])
