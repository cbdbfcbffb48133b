"""Forms of OpenAI's clients to requests."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrctl.languages import CODES, NAMES
from asrctl.protocol.openai.errors import RequestRefused, overloaded
from asrctl.protocol.openai.models import Served
from asrctl.protocol.openai.request import FileRequest, Form, file_request, language_name

SERVED = Served("base", multilingual=True, created_s=7, others=("voxtral", "base"))
ENGLISH = Served("tiny.en", multilingual=False)


def request_of(served: Served = SERVED, translate: bool = False, **fields: str) -> FileRequest:
    return file_request(fields.items(), served, translate=translate)


def test_nothing_said() -> None:
    """An empty form, or one with empty fields, is plain JSON in the server's own language."""
    assert request_of() == FileRequest()
    assert request_of(model="", response_format="", language=" ", prompt="", temperature="") == FileRequest()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([("response_format", "text")], {"format": "text"}),
        ([("response_format", "SRT")], {"format": "srt"}),
        ([("stream", "true")], {"stream": True}),
        ([("stream", "false")], {}),
        (
            [("stream", "True"), ("response_format", "verbose_json")],
            {"stream": True, "format": "verbose_json"},
        ),
        ([("language", "en-US")], {"language": "en"}),
        ([("language", "EN")], {"language": "en"}),
        ([("language", "German")], {"language": "de"}),
        ([("language", "auto")], {"language": "auto"}),
        ([("languages[]", "de")], {"language": "de"}),
        ([("languages[]", "de"), ("languages[]", "French")], {"language": "de,fr"}),
        (
            [("prompt", "Ada"), ("keywords[]", "Babbage"), ("keywords[]", "Turing")],
            {"prompt": "Ada", "vocabulary": ("Babbage", "Turing")},
        ),
        ([("prompt", "x" * 5000 + "end")], {"prompt": "x" * 997 + "end"}),
        ([("include[]", "logprobs")], {"logprobs": True}),
        ([("include", "logprobs")], {"logprobs": True}),
        ([("timestamp_granularities[]", "word")], {}),
        ([("vad_filter", "maybe"), ("hotwords", "x"), ("chunking_strategy[type]", "server_vad")], {}),
        ([("known_speaker_names[]", "Ann")], {}),
        ([("temperature", "0.7")], {}),
    ],
)
def test_fields(fields: list[tuple[str, str]], expected: dict[str, Any]) -> None:
    """Each field does what OpenAI's reference says, or nothing."""
    assert file_request(fields, SERVED) == FileRequest(**expected)


@pytest.mark.parametrize("name", ["timestamp_granularities", "timestamp_granularities[]"])
@pytest.mark.parametrize(
    ("values", "words", "segments"),
    [
        ([], False, True),
        (["segment"], False, True),
        (["word"], True, False),
        (["word", "segment"], True, True),
        (["word,segment"], True, True),
    ],
)
def test_granularities(name: str, values: list[str], words: bool, segments: bool) -> None:
    """Repeated or with commas, with or without brackets; segments unless only words are asked for."""
    fields = [("response_format", "verbose_json"), *((name, value) for value in values)]
    request = file_request(fields, SERVED)
    assert (request.words, request.segments, request.needs_words) == (words, segments, words)


@pytest.mark.parametrize(
    ("name", "needs"),
    [("json", False), ("text", False), ("srt", True), ("vtt", True), ("verbose_json", False)],
)
def test_subtitles_need_the_times_of_words(name: str, needs: bool) -> None:
    """Word times cost time: they are asked for only where the answer has a use for them."""
    assert request_of(response_format=name).needs_words is needs


@pytest.mark.parametrize(
    "name",
    [
        "whisper-1",
        "gpt-4o-transcribe",
        "gpt-4o-mini-transcribe",
        "gpt-4o-mini-transcribe-2025-12-15",
        "gpt-4o-transcribe-diarize",
        "gpt-transcribe",
        "gpt-live-transcribe",
        "gpt-realtime-whisper",
        "base",
        "voxtral",
        "",
    ],
)
def test_names_that_mean_the_served_model(name: str) -> None:
    """Vendors' names, ours and none."""
    assert request_of(model=name) == FileRequest()


@pytest.mark.parametrize(
    ("fields", "status", "code", "param"),
    [
        ({"model": "gpt-4o"}, 404, "model_not_found", "model"),
        ({"model": "large-v3"}, 404, "model_not_found", "model"),
        ({"response_format": "diarized_json"}, 400, "unsupported_value", "response_format"),
        ({"response_format": "docx"}, 400, "invalid_value", "response_format"),
        (
            {"response_format": "verbose_json", "timestamp_granularities[]": "letter"},
            400,
            "invalid_value",
            "timestamp_granularities",
        ),
        ({"language": "klingon"}, 400, "unsupported_language", "language"),
        ({"language": "xx"}, 400, "unsupported_language", "language"),
        ({"language": "x" * 10_000}, 400, "unsupported_language", "language"),
        ({"stream": "perhaps"}, 400, "invalid_value", "stream"),
        ({"stream": "true", "response_format": "srt"}, 400, "unsupported_value", "stream"),
        ({"temperature": "hot"}, 400, "invalid_value", "temperature"),
        ({"temperature": "2"}, 400, "invalid_value", "temperature"),
        ({"temperature": "nan"}, 400, "invalid_value", "temperature"),
        ({"include[]": "everything"}, 400, "invalid_value", "include"),
    ],
)
def test_refusals(fields: dict[str, str], status: int, code: str, param: str) -> None:
    """What cannot be done is said with the field that is to blame, in one short line."""
    with pytest.raises(RequestRefused) as raised:
        file_request(fields.items(), SERVED)
    refusal = raised.value
    assert (refusal.status, refusal.code, refusal.param) == (status, code, param)
    assert len(refusal.message) < 400
    assert "\n" not in refusal.message


def test_a_model_of_english_alone() -> None:
    """It takes English and "auto", refuses other languages, and cannot translate."""
    assert request_of(ENGLISH, language="auto").language == "en"
    assert file_request([("languages[]", "en"), ("languages[]", "de")], ENGLISH).language == ""
    for fields, translate, param in (({"language": "de"}, False, "language"), ({}, True, "model")):
        with pytest.raises(RequestRefused) as raised:
            request_of(ENGLISH, translate, **fields)
        assert (raised.value.status, raised.value.param) == (400, param)


def test_translation() -> None:
    """The language of a translation is that of the audio, the server's own if none is named."""
    assert request_of(translate=True) == FileRequest(translate=True)
    assert request_of(translate=True, language="fr") == FileRequest(translate=True, language="fr")


def test_models() -> None:
    """Each served name is listed once, aliases are not; unknown names are told what there is."""
    listed = SERVED.listing()
    assert listed["object"] == "list"
    assert listed["data"] == [SERVED.entry("base"), SERVED.entry("voxtral")]
    assert SERVED.entry("base") == {"id": "base", "object": "model", "created": 7, "owned_by": "asrctl"}
    with pytest.raises(RequestRefused, match="it serves base, voxtral"):
        SERVED.entry("whisper-1")


def test_names_of_languages() -> None:
    """English names, as Whisper has them; what was not detected has no name."""
    assert language_name("en") == "english"
    assert [language_name(code) for code in ("", "auto", "tlh")] == ["unknown", "unknown", "tlh"]
    assert set(NAMES) == CODES
    assert all(request_of(language=name).language == code for code, name in NAMES.items())


@pytest.mark.parametrize(("wait_s", "said"), [(0, "1"), (5, "5"), (3600, "120")])
def test_busy(wait_s: int, said: str) -> None:
    """Whoever is to come back is told when, within what clients accept; it is no fault of the client."""
    refusal = overloaded("busy", wait_s)
    assert (refusal.status, refusal.headers) == (503, {"Retry-After": said})
    assert refusal.body() == {
        "error": {"message": "busy", "type": "server_error", "param": None, "code": "overloaded"}
    }


TEXT = st.text(max_size=30)


@given(st.lists(st.tuples(TEXT, TEXT)))
def test_a_form_keeps_what_was_said_last(fields: list[tuple[str, str]]) -> None:
    """Whatever the names, a field's text is its last value, and its items hold no commas or spaces around."""
    form = Form(fields)
    for name in {name.partition("[")[0] for name, _ in fields}:
        values = [value for other, value in fields if other.partition("[")[0] == name]
        assert form.text(name) == values[-1].strip()
        assert all(item and item == item.strip() and "," not in item for item in form.items(name))
        assert "".join(form.items(name)).count(",") == 0


NAMES_OF_FIELDS = st.sampled_from(
    ["model", "response_format", "language", "languages[]", "prompt", "keywords[]", "stream", "temperature",
     "include[]", "timestamp_granularities[]", "timestamp_granularities", "other"]
)  # fmt: skip
VALUES = st.one_of(
    TEXT, st.sampled_from(["json", "verbose_json", "word", "true", "false", "en", "0", "logprobs"])
)


@given(st.lists(st.tuples(NAMES_OF_FIELDS, VALUES), max_size=12), st.booleans(), st.booleans())
def test_any_form_is_a_request_or_a_refusal(
    fields: list[tuple[str, str]], multilingual: bool, translate: bool
) -> None:
    """Nothing that a client can write into a form is a fault of ours."""
    served = Served("m", multilingual)
    try:
        request = file_request(fields, served, translate=translate)
    except RequestRefused as refused:
        assert refused.status in (400, 404)
        assert refused.body()["error"]
        return
    assert request.language in {"", "auto", *CODES}
    assert len(request.prompt) <= 1000
    assert not (request.stream and request.format in ("srt", "vtt"))
    assert multilingual or not request.translate
