"""Unmodified clients against a server with real weights."""

from __future__ import annotations

import io
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
import soundfile

from asrctl.audio.sample import SAMPLE_WORDS, sample_speech

from ...streaming.speech import silence
from ...test_readme import example
from ..servers import Running
from .requests import post, wav

pytestmark = pytest.mark.integration
SPEECH = np.concatenate((sample_speech(), silence(1.0)))
FILE = wav(SPEECH)


@pytest.fixture
def client(real: Running) -> Iterator[openai.OpenAI]:
    """openai-python, told of nothing but the address."""
    base = f"http://127.0.0.1:{real.server.port}/v1"
    with openai.OpenAI(api_key="any", base_url=base, max_retries=0, timeout=60.0) as client:
        yield client


def heard(text: str) -> set[str]:
    return {word.strip(".,").casefold() for word in text.split()}


def test_openai_python(client: openai.OpenAI) -> None:
    """Each format that it knows, in its own types; events; models; its own errors."""
    named = ("speech.wav", FILE)
    plain = client.audio.transcriptions.create(file=named, model="whisper-1", language="en")
    assert heard(plain.text) >= SAMPLE_WORDS
    assert plain.usage is not None
    assert plain.usage.type == "duration"
    assert plain.usage.seconds == pytest.approx(len(SPEECH) / 16_000, abs=0.01)
    verbose = client.audio.transcriptions.create(
        file=named,
        model="whisper-1",
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
    )
    assert (verbose.language, verbose.text) == ("english", plain.text)
    assert verbose.words is not None
    assert heard(" ".join(word.word for word in verbose.words)) >= SAMPLE_WORDS
    assert all(0 <= word.start <= word.end <= verbose.duration for word in verbose.words)
    assert verbose.segments is not None
    assert all(-3 < segment.avg_logprob <= 0 and segment.tokens == [] for segment in verbose.segments)
    text = client.audio.transcriptions.create(file=named, model="whisper-1", response_format="text")
    assert str(text).strip() == plain.text
    subtitles = client.audio.transcriptions.create(file=named, model="whisper-1", response_format="srt")
    assert str(subtitles).startswith("1\n00:00:0")
    assert [model.id for model in client.models.list()] == ["tiny.en-q8_0"]
    assert client.models.retrieve("tiny.en-q8_0").object == "model"
    with pytest.raises(openai.BadRequestError) as raised, pytest.warns(DeprecationWarning):
        client.audio.translations.create(file=named, model="whisper-1")
    assert (raised.value.param, raised.value.code) == ("model", "unsupported_value")
    with pytest.raises(openai.NotFoundError):
        client.audio.transcriptions.create(file=named, model="large-v3")


def test_the_example_of_the_readme(
    real: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It needs only our address."""
    (tmp_path / "talk.wav").write_bytes(FILE)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(example("openai").replace("8765", str(real.server.port)), names)
    names["client"].close()
    assert heard(capsys.readouterr().out) >= SAMPLE_WORDS


def test_openai_python_streams(client: openai.OpenAI) -> None:
    """Events in its own types; deltas joined are the text; a file that cannot be read is an error."""
    with client.audio.transcriptions.create(
        file=("speech.wav", FILE), model="gpt-4o-mini-transcribe", stream=True, include=["logprobs"]
    ) as stream:
        *deltas, done = list(stream)
    assert done.type == "transcript.text.done"
    assert "".join(event.delta for event in deltas if event.type == "transcript.text.delta") == done.text
    assert heard(done.text) >= SAMPLE_WORDS
    assert done.logprobs
    with pytest.raises(openai.BadRequestError, match="text, not audio"):
        client.audio.transcriptions.create(file=("a.webm", b"text " * 99), model="whisper-1", stream=True)


@pytest.mark.parametrize(
    ("container", "subtype", "rate_hz", "channels"),
    [
        ("WAV", "PCM_U8", 8_000, 1),
        ("WAV", "PCM_24", 48_000, 2),
        ("FLAC", "PCM_16", 44_100, 2),
        ("OGG", "OPUS", 48_000, 1),
        ("OGG", "VORBIS", 16_000, 1),
        ("MP3", "MPEG_LAYER_III", 16_000, 1),
    ],
)
def test_containers(real: Running, container: str, subtype: str, rate_hz: int, channels: int) -> None:
    """What is in the file counts, and not what it is called."""
    import soxr

    samples = soxr.resample(SPEECH, 16_000, rate_hz)
    file = io.BytesIO()
    soundfile.write(file, np.stack([samples] * channels, axis=1), rate_hz, format=container, subtype=subtype)
    assert heard(post(real, file=file.getvalue()).json()["text"]) >= SAMPLE_WORDS


@pytest.mark.parametrize(("container", "codec"), [("webm", "libopus"), ("mp4", "aac")])
def test_what_browsers_record(real: Running, container: str, codec: str) -> None:
    """WebM with Opus, as Chromium and Firefox record, and MP4 with AAC, as Safari does."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=48_000)
        import soxr

        samples = soxr.resample(SPEECH, 16_000, 48_000).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = 48_000
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=48_000, frame_size=960)
        for each in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(each))
        output.mux(stream.encode(None))
    assert heard(post(real, file=file.getvalue()).json()["text"]) >= SAMPLE_WORDS


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(real: Running) -> None:
    """curl, with the options before the file and after it, on OpenAI's path and on whisper.cpp's."""
    base = f"http://127.0.0.1:{real.server.port}"
    for path in ("/v1/audio/transcriptions", "/inference"):
        for order in (["-F", "file=@-;filename=a.wav", "-F", "response_format=text"],
                      ["-F", "response_format=text", "-F", "file=@-;filename=a.wav"]):  # fmt: skip
            command = ["curl", "-sS", "--noproxy", "*", *order, base + path]
            done = subprocess.run(command, input=FILE, capture_output=True, timeout=60, check=True)
            assert heard(done.stdout.decode()) >= SAMPLE_WORDS
