"""What a window is asked for by HTTP: in OpenAI's words, in those of whisper.cpp's own server, or in those of
whisper-asr-webservice, which takes them in the query."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qsl, urlencode, urlsplit

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
    if settings.address.is_webservice:
        asked = dict(parse_qsl(parts.query)) | _webservice(options)
        return parts._replace(query=urlencode(asked)).geturl()
    if options.translate and parts.path.endswith("transcriptions"):
        path = parts.path.removesuffix("transcriptions") + "translations"
        return parts._replace(path=path).geturl()
    return url


def file_field(settings: RemoteSettings) -> str:
    """The field that holds the audio."""
    return "audio_file" if settings.address.is_webservice else "file"


def form_of(settings: RemoteSettings, options: DecodeOptions, *, verbose: bool) -> Iterator[Field]:
    """The fields beside the audio; `verbose` asks for times."""
    if settings.address.is_webservice:
        return
    if settings.model:
        yield "model", settings.model
    yield from _whisper_cpp(options) if settings.address.is_whisper_cpp else _openai(settings, options)
    if prompt := context(options.prompt, options.vocabulary):
        yield "prompt", prompt
    yield "response_format", "verbose_json" if verbose else "json"
    if verbose and options.word_timestamps:
        yield "timestamp_granularities[]", ["segment", "word"]


def _webservice(options: DecodeOptions) -> dict[str, str]:
    """Its answer is plain text unless it is told."""
    asked = {
        "output": "json",
        "task": "translate" if options.translate else "transcribe",
        "language": "" if is_open(options.language) else options.language,
        "initial_prompt": context(options.prompt, options.vocabulary),
        "word_timestamps": "true" if options.word_timestamps else "",
    }
    return {name: value for name, value in asked.items() if value}


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
