"""What parent and worker say to each other, defined once for both sides.

    parent -> worker    Load, Decode, Abort
    worker -> parent    Loaded, LoadFailed, Decoded, Refused, Stopped

`header_of` and `message_of` are inverse to each other; the samples of a `Decode` travel as the payload.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrctl.policy.window import Effort
from asrctl.providers.base import DecodeOptions, ModelSpec
from asrctl.transcript import Hypothesis, LanguageEvidence, Segment, Word
from asrctl.workers.wire import WireClosed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Load:
    """Load this model; the first message to a worker, and the only one of its kind."""

    spec: ModelSpec


@dataclass(frozen=True, slots=True, eq=False)
class Decode:
    """Decode these samples, shape (n,), mono float32 at 16 kHz. One at a time."""

    id: int
    options: DecodeOptions
    samples: NDArray[np.float32]


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


Request = Load | Decode | Abort
Reply = Loaded | LoadFailed | Decoded | Refused | Stopped
Message = Request | Reply


def header_of(message: Message) -> dict[str, Any]:
    """A message as plain JSON values, but for the samples of a `Decode`."""
    kind = type(message).__name__
    if isinstance(message, Load):
        return {"type": kind, "spec": {**asdict(message.spec), "path": str(message.spec.path)}}
    if isinstance(message, Decode):
        return {"type": kind, "id": message.id, "options": asdict(message.options)}
    return {"type": kind, **asdict(message)}


def message_of(header: dict[str, Any], payload: bytes | bytearray = b"") -> Message:
    """The message that a frame carries.

    Raises:
        WireClosed: It is none of ours.
    """
    try:
        return _READERS[header["type"]](header, payload)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WireClosed(f"a message that is none: {type(error).__name__}: {error}") from None


def _decode(header: dict[str, Any], payload: bytes | bytearray) -> Decode:
    import numpy as np

    given = header["options"]
    options = DecodeOptions(**{**given, "effort": Effort(given["effort"])})
    return Decode(header["id"], options, np.frombuffer(payload, np.float32))


def _decoded(header: dict[str, Any], _: bytes | bytearray) -> Decoded:
    given = header["hypothesis"]
    segments = tuple(
        Segment(**{**segment, "words": tuple(Word(**word) for word in segment["words"])})
        for segment in given["segments"]
    )
    evidence = tuple(
        LanguageEvidence(speech_s, tuple((code, share) for code, share in probabilities))
        for speech_s, probabilities in given["evidence"]
    )
    return Decoded(header["id"], Hypothesis(**{**given, "segments": segments, "evidence": evidence}))


def _load(header: dict[str, Any], _: bytes | bytearray) -> Load:
    return Load(ModelSpec(**{**header["spec"], "path": Path(header["spec"]["path"])}))


_READERS: dict[str, Callable[[dict[str, Any], bytes | bytearray], Message]] = {
    "Load": _load,
    "Decode": _decode,
    "Abort": lambda header, _: Abort(header["id"]),
    "Loaded": lambda header, _: Loaded(header["description"]),
    "LoadFailed": lambda header, _: LoadFailed(header["is_model"], header["message"]),
    "Decoded": _decoded,
    "Refused": lambda header, _: Refused(header["id"], header["message"]),
    "Stopped": lambda header, _: Stopped(header["id"]),
}
