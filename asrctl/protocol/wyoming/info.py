"""What a client is told that asks what is to be had here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from asrctl.languages import CODES

PROGRAM = "asrctl"


@dataclass(frozen=True, slots=True)
class ServedModel:
    """The model of a server.

    Attributes:
        name: As clients know it.
        multilingual: Whether it knows more than English.
        version: Of asrctl.
    """

    name: str
    multilingual: bool
    version: str

    @property
    def languages(self) -> list[str]:
        """The codes of the languages that it knows."""
        return sorted(CODES) if self.multilingual else ["en"]

    def info(self) -> dict[str, Any]:
        """The data of an `info` event."""
        model = self._artifact(self.name, "the model that is served") | {"languages": self.languages}
        program = self._artifact(PROGRAM, "local streaming speech recognition") | {
            "models": [model],
            "supports_transcript_streaming": True,
            "requires_external_vad": True,
        }
        return {"asr": [program]}

    def _artifact(self, name: str, description: str) -> dict[str, Any]:
        return {
            "name": name,
            "attribution": {"name": PROGRAM, "url": ""},
            "installed": True,
            "description": description,
            "version": self.version,
        }
