"""What is said in a group of sessions at a server, as one transcript in the order of time."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from http.client import HTTPException
from pathlib import Path
from typing import Any

from asrctl.cli.group_events import events_url, group_events, reason_of
from asrctl.cli.live_view import LiveView
from asrctl.cli.result_writer import ResultWriter
from asrctl.errors import ServerError
from asrctl.network.text import safe_text
from asrctl.render import Format
from asrctl.render.formats import WRITERS
from asrctl.render.options import RenderOptions
from asrctl.render.output import Output
from asrctl.render.text import name_before, one_line
from asrctl.transcript import AudioAccount, Segment, Timing, Transcript, Word


def subscribed(
    server: str | None,
    group: str,
    api_key: str | None,
    path: Path | None,
    format: Format,
    how: RenderOptions,
    wait_for_server_s: float | None,
) -> int:
    """Write what is said until the group ends or Ctrl-C; returns the exit code.

    Raises:
        ServerError: The server cannot be reached, refuses, or is gone; what it said is written.
        UsageError: The address is none.
    """
    url = events_url(server, group)
    started_s, failure = time.monotonic(), None
    writer = WRITERS[format]
    with Output(path) as output:
        view = LiveView()
        results = ResultWriter(group, view, writer(output, how))
        notes = _Notes(results, view)
        try:
            for said in group_events(url, api_key, wait_for_server_s, view.inform):
                notes.take(said)
        except KeyboardInterrupt:
            pass
        except (OSError, HTTPException, ValueError) as error:
            failure = ServerError(f"{url}: {reason_of(error)}")
        notes.write()
        segments = tuple(results.segments)
        if failure is not None:
            output.leave_incomplete()
        results.finish(
            Transcript(
                source=group,
                model="",
                provider="",
                language="",
                duration_s=max((segment.end_s for segment in segments), default=0.0),
                segments=segments,
                audio=AudioAccount(),
                timing=Timing(math.nan, math.nan, time.monotonic() - started_s),
            ),
            warnings=(),
            heard=failure is None,
        )
        if not segments:
            output.keep_older()
    if failure is not None:
        raise failure
    return 0


class _Notes:
    """What is said, in order: written at once, and once a speaker may still be corrected, at the end."""

    def __init__(self, results: ResultWriter, view: LiveView) -> None:
        self._results = results
        self._view = view
        self._held: dict[tuple[str, str], Segment] = {}

    def take(self, said: Mapping[str, Any]) -> None:
        """Take an event."""
        key = str(said.get("session_id")), str(said.get("utterance"))
        match said.get("type"):
            case "missed":
                self._results.warn(f"{said.get('count')} events were too long ago to be kept")
            case "final" if self._held or said.get("by_voice"):
                self._held[key] = _segment(said)
                if sys.stderr.isatty():
                    for turn in self._held[key].turns():
                        self._view.say(name_before(turn.speaker) + one_line(turn.text))
            case "final":
                self._results.write(_segment(said))
            case "speaker" if key in self._held:
                segment, words = self._held[key], [*map(_shown, said.get("words", ()))]
                names = words if len(words) == len(segment.words) else []
                self._held[key] = segment.labelled(_shown(said.get("speaker", "")), names)

    def write(self) -> None:
        """Write what was held."""
        for turn in (turn for segment in self._held.values() for turn in segment.turns()):
            self._results.write(replace(turn, words=()))


def _segment(said: Mapping[str, Any]) -> Segment:
    """A final of a group, safe to show."""
    words = [_word(word) for word in said.get("words", ())]
    segment = Segment(
        float(said["start_s"]),
        float(said["end_s"]),
        _shown(said["text"]),
        float(said["confidence"]),
        tuple(words),
        language=_shown(said.get("language", "")),
    )
    return segment.labelled(_shown(said.get("speaker", "")), [word.speaker for word in words])


def _word(said: Mapping[str, Any]) -> Word:
    start_s, end_s, confidence = (float(said[key]) for key in ("start_s", "end_s", "confidence"))
    return Word(start_s, end_s, _shown(said["text"]), confidence, _shown(said.get("speaker", "")))


def _shown(text: object) -> str:
    return safe_text(str(text))
