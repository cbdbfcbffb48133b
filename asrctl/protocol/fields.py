"""Fields of messages that know what values they take; a message is checked once, when it is made."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

MAX_POSITION = 2**53 - 1
"""Largest position on the wire: the last whole number that JavaScript's numbers hold exactly."""

Check = Callable[[Any], str]
"""Says what is wrong with a value, or nothing."""


class Misfit(ValueError):
    """A value that its field does not take; the message names the field."""


@dataclasses.dataclass(frozen=True, slots=True)
class Checked:
    """Base of all messages and their parts."""

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            Misfit: A value of the wrong type or out of range.
        """
        for spec in dataclasses.fields(self):
            if wrong := spec.metadata["check"](getattr(self, spec.name)):
                raise Misfit(f"{wire_name(spec)} {wrong}")


def wire_name(spec: dataclasses.Field[Any]) -> str:
    """The key in JSON: `from_` is "from"."""
    return spec.name.rstrip("_")


def whole(least: int = 0, most: int = MAX_POSITION, **more: Any) -> Any:
    """A whole number between two bounds, both allowed."""

    def check(value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, int):
            return "must be a whole number"
        return "" if least <= value <= most else f"must be from {least} to {most}"

    return _field(check, more)


def number(least: float = 0.0, most: float = 1e15, **more: Any) -> Any:
    """A finite number between two bounds, both allowed."""

    def check(value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return "must be a number"
        return "" if least <= value <= most else f"must be from {least:g} to {most:g}"  # NaN is not

    return _field(check, more)


def code() -> Any:
    """A language's code."""
    return text(20, 1)


def label() -> Any:
    """A name of one's own choice."""
    return text(100, 1)


def has_surrogates(value: str) -> bool:
    """Whether there are halves of characters in it: JSON can spell them, UTF-8 cannot."""
    return any("\ud800" <= character <= "\udfff" for character in value)


def text(most: int, least: int = 0, **more: Any) -> Any:
    """A string of so many characters."""

    def check(value: Any) -> str:
        if not isinstance(value, str):
            return "must be a string"
        if has_surrogates(value):
            return "must not have lone surrogates"
        return "" if least <= len(value) <= most else f"must have {least} to {most} characters"

    return _field(check, more)


def flag_or_whole(least: int, most: int) -> Any:
    """True or false, or a whole number between two bounds, both allowed."""
    inner = whole(least, most).metadata["check"]

    def check(value: Any) -> str:
        return "" if isinstance(value, bool) or not inner(value) else f"must be true, or {least} to {most}"

    return _field(check, {})


def texts(most: int, most_characters: int, least_characters: int = 1, **more: Any) -> Any:
    """A tuple of so many strings of so many characters."""
    each = text(most_characters, least_characters).metadata["check"]

    def check(value: Any) -> str:
        if not isinstance(value, tuple):
            return "must be a list of strings"
        if len(value) > most:
            return f"must have at most {most} strings"
        return next((f"holds one that {wrong}" for one in value if (wrong := each(one))), "")

    return _field(check, more, kind=str)


def flag(**more: Any) -> Any:
    """True or false."""
    return _field(lambda value: "" if isinstance(value, bool) else "must be true or false", more)


def choice(*values: str, **more: Any) -> Any:
    """One of a few strings."""
    wrong = f"must be one of {', '.join(values)}"
    return _field(lambda value: "" if isinstance(value, str) and value in values else wrong, more)


def part(kind: type[Any], **more: Any) -> Any:
    """Another object, of this class."""
    return _field(lambda value: "" if isinstance(value, kind) else "must be an object", more, kind=kind)


def parts(kind: type[Any], **more: Any) -> Any:
    """A tuple of objects of this class."""

    def check(value: Any) -> str:
        fits = isinstance(value, tuple) and all(isinstance(each, kind) for each in value)
        return "" if fits else "must be a list of objects"

    return _field(check, more, kind=kind)


def optional(inner: Any) -> Any:
    """The same field, or None, which is not sent."""
    check = inner.metadata["check"]
    metadata = {**inner.metadata, "check": lambda value: "" if value is None else check(value)}
    return dataclasses.field(default=None, metadata=metadata)


def _field(check: Check, more: dict[str, Any], **metadata: Any) -> Any:
    return dataclasses.field(metadata={"check": check, **metadata}, **more)
