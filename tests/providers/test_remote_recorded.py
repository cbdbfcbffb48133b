"""What programs of others really said, once, for where there is no such program."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from asrctl.errors import DecodeError, ProviderError
from asrctl.providers.base import DecodeOptions

from .ears import in_loop
from .http_server import HttpServer, Reply, serving_http
from .remote_streams import settings
from .test_remote_windows import decode, decoder

AUTO = DecodeOptions(language="auto", word_timestamps=True)
WHISPER_SERVER: dict[str, Any] = json.loads(
    Path(__file__).with_name("recorded").joinpath("whisper_server.json").read_text("utf-8")
)


def said(name: str) -> Reply:
    """An answer of whisper.cpp's own server."""
    answer = WHISPER_SERVER[name]
    return Reply(
        answer["status"], answer["body"].encode(), headers=(("Content-Type", answer["content_type"]),)
    )


@in_loop
async def test_whisper_cpps_server_has_tokens_for_words() -> None:
    """They become words, with times in order; its language is a name and becomes a code."""
    with serving_http(HttpServer([said("speech")])) as server:
        async with decoder(settings(f"{server.url}/inference")) as windows:
            heard = await decode(windows, *range(30), options=AUTO)
    assert heard.language == "en"
    words = [word for segment in heard.segments for word in segment.words]
    assert [word.text for word in words] == heard.text.split()
    assert "there." in heard.text.split() and len(heard.segments) > 1
    assert all(one.start_s <= other.start_s for one, other in pairwise(words))


@in_loop
async def test_whisper_cpps_server_hears_nothing() -> None:
    """Asked as it is, it says nothing of silence."""
    with serving_http(HttpServer([said("silence")])) as server:
        async with decoder(settings(f"{server.url}/inference")) as windows:
            assert (await decode(windows, 1, options=AUTO)).segments == ()


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [("no audio", DecodeError, "HTTP 400"), ("another path", ProviderError, "such as /inference")],
)
@in_loop
async def test_whisper_cpps_server_refuses(name: str, kind: type[Exception], reason: str) -> None:
    """With text that is no JSON."""
    with serving_http(HttpServer([said(name)] * 2)) as server:
        async with decoder(settings(server.url)) as windows:
            with pytest.raises(kind, match=reason):
                await decode(windows, 1)
