"""The real thing: whisper.cpp behind the server."""

from __future__ import annotations

from pathlib import Path

import pytest

from asrctl.audio.sample import SAMPLE_WORDS, sample_speech
from asrctl.audio.vad import SileroVad, SileroWeights
from asrctl.engine.slot import HealthCheck, PoolOptions
from asrctl.policy.protocol import Final
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.serve.options import Models, NamedModel, ServeOptions

from ..engine.streams import silence
from . import servers
from .servers import Talker, check_account, pcm, running


@pytest.mark.integration
def test_a_real_sentence(tiny_en: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sentence through the server has its words, also with a lost socket in the middle."""
    weights = SileroWeights.load()
    monkeypatch.setattr(servers, "LevelDetector", lambda: SileroVad(weights))
    health = HealthCheck(sample_speech(), SAMPLE_WORDS, DecodeOptions(word_timestamps=True))
    options = ServeOptions(
        Models(NamedModel("tiny.en-q8_0", ModelSpec("whisper_cpp", tiny_en))),
        PoolOptions(health=health),
        port=0,
    )
    audio = pcm(sample_speech()) + pcm(silence(1.0))
    with running(options) as server:
        talker = Talker(server.url, audio, words=True).connect()
        talker.send(1.0)
        talker.cut()
        talker.connect()
        done = talker.finish()
        talker.__exit__(None, None, None)
    heard = {word.strip(".,").casefold() for word in talker.words}
    assert heard >= SAMPLE_WORDS
    assert all(final.words for final in talker.of(Final) if final.text)
    assert done.dropped_s == 0
    check_account(done)
