"""Deepgram's own clients, unmodified, against a server with real weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import deepgram
import httpx
import numpy as np
import pytest
from deepgram.core.api_error import ApiError
from deepgram.environment import DeepgramClientEnvironment
from websockets.exceptions import InvalidStatus

from asrctl.audio.g711 import decoded
from asrctl.audio.sample import SAMPLE_WORDS, sample_speech
from asrctl.audio.vad import SileroVad
from asrctl.server.options import ServeOptions
from asrctl.speakers import live_process
from tests.speakers import children

from ...streaming.speech import silence
from ..files.requests import wav
from ..servers import Running, pcm, running

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:websockets:DeprecationWarning"),  # the client uses its older names
]
SPEECH = np.concatenate((silence(0.3), sample_speech(), silence(1.5)))
FILE = wav(SPEECH)


def heard(text: str) -> set[str]:
    return {word.strip(".,").casefold() for word in text.split()}


@contextmanager
def connected(server: Running) -> Iterator[deepgram.DeepgramClient]:
    """deepgram-sdk, told of nothing but the address."""
    at = f"127.0.0.1:{server.server.port}"
    environment = DeepgramClientEnvironment(
        base=f"http://{at}", production=f"ws://{at}", agent=f"ws://{at}", agent_rest=f"http://{at}"
    )
    with httpx.Client(trust_env=False, verify=False, timeout=60.0) as http:
        yield deepgram.DeepgramClient(api_key="any", environment=environment, httpx_client=http)


@pytest.fixture
def client(real: Running) -> Iterator[deepgram.DeepgramClient]:
    """A client of a server without the extra `speakers`."""
    with connected(real) as client:
        yield client


def talk(client: deepgram.DeepgramClient, audio: bytes, **options: Any) -> list[Any]:
    """All messages about some audio, in this client's own types; it must not need to reconnect."""
    with client.listen.v1.connect(model="nova-3", sample_rate=16_000, **options) as connection:
        connection.send_keep_alive()
        for at in range(0, len(audio), 3200):
            connection.send_media(audio[at : at + 3200])
        connection.send_finalize()
        connection.send_close_stream()
        return list(connection)


def test_python_live(client: deepgram.DeepgramClient) -> None:
    """Interim results, finals with words, ends of speech and gaps, all in its types."""
    options = {"interim_results": True, "vad_events": True, "utterance_end_ms": 1000, "endpointing": 25}
    said = talk(client, pcm(SPEECH), encoding="linear16", language="en-US", **options)
    kinds = [type(each).__name__.removeprefix("ListenV1") for each in said]
    assert set(kinds) == {"SpeechStarted", "Results", "UtteranceEnd", "Metadata"}
    assert kinds[-1] == "Metadata"
    finals = [each for each in said if each.type == "Results" and each.is_final]
    assert heard(" ".join(each.channel.alternatives[0].transcript for each in finals)) >= SAMPLE_WORDS
    assert sum(each.from_finalize for each in finals) == 1
    assert sum(each.speech_final for each in finals) >= 1
    words = [word for each in finals for word in each.channel.alternatives[0].words]
    assert heard(" ".join(word.word for word in words)) >= SAMPLE_WORDS
    assert all(0 < word.confidence <= 1 and word.start <= word.end <= said[-1].duration for word in words)
    assert {each.metadata.model_info.name for each in finals} == {"tiny.en-q8_0"}
    assert said[-1].duration == pytest.approx(len(SPEECH) / 16_000, abs=0.002)


def test_python_live_speakers(
    real_options: ServeOptions,
    silero: Callable[[], SileroVad],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Words of finals have a speaker in its types, a whole number from 0."""
    told = [(0.0, 99.0, "someone")]
    monkeypatch.setattr(live_process, "COMMAND", children.live_saying(told, told))
    options = {"encoding": "linear16", "diarize": True}
    server_options = replace(real_options, speakers_dir=tmp_path)
    with running(server_options, detector=silero) as server, connected(server) as client:
        said = talk(client, pcm(SPEECH), **options)
    finals = [each for each in said if each.type == "Results"]
    words = [word for each in finals for word in each.channel.alternatives[0].words]
    assert heard(" ".join(word.word for word in words)) >= SAMPLE_WORDS
    assert [word.speaker for word in words] == [0] * len(words)


def test_python_live_without_the_extra(client: deepgram.DeepgramClient) -> None:
    """The handshake fails, with what is missing in Deepgram's header."""
    with pytest.raises(InvalidStatus) as caught:
        talk(client, pcm(SPEECH), encoding="linear16", diarize=True)
    response = caught.value.response
    assert response.status_code == 400 and "extra speakers" in response.headers["dg-error"]


@pytest.mark.parametrize("law", ["mulaw", "alaw"])
def test_python_live_from_a_telephone(client: deepgram.DeepgramClient, law: Literal["mulaw", "alaw"]) -> None:
    """G.711 in both forms."""
    table = decoded(bytes(range(256)), law)
    order = np.argsort(table, kind="stable")
    nearest = np.searchsorted((table[order][1:] + table[order][:-1]) / 2, SPEECH)
    said = talk(client, order[nearest].astype("u1").tobytes(), encoding=law)
    finals = [each for each in said if each.type == "Results"]
    assert heard(" ".join(each.channel.alternatives[0].transcript for each in finals)) >= SAMPLE_WORDS


def test_python_recording(client: deepgram.DeepgramClient) -> None:
    """A file, in its types; what is wrong is its own exception."""
    answer: Any = client.listen.v1.media.transcribe_file(request=FILE, model="nova-3", utterances=True)
    [alternative] = answer.results.channels[0].alternatives
    assert heard(alternative.transcript) >= SAMPLE_WORDS
    assert heard(" ".join(word.word for word in alternative.words)) >= SAMPLE_WORDS
    assert answer.results.utterances[0].transcript in alternative.transcript
    assert answer.metadata.duration == pytest.approx(len(SPEECH) / 16_000, abs=0.01)
    with pytest.raises(ApiError) as caught:
        client.listen.v1.media.transcribe_url(url="http://127.0.0.1/secret.wav")
    assert (caught.value.status_code, caught.value.body["err_code"]) == (400, "Bad Request")
