"""Names of models: what is served, what else clients call it, and the list of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from asrctl.protocol.openai.errors import RequestRefused

_VENDOR = re.compile(
    r"(whisper-1|gpt-(4o-|4o-mini-|live-)?transcribe|gpt-realtime-whisper)(-[0-9a-z.-]*)?", re.ASCII
)
"""Names that clients have built in, with their dated versions."""


@dataclass(frozen=True, slots=True)
class Served:
    """The models of a server.

    Attributes:
        name: What decodes files.
        multilingual: Whether it knows more than English, and so can translate.
        created_s: Since when it is served, in seconds of the Unix epoch.
        others: Other names that it is known by, such as the model of live audio.
        speakers: Whether speakers can be told apart.
    """

    name: str
    multilingual: bool
    created_s: int = 0
    others: tuple[str, ...] = ()
    speakers: bool = False

    @property
    def names(self) -> list[str]:
        """All names, each once."""
        return list(dict.fromkeys((self.name, *self.others)))

    def check(self, wanted: str) -> None:
        """See that a name is one of ours, or one that stands for whatever is served.

        Raises:
            RequestRefused: It is the name of something else.
        """
        if wanted and wanted not in self.names and not _VENDOR.fullmatch(wanted):
            raise self._unknown(wanted)

    def entry(self, name: str) -> dict[str, object]:
        """One model, as `GET /v1/models/{id}` gives it.

        Raises:
            RequestRefused: There is none of that name; aliases are no models.
        """
        if name not in self.names:
            raise self._unknown(name)
        return {"id": name, "object": "model", "created": self.created_s, "owned_by": "asrctl"}

    def _unknown(self, name: str) -> RequestRefused:
        message = f"this server has no model {name[:100]!r}: it serves {', '.join(self.names)}"
        return RequestRefused(404, "model_not_found", message, "model")

    def listing(self) -> dict[str, object]:
        """All models, as `GET /v1/models` gives them."""
        return {"object": "list", "data": [self.entry(name) for name in self.names]}
