"""Messages of live audio as JSON, from clients and to them."""

from __future__ import annotations

import json
from collections.abc import Mapping

from asrctl.protocol.dialect import SendText
from asrctl.protocol.strict_json import parsed


def message_of(text: str) -> Mapping[str, object]:
    """A message's fields; none of what is no object."""
    try:
        message = parsed(text)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def is_configuration(message: Mapping[str, object]) -> bool:
    """Whether the fields of a `Configure` are what they must be."""
    terms, features = message.get("keyterms"), message.get("features")
    fits = terms is None or (isinstance(terms, list) and all(isinstance(each, str) for each in terms))
    return fits and (
        features is None
        or (isinstance(features, dict) and all(isinstance(each, bool) for each in features.values()))
    )


def error(variant: str, description: str, **more: str) -> SendText:
    """Something is wrong; the socket stays open."""
    return send({"type": "Error", "variant": variant, "description": description, **more})


def send(message: Mapping[str, object], *, droppable: bool = False) -> SendText:
    """A message as a frame."""
    return SendText(json.dumps(message, allow_nan=False, separators=(",", ":")), droppable)
