"""What a realtime session is told to be, and is: read from updates, in both shapes, and shown again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from asrctl.languages import AUTO
from asrctl.policy.endpointing import EndpointerOptions
from asrctl.policy.vocabulary import fit, usable_terms
from asrctl.protocol.codes import LACKING
from asrctl.protocol.dialect import Encoding, SessionRequest
from asrctl.protocol.endpointing import Endpointing
from asrctl.protocol.openai.errors import RequestRefused, bad_request
from asrctl.protocol.openai.models import Served
from asrctl.protocol.openai.realtime.given import Given
from asrctl.protocol.openai.request import code_of, cut_prompt

DEFAULT_RATE_HZ = 24_000
_TELEPHONE_HZ = 8_000
_LOWEST_RATE_HZ, _HIGHEST_RATE_HZ = 8_000, 48_000
_LIVE_MODELS = ("gpt-realtime-whisper", "gpt-live-transcribe")
"""They have no turn detection of their own, and their deltas come while one speaks."""
_REALTIME_MODEL = re.compile(
    r"(gpt-realtime(-mini|-[0-9][0-9.]*)?|gpt-4o(-mini)?-realtime)(-preview)?(-[0-9-]+)?"
)
"""Names of models that speak, which clients put into the address whatever they are there for."""
_DIARIZING_MODEL = "gpt-4o-transcribe-diarize"
"""What is named to have speakers told apart, also with a date behind it."""
_LIVE_DELAYS = ("minimal", "low")
_DELAYS = ("minimal", "low", "medium", "high", "xhigh")
_ENCODINGS: dict[str, Encoding] = {"audio/pcm": "pcm_s16le", "audio/pcmu": "mulaw", "audio/pcma": "alaw"}
_TYPES = {encoding: type_ for type_, encoding in _ENCODINGS.items()}
_FLAT_FORMATS = {"pcm16": "audio/pcm", "g711_ulaw": "audio/pcmu", "g711_alaw": "audio/pcma"}
_FLAT_NAMES = {type_: name for name, type_ in _FLAT_FORMATS.items()}
_EAGERNESS = {"low": (1.0, 8.0), "medium": (None, 4.0), "auto": (None, 4.0), "high": (0.35, 2.0)}
"""How long a pause ends an utterance, in seconds, None for the server's own choice; and the same for one that
seems not to be over, as OpenAI has it, where the server hears that."""
_SILENCE_MS = (50, 10_000)
_SILENCE_DEFAULT_MS = 500
_THRESHOLD_DEFAULT = 0.5
_PADDING_MS = 1000
"""Most that is kept before speech starts."""
_PADDING_DEFAULT_MS = round(1000 * EndpointerOptions().pad_before_s)
_MOST_TEXT = 100_000


@dataclass(frozen=True, slots=True)
class TurnDetection:
    """How the server is to end utterances; None where it is to choose."""

    kind: str = "server_vad"
    threshold: float | None = None
    silence_ms: int | None = None
    padding_ms: int | None = None
    eagerness: str = "auto"

    @property
    def endpointing(self) -> Endpointing | None:
        """As sessions of all protocols have it."""
        if self.kind == "semantic_vad":
            pause_s, most_s = _EAGERNESS[self.eagerness]
            return Endpointing(pause_s, end_of_turn=True, unfinished_silence_s=most_s)
        given = self.threshold, self.silence_ms, self.padding_ms
        if given == (None, None, None):
            return None
        return Endpointing(
            trailing_silence_s=None if self.silence_ms is None else self.silence_ms / 1000,
            onset=self.threshold,
            pad_before_s=None if self.padding_ms is None else self.padding_ms / 1000,
            end_of_turn=None if self.silence_ms is None else False,  # what was said is what is done
        )

    def shown(self) -> dict[str, object]:
        """As clients read it."""
        if self.kind == "semantic_vad":
            return {"type": self.kind, "eagerness": self.eagerness}
        return {
            "type": self.kind,
            "threshold": _THRESHOLD_DEFAULT if self.threshold is None else self.threshold,
            "prefix_padding_ms": _PADDING_DEFAULT_MS if self.padding_ms is None else self.padding_ms,
            "silence_duration_ms": _SILENCE_DEFAULT_MS if self.silence_ms is None else self.silence_ms,
        }


@dataclass(frozen=True, slots=True)
class RealtimeConfig:
    """One session.

    Attributes:
        model: As the client calls it.
        encoding: Of its audio.
        rate_hz: The same.
        language: As the client gave it; empty for none.
        languages: Those that may be spoken.
        prompt: What the audio is likely to hold.
        keywords: Terms that it is likely to hold.
        delay: How long to wait for more audio; the shortest two mean text while one speaks.
        turns: How the server ends utterances; None where the client commits.
        turns_given: Whether the client said so; else the model decides.
        noise_reduction: Only shown again.
        include: Only shown again.
        is_flat: Whether the client speaks the shape from before the general availability.
    """

    model: str
    encoding: Encoding = "pcm_s16le"
    rate_hz: int = DEFAULT_RATE_HZ
    language: str = ""
    languages: tuple[str, ...] = ()
    prompt: str = ""
    keywords: tuple[str, ...] = ()
    delay: str = ""
    turns: TurnDetection | None = TurnDetection()
    turns_given: bool = False
    noise_reduction: Mapping[str, Any] | None = None
    include: tuple[str, ...] = ()
    is_flat: bool = False

    @property
    def has_live_model(self) -> bool:
        """Whether the model is one of those that speak before the commit."""
        return self.model.startswith(_LIVE_MODELS)

    @property
    def is_live(self) -> bool:
        """Whether text shall come while one speaks."""
        return self.has_live_model or self.delay in _LIVE_DELAYS

    @property
    def turn_detection(self) -> TurnDetection | None:
        """How the server ends utterances; None where the client commits."""
        return None if self.has_live_model and not self.turns_given else self.turns

    def request(self, served: Served) -> SessionRequest:
        """What to ask of the server for it."""
        turns = self.turn_detection
        return SessionRequest(
            encoding=self.encoding,
            sample_rate_hz=self.rate_hz,
            language=self._code(served),
            prompt=cut_prompt(self.prompt),
            vocabulary=self.keywords,
            partials=self.is_live,
            endpointing=turns.endpointing if turns else None,
            speakers=self.model.startswith(_DIARIZING_MODEL),
        )

    def _code(self, served: Served) -> str:
        language = self.language or (self.languages[0] if len(self.languages) == 1 else "")
        return code_of(language, served) or AUTO

    def shown(self, session_id: str) -> dict[str, object]:
        """As clients read it, with what is really so."""
        turns = self.turn_detection
        detection = turns.shown() if turns else None
        known = {"id": session_id, "object": "realtime.transcription_session"}
        include = list(self.include) or None
        if self.is_flat:
            return {
                **known,
                "modalities": ["text"],
                "input_audio_format": _FLAT_NAMES[_TYPES[self.encoding]],
                "input_audio_transcription": self._transcription(),
                "input_audio_noise_reduction": self.noise_reduction,
                "turn_detection": detection,
                "include": include,
            }
        format_: dict[str, object] = {"type": _TYPES[self.encoding]}
        if self.encoding == "pcm_s16le":
            format_["rate"] = self.rate_hz
        audio = {
            "format": format_,
            "transcription": self._transcription(),
            "noise_reduction": self.noise_reduction,
            "turn_detection": detection,
        }
        return {"type": "transcription", **known, "audio": {"input": audio}, "include": include}

    def _transcription(self) -> dict[str, object]:
        given: dict[str, object] = {
            "language": self.language,
            "languages": list(self.languages),
            "prompt": self.prompt,
            "keywords": list(self.keywords),
            "delay": self.delay,
        }
        return {"model": self.model} | {name: value for name, value in given.items() if value}


def updated(config: RealtimeConfig, session: object, served: Served) -> RealtimeConfig:
    """The session as an update wants it: what is absent stays, null is off, unknown keys mean nothing.

    Raises:
        RequestRefused: It asks for what there is not, or makes no sense.
    """
    given = Given.of(session, "session")
    if is_flat(given.values):
        audio, names, config = given, _FLAT, replace(config, is_flat=True)
    else:
        audio, names = given.part("audio").part("input"), _NESTED
        config = replace(config, is_flat=config.is_flat and not given.has("audio"))
    config = _format(config, audio, names["format"])
    if audio.has(names["transcription"]):
        config = _transcription(config, audio.part(names["transcription"]), served)
    if audio.has("turn_detection"):
        turns = _turns(audio.part("turn_detection")) if audio.values["turn_detection"] is not None else None
        config = replace(config, turns=turns, turns_given=True)
    if audio.has(names["noise_reduction"]):
        noise = audio.values[names["noise_reduction"]]
        config = replace(config, noise_reduction=noise if isinstance(noise, dict) else None)
    if given.has("include"):
        config = replace(config, include=given.texts("include"))
    config.request(served)
    return config


_NESTED = {name: name for name in ("format", "transcription", "noise_reduction")}
_FLAT = {name: f"input_audio_{name}" for name in _NESTED}


def is_flat(session: Mapping[str, Any]) -> bool:
    """Whether a session has the shape from before the general availability."""
    flat = any(name in session for name in _FLAT.values())
    return "audio" not in session and (flat or "turn_detection" in session)


def _format(config: RealtimeConfig, audio: Given, name: str) -> RealtimeConfig:
    value = audio.values.get(name)
    if value is None:
        return config
    if isinstance(value, str):
        given = Given({"type": _FLAT_FORMATS.get(value, value)}, audio.path_of(name))
    else:
        given = audio.part(name)
    encoding = _ENCODINGS.get(given.choice("type", tuple(_ENCODINGS), "audio/pcm"), "pcm_s16le")
    if encoding != "pcm_s16le":
        return replace(config, encoding=encoding, rate_hz=_TELEPHONE_HZ)
    rate_hz = round(given.number("rate", _LOWEST_RATE_HZ, _HIGHEST_RATE_HZ) or DEFAULT_RATE_HZ)
    return replace(config, encoding=encoding, rate_hz=rate_hz)


def _transcription(config: RealtimeConfig, given: Given, served: Served) -> RealtimeConfig:
    if given.has("model"):
        check_model(model := given.text("model") or served.name, served, given.path_of("model"))
        config = replace(config, model=model)
    if given.has("language"):
        config = replace(config, language=_known(given.text("language"), given.path_of("language"), served))
    if given.has("languages"):
        path, languages = given.path_of("languages"), given.texts("languages")
        config = replace(config, languages=tuple(_known(each, path, served) for each in languages))
    if given.has("prompt"):
        config = replace(config, prompt=given.text("prompt")[:_MOST_TEXT])
    if given.has("keywords"):
        config = replace(config, keywords=fit(usable_terms(given.texts("keywords"))).kept)
    if given.has("delay"):
        config = replace(config, delay=given.choice("delay", _DELAYS, ""))
    return config


def check_model(model: str, served: Served, path: str) -> None:
    """See that a model is one of ours, or a name that stands for it.

    Raises:
        RequestRefused: It is something else, or tells speakers apart, which this server cannot.
    """
    if model.startswith(_DIARIZING_MODEL) and not served.speakers:
        raise bad_request(f"{LACKING}: name another model", path, "unsupported_value")
    try:
        served.check(model)
    except RequestRefused as refused:
        raise replace(refused, param=path) from None


def check_query_model(model: str, served: Served) -> str:
    """The model that the address names; empty for one that only says that realtime is meant.

    Raises:
        RequestRefused: It is something else.
    """
    if _REALTIME_MODEL.fullmatch(model):
        return ""
    check_model(model, served, "model")
    return model


def _known(language: str, path: str, served: Served) -> str:
    try:
        code_of(language, served)
    except RequestRefused as refused:
        raise replace(refused, param=path) from None
    return language


def _turns(given: Given) -> TurnDetection | None:
    """As given; `none` is null as clients for Azure wrote it."""
    kind = given.choice("type", ("server_vad", "semantic_vad", "none"), "server_vad")
    if kind == "none":
        return None
    if kind == "semantic_vad":
        return TurnDetection(kind, eagerness=given.choice("eagerness", tuple(_EAGERNESS), "auto"))
    threshold = given.number("threshold", 0.0, 1.0)
    silence_ms = given.number("silence_duration_ms", 0, 1_000_000)
    padding_ms = given.number("prefix_padding_ms", 0, 1_000_000)
    return TurnDetection(
        kind,
        None if threshold is None else min(max(0.01, threshold), 0.99),
        None if silence_ms is None else round(min(max(_SILENCE_MS[0], silence_ms), _SILENCE_MS[1])),
        None if padding_ms is None else round(min(padding_ms, _PADDING_MS)),
    )
