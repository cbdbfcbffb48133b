"""What parent and worker say to each other, defined once for both sides.

    parent -> worker    Load, Decode, Abort; Open, Feed, End, Close
    worker -> parent    Loaded, LoadFailed, Decoded, Refused, Stopped; Progress, Finished, GivenUp

`header_of` and `message_of` are inverse to each other; samples travel as the payload. A worker that
loaded for streams takes `Open` and what follows it, any other `Decode` and `Abort`.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from asrctl.errors import AsrctlError
from asrctl.policy.window import Effort
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.transcript import Hypothesis, LanguageEvidence, Part, Samples, Segment, Word
from asrctl.workers.wire import WireClosed


@dataclass(frozen=True, slots=True)
class Load:
    """Load this model; the first message to a worker, and the only one of its kind.

    With `streams` it is to listen to so many streams at a time; each has a model of its own, and the weights
    are shared as far as the library maps them.
    """

    spec: ModelSpec
    streams: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Decode:
    """Decode these samples, shape (n,), mono float32 at 16 kHz. One at a time."""

    id: int
    options: DecodeOptions
    samples: Samples


@dataclass(frozen=True, slots=True)
class Abort:
    """Stop decoding this; ignored if it is done already."""

    id: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """The model is loaded; `description` says where it runs."""

    description: str


@dataclass(frozen=True, slots=True)
class LoadFailed:
    """The model cannot be loaded; `is_model` tells whether the weights are to blame or the provider."""

    is_model: bool
    message: str


@dataclass(frozen=True, slots=True)
class Decoded:
    """The result of a decode."""

    id: int
    hypothesis: Hypothesis


@dataclass(frozen=True, slots=True)
class Refused:
    """The recogniser reported an error for this decode; the worker lives on."""

    id: int
    message: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """The decode was aborted."""

    id: int


@dataclass(frozen=True, slots=True)
class Open:
    """A stream begins; its utterances are recognised so."""

    stream: int
    options: DecodeOptions


@dataclass(frozen=True, slots=True, eq=False)
class Feed:
    """The next samples of a stream's open utterance, shape (n,), mono float32 at 16 kHz."""

    stream: int
    samples: Samples


@dataclass(frozen=True, slots=True)
class End:
    """A stream's utterance is complete; each is answered with `Finished` or `GivenUp`."""

    stream: int


@dataclass(frozen=True, slots=True)
class Close:
    """A stream is over: nothing is said of it any more."""

    stream: int


@dataclass(frozen=True, slots=True)
class Progress:
    """So many samples of an utterance were heard, with the text that stays, and what may change."""

    stream: int
    utterance: int
    samples: int
    committed: str
    tentative: str


@dataclass(frozen=True, slots=True)
class Finished:
    """All that an utterance said."""

    stream: int
    utterance: int
    hypothesis: Hypothesis


@dataclass(frozen=True, slots=True)
class GivenUp:
    """An utterance cannot be recognised; the stream goes on."""

    stream: int
    utterance: int
    message: str


Request = Load | Decode | Abort
StreamRequest = Open | Feed | End | Close
Reply = Loaded | LoadFailed | Decoded | Refused | Stopped
StreamReply = Progress | Finished | GivenUp
Message = Request | StreamRequest | Reply | StreamReply


def header_of(message: Message) -> dict[str, Any]:
    """A message as plain JSON values, but for its samples."""
    kind = type(message).__name__
    if isinstance(message, Load):
        spec = {**asdict(message.spec), "path": str(message.spec.path)}
        return {"type": kind, "spec": spec, "streams": message.streams}
    if isinstance(message, Decode):
        return {"type": kind, "id": message.id, "options": asdict(message.options)}
    if isinstance(message, Feed):
        return {"type": kind, "stream": message.stream}
    return {"type": kind, **asdict(message)}


def message_of(header: dict[str, Any], payload: bytes | bytearray = b"") -> Message:
    """The message that a frame carries.

    Raises:
        WireClosed: It is none of ours.
    """
    try:
        kind = _KINDS[header["type"]]
        fields = {name: value for name, value in header.items() if name != "type"}
        for name in _READERS.keys() & fields:
            fields[name] = _READERS[name](fields[name])
        if kind in (Decode, Feed):
            fields["samples"] = _samples(payload)
        message: Message = kind(**fields)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WireClosed(f"a message that is none: {type(error).__name__}: {error}") from None
    return message


def reason_of(error: Exception) -> str:
    """What went wrong, in words; what nobody foresaw also with its traceback on standard error."""
    if isinstance(error, AsrctlError):
        return str(error)
    traceback.print_exception(error)
    return f"{type(error).__name__}: {error}"


def _spec(given: dict[str, Any]) -> ModelSpec:
    options = tuple((str(name), value) for name, value in given["options"])
    return ModelSpec(**{**given, "path": Path(given["path"]), "options": options})


def _options(given: dict[str, Any]) -> DecodeOptions:
    utterances = tuple((int(start), int(end)) for start, end in given["utterances"])
    plain = {"effort": Effort(given["effort"]), "vocabulary": tuple(given["vocabulary"])}
    return DecodeOptions(**{**given, **plain, "utterances": utterances})


def _samples(payload: bytes | bytearray) -> Samples:
    import numpy as np

    return np.frombuffer(payload, np.float32)


def _hypothesis(given: dict[str, Any]) -> Hypothesis:
    segments = tuple(
        Segment(**{**segment, "words": tuple(Word(**word) for word in segment["words"])})
        for segment in given["segments"]
    )
    evidence = tuple(
        LanguageEvidence(speech_s, tuple((code, share) for code, share in probabilities), start_sample)
        for speech_s, probabilities, start_sample in given["evidence"]
    )
    parts_s = {Part(name): seconds for name, seconds in given["parts_s"].items()}
    return Hypothesis(**{**given, "segments": segments, "evidence": evidence, "parts_s": parts_s})


_KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in get_args(Message)}
_READERS: dict[str, Callable[[Any], Any]] = {"spec": _spec, "options": _options, "hypothesis": _hypothesis}
"""Fields that are no JSON values."""
