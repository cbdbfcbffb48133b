"""`POST /render`: a browser's finals as a file of any format, made by the same code as the command line's."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from asrctl.errors import UsageError
from asrctl.render import formats
from asrctl.transcript import SAMPLE_RATE_HZ, AudioAccount, Segment, Timing, Transcript

MAX_BODY_BYTES = 4 << 20
"""Ten hours of speech: an hour of finals is about 0.3 MB of JSON."""
_MAX_SEGMENTS = 100_000
_MAX_CHARACTERS = 10_000
"""Of one segment's text: nobody says more between two pauses, and long words take long to break."""
REFUSED = 2
"""Exit code of `main` where the body, or the format, is no good."""
_NICE = 10
"""Live audio goes first."""
_MEDIA_TYPES = {"json": "application/json", "vtt": "text/vtt", "md": "text/markdown"}


def media_type(name: str) -> str:
    """Of a format; plain text where it has none of its own."""
    return _MEDIA_TYPES.get(name, "text/plain")


def rendered(name: str, body: bytes) -> str:
    """A transcript in a format.

    Args:
        name: One of `formats.WRITERS`.
        body: A JSON object: `segments`, a list of `{start_s, end_s, text, confidence?, speaker?}` in order of
            time, and what is known of `source`, `model`, `provider`, `language` and `audio`, the account of
            `done`.

    Raises:
        UsageError: There is no such format, or the body is not as described.
    """
    if (known := formats.named(name)) is None:
        raise UsageError(f"there is no format {name!r}: known are {', '.join(formats.WRITERS)}")
    return formats.rendered(_transcript(_object(body)), known)


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):  # also where it is not UTF-8
        raise UsageError("the body is not JSON") from None
    if not isinstance(found, dict):
        raise UsageError("the body is not a JSON object")
    return found


def _transcript(given: Mapping[str, Any]) -> Transcript:
    listed = given.get("segments")
    if not isinstance(listed, list) or len(listed) > _MAX_SEGMENTS:
        raise UsageError(f"segments must be a list of at most {_MAX_SEGMENTS}")
    segments = tuple(_segment(index, each) for index, each in enumerate(listed))
    audio = given.get("audio") or {}
    if not isinstance(audio, dict):
        raise UsageError("audio must be an object")
    account = AudioAccount(
        *(_samples(audio, key) for key in ("received_s", "speech_s", "silence_s", "dropped_s"))
    )
    end_s = max((segment.end_s for segment in segments), default=0.0)
    return Transcript(
        source=_text(given, "source"),
        model=_text(given, "model"),
        provider=_text(given, "provider"),
        language=_text(given, "language"),
        duration_s=max(end_s, account.received_samples / SAMPLE_RATE_HZ),
        segments=segments,
        audio=account,
        timing=Timing(0.0, 0.0, 0.0),
    )


def _segment(index: int, given: object) -> Segment:
    if not isinstance(given, dict):
        raise UsageError(f"segments[{index}] must be an object")
    try:
        start_s, end_s = _number(given, "start_s"), _number(given, "end_s")
        confidence = _number(given, "confidence") if given.get("confidence") is not None else 1.0
        text, speaker = _text(given, "text"), _text(given, "speaker")
        if len(text) > _MAX_CHARACTERS:
            raise UsageError(f"text may have {_MAX_CHARACTERS} characters")
        return Segment(start_s, max(start_s, end_s), text, confidence, speaker=speaker)
    except UsageError as error:
        raise UsageError(f"segments[{index}]: {error}") from None


def _samples(given: Mapping[str, Any], key: str) -> int:
    return round(_number(given, key) * SAMPLE_RATE_HZ) if key in given else 0


def _number(given: Mapping[str, Any], key: str) -> float:
    value = given.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1e9:
        raise UsageError(f"{key} must be a number of at least 0")
    return float(value)


def _text(given: Mapping[str, Any], key: str) -> str:
    """Text that can be written as UTF-8: JSON can hold halves of characters."""
    value = given.get(key, "")
    if not isinstance(value, str):
        raise UsageError(f"{key} must be text")
    return value.encode("utf-8", "replace").decode("utf-8")


def main() -> int:
    """Make a file of what comes, in the format that is named; or print what is wrong. Gives the exit code."""
    if hasattr(os, "nice"):
        os.nice(_NICE)
    text, code = "", 0
    try:
        text = rendered(sys.argv[1], sys.stdin.buffer.read())
    except UsageError as error:
        text, code = f"{error}\n", REFUSED
    sys.stdout.buffer.write(text.encode("utf-8"))
    return code


if __name__ == "__main__":
    sys.exit(main())
