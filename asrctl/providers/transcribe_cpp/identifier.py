"""A model that says which language is spoken, for recognisers that cannot tell, or not well."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import transcribe_cpp

from asrctl.errors import DecodeError, ModelError
from asrctl.languages import CODES
from asrctl.policy.language import pieces
from asrctl.providers.samples import is_wordless
from asrctl.transcript import SAMPLE_RATE_HZ, LanguageEvidence, Samples


class Identifier:
    """A loaded model of the role `langid`."""

    def __init__(self, path: Path, threads: int) -> None:
        """Load the weights.

        Raises:
            ModelError: The library cannot load the file, or it identifies no language.
        """
        try:
            self._model = transcribe_cpp.Model(path, backend="cpu")
        except transcribe_cpp.TranscribeError as error:
            raise ModelError(f"{path}: transcribe.cpp cannot load it ({error})") from None
        if transcribe_cpp.Role.LANGID not in self._model.roles:
            kind = self._model.arch
            self._model.close()
            raise ModelError(f"{path}: this model identifies no language ({kind})")
        self._session = self._model.langid_session(n_threads=threads)
        self._least_samples = self._model.langid_info.min_audio_ms * SAMPLE_RATE_HZ // 1000
        labels = {code: self._model.langid_label_index(code) for code in sorted(CODES)}
        self._codes = {label: code for code, label in labels.items() if label is not None}
        """Our codes by its labels, which have other names: "iw" is Hebrew there."""

    def evidence(
        self, samples: Samples, utterances: Sequence[tuple[int, int]] = ()
    ) -> tuple[LanguageEvidence, ...]:
        """Which language each utterance is in, unless it is too short or quiet to tell.

        Raises:
            DecodeError: The library failed.
        """
        found = []
        for start, end in pieces(len(samples), utterances):
            piece = samples[start:end]
            if len(piece) < self._least_samples or is_wordless(piece):
                continue
            try:
                candidates = self._session.run(piece).candidates
            except transcribe_cpp.TranscribeError as error:
                raise DecodeError(f"transcribe.cpp cannot identify the language: {error}") from None
            known = ((self._codes.get(each.index), each.p) for each in candidates)
            told = tuple((code, share) for code, share in known if code is not None)
            found.append(LanguageEvidence(len(piece) / SAMPLE_RATE_HZ, told, start))
        return tuple(found)

    def close(self) -> None:
        """Free the weights."""
        self._model.close()
