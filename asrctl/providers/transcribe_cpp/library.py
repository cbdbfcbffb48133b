"""transcribe.cpp's models, with its errors as ours. Imported in worker processes only."""

from __future__ import annotations

from collections import deque
from typing import Any

import transcribe_cpp

from asrctl.errors import ModelError
from asrctl.languages import AUTO
from asrctl.policy.vocabulary import context
from asrctl.providers.base import DecodeOptions, ModelSpec

_LOG_LINES_KEPT = 20
_WORST_LEVEL = 3  # errors; lower levels talk of the hardware


class Library:
    """A loaded model, and what it can do."""

    def __init__(self, spec: ModelSpec) -> None:
        """Load the weights; they are mapped into memory, so that several loads of one file share them.

        Raises:
            ModelError: The library cannot load the file, or it recognises no speech.
        """
        self._log: deque[str] = deque(maxlen=_LOG_LINES_KEPT)
        transcribe_cpp.set_log_callback(self._note)
        try:
            self.model = transcribe_cpp.Model(spec.path, backend="auto" if spec.use_gpu else "cpu")
        except transcribe_cpp.TranscribeError as error:
            reason = self._log[-1] if self._log else str(error)
            raise ModelError(f"{spec.path}: transcribe.cpp cannot load it ({reason})") from None
        if transcribe_cpp.Role.ASR not in self.model.roles:
            kind = self.model.arch
            self.model.close()
            raise ModelError(f"{spec.path}: this model recognises no speech ({kind})")
        self.abilities = self.model.capabilities
        self.threads = spec.threads
        self._takes_hints = True

    def _note(self, level: int, message: str) -> None:
        if level == _WORST_LEVEL and message.strip():
            self._log.append(message.strip())

    def arguments(self, options: DecodeOptions) -> dict[str, Any]:
        """What the library is asked for one window, or one stream."""
        translates = options.translate and self.abilities.supports_translate
        return {
            "language": self.language(options.language) if self._takes_hints else None,
            "task": "translate" if translates else "transcribe",
            "target_language": "en" if translates else None,
            "timestamps": "auto",  # the finest that the model has
            **self._context(options),
        }

    def _context(self, options: DecodeOptions) -> dict[str, Any]:
        """Terms as such where the model knows how, else in the prompt, else nowhere."""
        boosts = self.model.supports("vocabulary")
        prompt = options.prompt if boosts else context(options.prompt, options.vocabulary)
        return {
            "vocabulary": list(options.vocabulary) if boosts and options.vocabulary else None,
            "prompt": prompt or None if self.model.supports("context_prompt") else None,
        }

    def refuses_hints(self) -> bool:
        """After a refused request: whether it may be asked again, without the language. Some models detect it
        and take no hint, which only a refusal tells."""
        first, self._takes_hints = self._takes_hints, False
        return first and self.abilities.supports_language_detect

    def language(self, code: str) -> str | None:
        """The model's own name for a language, such as "en-US" for "en"; None has it detected."""
        known: tuple[str, ...] = self.abilities.languages
        if len(known) == 1:
            return known[0]
        if code == AUTO:
            return AUTO if AUTO in known else None
        likely = [name for name in known if name.partition("-")[0].lower() == code]
        return likely[0] if likely else None

    def description(self) -> str:
        """Where it runs, and what it cannot do."""
        where = f"{self.model.backend}, {self.threads} thread{'s' if self.threads > 1 else ''}"
        told = self.model.supports("vocabulary") or self.model.supports("context_prompt")
        return where if told else f"{where}, takes no vocabulary"

    def close(self) -> None:
        """Free the weights."""
        self.model.close()
