"""The languages that Whisper knows, by the codes it was trained with."""

from __future__ import annotations

import difflib

from asrctl.errors import UsageError

AUTO = "auto"

_CODES = """
    af am ar as az ba be bg bn bo br bs ca cs cy da de el en es et eu fa fi fo fr gl gu ha haw he hi hr
    ht hu hy id is it ja jw ka kk km kn ko la lb ln lo lt lv mg mi mk ml mn mr ms mt my ne nl nn no oc
    pa pl ps pt ro ru sa sd si sk sl sn so sq sr su sv sw ta te tg th tk tl tr tt uk ur uz vi yi yo yue
    zh
"""

CODES = frozenset(_CODES.split())
"""ISO 639-1 where there is such a code; "jw" is Javanese, "haw" Hawaiian, "yue" Cantonese."""


def check_language(language: str, *, multilingual: bool, model: str) -> str:
    """The language to decode in, as the model wants it.

    Args:
        language: A code, or "auto".
        multilingual: Whether the model knows more than English.
        model: Its name, for the message.

    Raises:
        UsageError: There is no such language, or the model does not know it.
    """
    code = language.strip().lower().replace("_", "-").partition("-")[0]
    if code != AUTO and code not in CODES:
        near = difflib.get_close_matches(code, sorted(CODES), n=1)
        hint = f"did you mean {near[0]}?" if near else 'give a code such as en, de or zh, or "auto"'
        raise UsageError(f"there is no language {language!r}: {hint}")
    if multilingual:
        return code
    if code not in (AUTO, "en"):
        raise UsageError(f"{model} knows English only: for {code!r} take a model without .en, such as base")
    return "en"
