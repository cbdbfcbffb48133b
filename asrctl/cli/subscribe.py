"""What is said in a group of sessions at a server, as one transcript in the order of time."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from asrctl.cli.live_view import LiveView
from asrctl.cli.result_writer import ResultWriter
from asrctl.errors import ServerError, UsageError
from asrctl.network.failures import network_failure
from asrctl.network.text import safe_text
from asrctl.render import Format
from asrctl.render.formats import WRITERS
from asrctl.render.options import RenderOptions
from asrctl.render.output import Output
from asrctl.render.text import name_before, one_line
from asrctl.transcript import AudioAccount, Segment, Timing, Transcript, Word

_SILENT_S = 60.0
"""A server says that it is there far more often."""
_SCHEMES = {"ws": "http", "wss": "https", "http": "http", "https": "https"}


def subscribed(
    server: str | None,
    group: str,
    api_key: str | None,
    path: Path | None,
    format: Format,
    how: RenderOptions,
    wait_for_server_s: float,
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
            for said in _events(url, api_key, wait_for_server_s):
                notes.take(said)
        except KeyboardInterrupt:
            pass
        except (OSError, HTTPException, ValueError) as error:
            failure = ServerError(f"{url}: {_reason(error)}")
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


def events_url(server: str | None, group: str) -> str:
    """Where a group's events are.

    Raises:
        UsageError: There is no address, or it is none.
    """
    parts = urlsplit(server or "")
    if not parts.hostname or parts.scheme not in _SCHEMES:
        raise UsageError("--subscribe needs the address of a server: --server ws://127.0.0.1:8765")
    return f"{_SCHEMES[parts.scheme]}://{parts.netloc}/v1/groups/{quote(group, safe='')}/events"


def _events(url: str, api_key: str | None, wait_for_server_s: float) -> Iterator[Mapping[str, Any]]:
    """Events until the group ends; a server that says nothing at all is waited for so long.

    Raises:
        OSError: The server cannot be reached, refuses, or is gone.
        HTTPException: It does not speak HTTP.
        ValueError: It says something else than JSON.
    """
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    with closing(kind(parts.netloc.rpartition("@")[2], timeout=wait_for_server_s or _SILENT_S)) as connection:
        try:
            connection.connect()
            socket = connection.sock
            connection.request("GET", parts.path, headers=headers)
            answer = connection.getresponse()
        except TimeoutError:
            advice = f"gave up after {wait_for_server_s:g} s (--wait-for-server waits longer)"
            raise TimeoutError(f"no answer in time; {advice}") from None
        if answer.status != 200:
            raise ConnectionError(f"the server refuses: {answer.status} {answer.reason}")
        socket.settimeout(_SILENT_S)
        for line in answer:
            if line.startswith(b"data: "):
                said = json.loads(line[6:])
                if said["type"] == "done":
                    return
                yield said
    raise ConnectionError("the server ended before the group did")


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


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno is not None:  # the system's
        return network_failure(error).reason
    return str(error)
