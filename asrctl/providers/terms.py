"""Windows with a vocabulary: terms that nobody said are not to become text.

A prompt of terms has Whisper write something in silence and noise, where it would write nothing, and makes
repetition loops.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from asrctl.policy.vocabulary import holds_term
from asrctl.policy.window import is_sayable
from asrctl.providers.base import DecodeOptions, WindowedModel
from asrctl.providers.tokens import confidence
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis, Samples

_UNSURE = 0.7
"""Chosen after one word that was made up of noise; what it costs on speech was not measured."""


def transcribe(
    model: WindowedModel,
    samples: Samples,
    options: DecodeOptions,
    should_abort: Callable[[], bool],
) -> Hypothesis:
    """Decode one window; again without the vocabulary where it seems to have made something up.

    See `WindowedModel.transcribe`.
    """
    hypothesis = model.transcribe(samples, options, should_abort)
    sayable = is_sayable(hypothesis.text.split(), len(samples) / SAMPLE_RATE_HZ)
    if not options.vocabulary or (sayable and confidence(hypothesis) >= _UNSURE):
        return hypothesis
    plain = model.transcribe(samples, replace(options, vocabulary=()), should_abort)
    found = holds_term(hypothesis.text, options.vocabulary)
    surer = max(hypothesis, plain, key=confidence) if found else plain
    return replace(surer, inference_s=hypothesis.inference_s + plain.inference_s)
