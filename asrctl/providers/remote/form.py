"""What a window is asked for by HTTP: in OpenAI's words, or in those of whisper.cpp's own server."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from asrctl.languages import AUTO, candidates, is_open
from asrctl.policy.vocabulary import context
from asrctl.providers.base import DecodeOptions
from asrctl.providers.remote.settings import RemoteSettings

Field = tuple[str, str | list[str]]

_WHISPER_CPP = {
    "suppress_nst": "true",  # no "[BLANK_AUDIO]"
    "split_on_word": "true",  # it cuts segments at 60 characters, else also inside words
    "no_language_probabilities": "true",  # which it would encode the window a second time for
}


def url_of(settings: RemoteSettings, options: DecodeOptions) -> str:
    """Where to send a window: OpenAI has a path of its own for translations."""
    url = settings.address.url
    parts = urlsplit(url)
    if options.translate and parts.path.endswith("transcriptions"):
        path = parts.path.removesuffix("transcriptions") + "translations"
        return parts._replace(path=path).geturl()
    return url


def form_of(settings: RemoteSettings, options: DecodeOptions, *, verbose: bool) -> Iterator[Field]:
    """The fields beside the audio; `verbose` asks for times."""
    if settings.model:
        yield "model", settings.model
    yield from _whisper_cpp(options) if settings.address.is_whisper_cpp else _openai(settings, options)
    if prompt := context(options.prompt, options.vocabulary):
        yield "prompt", prompt
    yield "response_format", "verbose_json" if verbose else "json"
    if verbose and options.word_timestamps:
        yield "timestamp_granularities[]", ["segment", "word"]


def _openai(settings: RemoteSettings, options: DecodeOptions) -> Iterator[Field]:
    is_known = not is_open(options.language)
    if is_known and not options.translate:
        yield "language", options.language
    if settings.keywords:
        yield "keywords[]", list(settings.keywords)
    named = () if is_known else candidates(options.language)
    if languages := named or settings.languages:
        yield "languages[]", list(languages)


def _whisper_cpp(options: DecodeOptions) -> Iterator[Field]:
    """It takes English for granted unless it is told, and has one path for everything."""
    yield "language", AUTO if is_open(options.language) else options.language
    if options.translate:
        yield "translate", "true"
    yield from _WHISPER_CPP.items()
