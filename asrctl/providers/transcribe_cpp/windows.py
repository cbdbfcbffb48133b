"""Windows through transcribe.cpp: a model in a worker process, one window at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import transcribe_cpp

from asrctl.errors import DecodeError
from asrctl.policy.language import LanguageBelief
from asrctl.providers.base import Aborted, DecodeOptions, ModelSpec
from asrctl.providers.samples import audible, is_wordless
from asrctl.providers.transcribe_cpp.identifier import Identifier
from asrctl.providers.transcribe_cpp.library import Library
from asrctl.providers.transcribe_cpp.results import hypothesis_of
from asrctl.providers.transcribe_cpp.watch import Watch
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis, Samples


class TranscribeCpp(Library):
    """A `WindowedModel`. What the library says is passed on as it is: no second decode, no cutting."""

    def __init__(self, spec: ModelSpec) -> None:
        """Load the weights.

        Raises:
            ModelError: The library cannot load the file, or it recognises no speech; or the same of the model
                that identifies the language.
        """
        super().__init__(spec)
        path = str(dict(spec.options).get("language_model", ""))
        several = len(self.abilities.languages) != 1
        self._identifier = Identifier(Path(path), spec.threads) if path and several else None
        self._session = self.model.session(n_threads=spec.threads)
        self._watch = Watch(self._session.cancel)

    def transcribe(
        self, samples: Samples, options: DecodeOptions, should_abort: Callable[[], bool]
    ) -> Hypothesis:
        """Decode one window; aborts at the library's next step. See `WindowedModel.transcribe`."""
        started = time.perf_counter()
        samples = audible(samples)
        language = self.language(options.language) or options.language
        if is_wordless(samples):
            return Hypothesis((), language, 0.0)
        asked = self._identifier is not None and options.wants_evidence
        evidence = (
            self._identifier.evidence(samples, options.utterances) if self._identifier and asked else ()
        )
        options = replace(options, language=LanguageBelief(options.language).after(evidence).language)
        language = self.language(options.language) or options.language
        with self._watch.asking(should_abort):
            result, complete = self._run(samples, options)
        hypothesis = hypothesis_of(
            result,
            len(samples) / SAMPLE_RATE_HZ,
            language,
            time.perf_counter() - started,
            words=options.word_timestamps,
            complete=complete,
        )
        return replace(hypothesis, evidence=evidence)

    def _run(self, samples: Samples, options: DecodeOptions) -> tuple[Any, bool]:
        """The library's result, and whether it is complete."""
        try:
            return self._session.run(samples, **self.arguments(options)), True
        except transcribe_cpp.Aborted:
            raise Aborted from None
        except transcribe_cpp.OutputTruncated as error:  # it went on without end, or repeated itself
            if error.partial_result is None:
                raise DecodeError(f"transcribe.cpp failed: {error}") from None
            return error.partial_result, False
        except transcribe_cpp.UnsupportedRequest as error:
            if self.refuses_hints():
                return self._run(samples, options)
            raise DecodeError(f"transcribe.cpp cannot do this: {error}") from None
        except transcribe_cpp.TranscribeError as error:
            raise DecodeError(f"transcribe.cpp failed: {error}") from None

    def close(self) -> None:
        """Free the weights."""
        if self._identifier is not None:
            self._identifier.close()
        super().close()
