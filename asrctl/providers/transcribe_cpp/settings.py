"""What can be set about transcribe.cpp."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from asrctl.providers.plugin import Serving, number

MODELS_OWN = -1
"""For what is left to the model."""


@dataclass(frozen=True, slots=True)
class TranscribeCppSettings:
    """The provider transcribe_cpp.

    Attributes:
        model: A name of the catalogue or a path, in place of the general `model`, so that each provider of a
            chain can have its own.
        streaming: Whether a model that can listen to a stream does; without, it decodes windows.
        lookahead_ms: Speech that a streaming model hears before it commits to a word: more is surer, and
            later. Of Nemotron 0, 80, 480 or 1040; of Voxtral 80 to 2400; -1 for the model's own.
        decode_interval_ms: How often Moonshine and Voxtral decode what they heard; -1 for the model's own.
        language_model: Path of a GGUF that says which language is spoken (role `langid`, such as ECAPA's of
            VoxLingua107): asked where windows are decoded and the language is to be found out; empty for what
            the recogniser itself can tell. It takes memory in each worker.
        max_streams: Streams at once; each has a model of its own.
        streams_per_worker: So many share a process, and its weights.
        load_timeout_s: From the start of a process until it has heard something.
        stall_timeout_s: How long a process may hear nothing of the audio that lies before it.
    """

    model: str = ""
    streaming: bool = True
    lookahead_ms: int = number(MODELS_OWN, MODELS_OWN, 10_000)
    decode_interval_ms: int = number(MODELS_OWN, MODELS_OWN, 10_000)
    language_model: str = ""
    max_streams: int = number(10, 1, 1000)
    streams_per_worker: int = number(5, 1, 100)
    load_timeout_s: float = number(120.0, 0.1, 3600.0)
    stall_timeout_s: float = number(30.0, 0.1, 3600.0)

    @property
    def options(self) -> tuple[tuple[str, int | str], ...]:
        """What a worker is told of it."""
        path = str(Path(self.language_model).expanduser().absolute()) if self.language_model else ""
        return (
            ("lookahead_ms", self.lookahead_ms),
            ("decode_interval_ms", self.decode_interval_ms),
            *((("language_model", path),) if path else ()),
        )

    @property
    def serving(self) -> Serving | None:
        """How streams are served; None if none are."""
        if not self.streaming:
            return None
        return Serving(self.max_streams, self.streams_per_worker, self.load_timeout_s, self.stall_timeout_s)
