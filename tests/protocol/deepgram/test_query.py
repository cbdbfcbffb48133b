"""What a query of `/v1/listen` asks for, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.protocol.deepgram.errors import error_body, error_headers
from asrctl.protocol.deepgram.query import live_options, recording_options
from asrctl.protocol.openai.errors import RequestRefused
from asrctl.protocol.openai.models import Served

from .talks import RAW, SERVED

ENGLISH = Served("tiny.en", multilingual=False)


def test_nothing_but_a_format() -> None:
    """Deepgram's defaults, but for its endpointing of 10 ms, which is the server's own."""
    options = live_options(RAW.items(), SERVED)
    request = options.request
    assert (request.encoding, request.sample_rate_hz, request.channels) == ("pcm_s16le", 16_000, 1)
    assert (request.language, request.vocabulary, request.partials, request.endpointing) == (
        "auto",
        (),
        False,
        None,
    )
    assert (options.speech_final, options.interim_results, options.vad_events) == (True, False, False)
    assert (options.utterance_end_ms, options.punctuate, options.multi, options.told) == (
        None,
        True,
        False,
        {},
    )


def test_all_of_it() -> None:
    """Every option that means something, as clients write it; unknown ones are ignored."""
    options = live_options(
        [
            *{"encoding": "mulaw", "channels": "2", "model": "nova-3-general", "language": "de-DE"}.items(),
            *{"interim_results": "true", "vad_events": "True", "utterance_end_ms": "1500"}.items(),
            *{"endpointing": "800", "punctuate": "false", "multichannel": "false", "tag": "x"}.items(),
            *[
                ("keyterm", "Silero"),
                ("keyterm", "whisper cpp"),
                ("keywords", "LiveKit:2.5"),
                ("keywords", ":1"),
                ("keywords", "iOS:17.4.1"),
                ("keywords", "Whispered:-2"),
                ("keyterm", "10:30"),
            ],
        ],
        SERVED,
    )
    request = options.request
    assert (request.encoding, request.sample_rate_hz, request.channels) == ("mulaw", 8_000, 2)
    assert request.language == "de"
    assert request.vocabulary == ("LiveKit", "Silero", "whisper cpp", "10:30", "iOS:17.4.1")
    assert request.endpointing is not None and request.endpointing.trailing_silence_s == 0.8
    assert request.endpointing.end_of_turn is False
    assert (request.partials, options.interim_results, options.vad_events) == (True, True, True)
    assert (options.utterance_end_ms, options.punctuate, options.told) == (1500, False, {})


@pytest.mark.parametrize(
    ("endpointing", "pause_s", "told"),
    [
        ("25", 0.3, "endpointing=300"),
        ("0", 0.3, "endpointing=300"),
        ("300", 0.3, None),
        ("500", 0.5, None),
        ("60000", 10.0, "endpointing=10000"),
        ("true", None, None),
        ("false", None, None),
    ],
)
def test_endpointing(endpointing: str, pause_s: float | None, told: str | None) -> None:
    """What Whisper cannot bear is clamped, and that is told."""
    options = live_options({**RAW, "endpointing": endpointing}.items(), SERVED)
    wish = options.request.endpointing
    assert (wish.trailing_silence_s if wish else None) == pause_s
    assert (options.told or {}).get("dg-clamped") == told
    assert options.speech_final == (endpointing != "false")


def test_what_is_told() -> None:
    """What is clamped and what is ignored is named in headers of the answer."""
    query = {
        **RAW,
        "endpointing": "10",
        "utterance_end_ms": "100",
        "search": "x",
        "numerals": "false",
    }
    told = live_options(query.items(), SERVED).told
    assert told == {"dg-clamped": "endpointing=300, utterance_end_ms=1000", "dg-ignored": "search"}
    assert recording_options({"topics": "true"}.items(), SERVED).told == {"dg-ignored": "topics"}


def test_speakers() -> None:
    """They are told apart where that can be done; else it is said what to install."""
    asked = [("diarize", "true"), ("encoding", "mulaw")]
    capable = replace(SERVED, speakers=True)
    live = live_options(asked, capable)
    assert live.request.speakers and live.told == {}
    assert not live_options(asked[1:], capable).request.speakers
    recording = recording_options(asked[:1], capable)
    assert recording.file.speakers and recording.told == {}
    assert not recording_options([("diarize", "false")], SERVED).file.speakers
    for ask, query in ((live_options, asked), (recording_options, asked[:1])):
        with pytest.raises(RequestRefused, match=r"pip install 'asrctl\[speakers\]'.*: leave out diarize$"):
            ask(query, SERVED)


@pytest.mark.parametrize(
    ("language", "served", "code"),
    [("multi", SERVED, "auto"), ("multi", ENGLISH, "auto"), ("en-US", ENGLISH, "en"), ("", ENGLISH, "auto")],
)
def test_languages(language: str, served: Served, code: str) -> None:
    """A tag is a language, `multi` is any; nothing is the server's setting."""
    options = live_options({**RAW, "language": language}.items(), served)
    assert (options.request.language, options.multi) == (code, language == "multi")


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"encoding": ""}, "encoding"),
        ({"encoding": "opus"}, "encoding"),
        ({"encoding": "Linear16 "}, "encoding"),
        ({"sample_rate": ""}, "sample_rate"),
        ({"sample_rate": "4000"}, "sample_rate"),
        ({"sample_rate": "96000"}, "sample_rate"),
        ({"sample_rate": "16k"}, "sample_rate"),
        ({"sample_rate": "-16000"}, "sample_rate"),
        ({"channels": "0"}, "channels"),
        ({"channels": "3"}, "channels"),
        ({"channels": "2", "multichannel": "true"}, "multichannel"),
        ({"model": "bad"}, "model"),
        ({"model": "novä"}, "model"),
        ({"language": "klingon"}, "language"),
        ({"endpointing": "soon"}, "endpointing"),
        ({"endpointing": "-1"}, "endpointing"),
        ({"utterance_end_ms": "1.5"}, "utterance_end_ms"),
        ({"interim_results": "maybe"}, "interim_results"),
        ({"vad_events": "2"}, "vad_events"),
        ({"punctuate": "?"}, "punctuate"),
        ({"callback": "http://localhost/"}, "callback"),
        ({"redact": "pci"}, "redact"),
        ({"keywords": "a:nan"}, "keywords"),
        ({"keywords": "a:-Infinity"}, "keywords"),
        ({"keywords": "a:1e9"}, "keywords"),
        ({"keywords": "a:12345678"}, "keywords"),
    ],
)
def test_bad_live_queries(changes: dict[str, str], param: str) -> None:
    """What cannot be done, or must not be ignored, is refused for good, with what is to blame."""
    with pytest.raises(RequestRefused) as caught:
        live_options({**RAW, **changes}.items(), SERVED)
    assert (caught.value.status, caught.value.param) == (400, param)
    assert param in caught.value.message


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"model": "bad"}, "model"),
        ({"language": "de"}, "language"),
        ({"multichannel": "true"}, "multichannel"),
        ({"encoding": "opus"}, "encoding"),
        ({"encoding": "linear16"}, "sample_rate"),
        ({"encoding": "linear16", "sample_rate": "16000", "channels": "2"}, "encoding"),
        ({"redact": "true"}, "redact"),
        ({"callback": "https://x"}, "callback"),
        ({"utterances": "x"}, "utterances"),
    ],
)
def test_bad_recording_queries(query: dict[str, str], param: str) -> None:
    """The same holds for recordings."""
    with pytest.raises(RequestRefused) as caught:
        recording_options(query.items(), ENGLISH)
    assert (caught.value.status, caught.value.param) == (400, param)


def test_recordings() -> None:
    """A recording needs no format; without a header it does."""
    plain = recording_options([], SERVED)
    assert (plain.file.words, plain.file.raw_rate_hz, plain.file.language, plain.punctuate) == (
        True,
        None,
        "",
        True,
    )
    query = {**RAW, "detect_language": "true", "utterances": "true", "keyterm": "Silero"}
    options = recording_options(query.items(), SERVED)
    assert (options.file.raw_rate_hz, options.file.language, options.file.vocabulary) == (
        16_000,
        "auto",
        ("Silero",),
    )
    assert (options.detect_language, options.utterances, options.multi) == (True, True, False)


def test_more_terms_than_there_is_room_for() -> None:
    """The heaviest are taken, and a header says how many that is."""
    terms = [("keyterm", f"Term number {number}") for number in range(80)]
    options = live_options([*RAW.items(), *terms, ("keywords", "Ada:3")], SERVED)
    kept = options.request.vocabulary
    assert kept[:2] == ("Ada", "Term number 0") and 10 < len(kept) < 60
    assert options.told == {"dg-clamped": f"keyterm={len(kept)}"}


@given(st.text(max_size=500), st.sampled_from((400, 401, 403, 404, 405, 413, 500, 503, 507)))
def test_errors(message: str, status: int) -> None:
    """Whatever is wrong can be said in a header, and has three fields in the body."""
    refusal = RequestRefused(status, "x", message, headers={"Retry-After": "1"})
    assert set(error_body(refusal, "an-id")) == {"err_code", "err_msg", "request_id"}
    headers = error_headers(refusal, "an-id")
    assert headers["dg-error"].isascii() and (not headers["dg-error"] or headers["dg-error"].isprintable())
    assert (headers["Retry-After"], headers["dg-request-id"]) == ("1", "an-id")
    assert error_body(RequestRefused(401, "key", "no"), "")["err_code"] == "INVALID_AUTH"
    assert error_body(RequestRefused(400, "x", "no"), "")["err_code"] == "Bad Request"
