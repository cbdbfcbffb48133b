"""Speakers as OpenAI's interface names them: known ones come with their voices, others are letters."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Iterator, Mapping
from itertools import count, product
from string import ascii_uppercase

from asrctl.protocol.openai.errors import bad_request

MAX_KNOWN = 4
"""As many as OpenAI takes."""
UNKNOWN = "unknown"
"""Who says what nobody's turn is near to."""
_MAX_NAME_CHARS = 100
_NAMES, _REFERENCES = "known_speaker_names", "known_speaker_references"


def known_speakers(names: list[str], references: list[str]) -> Mapping[str, bytes]:
    """Audio files with the voices of known speakers, by their names.

    Args:
        names: Of `known_speaker_names[]`.
        references: Of `known_speaker_references[]`: data URLs, in the same order.

    Raises:
        RequestRefused: They are no pairs, too many, or one of them makes no sense.
    """
    if len(names) != len(references):
        raise bad_request(f"each of {_NAMES} needs one of {_REFERENCES}", _REFERENCES)
    if len(names) > MAX_KNOWN:
        raise bad_request(f"{_NAMES} has at most {MAX_KNOWN} names", _NAMES)
    known: dict[str, bytes] = {}
    for name, reference in zip(names, references, strict=True):
        if not 0 < len(name) <= _MAX_NAME_CHARS or not name.isprintable() or name in known:
            raise bad_request(f"{_NAMES} are different, of 1 to {_MAX_NAME_CHARS} characters", _NAMES)
        known[name] = _file_of(reference)
    return known


def _file_of(reference: str) -> bytes:
    head, _, data = reference.partition(",")
    if head.startswith("data:") and head.endswith(";base64"):
        try:
            return base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError):
            pass
    raise bad_request(f"{_REFERENCES} are data URLs: data:audio/wav;base64,…", _REFERENCES)


class Labels:
    """What speakers are called in an answer."""

    def __init__(self, known: Collection[str]) -> None:
        """`known` are called by their names; others get letters that are nobody's name."""
        self._labels = {"": UNKNOWN, **{name: name for name in known}}
        self._letters = (letters for letters in _letters() if letters not in known)

    def of(self, speaker: str) -> str:
        """The label of a speaker; letters are given in the order in which speakers are asked for."""
        if speaker not in self._labels:
            self._labels[speaker] = next(self._letters)
        return self._labels[speaker]


def _letters() -> Iterator[str]:
    """A, B … Z, AA, AB …"""
    return ("".join(each) for length in count(1) for each in product(ascii_uppercase, repeat=length))
