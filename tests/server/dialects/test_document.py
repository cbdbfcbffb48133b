"""DIALECTS.md says what the state machines do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import asrctl
from asrctl.errors import UsageError
from asrctl.protocol.deepgram.query import LiveOptions, RecordingOptions, live_options, recording_options
from asrctl.protocol.openai.errors import RequestRefused
from asrctl.protocol.openai.models import Served
from asrctl.protocol.openai.realtime.config import RealtimeConfig, updated
from asrctl.protocol.wyoming.audio import format_of

DOCUMENT = Path(asrctl.__file__).parent.joinpath("server/DIALECTS.md").read_text(encoding="utf-8")
SERVED = Served("base", multilingual=True)
RAW = {"encoding": "linear16", "sample_rate": "16000"}


def realtime(**audio: Any) -> RealtimeConfig:
    return updated(RealtimeConfig("base"), {"audio": {"input": audio}}, SERVED)


def rate_hz(rate: int) -> int:
    return realtime(format={"type": "audio/pcm", "rate": rate}).rate_hz


def live(**query: str) -> LiveOptions:
    return live_options({**RAW, **query}.items(), SERVED)


def recording(**query: str) -> RecordingOptions:
    return recording_options(query.items(), SERVED)


def chunk(rate: int) -> object:
    return format_of({"rate": rate, "width": 2, "channels": 1})


@pytest.mark.parametrize(
    "said, done",
    [
        ("at any rate from 8 to 48 kHz", lambda: (rate_hz(8000), rate_hz(44_100), rate_hz(48_000))),
        ("`minimal` and `low`: text", lambda: realtime(transcription={"delay": "low"}).is_live),
        ("8000 to 48000", lambda: (live(sample_rate="8000"), live(sample_rate="48000"))),
        ("1 or 2, which are mixed", lambda: live(channels="2")),
        ("refused with `channels=2`; nothing with one", lambda: live(multichannel="true")),
        ("What is no number belongs to the word", lambda: "a:b" in live(keywords="a:b").request.vocabulary),
        ("of `keywords` only", lambda: "a:2" in live(keyterm="a:2").request.vocabulary),
        ("without `smart_format`", lambda: live(punctuate="false", smart_format="true").punctuate),
        ("8 to 48 kHz, 2 to 4 bytes", lambda: (chunk(8000), chunk(48_000))),
    ],
)
def test_what_is_taken(said: str, done: Callable[[], object]) -> None:
    """It is in the document as it is in the code."""
    assert said in DOCUMENT
    assert done()


@pytest.mark.parametrize(
    "said, refused",
    [
        ("at any rate from 8 to 48 kHz", lambda: rate_hz(7_999)),
        ("at any rate from 8 to 48 kHz", lambda: rate_hz(48_001)),
        ("8000 to 48000", lambda: live(sample_rate="7999")),
        ("1 or 2, which are mixed", lambda: live(channels="3")),
        ("| refused with `channels=2`", lambda: live(channels="2", multichannel="true")),
        ("nothing with one | refused |", lambda: recording(multichannel="true")),
        ("no plain number below a million", lambda: live(keywords="a:1e3")),
        ("8 to 48 kHz, 2 to 4 bytes", lambda: chunk(48_001)),
    ],
)
def test_what_is_refused(said: str, refused: Callable[[], object]) -> None:
    """So is what is beyond it."""
    assert said in DOCUMENT
    with pytest.raises((RequestRefused, UsageError)):
        refused()


def test_several_languages() -> None:
    """They are detected."""
    assert "among several it is detected" in DOCUMENT
    assert realtime(transcription={"languages": ["de", "en"]}).request(SERVED).language == "auto"
    assert realtime(transcription={"languages": ["de"]}).request(SERVED).language == "de"
