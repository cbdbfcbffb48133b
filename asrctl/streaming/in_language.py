"""Decoding a window in the language that it turns out to be in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from asrctl.policy.language import LanguageBelief
from asrctl.transcript import Hypothesis, Part


async def corrected(
    first: Hypothesis, belief: LanguageBelief, decode: Callable[[str], Awaitable[Hypothesis]]
) -> Hypothesis:
    """A hypothesis, or another one of the same window if it is in another language than it was decoded in.

    Args:
        first: With what was heard of the language, where that had to be found out.
        belief: What was known before the window.
        decode: Decodes the window again, in the language of this code.
    """
    language = belief.after(first.evidence).language
    if not first.evidence or language == first.language:
        return first
    again = await decode(language)
    return replace(
        again,
        evidence=first.evidence,
        inference_s=first.inference_s + again.inference_s,
        parts_s={**again.parts_s, Part.LANGUAGE: first.inference_s},
    )
