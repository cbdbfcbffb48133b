"""A vocabulary that made something up: what is decoded again, and which text is taken."""

from __future__ import annotations

import numpy as np
import pytest

from asrctl.providers.base import DecodeOptions
from asrctl.providers.terms import transcribe
from asrctl.transcript import Hypothesis, Segment

TOLD = DecodeOptions(vocabulary=("Ada", "Bo"))
SAMPLES = np.zeros(16_000, np.float32)


class Model:
    """Gives one text with a vocabulary and another without; None is no text."""

    def __init__(self, told: tuple[str, float] | None, plain: tuple[str, float] | None) -> None:
        self.texts = {True: told, False: plain}
        self.decodes = 0

    def transcribe(self, samples: object, options: DecodeOptions, should_abort: object) -> Hypothesis:
        self.decodes += 1
        said = self.texts[bool(options.vocabulary)]
        return Hypothesis((Segment(0.0, 1.0, *said),) if said else (), "en", 0.25)


@pytest.mark.parametrize(
    ("told", "plain", "text", "decodes"),
    [
        (("Ada calls", 0.8), ("a dark also", 0.6), "Ada calls", 1),
        (None, None, "", 1),
        (("Ada, Bo", 0.1), None, "", 2),
        (("Bo", 0.3), ("you", 0.4), "you", 2),
        (("of the", 0.4), ("you", 0.3), "you", 2),
        (("Ada calls", 0.4), ("a dark also", 0.3), "Ada calls", 2),
    ],
)
def test_what_is_unsure_is_decoded_without(
    told: tuple[str, float] | None, plain: tuple[str, float] | None, text: str, decodes: int
) -> None:
    """Then the surer text is taken, and no text is surest of all; without a term, that of the second decode.
    Both count as work."""
    model = Model(told, plain)
    hypothesis = transcribe(model, SAMPLES, TOLD, bool)  # type: ignore[arg-type]
    assert (hypothesis.text, model.decodes) == (text, decodes)
    assert hypothesis.inference_s == 0.25 * decodes


def test_without_a_vocabulary_nothing_changes() -> None:
    """However unsure a text is."""
    model = Model(None, ("you", 0.1))
    assert transcribe(model, SAMPLES, DecodeOptions(), bool).text == "you"  # type: ignore[arg-type]
    assert model.decodes == 1
