"""JSON that others wrote, with no numbers but those that can be written again: Python reads more."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn


def parsed(text: str | bytes) -> Any:
    """The value of a text.

    Raises:
        ValueError: It is no JSON, has numbers that are none or beyond a double's range, or is nested too
            deeply.
    """
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _finite(number: str) -> float:
    value = float(number)
    return value if math.isfinite(value) else _refuse(number)


def _refuse(number: str) -> NoReturn:
    raise ValueError(f"{number[:20]} is not a JSON number")
