"""The server's side of Wyoming: what a client says becomes requests, what a session says becomes events."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.events import (
    Dropped,
    Event,
    Final,
    Finished,
    Flushed,
    Partial,
    ProviderChanged,
    SpeechEnded,
    SpeechStarted,
)
from asrctl.languages import CODES
from asrctl.policy.admission import Refusal
from asrctl.protocol.dialect import (
    CloseSocket,
    Dialect,
    DialectOutput,
    Feed,
    Finish,
    Open,
    Reformat,
    SendBytes,
    SessionRequest,
)
from asrctl.protocol.wyoming import dialect as module
from asrctl.protocol.wyoming.dialect import WyomingDialect
from asrctl.protocol.wyoming.framing import EventReader, WyomingEvent, encode
from asrctl.protocol.wyoming.info import ServedModel
from asrctl.transcript import AudioAccount, Segment

from ..sides import Clock

IDLE_S = 60.0
MONO = {"rate": 16_000, "width": 2, "channels": 1}
STOP = encode("audio-stop", {"timestamp": None})
PCM = bytes(640)
FINISHED = Finished(AudioAccount())


def socket(clock: Clock | None = None, *, multilingual: bool = True) -> WyomingDialect:
    """A fresh one."""
    model = ServedModel("base" if multilingual else "tiny.en", multilingual, "1.2.3")
    dialect = WyomingDialect(model, IDLE_S, clock or Clock())
    assert dialect.opened() == []
    return dialect


def chunk(pcm: bytes = PCM, **format_: int) -> bytes:
    """Audio of a client."""
    return encode("audio-chunk", MONO | format_ | {"timestamp": None}, pcm)


def final(text: str, language: str = "en") -> Final:
    """What a session says in the end of an utterance."""
    return Final(0, Segment(0.0, 1.0, text, 0.9), 0, 16_000, "whisper_cpp", language)


def told(outputs: list[DialectOutput]) -> list[tuple[str, dict[str, Any]]]:
    """The events that are sent; nothing else may be among the outputs but the socket's close, at the end."""
    if outputs and isinstance(outputs[-1], CloseSocket):
        outputs = outputs[:-1]
    reader, found = EventReader(), list[WyomingEvent]()
    for output in outputs:
        assert isinstance(output, SendBytes)
        reader.feed(output.data)
        found += iter(reader.next, None)
    return [(event.type, dict(event.data)) for event in found]


def given_up(outputs: list[DialectOutput]) -> str:
    """The code of an error after which the socket is closed."""
    assert isinstance(outputs[-1], CloseSocket)
    kind, data = told(outputs)[-1]
    assert kind == "error" and data["text"]
    return str(data["code"])


def answer(text: str, *chunks: str, language: str = "en") -> list[tuple[str, dict[str, Any]]]:
    """All that is said of an utterance."""
    spoken = {"language": language} if language else {}
    pieces = [("transcript-chunk", {"text": each}) for each in chunks]
    return [
        ("transcript-start", spoken),
        *pieces,
        ("transcript", {"text": text, **spoken}),
        ("transcript-stop", {}),
    ]


def hear(dialect: Dialect, *events: Event) -> list[DialectOutput]:
    """What events of the session lead to."""
    return [output for event in events for output in dialect.hear(event)]


def test_describe_tells_what_is_served() -> None:
    """One program with one model; whoever asks finds the end of speech by itself."""
    for multilingual, languages in ((True, sorted(CODES)), (False, ["en"])):
        [(kind, data)] = told(socket(multilingual=multilingual).receive_binary(encode("describe")))
        [program] = data["asr"]
        [model] = program["models"]
        assert kind == "info" and program["name"] == "asrctl" and program["installed"] is True
        assert program["requires_external_vad"] is True and program["supports_transcript_streaming"] is True
        assert model["languages"] == languages and model["installed"] is True
        assert program["version"] == model["version"] == "1.2.3"


def test_a_ping_is_answered_with_its_text() -> None:
    """Also one without."""
    dialect = socket()
    assert told(dialect.receive_binary(encode("ping", {"text": "ä"}))) == [("pong", {"text": "ä"})]
    assert told(dialect.receive_text('{"type": "ping"}\n')) == [("pong", {"text": None})]


def test_an_utterance_is_a_session() -> None:
    """It begins with the first audio and ends with the transcript; each final is a chunk."""
    dialect = socket()
    wish = encode(
        "transcribe", {"language": "de-CH", "transcript_terms": ["Herd"], "transcript_names": ["Ada"]}
    )
    assert dialect.receive_binary(wish + encode("audio-start", MONO)) == []
    request = SessionRequest(language="de", vocabulary=("Ada", "Herd"), partials=False)
    assert dialect.receive_binary(chunk(PCM)) == [Open(request), Feed(PCM)]
    assert dialect.receive_binary(chunk(b"ab")) == [Feed(b"ab")]
    said = hear(dialect, SpeechStarted(0, 0.0), Partial(0, 1, 0.0, 0.5, "gu", ""), SpeechEnded(0, 1.0))
    assert said == []
    said = hear(dialect, final(" guten Tag ", "de"), final("", ""), final("Welt", ""))
    assert dialect.receive_binary(STOP) == [Finish()]
    said += hear(dialect, ProviderChanged("x", "y"), Flushed(0), FINISHED)
    assert told(said) == answer("guten Tag Welt", "guten Tag", " Welt", language="de")


def test_what_was_wished_holds_for_one_utterance() -> None:
    """The next one gets the server's own way again; also where the one before had no audio."""
    dialect = socket()
    for utterance in (b"", chunk()):
        outputs = dialect.receive_binary(encode("transcribe", {"language": "fr"}) + utterance + STOP)
        hear(dialect, *([FINISHED] if utterance else []))
        assert bool(utterance) == (Open(SessionRequest(language="fr", partials=False)) in outputs)
        assert dialect.receive_binary(chunk())[0] == Open(SessionRequest(partials=False))
        dialect.receive_binary(STOP)
        dialect.hear(FINISHED)


def test_nothing_said_is_an_empty_transcript() -> None:
    """Without audio no session is needed; empty chunks are no audio."""
    dialect = socket()
    outputs = dialect.receive_binary(encode("transcribe") + encode("audio-start", MONO) + chunk(b"") + STOP)
    assert told(outputs) == answer("", language="")
    assert dialect.receive_binary(chunk() + STOP)[-1] == Finish()
    assert told(hear(dialect, final(""), FINISHED)) == answer("", language="")


def test_each_chunk_is_taken_as_what_it_says_it_is() -> None:
    """Another rate or number of channels is told; another width is made 16 bit."""
    dialect = socket()
    opened, _ = dialect.receive_binary(chunk(rate=48_000, channels=2))
    assert opened == Open(SessionRequest(sample_rate_hz=48_000, channels=2, partials=False))
    assert dialect.receive_binary(chunk(b"aabcddef", rate=48_000, channels=2, width=4)) == [
        Reformat(48_000, 2),
        Feed(b"bcef"),
    ]
    assert dialect.receive_binary(chunk(rate=8_000)) == [Reformat(8_000, 1), Feed(PCM)]


@given(st.integers(1, 4), st.lists(st.integers(1, 400), min_size=1, max_size=12))
def test_utterances_are_answered_in_order_however_early_they_come(count: int, sizes: list[int]) -> None:
    """All at once, in any pieces: each is a session, which begins when the one before is answered."""
    stream = b"".join(chunk(bytes([each, 0])) + STOP for each in range(count)) + encode("ping")
    dialect, outputs = socket(), list[DialectOutput]()
    at = 0
    for size in [*sizes, len(stream)]:
        outputs += dialect.receive_binary(stream[at : at + size])
        at += size
    for each in range(count):
        assert outputs == [
            Open(SessionRequest(partials=False)),
            Feed(bytes([each, 0])),
            Finish(),
            *([SendBytes(encode("pong", {"text": None}))] if each == count - 1 else []),
        ]
        assert dialect.is_waiting == (each < count - 1)
        said = hear(dialect, final(str(each)), FINISHED)
        assert told(said[:4]) == answer(str(each), str(each))
        outputs = said[4:]
    assert outputs == [] and not dialect.is_waiting


def test_what_is_no_request_is_answered_while_an_utterance_is_awaited() -> None:
    """Only the audio of the next one waits, and what comes after it."""
    dialect = socket()
    dialect.receive_binary(chunk() + STOP)
    assert told(dialect.receive_binary(encode("ping")))[0][0] == "pong"
    assert dialect.receive_binary(STOP) == [] and dialect.is_waiting
    assert dialect.receive_binary(encode("ping")) == []
    assert [kind for kind, _ in told(dialect.hear(FINISHED))][-4:] == [
        "transcript-start",
        "transcript",
        "transcript-stop",
        "pong",
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        encode("transcribe", {"name": "large"}),
        encode("transcribe", {"name": 1}),
        encode("transcribe", {"language": "xx"}),
        encode("transcribe", {"language": []}),
        encode("transcribe", {"transcript_terms": "word"}),
        encode("transcribe", {"transcript_names": [1]}),
        encode("audio-chunk", {}, PCM),
        chunk(rate=4_000),
        chunk(width=1),
    ],
)
def test_bad_requests_are_told_and_the_socket_is_closed(data: bytes) -> None:
    """Nothing is taken of it after that."""
    dialect = socket()
    outputs = dialect.receive_binary(data + encode("describe"))
    assert given_up(outputs) == "bad_request" and outputs[-1] == CloseSocket(4400, "bad_request")
    assert dialect.receive_binary(encode("describe")) == dialect.failed("x") == []


def test_names_of_what_is_served_are_taken() -> None:
    """The model's, the program's, or none; a model of one language takes no other."""
    dialect = socket(multilingual=False)
    for name in ("tiny.en", "asrctl", "", None):
        assert dialect.receive_binary(encode("transcribe", {"name": name, "language": "en"})) == []
    assert given_up(dialect.receive_binary(encode("transcribe", {"language": "de"}))) == "bad_request"


def test_unknown_events_are_ignored() -> None:
    """Whatever they carry."""
    dialect = socket()
    assert dialect.receive_binary(encode("select-program", {"name": "x"}, b"payload") + encode("?")) == []
    assert dialect.events == 2


@pytest.mark.parametrize("ended", [False, True])
def test_no_session_or_a_lost_one_is_told_and_the_socket_closed(ended: bool) -> None:
    """A client that takes no notice of errors sees at least that there will be no transcript."""
    for code, close in (("overloaded", 1013), ("internal", 1011)):
        dialect = socket()
        dialect.receive_binary(chunk() + (STOP if ended else b""))
        outputs = dialect.refused(Refusal("full", 3)) if close == 1013 else dialect.failed("it failed")
        assert given_up(outputs) == code and outputs[-1] == CloseSocket(close, code)
        assert dialect.hear(FINISHED) == dialect.hear(final("x")) == dialect.going_away() == []


def test_an_utterance_of_which_audio_was_dropped_has_no_transcript() -> None:
    """What was understood was told in chunks; the rest as if nothing was missing would be a lie."""
    dialect = socket()
    dialect.receive_binary(chunk() + STOP)
    outputs = hear(dialect, final("do"), Dropped(1, 0, 10, "late"), final("open"), FINISHED)
    assert [kind for kind, _ in told(outputs)] == ["transcript-start", *["transcript-chunk"] * 2, "error"]
    assert given_up(outputs) == "audio_dropped"


def test_a_silent_client_is_given_up_in_the_middle_of_an_utterance_alone() -> None:
    """Before and after it, other bounds hold; while it is awaited, the client has nothing to say."""
    clock = Clock()
    dialect = socket(clock)
    clock.now_s += 2 * IDLE_S
    assert dialect.check_time() == []
    dialect.receive_binary(chunk())
    clock.now_s += IDLE_S - 1
    assert dialect.check_time() == []
    dialect.receive_binary(chunk(b"") + b'{"type"')
    clock.now_s += IDLE_S - 1
    dialect.receive_binary(b': "x"')
    clock.now_s += 1
    outputs = dialect.check_time()
    assert given_up(outputs) == "idle" and outputs[-1] == CloseSocket(4408, "idle")
    awaiting = socket(clock)
    awaiting.receive_binary(chunk() + STOP)
    clock.now_s += 2 * IDLE_S
    assert awaiting.check_time() == []


def test_a_shutdown_waits_for_what_was_asked() -> None:
    """An utterance that has ended gets its transcript, and the socket is closed."""
    dialect = socket()
    dialect.receive_binary(chunk() + STOP + chunk())
    assert dialect.going_away() == []
    outputs = hear(dialect, final("yes"), FINISHED)
    assert told(outputs)[:4] == answer("yes", "yes")
    assert given_up(outputs) == "going_away" and outputs[-1] == CloseSocket(1012, "going_away")


def test_a_shutdown_flushes_an_utterance_in_the_middle() -> None:
    """What was heard of it is told; it is no transcript, since the client was not done."""
    dialect = socket()
    dialect.receive_binary(chunk())
    assert dialect.going_away() == [Finish()]
    assert dialect.receive_binary(chunk()) == []
    outputs = hear(dialect, final("tur"), FINISHED)
    assert [kind for kind, _ in told(outputs)] == ["transcript-start", "transcript-chunk", "error"]
    assert given_up(outputs) == "going_away"


def test_a_shutdown_closes_a_socket_without_utterance() -> None:
    """At once."""
    assert given_up(socket().going_away()) == "going_away"


def test_a_transcript_has_a_longest_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """An utterance without end is given up."""
    monkeypatch.setattr(module, "_MAX_TEXT", 7)
    dialect = socket()
    dialect.receive_binary(chunk())
    assert told(hear(dialect, final("one"), final("two")))[-1] == ("transcript-chunk", {"text": " two"})
    assert given_up(dialect.hear(final("three"))) == "too_long"
