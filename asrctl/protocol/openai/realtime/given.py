"""A part of a client's JSON: values are checked as they are read, and what is wrong names its path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asrctl.protocol.fields import has_surrogates
from asrctl.protocol.openai.errors import bad_request

_MOST_ITEMS = 1000


@dataclass(frozen=True, slots=True)
class Given:
    """An object, and where it stands. Methods raise RequestRefused for a value of the wrong kind."""

    values: Mapping[str, Any]
    path: str

    @classmethod
    def of(cls, value: object, path: str) -> Given:
        """A value that has to be an object; null is one without anything in it."""
        if value is not None and not isinstance(value, dict):
            raise bad_request(f"{path} is an object", path, "invalid_type")
        return cls(value or {}, path)

    def has(self, name: str) -> bool:
        """Whether it says anything of this, be it null."""
        return name in self.values

    def path_of(self, name: str) -> str:
        """Where a value stands."""
        return f"{self.path}.{name}"

    def part(self, name: str) -> Given:
        """An object in it."""
        return Given.of(self.values.get(name), self.path_of(name))

    def text(self, name: str) -> str:
        """A text; empty for null."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, str):
            raise bad_request(f"{self.path_of(name)} is a string", self.path_of(name), "invalid_type")
        if value and has_surrogates(value):
            raise bad_request(f"{self.path_of(name)} must not have lone surrogates", self.path_of(name))
        return (value or "").strip()

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts; empty for null."""
        value = self.values.get(name) or []
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise bad_request(
                f"{self.path_of(name)} is a list of strings", self.path_of(name), "invalid_type"
            )
        return tuple(each.strip() for each in value[:_MOST_ITEMS] if each.strip())

    def choice(self, name: str, known: Sequence[str], default: str) -> str:
        """One of several texts."""
        value = self.text(name) or default
        if value and value not in known:
            path, names = self.path_of(name), ", ".join(known)
            raise bad_request(f"{path} is one of {names}, not {value[:50]!r}", path)
        return value

    def number(self, name: str, least: float, most: float) -> float | None:
        """A number within bounds; None where there is none."""
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            path = self.path_of(name)
            raise bad_request(f"{path} is a number from {least:g} to {most:g}", path)
        return float(value)
