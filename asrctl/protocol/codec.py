"""Messages to JSON and back.

The server is strict: an unknown type or key is refused by name. The client lets what it does not know pass,
so that a newer server may say more.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, TypeVar

from asrctl.protocol.codes import CloseCode, Violation, bad_request
from asrctl.protocol.fields import Misfit, wire_name
from asrctl.protocol.messages import (
    CLIENT_TYPES,
    SERVER_TYPES,
    ClientMessage,
    ServerMessage,
)
from asrctl.protocol.strict_json import parsed

_T = TypeVar("_T")

_NAMES: dict[type[Any], str] = {
    kind: name for types in (CLIENT_TYPES, SERVER_TYPES) for name, kind in types.items()
}


def encode(message: ClientMessage | ServerMessage) -> str:
    """A message as the text of one frame; what is None is left out."""
    return json.dumps(
        {"type": _NAMES[type(message)], **_plain(message)}, ensure_ascii=False, separators=(",", ":")
    )


def decode_client(data: str) -> ClientMessage:
    """What a client sent.

    Raises:
        Violation: 1007 for text that is not JSON, 4400 for JSON that is no message of ours.
    """
    document = _parsed(data)
    kind = CLIENT_TYPES.get(document.pop("type", None) or "")
    if kind is None:
        raise bad_request(f"type must be one of {', '.join(CLIENT_TYPES)}")
    return _built(kind, document, strict=True)


def decode_server(data: str) -> ServerMessage | None:
    """What a server sent; None if it is of a type that is not known here.

    Raises:
        Violation: As for `decode_client`.
    """
    document = _parsed(data)
    kind = SERVER_TYPES.get(document.pop("type", None) or "")
    return None if kind is None else _built(kind, document, strict=False)


def _parsed(data: str) -> dict[str, Any]:
    try:
        document = parsed(data)
    except ValueError:
        raise Violation(CloseCode.INVALID_DATA, "bad_json", "text messages must be JSON") from None
    if not isinstance(document, dict):
        raise bad_request("a message must be a JSON object")
    if not isinstance(document.get("type"), str):
        raise bad_request("type must be a string")
    return document


def _built(kind: type[_T], document: Mapping[str, Any], *, strict: bool) -> _T:
    """An instance from its keys, checked."""
    specs = {wire_name(spec): spec for spec in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = [key for key in document if key not in specs]
    if unknown and strict:
        raise bad_request(
            f"there is no key {unknown[0][:100]!r} here; known are {', '.join(specs) or 'none'}"
        )
    values = {}
    for name, spec in specs.items():
        if name in document:
            values[spec.name] = _value(spec, document[name], strict=strict)
        elif spec.default is dataclasses.MISSING and spec.default_factory is dataclasses.MISSING:
            raise bad_request(f"{name} is missing")
    try:
        return kind(**values)
    except Misfit as error:
        raise bad_request(str(error)) from error


def _value(spec: dataclasses.Field[Any], value: Any, *, strict: bool) -> Any:
    """A field's value, with objects inside built; what does not fit is left for the check to name."""
    kind = spec.metadata.get("kind")
    if kind is None:
        return value
    if kind is str:
        return tuple(value) if isinstance(value, list) else value
    if isinstance(value, dict):
        return _built(kind, value, strict=strict)
    if isinstance(value, list) and all(isinstance(each, dict) for each in value):
        return tuple(_built(kind, each, strict=strict) for each in value)
    return value


def _plain(message: Any) -> dict[str, Any]:
    document = {}
    for spec in dataclasses.fields(message):
        value = getattr(message, spec.name)
        if value is None:
            continue
        if isinstance(value, tuple):
            value = [_plain(each) if dataclasses.is_dataclass(each) else each for each in value]
        elif dataclasses.is_dataclass(value):
            value = _plain(value)
        document[wire_name(spec)] = value
    return document
